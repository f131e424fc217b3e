"""Code that a notebook writes out although the package has it: what `# also: MODULE` says, and whether it is so.

Two definitions are the same code if their syntax trees are, but for docstrings, annotations and the checks of
arguments that open a function, and if every name that they look up means the same on both sides.
"""

import ast
import builtins
import importlib
import inspect
import linecache
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from types import CodeType, FunctionType
from types import MemberDescriptorType as Slot

from vae_utils.origins import looked_up

ALSO = re.compile(r"# *also: *(\w+(?:\.\w+)*)")
PLAIN = (type(None), bool, int, float, complex, str, bytes)
PARTS = {cached_property: ("func",), property: ("fget", "fset", "fdel")}
PARTS |= {staticmethod: ("__func__",), classmethod: ("__func__",)}


class _Bare(ast.NodeTransformer):
    """Strip docstrings, annotations and checks: those that open a function, and that of a model's terms."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Strip a function."""
        node.returns = None
        node.body = node.body[_is_docstring(node.body[0]) :]
        while node.body and _is_guard(node.body[0]):
            del node.body[0]
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Strip a class."""
        node.body = node.body[_is_docstring(node.body[0]) :]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Strip an argument."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Make `a: int = 1` of `a = 1`, and nothing of `a: int`."""
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Make check_terms(pair, n), which returns the pair, the pair."""
        self.generic_visit(node)
        return node.args[0] if _called(node) == "check_terms" and node.args else node


def _is_docstring(node: ast.stmt) -> bool:
    """Return whether a statement is a text and nothing else."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_guard(node: ast.stmt) -> bool:
    """Return whether a statement is a call of some `_check...` or `check_...`."""
    called = _called(node.value) if isinstance(node, ast.Expr) else ""
    return called.startswith(("_check", "check_"))


def _called(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else None
    return getattr(called, "attr", getattr(called, "id", ""))


def bare(definition: ast.AST) -> ast.AST:
    """Return the syntax tree of a definition less docstrings, annotations and checks; it is changed in place.

    Raises: TypeError for what is no syntax tree.
    """
    if not isinstance(definition, ast.AST):
        raise TypeError(f"definition must be a syntax tree, as of ast.parse, not a {type(definition).__name__}")
    return _Bare().visit(definition)


def twin_of(value: object) -> object | None:
    """Return what the package defines as a notebook has written it out, below `# also: MODULE`; None if not the same.

    A class or function counts as written out only as long as all that it calls does, or is the package's.
    """
    if getattr(value, "__module__", None) != "__main__" or not isinstance(value, FunctionType | type):
        return None
    for module in ALSO.findall("".join(linecache.getlines(_file_of(value)))):
        with suppress(ImportError, SyntaxError):
            twin = getattr(importlib.import_module(module), value.__name__, None)
            if type(twin) is type(value) and _same(value, twin, set()):
                return twin
    return None


def _file_of(value: object) -> str:
    """Return where a function, or the first function of a class, was written: a cell has a name of a file too."""
    functions = [value] if isinstance(value, FunctionType) else map(_function_in, vars(value).values())
    return next((inspect.unwrap(f).__code__.co_filename for f in functions if f is not None), "")


def _function_in(member: object) -> FunctionType | None:
    parts = [getattr(member, name) for name in PARTS.get(type(member), ())] or [member]
    return next((part for part in parts if isinstance(part, FunctionType)), None)


def _same(ours: object, theirs: object, assumed: set[tuple[int, int]]) -> bool:
    """Compare two values; pairs that are being compared are taken for the same, so that circles end."""
    if ours is theirs or (id(ours), id(theirs)) in assumed:
        return True
    if type(ours) is not type(theirs):
        return False
    assumed.add((id(ours), id(theirs)))
    if type(ours) in PARTS:
        return all(_same(getattr(ours, name), getattr(theirs, name), assumed) for name in PARTS[type(ours)])
    if isinstance(ours, FunctionType):
        return _same_function(ours, theirs, assumed)
    if isinstance(ours, type):
        return _same_class(ours, theirs, assumed)
    if isinstance(ours, tuple):
        return len(ours) == len(theirs) and all(_same(*pair, assumed) for pair in zip(ours, theirs, strict=True))
    return isinstance(ours, PLAIN) and repr(ours) == repr(theirs)


def _same_class(ours: type, theirs: type, assumed: set[tuple[int, int]]) -> bool:
    mine, other = _members(ours), _members(theirs)
    return _same(ours.__bases__, theirs.__bases__, assumed) and all(
        name in mine and name in other and _same(mine[name], other[name], assumed)
        for name in mine.keys() | other.keys()
    )


def _members(kind: type) -> dict[str, object]:
    """Return what a class defines, less what Python itself notes."""
    dunder = ("__init__", "__call__", "__getitem__", "__len__", "__post_init__")
    parts = vars(kind).items()
    return {
        name: part
        for name, part in parts
        if not isinstance(part, Slot) and (name in dunder or not (name.startswith("__") or name == "_abc_impl"))
    }


def _same_function(ours: FunctionType, theirs: FunctionType, assumed: set[tuple[int, int]]) -> bool:
    if ours.__code__ is not inspect.unwrap(ours).__code__ and ours.__code__ is not theirs.__code__:
        return False  # wrapped, by other wrappers
    ours, theirs = inspect.unwrap(ours), inspect.unwrap(theirs)
    mine, other = _node_of(ours), _node_of(theirs)
    if mine is None or other is None or not _loaded(theirs) or ast.dump(mine) != ast.dump(other):
        return False
    outside = [*mine.decorator_list, *mine.args.defaults, *mine.args.kw_defaults]
    names = {node.id for part in outside if part is not None for node in ast.walk(part) if isinstance(node, ast.Name)}
    names |= {node.id for node in ast.walk(mine) if isinstance(node, ast.Name)} & looked_up(ours.__code__)
    cells = [dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)) for f in (ours, theirs)]
    if any(name != "__class__" for found in cells for name in found):
        return False
    return all(_same(_meant(ours, name), _meant(theirs, name), assumed) for name in names)


def _meant(function: FunctionType, name: str) -> object:
    return function.__globals__.get(name, getattr(builtins, name, None))


def _node_of(function: FunctionType) -> ast.AST | None:
    """Return the bare syntax tree of a function, found by the line on which it begins."""
    source = "".join(linecache.getlines(function.__code__.co_filename))
    line = function.__code__.co_firstlineno
    for node in ast.walk(ast.parse(source)):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function.__code__.co_name
        if named and line == min([node.lineno, *(part.lineno for part in node.decorator_list)]):
            return bare(node)
    return None


def _loaded(function: FunctionType) -> bool:
    """Return whether a function of the package is the one in its file, and not of an older or another text."""
    name = function.__code__.co_filename
    return function.__code__ in _codes("".join(linecache.getlines(name)), name)


@lru_cache(maxsize=64)
def _codes(source: str, filename: str) -> set[CodeType]:
    return set(_inside(compile(source, filename, "exec", dont_inherit=True)))


def _inside(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _inside(part)
