"""What functions accept: one strict conversion of pixels, and checks that say what was expected, what came, what to do.

Shapes and types are checked always. Values (is every pixel in [0, 1]?) are checked where data enter: on a GPU each such
look waits for all that is still computing, so that `fit` looks once, and then trains inside `trusted()`.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor

MOST_PIXELS = 4096**2  # of one picture: more is a slip, and would take the memory of the machine
LONGEST_NAME = 255  # bytes of the name of a file, on most systems
MOST_SEED = 2**63 - 1  # what PyTorch takes on every device
MOST_STEPS = 10_000_000  # of a training: days, and gigabytes of curves
OF_A_SPLIT = ("labels", "shape", "to", "subset", "__len__", "__getitem__")

_trusted = ContextVar("the values were looked at before", default=False)


@contextmanager
def trusted(yes: bool = True) -> Iterator[None]:
    """Take values as checked inside the block, or no longer: they come from a split that was looked at, or a model."""
    token = _trusted.set(yes)
    try:
        yield
    finally:
        _trusted.reset(token)


def is_trusted() -> bool:
    """Return whether values count as checked now."""
    return _trusted.get()


def to_unit(pixels: ArrayLike | Tensor, name: str = "images") -> Tensor:
    """Return pixels as float32 in [0, 1], of the same shape and on the same device: the one conversion of the series.

    uint8 counts as 0..255, booleans as 0 and 1, floats must lie in [0, 1].

    Raises: TypeError for another type; ValueError for NaN, infinity, or values outside [0, 1].
    """
    tensor = to_tensor(pixels, name)
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if tensor.dtype == torch.bool:
        return tensor.float()
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be uint8, or floats in [0, 1], not {tensor.dtype}: divide or convert them")
    check_unit(name, tensor)
    return tensor.detach().float()


def to_tensor(values: ArrayLike | Tensor, name: str) -> Tensor:
    """Return a tensor of anything that holds numbers.

    Raises: TypeError for what holds none.
    """
    if isinstance(values, Tensor):
        return values
    try:
        return torch.as_tensor(values.copy() if hasattr(values, "flags") else values)  # NumPy's may be read-only
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must hold numbers, as an array or a tensor, not {described(values)}") from None


def check_unit(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless every value lies in [0, 1], NaN and infinity included; not looked at if trusted."""
    if _trusted.get() or not tensor.numel():
        return
    low, high = tensor.detach().aminmax()
    if not (low >= 0 and high <= 1):  # NaN fails both
        span = f"{low.item():.3g} to {high.item():.3g}" if math.isfinite(low + high) else "values that are not finite"
        raise ValueError(
            f"{name} must lie in [0, 1], not {span}: divide by 255, undo the normalisation, or find where it comes from"
        )


def check_finite(name: str, tensor: Tensor, most: float = math.inf) -> None:
    """Raise ValueError if a value is NaN or infinite, or beyond `most` on either side; not looked at if trusted."""
    if _trusted.get() or not tensor.numel():
        return
    if not tensor.isfinite().all():
        bad = (~tensor.isfinite()).sum().item()
        raise ValueError(f"{name} must be finite, but {bad} of its {tensor.numel()} values are not: find the source")
    if most < math.inf and (largest := tensor.detach().abs().max().item()) > most:
        raise ValueError(f"{name} must lie within -{most:g} and {most:g}, but reaches {largest:.3g}: find the source")


