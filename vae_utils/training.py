"""One training loop for every model of the series, with a budget in gradient steps."""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_utils import inputs
from vae_utils import training_checks as checks
from vae_utils.data import Split, minibatches
from vae_utils.fingerprints import fingerprint
from vae_utils.history import History, Snapshots
from vae_utils.models import evaluating
from vae_utils.resuming import Resumable
from vae_utils.runtime import get_device, own_random_numbers

CHECK_EVERY = 25  # steps between two looks at the numbers: each look waits for a GPU

CLEAN_EVERY, FADED = 100, 1e-30  # steps between two clearings of Adam's memory, and what is cleared of it

Watcher = Callable[[int, nn.Module], dict[str, Tensor] | None]
Step = Callable[..., tuple[Tensor, Tensor, Tensor]]


def descend(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    beta: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one step down the gradient of mean(recon + beta * kl) over a batch, the negative ELBO if beta is 1.

    Written out in notebook 04, section 4.4. Shapes: x [B, C, H, W], y [B] -> loss [], recon [B], kl [B], in nats.
    Raises: TypeError, ValueError if the model's terms are no such tensors; the weights are then as they were.
    """
    recon, kl = checks.check_terms(model.terms(x, y), len(x))
    loss = (recon + beta * kl).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    return loss, recon, kl


def fit(
    model: nn.Module,
    split: Split,
    *,
    steps: int = 2000,
    batch_size: int = 128,
    lr: float = 3e-3,
    beta: float = 1.0,
    seed: int = 0,
    device: torch.device | str | None = None,
    step: Step = descend,
    callback: Watcher | None = None,
    callback_steps: Collection[int] = (),
    log_dir: str | os.PathLike | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 500,
) -> History:
    """Train a model by Adam on mean(recon + beta * kl), the learning rate rising and falling in one cycle.

    The model says through terms(x, y) what recon [B] and kl [B] are. step takes each step, as `descend` does; one of
    your own is called as step(model, x, y, optimizer, schedule, beta) and returns loss, recon and kl. The stop button
    (KeyboardInterrupt) ends the training early and keeps model and history. callback(step, model) runs before each of
    the callback_steps (and after the last step, if steps is among them), in evaluation mode; it may return a dictionary
    of tensors for the history's snapshots, and must not change the weights. log_dir receives TensorBoard curves.
    checkpoint names a file that holds the training as it stands, written every checkpoint_every steps. If it is there
    when fit starts, and is of the same training, that goes on to the same end; it is gone once all steps are done.
    The split is looked at once, here, and what a model of the reader's own makes of it is not. No step is captured as a
    CUDA graph: that it gives the same losses bit for bit would have to be shown on a GPU first.
    The same seed on the same CPU repeats the run exactly, and the random numbers of whoever calls stay as they were;
    written out by hand in notebook 04, section 4.4.

    OneCycleLR also moves Adam's beta1, from 0.95 down to 0.85 while the rate rises, and back: PyTorch's default. What
    that is worth is in data/results/momentum_cycle.csv (python -m experiments.momentum_cycle).

    Raises: TypeError or ValueError for a setting out of range, or data that the model cannot learn from;
    FloatingPointError, naming the step, if the loss stops being finite, or if the weights are not when it ends.
    """
    settings = checks.check_settings(steps, batch_size, lr, beta, seed)
    steps, batch_size, lr, beta, seed = settings.values()
    looks = checks.check_looks(callback, callback_steps, steps)
    checks.check_step(step)
    checks.check_data(model, split)
    minibatches(split, batch_size)  # refuses a batch that is too large, before anything changes
    device, saved = get_device(device), None
    inputs.check_whole("checkpoint_every", checkpoint_every, 1)
    log_dir = None if log_dir is None else checks.check_log(log_dir)
    if checkpoint is not None:
        watch = {"looks": sorted(looks), "callback": callback}
        saved = Resumable(checkpoint, model, split, settings | watch, code=(fit, step))
    with own_random_numbers(seed, device), inputs.trusted():
        model.to(device).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=_fused(device))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
        done = saved.restore(model, optimizer, schedule, device) if saved else None
        record = _Record(steps, beta, log_dir, done)
        batches = minibatches(split.to(device), batch_size, torch.Generator().manual_seed(seed), skip=len(record))
        with record.running():
            for number in range(len(record), steps):
                if number in looks:
                    record.snapshot(callback, number, model, device)
                if saved and number % checkpoint_every == 0:
                    saved.store(record.history(), model, optimizer, schedule, device)
                record.add(*checks.check_terms_of_step(step(model, *next(batches), optimizer, schedule, beta)))
                if device.type == "cpu" and (number + 1) % CLEAN_EVERY == 0:
                    _drop_faded(optimizer)
            if steps in looks:
                record.snapshot(callback, steps, model, device)
        _check_weights(model)
        if saved and len(record) == steps:  # stopped by hand, it stays: from the last whole step that was stored
            saved.remove()
    model.eval()
    return record.history()


class _Record:
    """The numbers of a run: kept on the device, looked at now and then, shown in a progress bar."""

    def __init__(self, steps: int, beta: float, log_dir: str | os.PathLike | None, done: History | None) -> None:
        curves = [] if done is None else torch.stack([done.loss, done.recon, done.kl], dim=1).unbind()
        self.values: list[Tensor] = list(curves)
        self.snapshots: Snapshots = {} if done is None else done.snapshots
        self.checked, self.steps, self.beta = len(self.values), steps, beta
        self.before = 0.0 if done is None else done.seconds
        self.writer = None
        if log_dir is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(log_dir, purge_step=len(self.values) or None)  # what is trained again

    def __len__(self) -> int:
        return len(self.values)

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    @contextmanager
    def running(self) -> Iterator[None]:
        self.began = time.perf_counter()
        with _bar(self.steps, len(self)) as self.bar:
            try:
                try:
                    yield
                except KeyboardInterrupt:
                    print(
                        f"Stopped by hand after {len(self)} of {self.steps} steps; the model keeps what it has learned."
                    )
                self._check()
            finally:
                self.took = self.seconds
                if self.writer is not None:
                    self.writer.close()

    def snapshot(self, callback: Watcher, step: int, model: nn.Module, device: torch.device) -> None:
        """Call back in evaluation mode, and leave the run's random numbers and weights as they were."""
        before = fingerprint(dict(model.state_dict()))
        with evaluating(model), own_random_numbers(None, device), inputs.trusted(False):
            seen = callback(step, model)
        if before != fingerprint(dict(model.state_dict())):
            raise ValueError(f"callback changed the weights at step {step}: it may only look; train them in the model")
        if seen is None:
            return
        if not isinstance(seen, dict) or not all(isinstance(part, Tensor) for part in seen.values()):
            came = inputs.described(seen)
            raise TypeError(f"callback must return a dictionary of tensors, or None, not {came}: use torch.tensor")
        self.snapshots[step] = {str(name): tensor.detach().cpu().clone() for name, tensor in seen.items()}

    def add(self, loss: Tensor, recon: Tensor, kl: Tensor) -> None:
        self.values.append(torch.stack([loss.detach(), recon.detach().mean(), kl.detach().mean()]))
        if len(self) % CHECK_EVERY == 0:
            self._check()

    def _check(self) -> None:
        """Look at the steps since the last look: show them, log them, and stop if a number is not finite."""
        if self.checked == len(self):
            return
        new = torch.stack(self.values[self.checked :]).cpu()
        self.values[self.checked :] = new.unbind()
        if self.writer is not None:
            for step, row in enumerate(new.tolist(), start=self.checked):
                for name, value in zip(("loss", "recon", "kl"), row, strict=True):
                    self.writer.add_scalar(name, value, step)
        bad = (~new.isfinite()).any(1).nonzero()
        if len(bad):
            raise FloatingPointError(checks.loss_gone(self.checked + bad[0].item(), *new[bad[0].item()].tolist()))
        self.bar.update(len(new))
        loss, recon, kl = new.mean(0).tolist()
        self.bar.set_postfix_str(f"loss {loss:.1f} = recon {recon:.1f} + {self.beta:g} x kl {kl:.1f} nats")
        self.checked = len(self)

    def history(self) -> History:
        self._check()
        loss, recon, kl = torch.stack(self.values).unbind(1) if self.values else torch.zeros(3, 0)
        return History(loss, recon, kl, getattr(self, "took", None) or self.seconds, self.snapshots)


def _bar(steps: int, done: int) -> tqdm:
    silent = os.environ.get("VAE_PROGRESS") == "0"
    return tqdm(total=steps, initial=done, unit="step", leave=False, disable=silent)


_bar.__fingerprint__ = "a progress bar"  # of one class in a notebook, of another in a terminal


def _check_weights(model: nn.Module) -> None:
    """Look once, at the end, at what the last step has made of the weights. Raises: FloatingPointError."""
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise FloatingPointError(
            "after the last step there are weights that are infinite or NaN: lower lr, and build the model anew"
        )


def _drop_faded(optimizer: torch.optim.Optimizer) -> None:
    """Set to 0 what has faded out of Adam's running means.

    The weights of pixels that are always black get no gradient, and what they once had fades, after some 800 steps, to
    numbers below 1e-38, over which a CPU crawls: the MLP of benchmarks/ took 7.5 ms a step, and 5.4 without them.
    """
    for state in optimizer.state.values():
        state["exp_avg"].mul_(state["exp_avg"].abs() > FADED)


def _fused(device: torch.device) -> bool | None:
    """Return True where PyTorch has a fused Adam, which halves the time of a small step on a CPU."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return True if device.type == "cuda" or (device.type == "cpu" and version >= (2, 4)) else None
