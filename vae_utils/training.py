"""One training loop for every model of the series, with a budget in gradient steps."""

import inspect
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_utils import checkpoints
from vae_utils.data import Dataset, Split, minibatches
from vae_utils.runtime import get_device

CHECK_EVERY = 25  # steps between two looks at the numbers: each look waits for a GPU


Watcher = Callable[[int, nn.Module], dict[str, Tensor] | None]


@dataclass(frozen=True)
class History:
    """What happened, step by step: the mean loss, reconstruction and KL term of each batch, in nats.

    snapshots holds the tensors that the callback returned, by step and by name.
    """

    loss: Tensor
    recon: Tensor
    kl: Tensor
    seconds: float
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        return f"History of {len(self)} steps in {self.seconds:.0f} s"


def fit(
    model: nn.Module,
    split: Split,
    *,
    steps: int = 2000,
    batch_size: int = 128,
    lr: float = 3e-3,
    beta: float = 1.0,
    seed: int = 0,
    device: torch.device | None = None,
    callback: Watcher | None = None,
    callback_steps: Collection[int] = (),
    log_dir: str | os.PathLike | None = None,
) -> History:
    """Train a model by Adam on mean(recon + beta * kl), the learning rate rising and falling in one cycle.

    The model says through terms(x, y) what recon [B] and kl [B] are. The stop button (KeyboardInterrupt) ends the
    training early and keeps model and history. callback(step, model) runs before each of the callback_steps (and
    after the last step, if steps is among them) without changing the run, and may return a dictionary of tensors for
    the history's snapshots. log_dir receives TensorBoard curves.
    The same seed on the same CPU repeats the run exactly; written out by hand in notebook 04, section 4.4.

    Raises: ValueError for a budget below 1 step; FloatingPointError, naming the step, if the loss stops being finite.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    device = device or get_device()
    model.to(device).train()
    torch.manual_seed(seed)
    batches = minibatches(split.to(device), batch_size, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=_fused(device))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
    record = _Record(steps, beta, log_dir)
    with record.running():
        for step in range(steps):
            if step in callback_steps:
                record.snapshot(callback, step, model)
            x, y = next(batches)
            recon, kl = model.terms(x, y)
            loss = (recon + beta * kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            record.add(loss, recon, kl)
        if steps in callback_steps:
            record.snapshot(callback, steps, model)
    model.eval()
    return record.history()


def fit_once(
    name: str,
    model: nn.Module,
    dataset: Dataset,
    *,
    steps: int,
    device: torch.device | None = None,
    callback: Watcher | None = None,
    callback_steps: Collection[int] = (),
    log_dir: str | os.PathLike | None = None,
    **settings: float,
) -> History:
    """Train a model on a data set's training split, unless the same was done before: then load what was kept.

    settings go to `fit`. The same class, configuration, first weights, data, steps, settings and code count as the same
    training; a change of any of them trains anew, as does a callback whose tensors were not kept. One line says what
    happened, and how to train again. A training stopped by hand is not kept; log_dir sees only what is trained.
    """
    facts = {
        "class": type(model).__name__,
        "config": model.config,
        "first_weights": checkpoints.fingerprint(model.state_dict()),
        "data": dataset.key,
        "settings": {"steps": steps, **settings},
    }
    path, device = checkpoints.kept_path(name, facts), device or get_device()
    shown = "/".join(path.parts[-3:])
    watched = [inspect.getsource(callback), *sorted(callback_steps)] if callback else None
    try:
        header, weights, arrays = checkpoints.read(path)
        if watched in (None, json.loads(header["facts"])["watched"]):
            model.load_state_dict(weights)
            model.to(device).eval()
            history = _history_from(arrays)
            print(f"{name}: loaded, trained before in {history.seconds:.0f} s. To train it again, delete {shown}")
            return history
    except FileNotFoundError:
        pass
    except (ValueError, RuntimeError) as error:
        print(error)
    watch = {"callback": callback, "callback_steps": callback_steps, "log_dir": log_dir}
    history = fit(model, dataset.train, steps=steps, device=device, **watch, **settings)
    if len(history) == steps:
        try:
            checkpoints.save(path, model, arrays=_arrays_of(history), **facts, watched=watched)
            print(f"{name}: trained in {history.seconds:.0f} s, kept in {shown}")
        except (OSError, ValueError) as error:
            print(f"{name}: trained in {history.seconds:.0f} s, not kept: {error}")
    return history


def _arrays_of(history: History) -> dict[str, Tensor]:
    curves = torch.stack([history.loss, history.recon, history.kl])
    snapshots = {f"snapshot/{step}/{name}": t for step, seen in history.snapshots.items() for name, t in seen.items()}
    return {"curves": curves, "seconds": torch.tensor(history.seconds), **snapshots}


def _history_from(arrays: dict[str, Tensor]) -> History:
    snapshots: dict[int, dict[str, Tensor]] = {}
    for path in filter(lambda path: path.startswith("snapshot/"), arrays):
        _, step, name = path.split("/", 2)
        snapshots.setdefault(int(step), {})[name] = arrays[path]
    return History(*arrays["curves"], arrays["seconds"].item(), dict(sorted(snapshots.items())))


class _Record:
    """The numbers of a run: kept on the device, looked at now and then, shown in a progress bar."""

    def __init__(self, steps: int, beta: float, log_dir: str | os.PathLike | None) -> None:
        self.values: list[Tensor] = []
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.checked, self.steps, self.beta = 0, steps, beta
        self.writer = None
        if log_dir is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(log_dir)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.began = time.perf_counter()
        with tqdm(
            total=self.steps, unit="step", leave=False, disable=os.environ.get("VAE_PROGRESS") == "0"
        ) as self.bar:
            try:
                try:
                    yield
                except KeyboardInterrupt:
                    done = len(self.values)
                    print(f"Stopped by hand after {done} of {self.steps} steps; the model keeps what it has learned.")
                self._check()
            finally:
                self.seconds = time.perf_counter() - self.began
                if self.writer is not None:
                    self.writer.close()

    def snapshot(self, callback: Watcher | None, step: int, model: nn.Module) -> None:
        """Call back in evaluation mode, and leave the run's random numbers as they were."""
        if callback is None:
            raise ValueError("callback_steps were given without a callback: pass callback=f, called as f(step, model)")
        model.eval()
        with torch.no_grad(), torch.random.fork_rng():
            seen = callback(step, model)
        model.train()
        if seen is not None:
            self.snapshots[step] = {name: tensor.cpu() for name, tensor in seen.items()}

    def add(self, loss: Tensor, recon: Tensor, kl: Tensor) -> None:
        self.values.append(torch.stack([loss.detach(), recon.detach().mean(), kl.detach().mean()]))
        if len(self.values) % CHECK_EVERY == 0:
            self._check()

    def _check(self) -> None:
        """Look at the steps since the last look: show them, log them, and stop if a number is not finite."""
        if self.checked == len(self.values):
            return
        new = torch.stack(self.values[self.checked :]).cpu()
        if self.writer is not None:
            for step, row in enumerate(new.tolist(), start=self.checked):
                for name, value in zip(("loss", "recon", "kl"), row, strict=True):
                    self.writer.add_scalar(name, value, step)
        bad = (~new.isfinite()).any(1).nonzero()
        if len(bad):
            raise FloatingPointError(_explain(self.checked + bad[0].item(), *new[bad[0].item()].tolist()))
        self.bar.update(len(new))
        loss, recon, kl = new.mean(0).tolist()
        self.bar.set_postfix_str(f"loss {loss:.1f} = recon {recon:.1f} + {self.beta:g} x kl {kl:.1f} nats")
        self.checked = len(self.values)

    def history(self) -> History:
        loss, recon, kl = torch.stack(self.values).cpu().unbind(1) if self.values else torch.zeros(3, 0)
        return History(loss, recon, kl, self.seconds, self.snapshots)


def _explain(step: int, loss: float, recon: float, kl: float) -> str:
    cause = (
        "logvar has grown so large that exp(logvar) overflows"
        if kl == float("inf")
        else "the weights have become infinite or NaN, or the data hold such values"
    )
    return (
        f"at step {step} the loss is {loss} (recon {recon}, kl {kl}): most likely {cause}. "
        "Lower the learning rate, and build the model anew: its weights are no longer usable."
    )


def _fused(device: torch.device) -> bool | None:
    """Return True where PyTorch has a fused Adam, which halves the time of a small step on a CPU."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return True if device.type == "cuda" or (device.type == "cpu" and version >= (2, 4)) else None
