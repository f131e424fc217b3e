"""Complete test digits from 1, 2 or 3 quadrants: data/results/completion.csv, the table of notebook 06.

python -m experiments.completion            # about an hour and a half on one core; finished rows are kept
python -m experiments.completion --fresh    # every row anew

latents 0 is the deterministic baseline. Trained on 55,000 images; every 1,000 steps the loss on the other 5,000 of the
training images is measured, and the weights of the best step are kept. Only these meet the test images.
"""

import copy

import torch
from torch import nn

from experiments import table
from vae_utils import data, evaluation, judge, models, training
from vae_utils.data import Split

TABLE = table.Table("completion", ("quadrants", "latents", "network", "steps", "lr"))
RUNS = (
    (1, 0, "wide", 6000, 2e-3),
    (1, 32, "wide", 8000, 2e-3),
    (2, 0, "wide", 6000, 2e-3),
    (2, 32, "wide", 8000, 2e-3),
    (3, 0, "wide", 6000, 2e-3),
    (3, 32, "wide", 8000, 2e-3),
)
SAMPLES = 100


class Best:
    """Watch a training: remember the weights whose loss on held-out images is the lowest."""

    def __init__(self, held_out: Split) -> None:
        self.held_out, self.loss, self.step, self.weights = held_out, float("inf"), 0, {}

    def __call__(self, step: int, model: nn.Module) -> None:
        """Measure the model, and remember it if it is the best so far."""
        loss = evaluation.evaluate(model, self.held_out)["loss"]
        if loss < self.loss:
            self.loss, self.step, self.weights = loss, step, copy.deepcopy(model.state_dict())


def measure(quadrants: int, latents: int, network: str, steps: int, lr: float) -> table.Row:
    """Train one model, pick its best step on the validation images, and return what it reaches on the test images."""
    mnist = table.full_mnist()
    torch.manual_seed(0)
    model, best = models.Completer(latents, network, quadrants=quadrants), Best(mnist.train.subset(slice(55_000, None)))
    checks = range(1000, steps + 1, 1000)
    train = mnist.train.subset(slice(55_000))
    history = training.fit(model, train, steps=steps, lr=lr, seed=0, callback=best, callback_steps=checks)
    model.load_state_dict(best.weights)
    result = evaluation.evaluate(model, mnist.test)
    likelihood = evaluation.log_likelihood(model, mnist.test[:][0], samples=SAMPLES if latents else 1)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(history.seconds),
        "best_step": best.step,
        "validation": round(best.loss, 2),
        "neg_elbo": round(result["loss"], 2),
        "kl": round(result["kl"], 2),
        "importance": round(-likelihood.mean().item(), 2),
        "samples": SAMPLES if latents else 1,
        **identity(model, mnist),
    }


@torch.no_grad()
def identity(model: models.Completer, mnist: data.Dataset) -> table.Row:
    """Return what the judge sees in one completion of each test image: the same digit, another one, or none."""
    the_judge, generator = judge.load_judge(mnist), torch.Generator().manual_seed(0)
    device, (x, y) = evaluation.device_of(model), mnist.test[:]
    completed = torch.cat([model.complete(part.to(device), generator=generator)[0].cpu() for part in x.split(1000)])
    label, sure = judge.verdicts(the_judge, completed)
    shares = {"same": (label == y) & (sure > 0.5), "another": (label != y) & (sure > 0.5), "none": sure <= 0.5}
    return {name: round(share.float().mean().item(), 4) for name, share in shares.items()}


if __name__ == "__main__":
    table.fill(TABLE, (dict(zip(TABLE.keys, run, strict=True)) for run in RUNS), measure, __doc__)
