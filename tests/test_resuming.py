"""A training that is cut off and started again ends as one that never was, to the last bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import SHAPE, equal, vae
from torch import nn

from tools.files import ROOT
from vae_utils import checkpoints, resuming, training
from vae_utils.data import Dataset
from vae_utils.losses import bernoulli_nll
from vae_utils.models import VAE, DigitJudge
from vae_utils.training import History, fit

SETTINGS = {"steps": 23, "batch_size": 32, "seed": 3}


def judge() -> nn.Module:
    torch.manual_seed(0)
    return DigitJudge(image_shape=SHAPE)


class Normed(VAE):
    """A VAE with buffers that change as it learns."""

    def __init__(self) -> None:
        super().__init__(2, image_shape=SHAPE)
        self.norm = nn.BatchNorm2d(1)

    def encode(self, x):
        return super().encode(self.norm(x))


def normed() -> nn.Module:
    torch.manual_seed(0)
    return Normed()


def residual() -> nn.Module:
    torch.manual_seed(0)
    return VAE(2, "residual", image_shape=SHAPE)  # its weights lie in another order in memory


MODELS = {"vae": vae, "judge": judge, "buffers": normed}


class Watch:
    """A callback that looks, and may press the stop button before a step; the button is no part of the training."""

    __fingerprint__ = "Watch"

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop

    def __call__(self, step: int, model: nn.Module) -> dict[str, torch.Tensor]:
        if step == self.stop:
            raise KeyboardInterrupt
        return {"first": next(model.parameters()), "noise": torch.rand(3)}


def train(make: Callable, toy: Dataset, stop: int | None = None, **changes: object) -> tuple[nn.Module, History]:
    model, looks = make(), range(SETTINGS["steps"] + 1)
    return model, fit(model, toy.train, callback=Watch(stop), callback_steps=looks, **(SETTINGS | changes))


def same(a: tuple[nn.Module, History], b: tuple[nn.Module, History]) -> bool:
    states = [model.state_dict() for model, _ in (a, b)]
    looks = [{(s, n): t for s, parts in h.snapshots.items() for n, t in parts.items()} for _, h in (a, b)]
    return equal(a[1], b[1]) and all(
        list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)
        for one, two in (states, looks)
    )


@pytest.fixture(scope="module")
def whole(toy):
    """Trainings that were never cut off, by the name of their model."""
    return {name: train(make, toy) for name, make in MODELS.items()}


@settings(max_examples=12)
@given(name=st.sampled_from(sorted(MODELS)), stops=st.lists(st.integers(0, 23), max_size=3), every=st.integers(1, 12))
def test_cut_off_anywhere_it_ends_as_if_it_had_not_been(toy, whole, tmp_path_factory, name, stops, every):
    path = tmp_path_factory.mktemp("cut") / "training"
    keep = {"checkpoint": path, "checkpoint_every": every}
    for stop in stops:
        _, history = train(MODELS[name], toy, stop, **keep)
        assert path.exists() == (len(history) < SETTINGS["steps"])
    torch.manual_seed(99)  # whatever happens in between
    assert same(train(MODELS[name], toy, **keep), whole[name])
    assert not path.exists()


def test_adams_memory_finds_its_weights_however_they_lie_in_memory(toy, tmp_path):
    keep = {"checkpoint": tmp_path / "training", "checkpoint_every": 5}
    train(residual, toy, 11, **keep)
    assert same(train(residual, toy, **keep), train(residual, toy))


def test_it_goes_on_and_does_not_begin_anew(toy, tmp_path):
    seen, path = [], tmp_path / "training"

    class Noted(Watch):
        def __call__(self, step: int, model: nn.Module) -> None:
            seen.append(step)
            super().__call__(step, model)

    def run(stop: int | None) -> None:
        model = vae()
        fit(
            model,
            toy.train,
            callback=Noted(stop),
            callback_steps=range(24),
            checkpoint=path,
            checkpoint_every=5,
            **SETTINGS,
        )

    run(13)
    assert seen == list(range(14)) and path.exists()
    seen.clear()
    run(None)
    assert seen == list(range(10, 24)) and not path.exists()


def test_a_checkpoint_changes_nothing_in_a_training_that_is_not_cut_off(toy, whole, tmp_path):
    for every in (1, 7, 500):
        assert same(train(vae, toy, checkpoint=tmp_path / "training", checkpoint_every=every), whole["vae"])
    assert list(tmp_path.iterdir()) == []


# ---- killed

KILLED = """
import sys, torch
sys.path[:0] = [{tests!r}]
torch.set_num_threads(1)
import conftest, test_resuming
from vae_utils.data import Dataset
toy = Dataset("mnist", conftest.squares(200, seed=0), conftest.squares(60, seed=1), "made up", is_full=False)
class Slow(test_resuming.Watch):
    def __call__(self, step, model):
        print(step, flush=True)
        if step == 17:
            sys.stdin.readline()
        return super().__call__(step, model)
test_resuming.Watch = Slow
test_resuming.train(test_resuming.vae, toy, checkpoint={path!r}, checkpoint_every=4)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_killed_it_ends_as_if_it_had_not_been(toy, whole, tmp_path):
    path = tmp_path / "training"
    code = KILLED.format(tests=str(ROOT / "tests"), path=str(path))
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    )
    try:
        deadline = time.monotonic() + 100
        while process.stdout.readline() not in ("17\n", "") and time.monotonic() < deadline:
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL and [file.name for file in tmp_path.iterdir()] == ["training"]
    assert len(checkpoints.read(path)[2]["history/curves"][0]) == 16
    assert same(train(vae, toy, checkpoint=path), whole["vae"])
    assert not path.exists()


