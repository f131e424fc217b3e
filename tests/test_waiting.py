"""Training waits for a GPU at its looks alone: counted on the CPU by what would wait, and held to by CUDA itself."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import MethodType

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from vae_utils import training
from vae_utils.labels import UNKNOWN
from vae_utils.latent import Codes
from vae_utils.models import (
    CVAE,
    KNOWN,
    M2,
    VAE,
    Autoencoder,
    Classifier,
    CodeM2,
    Completer,
    DigitJudge,
    LabelledVAE,
    PoseVAE,
)

SMALL, EVERY = (1, 8, 8), 5  # steps between two looks, here: the training is short
MAKE = {
    "Autoencoder": lambda: Autoencoder(2, "mlp", SMALL),
    "VAE": lambda: VAE(2, "mlp", SMALL),
    "CVAE": lambda: CVAE(2, "mlp", SMALL),
    "Completer": lambda: Completer(2, "mlp", SMALL, quadrants=None),
    "DigitJudge": lambda: DigitJudge(image_shape=SMALL),
    "PoseVAE": lambda: PoseVAE(8, "conv", SMALL),
    "Classifier": lambda: Classifier("conv", SMALL, moves=0.5),
    "LabelledVAE": lambda: LabelledVAE(2, "mlp", SMALL),
    "M2": lambda: M2(2, "mlp", SMALL, classifier="conv", moves=0.5),
    "CodeM2": lambda: CodeM2(2, image_shape=(1, 1, 6)),
}
ONCE_A_STEP = {"M2": {"nonzero": 1}, "CodeM2": {"nonzero": 1}}  # their docstrings say why
NAMED = (
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "masked_select", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive", "_linalg_check_errors"),
)
BY_MASK = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")


class Waits(TorchDispatchMode):
    """Counts the operations for which the CPU would wait, were the tensors on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counted, self.paused, self.looking = Counter(), False, False

    def add(self, name: str) -> None:
        self.counted[name] += not self.paused

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation.overloadpacket.__name__
        masks = name in BY_MASK and any(
            part is not None and part.dtype in (torch.bool, torch.uint8) for part in arguments[1]
        )
        if name in NAMED or masks or (name == "repeat_interleave" and operation._overloadname == "Tensor"):
            self.add(f"{name} by a mask" if masks else name)
        return operation(*arguments, **(options or {}))

    @contextmanager
    def pause(self) -> Iterator[None]:
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before


@pytest.fixture
def waits(monkeypatch) -> Waits:
    """A counter that also sees what passes the dispatcher by, and knows what does not wait though it seems to."""
    counter = Waits()
    for name in ("cpu", "tolist", "numpy"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, counting(counter, name, original))
    monkeypatch.setattr(torch.nn.functional, "one_hot", blind(counter, torch.nn.functional.one_hot))
    monkeypatch.setattr(training._Record, "_check", a_look(counter, training._Record._check))
    monkeypatch.setattr(training, "CHECK_EVERY", EVERY)
    hooks = [  # Adam's own counters of steps stay on the CPU
        register_optimizer_step_pre_hook(lambda *_: setattr(counter, "paused", True)),
        register_optimizer_step_post_hook(lambda *_: setattr(counter, "paused", False)),
    ]
    yield counter
    for hook in hooks:
        hook.remove()


def counting(counter: Waits, name: str, original: Callable) -> Callable:
    def method(tensor: Tensor, *arguments: object, **options: object) -> object:
        counter.add(name)
        with counter.pause():  # what it is made of waits no second time
            result = original(tensor, *arguments, **options)
        counter.paused |= counter.looking and name == "cpu"
        return result

    return method


def blind(counter: Waits, original: Callable) -> Callable:
    """one_hot looks at its labels on a CPU alone, if the number of classes is given."""

    def one_hot(labels: Tensor, num_classes: int = -1) -> Tensor:
        if num_classes < 0:
            return original(labels, num_classes)
        with counter.pause():
            return original(labels, num_classes)

    return one_hot


def a_look(counter: Waits, original: Callable) -> Callable:
    """A look brings the numbers to the CPU in one wait, and what it then does with them there waits for nothing."""

    def _check(record: training._Record) -> None:
        counter.looking = True
        try:
            with counter.pause():  # which starts with `cpu`, and ends here
                counter.paused = False
                original(record)
        finally:
            counter.looking = False

    return _check


def examples(model: torch.nn.Module, toy) -> object:
    """Return data that a model can learn from, half of the labels unknown where they may be."""
    split = toy.train
    if isinstance(model, M2 | LabelledVAE):
        split = replace(split, labels=torch.where(torch.arange(len(split)) % 2 == 0, split.labels, UNKNOWN))
    if isinstance(model, CodeM2):
        return Codes(torch.randn(len(split), 6), torch.zeros(len(split), 6), split.labels)
    return split


