"""Which code made a row: a short hash over the sources of an experiment and of all project modules that it imports.

Comments, layout and docstrings do not count, and the same sources have the same hash on every version of Python.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vae_utils.runtime import project_root

OWN = ("vae_utils", "experiments")  # the packages whose sources are followed
LENGTH = 12  # digits of the hash that stand in a table
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def hash_of(module: str, root: Path | None = None) -> str:
    """Return 12 hexadecimal digits for the sources of a module of this project and all that it imports of the project.

    Raises: ValueError if the project has no such module.
    """
    sources = sources_of(module, root)
    if not sources:
        raise ValueError(f"module must be one of {' or '.join(OWN)}, such as experiments.beta_sweep, not {module!r}")
    return hashlib.sha256(repr(sources).encode()).hexdigest()[:LENGTH]


def sources_of(module: str, root: Path | None = None) -> list[tuple[str, str]]:
    """Return the names and hashes of a module and of all project modules that it imports, directly or not, in order."""
    root = root or project_root()
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name, root)
        if name in found or path is None:
            continue
        found[name], imported = _parsed(path.read_text(encoding="utf-8"), name, path.name == "__init__.py")
        waiting += [candidate for target in imported for candidate in _with_parents(target)]
        waiting += _with_parents(name)  # importing a.b runs a as well
    return sorted(found.items())


def _source(name: str, root: Path) -> Path | None:
    """Return the file of a project module, or None for what is not one."""
    if name.split(".")[0] not in OWN:
        return None
    base = root.joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_name(f"{base.name}.py")) if path.is_file()), None)


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


@cache
def _parsed(source: str, name: str, is_package: bool) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a source, and the dotted names that it imports."""
    tree = ast.parse(source)
    imported = tuple(_imported(tree, name if is_package else name.rpartition(".")[0]))
    return hashlib.sha256(dump(tree).encode()).hexdigest(), imported


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield what a source imports, wherever; `from a import b` as a.b, which is a module or a name in the module a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package) if node.level else base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def dump(node: object) -> str:
    """Return a syntax tree as text, without docstrings, places, and whatever is empty.

    What is empty is left out because newer versions of Python add fields, such as the type_params of 3.12.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, Documented) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        elif name == "values" and isinstance(node, ast.JoinedStr):
            value = list(_joined(value))
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            fields.append(f"{name}={dump(value)}")
    return f"{type(node).__name__}({', '.join(fields)})"


def _joined(parts: list[ast.expr]) -> Iterator[ast.expr]:
    """Yield the parts of an f-string, its plain text in one piece: versions of Python cut it differently."""
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant):
            text += part.value
            continue
        if text:
            yield ast.Constant(text)
        text = ""
        yield part
    if text:
        yield ast.Constant(text)