def check_floats(name: str, value: object, *shape: int | str) -> Tensor:
    """Return value if it is a tensor of floats with these dimensions, an int each that must fit or a letter for any.

    Raises: TypeError for another type, ValueError for another shape.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(f"{name} must be a tensor of floats, not {described(value)}: convert it, by .float() perhaps")
    fits = len(shape) == value.ndim
    fits = fits and all(isinstance(size, str) or size == came for size, came in zip(shape, value.shape, strict=True))
    if shape and not fits:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} must have the shape [{wanted}], not {list(value.shape)}: reshape it")
    return value


def check_images(name: str, value: object, shape: Sequence[int] | None = None) -> Tensor:
    """Return value if it is images [B, C, H, W] as floats, of a shape (C, H, W) if one is given, B at least 1."""
    check_floats(name, value, "B", *(shape or ("C", "H", "W")))
    if value.numel() == 0:
        raise ValueError(f"{name} must hold at least one image, and pixels, not {list(value.shape)}")
    return value


def check_labels(name: str, y: object, n: int | None, classes: int | None, unknown: int | None = None) -> Tensor:
    """Return y if it is int64 [n], from 0 to classes - 1, or `unknown` where that is allowed.

    Raises: TypeError for another type; ValueError for another shape or, unless trusted, another label.
    """
    wanted = f"{name} must be int64 [{'B' if n is None else n}], one for each image"
    if not isinstance(y, Tensor) or y.dtype != torch.int64:
        hint = "convert them by .long(), or one-hot rows by .argmax(1)" if isinstance(y, Tensor) else "pass a tensor"
        raise TypeError(f"{wanted}, not {described(y)}: {hint}")
    if y.ndim != 1 or n not in (None, len(y)):
        raise ValueError(f"{wanted}, not {list(y.shape)}: to ask for seven everywhere, torch.full((B,), 7)")
    if classes is not None and len(y) and not _trusted.get():
        low, high = (end.item() for end in y.aminmax())
        if high >= classes or low < (0 if unknown is None else unknown):
            also = "" if unknown is None else f", or {unknown} where unknown"
            raise ValueError(f"{name} must be from 0 to {classes - 1}{also}, not from {low} to {high}")
    return y


def check_whole(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return value as an int if it is a whole number in [low, high]. Raises: TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number{_between(low, high)}, not {described(value)}: round it")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} must be a whole number{_between(low, high)}, not {value}")
    return int(value)


def check_number(
    name: str, value: object, low: float | None = None, high: float | None = None, *, above: bool = False
) -> float:
    """Return value as a float if it is finite and in [low, high], or (low, high] with `above`. Raises as above."""
    if getattr(value, "ndim", None) == 0:  # a tensor or an array of one number
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number{_between(low, high, above)}, not {described(value)}")
    beneath = low is not None and (value <= low if above else value < low)
    if not math.isfinite(value) or beneath or (high is not None and value > high):
        raise ValueError(f"{name} must be a finite number{_between(low, high, above)}, not {value}")
    return float(value)


def check_generator(name: str, value: object) -> None:
    """Raise TypeError unless value is a torch.Generator, or None for the random numbers of all."""
    if value is not None and not isinstance(value, torch.Generator):
        raise TypeError(f"{name} must be a torch.Generator or None, not {described(value)}: make one with manual_seed")


def check_text(name: str, value: object) -> str:
    """Return value if it is text. Raises: TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {described(value)}: write it in quotes")
    return value


def check_flag(name: str, value: object) -> bool:
    """Return value if it is True or False. Raises: TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {described(value)}: compare it to something")
    return value


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return value if it is one of the choices. Raises: TypeError, ValueError."""
    if check_text(name, value) not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {described(value)}")
    return value


def check_bytes(name: str, value: object) -> bytes:
    """Return value if it is bytes. Raises: TypeError."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} must be bytes, not {described(value)}: encode it")
    return value


def check_path(name: str, value: object) -> Path:
    """Return value as a path if a file may be called so. Raises: TypeError, ValueError."""
    try:
        text = check_text(name, os.fspath(value))
    except TypeError:
        raise TypeError(f"{name} must be the path of a file or a folder, not {described(value)}: pass text") from None
    longest = max((len(part.encode(errors="replace")) for part in Path(text).parts), default=0)
    if not text or "\0" in text or longest > LONGEST_NAME:
        sizes = f"each name in it of 1 to {LONGEST_NAME} bytes, none of them 0"
        raise ValueError(f"{name} must be the path of a file or a folder, {sizes}, not {described(value)}")
    return Path(text)


def check_split(name: str, value: object) -> None:
    """Raise TypeError unless value has what a data.Split has."""
    if isinstance(value, type) or not all(hasattr(value, part) for part in OF_A_SPLIT):
        raise TypeError(f"{name} must be a data.Split, as dataset.train is, not a {type(value).__name__}")


def check_size(name: str, height: int, width: int) -> None:
    """Raise ValueError, naming what asked for it, if a picture would not be one of 1 to 4096 x 4096 pixels in all."""
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        asked = f"{name} asks for a picture of {height} x {width} pixels"
        raise ValueError(f"{asked}: it must have at least one, and at most 4096 x 4096 = {MOST_PIXELS:,} of them")


def described(value: object) -> str:
    """Return what a value is, in a few words: the type and shape of an array, else its type and a short repr."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {list(value.shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}" if value is not None else "None"


def _between(low: float | None, high: float | None, above: bool = False) -> str:
    if low is None:
        return "" if high is None else f" of at most {high:g}"
    start = f" above {low:g}" if above else f" of at least {low:g}"
    return start if high is None else f"{start} and at most {high:g}"
