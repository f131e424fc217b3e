"""What a training is made of: settings from the command line and from a file, checked against the signatures.

A model's settings are the parameters of its class, those of the training are the parameters of `fit`: a new one there
is known here at once.
"""

import inspect
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from vae_utils import models
from vae_utils.cli.arguments import Kind, checked, kind_of, parameters_of
from vae_utils.sources import FOLDERS
from vae_utils.training import fit

OTHERWISE = {"image_shape", "device", "log_dir", "checkpoint", "checkpoint_every"}  # told by the data, or by Options
ELSEWHERE = {"out", "tensorboard"}  # not kept in a run's configuration: the same training may go to another place
TEXTS = {  # for readers of --help; a setting without a text shows its default all the same
    "steps": "gradient steps", "batch_size": "images in a step", "lr": "the highest learning rate of Adam's cycle",
    "beta": "the weight of the KL; 1 is the ELBO", "seed": "of the first weights, the batches and the noise",
    "latent_dim": "numbers in a code", "network": "mlp, conv, wide (conv with twice the channels) or residual",
    "classes": "how many classes the labels tell apart",
    "quadrants": "what is seen: 1 the bottom left, 2 the left half, 3 all but the bottom right, none anything",
    "features": "numbers in which the seen part is summed up", "moves": "how far images are moved about as it learns",
    "weight": "of the classifier's loss, beside the VAE's", "alpha": "weight of the labelled images' classification",
    "classifier": "the network of q(y|x): conv or mlp", "binarise": "draw black or white pixels anew in each step",
    "skip": "classes less probable than this are left out of the sum over classes",
}  # fmt: skip
HARMLESS = {*ELSEWHERE, "checkpoint_every"}  # what may change while a training is interrupted


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a training is given beside the settings of its model and of `fit`; a configuration file may hold it, too."""

    data: Annotated[Literal[tuple(FOLDERS)], "the data set"] = "mnist"
    out: Annotated[Path | None, "the run's folder (default: runs/MODEL)"] = None
    tensorboard: Annotated[Path | None, "a folder for TensorBoard's curves"] = None
    checkpoint_every: Annotated[int, "keep the training as it stands every so many steps"] = 500
    samples_every: Annotated[int | None, "draw a grid of samples every so many steps"] = None
    labels: Annotated[int | None, "for M2, CodeM2 and LabelledVAE: how many labels are shown (default: all)"] = None
    share: Annotated[float | None, "with --labels: repeat the labelled images to this share of each batch"] = None
    codes_of: Annotated[Path | None, "for CodeM2: the VAE, a run or a file, whose codes it learns"] = None


@cache
def model_settings() -> dict[str, dict[str, inspect.Parameter]]:
    """Return the settings of every model that can be kept, by the name of its class."""
    return {name: parameters_of(kind, OTHERWISE) for name, kind in models.KNOWN.items()}


@cache
def fit_settings() -> dict[str, inspect.Parameter]:
    """Return the settings of the training."""
    return parameters_of(fit, OTHERWISE)


def known() -> dict[str, Kind]:
    """Return what each name in a configuration file accepts."""
    groups = [parameters_of(Options), *model_settings().values(), fit_settings()]
    return {"model": Kind(str)} | {name: kind_of(p.annotation) for group in groups for name, p in group.items()}


@dataclass(frozen=True)
class Plan:
    """A training as it was asked for: the class's name, its settings, those of `fit`, and the other options."""

    model: str
    of_model: dict[str, Any]
    of_fit: dict[str, Any]
    options: Options

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        return self.options.out or Path("runs", self.model)

    def config(self) -> dict[str, Any]:
        """Return what makes this training again: all that it was given or took as a default, but not where it goes."""
        kept = {name: value for name, value in vars(self.options).items() if name not in ELSEWHERE}
        kept = {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}
        kept = {name: value for name, value in kept.items() if value is not None}
        return {"model": self.model, **kept, **self.of_model, **self.of_fit}


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings in a JSON or TOML file, by name.

    Raises: FileNotFoundError; ValueError for a file that is not such a table, unknown names, or values of other types.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no configuration file {path}")
    try:
        text = path.read_text(encoding="utf-8")
        table = _toml(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f'{path} must hold names and values, as in {{"model": "VAE", "latent_dim": 2}}')
    table, accepted = {name.replace("-", "_"): value for name, value in table.items()}, known()
    unknown = [name for name in table if name not in accepted]
    if unknown:
        raise ValueError(
            f"{path} has {', '.join(unknown)}, which is no setting: the known ones are {', '.join(accepted)}"
        )
    return {name: checked(name, value, accepted[name], str(path)) for name, value in table.items()}


def make_plan(given: dict[str, Any]) -> Plan:
    """Return the plan of settings and options by name, defaults filled in from the signatures.

    Raises: ValueError for an unknown model, a setting that the model does not have, or one that it needs.
    """
    given = dict(given)
    model = model_name(given.pop("model", None))
    own, every = model_settings()[model], set().union(*model_settings().values())
    foreign = [name for name in given if name in every - own.keys() - fit_settings().keys()]
    if foreign:
        owners = [kind for kind, settings in model_settings().items() if foreign[0] in settings]
        raise ValueError(
            f"{model} has no setting {foreign[0]} (that is for {', '.join(owners)}): it takes {', '.join(own)}"
        )
    missing = [name for name, p in own.items() if p.default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ValueError(f"{model} needs {missing[0]}: give it as --{missing[0].replace('_', '-')}")
    of_model = {name: given.pop(name, p.default) for name, p in own.items()}
    of_fit = {name: given.pop(name, p.default) for name, p in fit_settings().items()}
    return Plan(model, of_model, of_fit, Options(**given))


def differing(now: Plan, before: Plan) -> list[str]:
    """Return a phrase for each setting in which two plans are not the same training."""
    a, b = before.config(), now.config()
    names = [name for name in a | b if name not in HARMLESS and a.get(name) != b.get(name)]
    return [f"{name} = {a.get(name)}, not {b.get(name)}" for name in names]


def owners() -> dict[str, str]:
    """Return a text for each setting of the models: what it is, which models have it, and with which default."""
    texts: dict[str, list[str]] = {}
    for model, settings in model_settings().items():
        for name, p in settings.items():
            default = "needed" if p.default is inspect.Parameter.empty else p.default
            texts.setdefault(name, []).append(f"{model} ({default})")
    return {name: f"{TEXTS[name]}: {', '.join(with_defaults)}" for name, with_defaults in texts.items()}


def model_name(name: str | None) -> str:
    """Return the name of a class of models, however it is capitalised; ValueError for an unknown one, or none."""
    kinds, listed = {kind.lower(): kind for kind in models.KNOWN}, ", ".join(models.KNOWN)
    if name is None:
        raise ValueError(f"say which model to train, here or in a configuration file: {listed}")
    if name.lower() not in kinds:
        raise ValueError(f"there is no model {name!r}: the known ones are {listed}")
    return kinds[name.lower()]


def _toml(text: str) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:
        raise ValueError("reading TOML needs Python 3.11 or newer; write the same settings as JSON") from None
    return tomllib.loads(text)