def in_the_loop(waits: Waits, model: torch.nn.Module, split: object) -> Counter:
    """Return the waits of four times EVERY steps: those of a long training less those of a short one."""
    counts = []
    for steps in (2 * EVERY + 1, 6 * EVERY + 1):
        waits.counted = Counter()
        with waits:
            training.fit(model, split, steps=steps, batch_size=40, lr=1e-3)
        counts.append(waits.counted)
    counts[1].subtract(counts[0])
    return Counter({name: count for name, count in counts[1].items() if count})


def test_a_look_waits_once(waits, monkeypatch, toy):
    """A second wait in a look, before its numbers are on the CPU, is seen."""
    original = training.torch.stack

    def stack(tensors, **options):
        together = original(tensors, **options)
        return together if len(together) < EVERY else together + 0 * together[0, 0].item()

    monkeypatch.setattr(training.torch, "stack", stack)
    assert in_the_loop(waits, VAE(2, "mlp", SMALL), toy.train) == Counter({"cpu": 4, "_local_scalar_dense": 4})


def test_every_kind_of_model_is_counted():
    assert set(MAKE) == set(KNOWN) and training.CHECK_EVERY >= 25


@pytest.mark.parametrize("name", MAKE)
def test_training_waits_at_its_looks_alone(name, waits, toy):
    torch.manual_seed(0)
    model = MAKE[name]()
    each = {wait: 4 * EVERY * count for wait, count in ONCE_A_STEP.get(name, {}).items()}
    assert in_the_loop(waits, model, examples(model, toy)) == Counter({"cpu": 4, **each})


PLANTED = {
    "_local_scalar_dense": [lambda t: t[0].item(), lambda t: bool(t[0] > 0), lambda t: float(t.sum())],
    "tolist": [lambda t: t.tolist()],
    "numpy": [lambda t: t.numpy()],
    "cpu": [lambda t: t.cpu()],
    "nonzero": [lambda t: t.nonzero(), lambda t: torch.where(t > 0)],
    "masked_select": [lambda t: t.masked_select(t > 0)],
    "equal": [lambda t: torch.equal(t, t + 1)],
    "bincount": [lambda t: t.long().bincount()],
    "_unique2": [lambda t: t.unique()],
    "repeat_interleave": [lambda t: t.repeat_interleave((t > 0).long())],
    "index by a mask": [lambda t: t[t > 0]],
    "index_put_ by a mask": [lambda t: t.clone().index_put_((t > 0,), torch.zeros(()))],
}


@pytest.mark.parametrize(("name", "plant"), [(name, plant) for name, plants in PLANTED.items() for plant in plants])
def test_the_counter_sees_a_wait_that_is_planted(name, plant, waits, toy):
    class Waiting(VAE):
        def terms(self, x, y=None):
            recon, kl = super().terms(x, y)
            plant(kl.detach().abs())
            return recon, kl

    counted = in_the_loop(waits, Waiting(2, "mlp", SMALL), toy.train)
    assert counted[name] >= 4 * EVERY and counted["cpu"] == 4 * (1 + (name == "cpu") * EVERY)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA drives")
@pytest.mark.parametrize("name", [*MAKE, "one that waits"])
def test_cuda_agrees(name, monkeypatch, toy):
    """Let CUDA raise at each wait from the first step on; looks, and the one wait of M2, are excused."""
    model = MAKE.get(name, MAKE["VAE"])()
    terms, check, nonzero = model.terms, training._Record._check, torch.Tensor.nonzero

    def excused(function: Callable) -> Callable:
        def wrapped(*arguments: object, **options: object) -> object:
            mode = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("default")
            result = function(*arguments, **options)
            ended = isinstance(arguments[0], training._Record) and len(arguments[0]) == arguments[0].steps
            torch.cuda.set_sync_debug_mode("default" if ended else mode)
            return result

        return wrapped

    def strict(self: torch.nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if strict.steps:  # the first step loads kernels, and waits for that
            torch.cuda.set_sync_debug_mode("error")
        strict.steps += 1
        recon, kl = terms(x, y)
        return recon, kl + kl.sum().item() if name == "one that waits" else kl

    strict.steps = 0
    model.terms = MethodType(strict, model)
    monkeypatch.setattr(training._Record, "_check", excused(check))
    if ONCE_A_STEP.get(name):
        monkeypatch.setattr(torch.Tensor, "nonzero", excused(nonzero))
    try:
        if name == "one that waits":
            with pytest.raises(RuntimeError, match="synchroniz"):
                training.fit(model, examples(model, toy), steps=3, batch_size=40, device="cuda")
        else:
            training.fit(model, examples(model, toy), steps=2 * training.CHECK_EVERY + 1, batch_size=40, device="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert strict.steps > 1
