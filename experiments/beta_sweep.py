"""Train the VAE of notebook 04 with other weights of the KL: data/results/beta_sweep.csv, and what each draws.

python -m experiments.beta_sweep            # about 10 minutes on two cores; finished rows are kept
python -m experiments.beta_sweep --fresh    # every row anew

Each weight also has a strip of pictures, data/results/beta_*.png: 10 test digits, their reconstructions, 20 samples.
"""

import io

import torch
from PIL import Image

from experiments import table
from vae_utils import evaluation, judge, models, plotting, training
from vae_utils.sources import write_atomic

TABLE = table.Table("beta_sweep", ("beta",))
BETAS = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 10.0, 39.2)


def measure(beta: float) -> table.Row:
    """Train one model (convolutional, 20 latents, 2,000 steps), keep its pictures, return what it reached."""
    mnist = table.full_mnist()
    torch.manual_seed(0)
    model = models.VAE(20, "conv")
    history = training.fit(model, mnist.train, steps=2000, lr=4e-3, beta=beta, seed=0)
    result = evaluation.evaluate(model, mnist.test)
    samples = model.sample(1000, generator=torch.Generator().manual_seed(0)).cpu()
    draw(model, mnist.test[:10][0], samples[:20], beta)
    return {
        "seconds": round(history.seconds),
        "neg_elbo": round(result["loss"], 2),
        "recon": round(result["recon"], 2),
        "kl": round(result["kl"], 2),
        "active": int(evaluation.active_units(model, mnist.test).sum()),
        "accepted": round(judge.accepted(judge.load_judge(mnist), samples), 3),
    }


@torch.no_grad()
def draw(model: models.VAE, x: torch.Tensor, samples: torch.Tensor, beta: float) -> None:
    """Write one strip of pictures: x, what the model makes of it, and samples."""
    mu, _ = model.encode(x.to(evaluation.device_of(model)))
    pictures = torch.cat([x, model.decode(mu).sigmoid().cpu(), samples])
    sheet, stored = plotting.tile(pictures, columns=10, gap=0), io.BytesIO()
    Image.fromarray((sheet * 255).round().astype("uint8")).save(stored, "PNG", optimize=True)
    path = TABLE.path.with_name(f"beta_{beta:g}.png")
    if not write_atomic(path, stored.getvalue()):
        raise OSError(f"cannot write {path}")


if __name__ == "__main__":
    table.fill(TABLE, ({"beta": beta} for beta in BETAS), measure, __doc__)