# ---- what is refused


@pytest.fixture
def cut(toy, tmp_path) -> Path:
    """The file of a training that was stopped before step 9."""
    path = tmp_path / "training"
    train(vae, toy, 9, checkpoint=path, checkpoint_every=4)
    return path


def untouched(run: Callable[[nn.Module], object], error: type[Exception], match: str, model: nn.Module) -> None:
    """Check that an error comes before the model changes in any way."""
    model.eval()
    before = {name: part.clone() for name, part in model.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(error, match=match):
        run(model)
    after = model.state_dict()
    assert not model.training and all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    "change", [{"steps": 24}, {"lr": 1e-3}, {"beta": 0.5}, {"seed": 4}, {"batch_size": 16}], ids=str
)
def test_other_settings_are_refused(toy, cut, change):
    content = cut.read_bytes()
    watch = {"callback": Watch(), "callback_steps": range(24), "checkpoint": cut}
    run = partial(fit, split=toy.train, **watch, **(SETTINGS | change))
    untouched(run, ValueError, "training with another settings", vae())
    assert cut.read_bytes() == content


def test_other_looks_other_data_and_another_model_are_refused(toy, cut):
    watch = {"callback": Watch(), "callback_steps": range(24), "checkpoint": cut}
    cases = [
        (watch | {"callback_steps": range(23)}, toy.train, vae(), "settings"),
        (watch | {"callback": lambda step, model: None}, toy.train, vae(), "settings"),
        (watch, toy.train.subset(slice(0, 199)), vae(), "data"),
        (watch, toy.train, VAE(2, image_shape=SHAPE), "model"),  # of other first weights
        (watch, toy.train, judge(), "model"),
        (watch, toy.test, judge(), "model and another data"),
    ]
    for more, split, model, what in cases:
        match = f"checkpoint .*training is of a training with another {what}: delete it"
        untouched(partial(fit, split=split, **more, **SETTINGS), ValueError, match, model)


def test_edited_code_and_another_pytorch_are_refused(toy, cut, monkeypatch):
    watch = {"callback": Watch(), "callback_steps": range(24), "checkpoint": cut}
    run = partial(fit, split=toy.train, **watch, **SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(training, "CHECK_EVERY", 24)
        untouched(run, ValueError, "another code", vae())
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.99.0")
        untouched(run, ValueError, "another code", vae())
    with monkeypatch.context() as patch:
        patch.setattr(VAE, "nll", lambda self, x_logits, x: bernoulli_nll(x_logits, x) + 1)
        untouched(run, ValueError, "another model", vae())
    assert len(run(vae())) == SETTINGS["steps"]


@pytest.mark.parametrize("damage", [lambda c: c[:-20], lambda c: c[:100], lambda c: b"", lambda c: c[:-1] + b"?"])
def test_a_damaged_file_is_refused(toy, cut, damage):
    cut.write_bytes(damage(cut.read_bytes()))
    watch = {"callback": Watch(), "callback_steps": range(24), "checkpoint": cut}
    untouched(lambda model: fit(model, toy.train, **watch, **SETTINGS), ValueError, "training .*delete it", vae())


def test_a_file_of_another_kind_is_refused(toy, tmp_path):
    path = tmp_path / "kept"
    checkpoints.save(path, vae())
    untouched(lambda model: fit(model, toy.train, checkpoint=path, **SETTINGS), ValueError, "with another model", vae())


def test_a_folder_that_cannot_be_written_is_said_before_the_first_step(toy, tmp_path):
    (tmp_path / "file").write_text("no folder")
    model = vae()
    before = [part.clone() for part in model.parameters()]
    with pytest.raises(OSError, match="cannot write .*choose a folder that can be written to"):
        fit(model, toy.train, checkpoint=tmp_path / "file" / "training", **SETTINGS)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_a_folder_is_no_checkpoint(toy, tmp_path):
    with pytest.raises(ValueError, match="checkpoint .* is a folder: name a file in it"):
        fit(vae(), toy.train, checkpoint=tmp_path, **SETTINGS)


def test_what_has_no_content_cannot_go_on(toy, tmp_path):
    with open(__file__) as file:
        watch = {"callback": lambda step, model: file and None, "callback_steps": (1,)}
        with pytest.raises(TypeError, match="checkpoint cannot say of which training it is, because a TextIOWrapper"):
            fit(vae(), toy.train, checkpoint=tmp_path / "training", **watch, **SETTINGS)


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_a_checkpoint_needs_a_whole_number_of_steps(toy, tmp_path, every):
    with pytest.raises((TypeError, ValueError), match="checkpoint_every must be a whole number of at least 1"):
        fit(vae(), toy.train, checkpoint=tmp_path / "training", checkpoint_every=every, **SETTINGS)


def test_a_loss_that_is_not_finite_does_not_spoil_what_was_stored(toy, tmp_path, monkeypatch):
    path = tmp_path / "training"
    real = resuming.Resumable.store
    stored = []
    monkeypatch.setattr(resuming.Resumable, "store", lambda self, *args: (real(self, *args), stored.append(1)))
    with pytest.raises(FloatingPointError):
        fit(vae(), toy.train, checkpoint=path, checkpoint_every=2, **(SETTINGS | {"lr": 1e6}))
    assert stored and checkpoints.read(path)[2]["history/curves"].isfinite().all()
