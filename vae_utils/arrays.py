"""NumPy arrays of whatever is like one, and the checks of the functions that draw."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vae_utils import inputs

MOST = 1e100  # of a coordinate: larger ones have squares that are no numbers


def as_array(values: ArrayLike | Tensor, name: str = "values") -> np.ndarray:
    """Return a NumPy array of a tensor on any device, or of anything like an array.

    Raises: TypeError for what holds no numbers.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, as an array or a tensor, not {inputs.described(values)}")
    return array


def named_lists(name: str, lists: dict[str, ArrayLike | Tensor]) -> dict[str, np.ndarray]:
    """Return the lists of a dict as float64 arrays [N], each of at least one finite number. Raises: as below."""
    if not isinstance(lists, dict) or not lists:
        raise TypeError(f"{name} must be a dict of at least one name and its values, not {inputs.described(lists)}")
    arrays = {str(key): as_array(values, f"{name}[{key!r}]").astype(np.float64) for key, values in lists.items()}
    for key, values in arrays.items():
        if values.ndim != 1:
            raise ValueError(f"{name}[{key!r}] must be one list of numbers, not {list(values.shape)}: flatten it")
        check_values(f"{name}[{key!r}]", values)
    return arrays


def check_values(name: str, values: np.ndarray) -> None:
    """Raise ValueError unless there is at least one value, and all are finite."""
    if values.size == 0 or not np.isfinite(values).all():
        came = "none" if values.size == 0 else f"{(~np.isfinite(values)).sum()} of {values.size} that are not"
        raise ValueError(f"{name} must be at least one finite number, not {came}: find where they come from")


def check_points(name: str, points: np.ndarray) -> None:
    """Raise ValueError unless these are points in a plane [N, 2], none of them at a distance without end."""
    check_values(name, points := points.astype(np.float64))
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} must be [N, 2], not {list(points.shape)}: project them on two dimensions")
    if not -MOST <= points.min() <= points.max() <= MOST:
        raise ValueError(f"{name} must lie in [-1e100, 1e100], not {points.min():g} to {points.max():g}: scale them")


def check_list(name: str, labels: Sequence[object], fitting: Sequence[int], wanted: str) -> None:
    """Raise TypeError unless labels are a list, ValueError unless their number is among the fitting ones."""
    one_row = getattr(labels, "ndim", 1) == 1 and hasattr(labels, "__len__") and hasattr(labels, "__getitem__")
    if isinstance(labels, dict) or not one_row:
        raise TypeError(f"{name} must be a list, {wanted}, not {inputs.described(labels)}")
    if len(labels) not in fitting:
        raise ValueError(f"{name} must be a list, {wanted}, not of {len(labels)}")
