"""Weights on disk: safetensors with what made them in the header, written whole or not at all; never pickle."""

import json
import platform
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from vae_utils import inputs, models
from vae_utils.fingerprints import fingerprint
from vae_utils.sources import write_atomic

FORMAT = "vae_utils-2"
NEEDED = ("class", "config", "facts", "versions")  # what every header says


def save(path: str | Path, model: nn.Module, *, arrays: dict[str, Tensor] | None = None, **facts: object) -> None:
    """Write a model's weights, its configuration and the facts given about it into one file that `load` reads.

    arrays are kept beside the weights (a training history, say). Facts must be of the kinds that JSON has.

    Raises: TypeError or ValueError for what is no path, or no arrays by name; ValueError for a model that `load` could
    not build again from its class and configuration: of another class, or with networks of your own; OSError if the
    file cannot be written.
    """
    path, kind = inputs.check_path("path", path), type(model).__name__
    if models.KNOWN.get(kind) is not type(model):
        known = f"known are {', '.join(models.KNOWN)}"
        raise ValueError(f"model is none of the series: cannot keep a {kind}: {known}; save its state_dict yourself")
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    header = {"class": kind, "config": as_json("config", model.config), "facts": as_json("facts", facts)}
    if not _says_all(header, weights, model):
        raise ValueError(
            f"cannot keep this {kind}: its configuration does not say all of it; save its state_dict yourself"
        )
    write(path, header, weights, {} if arrays is None else arrays)


def load(path: str | Path, **expected: object) -> nn.Module:
    """Return the model kept in a file, on the CPU and in evaluation mode.

    Raises: FileNotFoundError; ValueError, naming what differs, if the file is not such a checkpoint or is damaged, if
    a fact given in expected is not the stored one, or if the weights do not fit the model.
    """
    header, weights, _ = read(path)
    facts = json.loads(header["facts"])
    for name, value in json.loads(as_json("facts expected", expected)).items():
        if facts.get(name) != value:
            raise ValueError(
                f"{path} was made with {name} = {facts.get(name)!r}, not {value!r}: train anew, or ask for that"
            )
    if header["class"] not in models.KNOWN:
        raise ValueError(
            f"{path} holds a {header['class']}, which this version cannot build: known are {', '.join(models.KNOWN)}"
        )
    try:
        return _rebuilt(header, weights)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"the weights in {path} do not fit its {header['class']}: {error}") from None


def write(path: str | Path, header: dict[str, str], weights: dict[str, Tensor], arrays: dict[str, Tensor]) -> None:
    """Write a header, weights and arrays into one file, whole or not at all, with a checksum over all of it.

    Raises: TypeError or ValueError for what is no path, no header of texts, or no tensors by name; OSError if the file
    cannot be written.
    """
    path = inputs.check_path("path", path)
    check_texts("header", header)
    for name, text in header.items():
        inputs.check_text(f"header[{name!r}]", text)
    _check_tensors("weights", weights)
    _check_tensors("arrays", arrays)
    versions = json.dumps({"torch": torch.__version__, "python": platform.python_version()})
    header = header | {"format": FORMAT, "versions": versions}
    groups = {"weights": weights, "arrays": arrays}
    tensors = {f"{group}/{name}": tensor for group, parts in groups.items() for name, tensor in parts.items()}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    if not write_atomic(path, to_bytes(tensors, header | {"sha256": _checksum(header, tensors)})):
        raise OSError(f"cannot write {path}: choose a folder that can be written to, or set VAE_TRAINED to one")


def read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor], dict[str, Tensor]]:
    """Return the header, the weights and the arrays of a checkpoint.

    Raises: FileNotFoundError; TypeError or ValueError for what is no path; ValueError if the file is no checkpoint of
    this package, or damaged.
    """
    path = inputs.check_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}: train the model first")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable checkpoint ({error}): delete it and train anew") from None
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {header.get('format')!r}, not {FORMAT!r}: it is not one of ours; train anew"
        )
    if header.pop("sha256", None) != _checksum(header, tensors):
        raise ValueError(f"{path} is damaged (its checksum is wrong): delete it and train anew")
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "arrays": {}}
    try:
        for name, tensor in tensors.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = tensor
        for name in NEEDED:
            if name not in header:
                raise ValueError(f"its header lacks {name}")
            if name != "class" and not isinstance(json.loads(header[name]), dict):
                raise ValueError(f"its {name} is no table")
    except (KeyError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no checkpoint of this package ({error}): delete it and train anew") from None
    return header, groups["weights"], groups["arrays"]


def _rebuilt(header: dict[str, str], weights: dict[str, Tensor]) -> nn.Module:
    """Return the model of a header, without a mark on the random numbers of whoever asks."""
    with torch.random.fork_rng(devices=[]):
        model = models.KNOWN[header["class"]](**json.loads(header["config"]))
    model.load_state_dict(weights)
    return model.eval()


def _says_all(header: dict[str, str], weights: dict[str, Tensor], model: nn.Module) -> bool:
    """Return whether class, configuration and weights make this model again; which weights are frozen may differ."""
    try:
        twin = _rebuilt(header, weights)
        for part, other in zip(twin.parameters(), model.parameters(), strict=True):
            part.requires_grad_(other.requires_grad)
        return fingerprint(twin) == fingerprint(model)
    except (LookupError, RuntimeError, TypeError, ValueError):
        return False


def _checksum(header: dict[str, str], tensors: dict[str, Tensor]) -> str:
    return fingerprint((sorted(header.items()), sorted(tensors.items(), key=lambda pair: pair[0])))


def check_texts(name: str, table: object) -> None:
    """Raise TypeError unless this is a dictionary with texts for keys."""
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise TypeError(f"{name} must be a dictionary, its keys text, not {inputs.described(table)}")


def _check_tensors(name: str, parts: object) -> None:
    check_texts(name, parts)
    for key, part in parts.items():
        if not isinstance(part, Tensor) or part.is_meta or part.layout != torch.strided or part.is_quantized:
            raise TypeError(f"{name} must be plain tensors by name, and {key} is {inputs.described(part)}")


def as_json(name: str, value: object, **options: bool) -> str:
    """Return a value as JSON. Raises: ValueError for what JSON has not."""
    try:
        return json.dumps(value, **options)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} must be of the kinds that JSON has, to be kept ({error}): save the state_dict"
        ) from None
