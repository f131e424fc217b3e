"""Weights on disk: safetensors with what made them in the header, written whole or not at all; never pickle."""

import ast
import hashlib
import inspect
import json
import os
import platform
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from vae_utils import models, runtime
from vae_utils.sources import write_atomic

FORMAT = "vae_utils-1"
CODE = ("data", "losses", "networks", "training")  # what every training runs through, beside the model itself


def save(path: str | Path, model: nn.Module, *, arrays: dict[str, Tensor] | None = None, **facts: object) -> None:
    """Write a model's weights, its configuration and the facts given about it into one file.

    arrays are kept beside the weights (a training history, say). Facts must be of the kinds that JSON has.

    Raises: ValueError for a model of a class that `load` does not know; OSError if the file cannot be written.
    """
    kind = type(model).__name__
    if models.KNOWN.get(kind) is not type(model):
        raise ValueError(f"cannot keep a {kind}: known are {', '.join(models.KNOWN)}; save its state_dict yourself")
    header = {
        "format": FORMAT,
        "class": kind,
        "config": json.dumps(model.config),
        "facts": json.dumps(facts),
        "versions": json.dumps({"torch": torch.__version__, "python": platform.python_version()}),
    }
    tensors = {f"weights/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"arrays/{name}": tensor for name, tensor in (arrays or {}).items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if not write_atomic(Path(path), to_bytes(tensors, header | {"sha256": fingerprint(tensors, header)})):
        raise OSError(f"cannot write {path}: choose a folder that can be written to, or set VAE_TRAINED to one")


def load(path: str | Path, **expected: object) -> nn.Module:
    """Return the model kept in a file, on the CPU and in evaluation mode.

    Raises: FileNotFoundError; ValueError, naming what differs, if the file is not such a checkpoint or is damaged, if
    a fact given in expected is not the stored one, or if the weights do not fit the model.
    """
    header, weights, _ = read(path)
    facts = json.loads(header["facts"])
    for name, value in json.loads(json.dumps(expected)).items():
        if facts.get(name) != value:
            raise ValueError(
                f"{path} was made with {name} = {facts.get(name)!r}, not {value!r}: train anew, or ask for that"
            )
    if header["class"] not in models.KNOWN:
        raise ValueError(
            f"{path} holds a {header['class']}, which this version does not know: {', '.join(models.KNOWN)}"
        )
    try:
        model = models.KNOWN[header["class"]](**_config(header))
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"the weights in {path} do not fit its {header['class']}: {error}") from None
    return model.eval()


def read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor], dict[str, Tensor]]:
    """Return the header, the weights and the arrays of a checkpoint.

    Raises: FileNotFoundError; ValueError if the file is no checkpoint of this package, or damaged.
    """
    if not Path(path).is_file():
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
    if header.pop("sha256", None) != fingerprint(tensors, header):
        raise ValueError(f"{path} is damaged (its checksum is wrong): delete it and train anew")
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "arrays": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    return header, groups["weights"], groups["arrays"]


def fingerprint(tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> str:
    """Return a SHA-256 over named tensors, their types and shapes, and the header that goes with them."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def kept_path(name: str, facts: dict[str, object]) -> Path:
    """Return the file under data/trained (or VAE_TRAINED) for a training, its name keyed by what makes the training.

    The key changes with the facts, which must be of the kinds that JSON has, and with the source of every module that
    a training of facts["class"] runs through.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in code_of(facts.get("class")):
        digest.update(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode())  # blind to comments and layout
    folder = Path(os.environ.get("VAE_TRAINED") or runtime.project_root() / "data" / "trained")
    return folder / f"{name}-{digest.hexdigest()[:8]}.safetensors"


def code_of(kind: str | None) -> list[Path]:
    """Return the modules that a training of a class runs through: those of all models, its own, those it builds on."""
    family = getattr(models.KNOWN.get(kind), "__mro__", ())
    own = {inspect.getsourcefile(base) for base in family if base.__module__.startswith(models.__name__)}
    return [*(Path(__file__).with_name(f"{module}.py") for module in CODE), *map(Path, sorted(own))]


def _config(header: dict[str, str]) -> dict[str, object]:
    """Return the stored configuration, with tuples where JSON has lists."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(header["config"]).items()}
