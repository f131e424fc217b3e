"""Whose code something is, and which names and modules code asks for where it runs."""

import dis
import importlib.metadata
import sys
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import PurePath
from types import CodeType, FunctionType

OWN = "vae_utils"  # walked through, although it is an installed package with a version
INSTALLED = {"site-packages", "dist-packages"}
BUILT = {"torch", "torchvision", "numpy"}  # may be built where their sources are, and have no own code of a reader's
HEAP = 1 << 9  # the flag of a class that was made at run time


def origin(value: object) -> tuple[str, str | None]:
    """Return the module that a function or a class is from, and the version of its package; None for our own."""
    module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", "")
    if isinstance(value, FunctionType):  # functools.wraps copies the name of a module, and exec may give none
        homes = [value.__globals__.get("__name__"), value.__module__]
        return module or "", None if None in [home and version_of(home) for home in homes] else version_of(homes[0])
    if isinstance(value, type) and module == "builtins" and value.__flags__ & HEAP:  # made by exec
        return module, None
    return module, version_of(module) if module else sys.version


@cache
def version_of(module: str) -> str | None:
    """Return the version of the package that a module belongs to; None for this project, a notebook, a script."""
    top = module.split(".")[0]
    if top in (OWN, "__main__"):
        return None
    if top in sys.stdlib_module_names:
        return sys.version
    place = PurePath(getattr(sys.modules.get(top), "__file__", None) or "").parts
    if place and not INSTALLED.intersection(place) and top not in BUILT:  # a reader's own, by `pip install -e` perhaps
        return None
    version = getattr(sys.modules.get(top), "__version__", None)
    if version is None:
        names = importlib.metadata.packages_distributions().get(top, ())
        version = " ".join(importlib.metadata.version(name) for name in sorted(set(names))) or None
    return None if version is None else str(version)


def _check_code(code: object) -> None:
    if not isinstance(code, CodeType):
        raise TypeError(f"code must be code, as f.__code__ of a function f is, not a {type(code).__name__}")


def looked_up(code: CodeType) -> set[str]:
    """Return the names that code looks up around it, and the functions written inside it.

    Raises: TypeError for what is no code.
    """
    _check_code(code)
    how = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
    names = {step.argval for step in dis.get_instructions(code) if step.opname in how}
    return names.union(*(looked_up(part) for part in code.co_consts if isinstance(part, CodeType)))


def imported(code: CodeType, package: str | None) -> set[str]:
    """Return the modules that code imports where it runs, and what it takes out of them, which may be modules too.

    Raises: TypeError for what is no code, or no name of a package.
    """
    _check_code(code)
    if package is not None and not isinstance(package, str):
        raise TypeError(f"package must be text or None, not a {type(package).__name__}: write its name in quotes")
    found: set[str] = set()
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME":
            with suppress(ImportError):  # beyond the top of a package
                name = resolve_name("." * level.argval + step.argval, package)
                found |= {name, *(f"{name}.{part}" for part in names.argval or () if part != "*")}
    return found.union(*(imported(part, package) for part in code.co_consts if isinstance(part, CodeType)))
