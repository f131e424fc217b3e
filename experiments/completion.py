"""Complete test digits from 1, 2 or 3 quadrants: data/results/completion.csv, the table of notebook 06.

python -m experiments.completion            # about an hour and a half on one core; finished rows are kept
python -m experiments.completion --fresh    # every row anew

latents 0 is the deterministic baseline. Both train on 55,000 images at a constant rate; an average of the weights over
the last thousand steps or so is what is measured. Every 500 steps its loss on the other 5,000 of the training images is
measured: training ends once it has not fallen for 1,500 steps (or after MOST), and the best average is kept. Only that
one meets the test images.
"""

import copy
import time

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from experiments import table
from vae_utils import data, evaluation, inputs, judge, models
from vae_utils.data import Split, minibatches

TABLE = table.Table("completion", ("quadrants", "latents", "seed"))
RUNS = (
    *((1, latents, seed) for seed in (0, 1, 2) for latents in (0, 32)),
    *((quadrants, latents, 0) for quadrants in (2, 3) for latents in (0, 32)),
)
NETWORK, LR, BATCH = "conv", 2e-3, 128
EACH, PATIENCE, MOST = 500, 1500, 20_000  # steps between two looks, without a lower loss, and in all
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


def train_until_it_turns(model: nn.Module, train: Split, best: Best, seed: int) -> int:
    """Train until the loss on the images of `best` turns, go back to the best weights, and return the steps taken."""
    torch.manual_seed(seed)
    model.train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    batches, step = minibatches(train, BATCH, torch.Generator().manual_seed(seed)), 0
    while step < MOST and step - best.step < PATIENCE:
        with inputs.trusted():
            for x, y in (next(batches) for _ in range(EACH)):
                recon, kl = model.terms(x, y)
                optimizer.zero_grad()
                (recon + kl).mean().backward()
                optimizer.step()
                average.update_parameters(model)
        step += EACH
        best(step, average.module)
        print(f"step {step}: best {best.loss:.2f} nats, of step {best.step}", flush=True)
    model.load_state_dict(best.weights)
    model.eval()
    return step


def measure(quadrants: int, latents: int, seed: int) -> table.Row:
    """Train one model until its loss on the validation images turns, and return what it reaches on the test images."""
    mnist, began = table.full_mnist(), time.perf_counter()
    torch.manual_seed(seed)
    model, best = models.Completer(latents, NETWORK, quadrants=quadrants), Best(mnist.train.subset(slice(55_000, None)))
    steps = train_until_it_turns(model, mnist.train.subset(slice(55_000)), best, seed)
    seconds = time.perf_counter() - began
    result = evaluation.evaluate(model, mnist.test)
    likelihood = evaluation.log_likelihood(model, mnist.test[:][0], samples=SAMPLES if latents else 1)
    return {
        "network": NETWORK,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds),
        "steps": steps,
        "best_step": best.step,
        "validation": round(best.loss, 2),
        "neg_elbo": round(result["loss"], 2),
        "kl": round(result["kl"], 2),
        "importance": round(-likelihood.mean().item(), 2),
        "samples": SAMPLES if latents else 1,
        **identity(model, mnist, judge.load_judge(mnist)),
    }


@torch.no_grad()
def identity(model: models.Completer, mnist: data.Dataset, the_judge: models.DigitJudge) -> table.Row:
    """Return what the judge sees in one completion of each test image: the same digit, another one, or none."""
    generator, (x, y) = torch.Generator().manual_seed(0), mnist.test[:]
    device = evaluation.device_of(model)
    completed = torch.cat([model.complete(part.to(device), generator=generator)[0].cpu() for part in x.split(1000)])
    label, sure = judge.verdicts(the_judge, completed)
    shares = {"same": (label == y) & (sure > 0.5), "another": (label != y) & (sure > 0.5), "none": sure <= 0.5}
    return {name: round(share.float().mean().item(), 4) for name, share in shares.items()}


if __name__ == "__main__":
    table.fill(TABLE, (dict(zip(TABLE.keys, run, strict=True)) for run in RUNS), measure, __doc__)
