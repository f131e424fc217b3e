"""Good arguments, spoiled one at a time: what public functions do with them, and which of them there are."""

import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image

import vae_utils

INF, NAN = float("inf"), float("nan")

# Which file of tests calls the functions of which modules; what a package gathers is named by the package.
COVERED = {
    "test_properties": ("arrays", "handwriting", "inputs", "labels", "latent", "latent_checks", "losses", "pixels")
    + ("plotting", "shapes", "widgets"),
    "test_properties_models": ("evaluation", "history", "judge", "models", "networks"),
    "test_properties_training": ("checkpoints", "data", "fingerprints", "keeping", "loss_checks", "origins")
    + ("resuming", "runtime", "sources", "training", "training_checks", "written_out"),
}
ELSEWHERE = {"cli": "a shell's words, not values: tests/test_cli.py", "__main__": "starts cli"}

# ---- good arguments


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def unit(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 0.9 + 0.05


# ---- spoiled arguments

SPOKEN = {"data": "picture"}  # readers upload it, and never see the name of the argument
NUMBERS = st.sampled_from([0, 1, -1, 3, 10**9, 2**70, 0.0, -0.5, 0.5, 2.0, 1e39, 1e300, NAN, INF, -INF, True])
OTHERS = st.sampled_from(
    [None, "text", "", "../up", "x" * 300, [], {}, (), [1], [-1.5], object(), b"bytes", ["a", None], 1j]
    + [torch.nn.Linear(2, 2), Image.new("L", (3, 2)), Image.new("L", (0, 5)), torch.device("cpu"), torch.float32]
)
SHAPES = st.sampled_from([(), (0,), (1,), (3,), (4, 3), (1, 3), (4, 1), (0, 3), (2, 2, 2), (1, 1, 4, 4), (3, 0, 4, 4)])
KINDS = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16])
FILLS = st.sampled_from([0, 1, -1, 2, 0.5, 255, 12, NAN, INF, -INF])


@st.composite
def tensors(draw: st.DrawFn, good: object) -> object:
    """Draw a tensor of any shape and kind, or the good one with its kind changed or one value spoiled."""
    kind, fill = draw(KINDS), draw(FILLS)
    plain = fill if np.isfinite(fill) or kind.is_floating_point else 0
    if not isinstance(good, torch.Tensor | np.ndarray) or draw(st.booleans()):
        made = torch.full(draw(SHAPES), abs(plain) if kind == torch.uint8 else plain, dtype=kind)
        return made.numpy() if kind != torch.bfloat16 and draw(st.booleans()) else made
    made = torch.as_tensor(good).clone()
    if draw(st.booleans()):
        return made.to(kind)
    if made.is_floating_point() or np.isfinite(fill):
        made.view(-1)[draw(st.integers(0, made.numel() - 1))] = fill
    return made


@st.composite
def cases(draw: st.DrawFn, good: dict[str, object]) -> tuple[dict[str, object], str | None]:
    name = draw(st.sampled_from(["", *good]))
    if not name:
        return good, None
    return good | {name: draw(st.one_of(tensors(good[name]), NUMBERS, OTHERS))}, name


def finite(result: object) -> bool:
    if isinstance(result, tuple | list):
        return all(map(finite, result))
    if isinstance(result, torch.Tensor):
        return not result.isnan().any()
    return not (isinstance(result, np.ndarray | float) and np.isnan(result).any())


def check(function: Callable, good: dict[str, object]) -> None:
    """Call a function 200 times: it works and returns no NaN, or names in a sentence of ours what is wrong.

    Raises: AssertionError with the call that broke this.
    """
    assert finite(function(**good))

    @settings(max_examples=200, suppress_health_check=list(HealthCheck))
    @given(cases(good))
    def holds(case):
        arguments, spoiled = case
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = function(**arguments)
        except (ValueError, TypeError) as error:
            assert spoiled, f"good arguments raised {error!r}"
            named = [SPOKEN.get(argument, argument) for argument in good]  # of two that do not fit, either may be named
            assert any(re.search(rf"\b{name}\b", str(error)) for name in named), f"{spoiled} is not named: {error!r}"
            assert "vae_utils" in raised_in(error), f"raised elsewhere: {error!r}"
        else:
            assert finite(result), "NaN came out"
        finally:
            plt.close("all")

    holds()


def raised_in(error: BaseException) -> str:
    """Return the file that raised."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename


def public(module: str) -> set[str]:
    """Return the functions and classes of a module, and the methods and properties of the classes, by name."""
    space, found = importlib.import_module(f"vae_utils.{module}"), set()
    for name, thing in vars(space).items():
        if name.startswith("_") or not getattr(thing, "__module__", "").startswith(f"vae_utils.{module}"):
            continue
        if inspect.isfunction(thing):
            found.add(f"{module}.{name}")
        elif inspect.isclass(thing):
            found.add(f"{module}.{name}")
            own = {key for base in thing.__mro__ if base.__module__.startswith("vae_utils") for key in vars(base)}
            own = {key for key in own if not key.startswith("_")}
            kinds = {key: inspect.getattr_static(thing, key) for key in own}
            found |= {
                f"{module}.{name}.{k}"
                for k, v in kinds.items()
                if isinstance(v, classmethod | property) or inspect.isfunction(v)
            }
    return found


def listed(module: str, *tables: dict[str, object]) -> set[str]:
    """Return the names in some tables that belong to a module."""
    return {name for table in tables for name in table if name.startswith(f"{module}.")}


def modules() -> set[str]:
    """Return the names of the package's modules and packages."""
    return {module.name for module in pkgutil.iter_modules(vae_utils.__path__)}
