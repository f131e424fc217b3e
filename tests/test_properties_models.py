"""Whatever is handed to models, networks, measures, the judge and histories: they work, or say which argument is wrong.

As tests/test_properties.py, for the modules that make a model of numbers, and numbers of a model.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from spoiled import COVERED, check, listed, normal, public, unit
from torch import nn

from vae_utils import evaluation, judge, models, networks
from vae_utils.data import Dataset, Split
from vae_utils.history import History
from vae_utils.models import completer, pose
from vae_utils.models.base import check_settings

MODULES = COVERED["test_properties_models"]

# ---- good arguments

SMALL, CODE, B, L, K = (1, 8, 8), (1, 1, 6), 4, 3, 3
X, Y, Z = unit(B, *SMALL), torch.tensor([0, 1, 2, 0]), normal(B, L)
LOGITS = {"x_logits": normal(B, *SMALL), "x": X}
PAIRS = {"x": X, "y": Y}
DRAWN = {"temperature": 1.0, "generator": None}
SPLIT = Split((255 * X).to(torch.uint8), Y)
TOY = Dataset("toy", SPLIT, SPLIT, "made up", is_full=False, classes=("a", "b", "c"))
SEEN = completer.quadrants_seen(1, 8, 8)
PLAIN = {"network": "mlp", "image_shape": SMALL}
SETTINGS = {
    "Autoencoder": {"latent_dim": L} | PLAIN,
    "VAE": {"latent_dim": L} | PLAIN,
    "CVAE": {"latent_dim": L, "classes": K} | PLAIN,
    "Completer": {"latent_dim": L, "quadrants": 1, "features": 5} | PLAIN,
    "DigitJudge": {"classes": K, "image_shape": SMALL},
    "PoseVAE": {"latent_dim": 9, "network": "conv", "image_shape": SMALL},
    "Classifier": {"network": "mlp", "image_shape": SMALL, "classes": K, "moves": 0.5},
    "LabelledVAE": {"latent_dim": L, "classes": K, "weight": 1.0} | PLAIN,
    "M2": {"latent_dim": L, "classes": K, "alpha": 2.0, "classifier": "mlp", "moves": 0.5, "binarise": True}
    | {"skip": 0.01}
    | PLAIN,
    "CodeM2": {"latent_dim": L, "network": "mlp", "image_shape": CODE, "classes": K, "alpha": 2.0, "skip": 0.01},
}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return models.KNOWN[name](**SETTINGS[name])


MADE = {name: make(name) for name in SETTINGS}
VAE, CVAE, COMPLETER, POSE, CODES = (MADE[name] for name in ("VAE", "CVAE", "Completer", "PoseVAE", "CodeM2"))
GLIMPSE = COMPLETER.look(X, SEEN)
POSES = {"z": normal(B, 9)}
C, C_LOGITS = normal(B, *CODE), normal(B, 2, 1, 6)
HISTORY = History(unit(5), unit(5), unit(5), 1.0, {3: {"mu": normal(2, 3)}})


def methods(name: str, **good: dict[str, object]) -> dict[str, tuple[Callable, dict[str, object]]]:
    """Return entries for methods of a model: what is called, and good arguments, by the names it has there."""
    return {f"models.{name}.{method}": (getattr(MADE[name], method), given) for method, given in good.items()}


def told(method: Callable) -> Callable:
    """Return a method of a model whose condition is a label: `given` is there called y."""
    return lambda y, **given: method(**given, given=y)


def entering(**given: object) -> None:
    with models.evaluating(**given):
        pass


def untrained(**given: object) -> nn.Module:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "fit_once", lambda *arguments, **settings: None)
        return judge.load_judge(**given)


def labelled(name: str) -> dict[str, tuple[Callable, dict[str, object]]]:
    """Return entries for what each model with labels for a condition has."""
    found = methods(name, encode=PAIRS, decode={"z": Z, "y": Y}, condition=PAIRS, terms=PAIRS, prior={"y": Y})
    found |= methods(name, sample={"y": Y} | DRAWN)
    model = MADE[name]
    return found | {
        f"models.{name}.forward": (told(model.forward), PAIRS),
        f"models.{name}.nll": (told(model.nll), LOGITS | {"y": Y}),
    }


MEASURED = {"model": VAE, "split": SPLIT}
CALLS = {f"models.{name}": (models.KNOWN[name], given) for name, given in SETTINGS.items()}
CALLS |= {
    f"models.{name}.check_data": (model.check_data, {"shape": model.config["image_shape"], "labels": Y})
    for name, model in MADE.items()
}
CALLS |= methods("Autoencoder", encode={"x": X}, decode={"z": Z}, forward={"x": X}, terms=PAIRS)
for _name in ("VAE", "LabelledVAE"):
    CALLS |= methods(_name, encode={"x": X}, decode={"z": Z}, forward={"x": X}, nll=LOGITS, terms=PAIRS)
    CALLS |= methods(_name, sample={"n": 3} | DRAWN)
CALLS |= methods("LabelledVAE", classify={"x": X})
CALLS |= methods("PoseVAE", encode={"x": X}, decode=POSES, forward={"x": X}, nll=LOGITS, terms=PAIRS)
CALLS |= methods("PoseVAE", sample={"n": 3} | DRAWN, straighten={"x": X})
CALLS |= methods("Classifier", forward={"x": X}, terms=PAIRS)
CALLS |= methods("DigitJudge", forward={"x": X}, terms=PAIRS)
CALLS |= labelled("CVAE") | labelled("M2") | labelled("CodeM2")
CALLS |= methods("M2", classify={"x": X}, observe={"x": X})
CALLS |= methods("CodeM2", encode={"x": C, "y": Y}, condition={"x": C, "y": Y}, terms={"x": C, "y": Y})
CALLS |= methods("CodeM2", classify={"x": C}, observe={"x": C}, nll={"x_logits": C_LOGITS, "x": C})
CALLS["models.CodeM2.forward"] = told(CODES.forward), {"x": C, "y": Y}
CALLS |= methods("Completer", encode={"x": X, "given": GLIMPSE}, decode={"z": Z, "given": GLIMPSE}, condition=PAIRS)
CALLS |= methods("Completer", forward={"x": X, "given": GLIMPSE}, nll=LOGITS | {"given": GLIMPSE}, terms=PAIRS)
CALLS |= methods("Completer", prior={"given": GLIMPSE}, look={"x": X, "seen": SEEN})
CALLS |= methods("Completer", complete={"x": X, "seen": SEEN, "n": 2, "generator": None})
CALLS |= {
    "models.class_costs": (models.class_costs, {"model": CVAE, "x": X, "draws": 2}),
    "models.evaluating": (entering, {"model": VAE}),
    "models.forgeries": (models.forgeries, PAIRS),
    "models.base.check_settings": (
        lambda **given: check_settings(given),
        {"latent_dim": L, "image_shape": SMALL, "classes": K},
    ),
    "models.completer.Glimpse": (completer.Glimpse, vars(GLIMPSE)),
    "models.completer.Glimpse.repeat": (GLIMPSE.repeat, {"times": 2}),
    "models.completer.quadrants_seen": (
        completer.quadrants_seen,
        {"quadrants": 2, "height": 8, "width": 8, "device": "cpu"},
    ),
    "models.completer.any_part": (completer.any_part, {"n": 3, "height": 8, "width": 8, "device": "cpu"}),
    "models.pose.affine": (pose.affine, {"pose": normal(B, 6)}),
    "models.pose.inverse": (pose.inverse, {"matrix": pose.affine(normal(B, 6))}),
    "models.pose.warp": (pose.warp, {"x": X, "matrix": pose.affine(normal(B, 6))}),
    "networks.build_encoder": (networks.build_encoder, PLAIN | {"outputs": 3}),
    "networks.build_decoder": (networks.build_decoder, PLAIN | {"inputs": 3}),
    "networks.kind_for": (networks.kind_for, PLAIN),
    "networks.check_shape": (networks.check_shape, {"image_shape": SMALL, "halved": True}),
    "networks.ResidualBlock": (networks.ResidualBlock, {"channels": 4}),
    "evaluation.device_of": (evaluation.device_of, {"model": VAE}),
    "evaluation.evaluate": (evaluation.evaluate, MEASURED | {"beta": 1.0, "seed": 0}),
    "evaluation.predict": (evaluation.predict, {"model": MADE["Classifier"], "images": X}),
    "evaluation.encode_posteriors": (evaluation.encode_posteriors, MEASURED),
    "evaluation.encode_means": (evaluation.encode_means, MEASURED),
    "evaluation.log_likelihood": (
        evaluation.log_likelihood,
        {"model": CVAE, "images": X, "samples": 2, "seed": 0, "y": Y},
    ),
    "evaluation.active_units": (evaluation.active_units, MEASURED | {"threshold": 0.01}),
    "judge.load_judge": (untrained, {"dataset": TOY}),
    "judge.verdicts": (judge.verdicts, {"judge": MADE["DigitJudge"], "images": X}),
    "judge.accepted": (judge.accepted, {"judge": MADE["DigitJudge"], "images": X}),
    "judge.variety": (judge.variety, {"images": X, "labels": torch.tensor([0, 1, 0, 1])}),
    "history.History": (History, vars(HISTORY)),
    "history.History.from_arrays": (History.from_arrays, {"arrays": HISTORY.to_arrays()}),
}
for _kind in ("mlp", "conv", "residual"):
    _width = {"width": 4} if _kind == "conv" else {}
    for _way, _size in (("encoder", "outputs"), ("decoder", "inputs")):
        _build = getattr(networks, f"{_kind}_{_way}")
        CALLS[f"networks.{_kind}_{_way}"] = _build, {"image_shape": SMALL, _size: 3} | _width
EXEMPT = {
    "history.History.to_arrays": "takes nothing",
    "networks.ResidualBlock.forward": "a layer, as PyTorch's own: what enters it is looked at by the model",
}
EXEMPT |= {f"models.{name}.build": "gets what the class was given: its entry" for name in MADE}
ABSTRACT = "what others are made from: the entries of those"
EXEMPT |= {f"models.Model{name}": ABSTRACT for name in ("", ".build", ".terms", ".check_data")}
EXEMPT |= {
    f"models.ConditionalVAE{name}": ABSTRACT for name in ("", ".build", ".check_data", ".terms", ".forward", ".nll")
}


def everything(module: str) -> set[str]:
    """Return what is public in a module; in the modules of a package, what the package does not gather as well."""
    space, found = import_module(f"vae_utils.{module}"), public(module)
    for inner in pkgutil.iter_modules(getattr(space, "__path__", [])):
        name = f"{module}.{inner.name}"
        found |= {thing for thing in public(name) if not hasattr(space, thing.removeprefix(f"{name}.").split(".")[0])}
    return found


@pytest.mark.parametrize("name", CALLS)
def test_it_works_or_says_which_argument_is_wrong(name):
    check(*CALLS[name])


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_has_an_entry(module):
    assert everything(module) == listed(module, CALLS, EXEMPT)
