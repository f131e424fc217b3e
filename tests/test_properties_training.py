"""Whatever is handed to data, devices, files and training: they work, or say in a sentence which argument is wrong.

As tests/test_properties.py, for the modules that read, train and keep. All of them write below one temporary folder,
and none asks the network.
"""

import ast
import tempfile
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from spoiled import COVERED, check, listed, public, unit
from torch import nn

from conftest import Files
from vae_utils import (
    checkpoints,
    data,
    fingerprints,
    inputs,
    keeping,
    loss_checks,
    origins,
    resuming,
    runtime,
    sources,
    training,
    training_checks,
    written_out,
)
from vae_utils.models import VAE

MODULES = COVERED["test_properties_training"]
TEMPORARY = tempfile.TemporaryDirectory()
HERE = Path(TEMPORARY.name) / "one" / "two"  # where tests run: what "../up" names is still temporary
HERE.mkdir(parents=True)

# ---- good arguments


def tiny() -> VAE:
    torch.manual_seed(0)
    return VAE(2, "mlp", (1, 4, 4))


def look(step: int, model: nn.Module) -> dict[str, torch.Tensor]:
    return {"z": torch.zeros(1, 2)}


MODEL, LABELS = tiny(), torch.arange(12) % 3
SPLIT = data.Split(unit(12, 1, 4, 4), LABELS)
DATASET = data.Dataset("own", SPLIT, SPLIT)
FACTS, CURVES = {"steps": 2}, {"curve": unit(3)}
HEADER = {"class": "VAE", "config": "{}", "facts": "{}"}
KEPT = HERE / "kept.safetensors"
checkpoints.save(KEPT, MODEL, facts=FACTS)
CODE = tiny.__code__


def trained(train: Callable) -> Callable:
    """Return a training that is of a copy of the model, and returns its curves and weights."""

    def train_a_copy(model: object, **given: object) -> list[torch.Tensor]:
        model = deepcopy(model) if isinstance(model, VAE) else model
        history = train(model=model, **given)
        return [history.loss, history.recon, history.kl, *model.parameters()]

    return train_a_copy


def allowing(error: type[Exception] | tuple[type[Exception], ...], function: Callable) -> Callable:
    """Return the function, for which an error that is documented is an answer."""

    def call(**given: object) -> object:
        with suppress(error):
            return function(**given)

    return call


def entering(**given: object) -> None:
    with runtime.own_random_numbers(**given):
        pass


MISSING, NOWHERE = FileNotFoundError, (sources.SourceError, RuntimeError)
GONE = FloatingPointError  # at a rate of 2, which is nonsense, and none that a check could know
FIT = {"model": MODEL, "steps": 2, "batch_size": 4, "lr": 3e-3, "beta": 1.0, "seed": 0, "device": "cpu"}
FIT |= {"callback": look, "callback_steps": (1,), "log_dir": None, "checkpoint": None, "checkpoint_every": 1}
RUN = {"model": MODEL, "split": SPLIT, "settings": FACTS, "code": tiny}
CALLS = {
    "checkpoints.save": (checkpoints.save, {"path": HERE / "a", "model": MODEL, "arrays": CURVES, "facts": FACTS}),
    "checkpoints.load": (allowing(MISSING, checkpoints.load), {"path": KEPT, "facts": FACTS}),
    "checkpoints.write": (
        checkpoints.write,
        {"path": HERE / "b", "header": HEADER, "weights": MODEL.state_dict(), "arrays": CURVES},
    ),
    "checkpoints.read": (allowing(MISSING, checkpoints.read), {"path": KEPT}),
    "checkpoints.as_json": (lambda value: checkpoints.as_json("value", value), {"value": FACTS}),
    "data.Split": (data.Split, {"images": unit(12, 1, 4, 4), "labels": LABELS}),
    "data.Split.to": (SPLIT.to, {"device": "cpu"}),
    "data.Split.subset": (SPLIT.subset, {"index": torch.tensor([0, 2])}),
    "data.Dataset": (
        data.Dataset,
        {"name": "own", "train": SPLIT, "test": SPLIT, "source": "", "is_full": False, "classes": ("a", "b", "c")},
    ),
    "data.data_folder": (data.data_folder, {"root": HERE}),
    "data.load_dataset": (allowing(NOWHERE, data.load_dataset), {"name": "fashion_mnist", "root": HERE}),
    "data.embedded_digits": (data.embedded_digits, {"folder": HERE, "damage": ""}),
    "data.minibatches": (
        lambda **given: next(data.minibatches(**given)),
        {"split": SPLIT, "batch_size": 4, "generator": None, "skip": 1},
    ),
    "fingerprints.fingerprint": (
        allowing(fingerprints.Unpinned, fingerprints.fingerprint),
        {"value": MODEL, "without": [LABELS]},
    ),
    "keeping.fit_once": (
        allowing(GONE, trained(keeping.fit_once)),
        FIT | {"name": "own", "dataset": DATASET},
    ),
    "keeping.training_facts": (keeping.training_facts, {"model": MODEL, "dataset": DATASET, "settings": FACTS}),
    "keeping.kept_path": (keeping.kept_path, {"name": "own", "facts": FACTS}),
    "origins.origin": (origins.origin, {"value": tiny}),
    "origins.looked_up": (origins.looked_up, {"code": CODE}),
    "origins.imported": (origins.imported, {"code": CODE, "package": "vae_utils"}),
    "resuming.Resumable": (
        lambda checkpoint, **given: resuming.Resumable(checkpoint, **given),
        {"checkpoint": HERE / "none"} | RUN,
    ),
    "runtime.get_device": (lambda device: runtime.get_device(device), {"device": "cpu"}),
    "runtime.check_device": (lambda device: runtime.check_device("device", device), {"device": "cpu"}),
    "runtime.own_random_numbers": (entering, {"seed": 0, "device": "cpu"}),
    "runtime.precision": (runtime.precision, {"kind": "cpu"}),
    "runtime.autocasting": (runtime.autocasting, {"kind": "cpu"}),
    "runtime.set_seed": (runtime.set_seed, {"seed": 0}),
    "runtime.start": (runtime.start, {"seed": 0}),
    "sources.write_atomic": (sources.write_atomic, {"path": HERE / "c", "content": b"abc"}),
    "sources.read_files": (allowing(NOWHERE, sources.read_files), {"name": "mnist", "root": HERE}),
    "sources.mirrors": (sources.mirrors, {"name": "mnist"}),
    "written_out.bare": (written_out.bare, {"definition": ast.parse("def f(x: int) -> int:\n    return x").body[0]}),
    "written_out.twin_of": (written_out.twin_of, {"value": tiny}),
    "training.fit": (allowing(GONE, trained(training.fit)), FIT | {"split": SPLIT}),
}
CHECKS_ARE_TESTED = "raises by design: tests/test_training.py, tests/test_losses.py and the entries of who calls it"
FIT_CALLS = "called by fit, with what fit made: tests/test_resuming.py"
EXEMPT = {
    "checkpoints.check_texts": CHECKS_ARE_TESTED,
    "data.Split.shape": "takes nothing",
    "fingerprints.Unpinned": "an exception",
    "keeping.trained_folder": "takes nothing",
    "resuming.Resumable.store": FIT_CALLS,
    "resuming.Resumable.restore": FIT_CALLS,
    "resuming.Resumable.remove": FIT_CALLS,
    "runtime.project_root": "takes nothing",
    "sources.SourceError": "an exception",
    "training.descend": "called by fit, with what fit has checked: tests/test_training.py",
    "training_checks.loss_gone": "a sentence about numbers that fit has found: tests/test_training.py",
}
for _module in (loss_checks, training_checks):
    _short = _module.__name__.removeprefix("vae_utils.")
    EXEMPT |= {f"{_short}.{name}": CHECKS_ARE_TESTED for name in vars(_module) if name.startswith("check_")}


@pytest.fixture
def in_the_temporary_folder(environment, monkeypatch):
    """Run there, without a network, with a small MNIST, and leave seeds and trusted values as they were."""
    monkeypatch.chdir(HERE)
    for name in ("VAE_DATA", "VAE_TRAINED"):
        monkeypatch.setenv(name, str(HERE / name))
    monkeypatch.setattr(sources, "mirrors", lambda name: [])
    monkeypatch.setattr(keeping, "fingerprint", lambda value, **options: repr(type(value)))  # has an entry of its own
    files = Files()
    monkeypatch.setitem(sources.SHA256, "mnist", files.sha256)
    files.put(HERE)
    yield
    assert not inputs.is_trusted()


@pytest.mark.usefixtures("in_the_temporary_folder")
@pytest.mark.parametrize("name", CALLS)
def test_it_works_or_says_which_argument_is_wrong(name):
    check(*CALLS[name])


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_has_an_entry(module):
    assert public(module) == listed(module, CALLS, EXEMPT)
