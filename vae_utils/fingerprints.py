"""What a result depends on, as a hash: the code that will run, as it is loaded now, and every value that it reaches.

A function of this project or of a notebook counts by its bytecode, its constants, its defaults, what it closes over,
and what it reads of the names around it, and so on from there; a class by its members and bases; an object by its class
and content; a module of this project by all that it holds; anybody else's code by its name and the version of its
package. So an edit counts wherever it was made, on disk or in a running kernel. What has no content that could be
looked at raises `Unpinned`: what depends on it cannot be kept. What changes no result may say so by an attribute
`__fingerprint__`, a text that then counts for it.
"""

import dis
import hashlib
import importlib
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import cache, cached_property, partial
from pathlib import PurePath
from types import CodeType, FunctionType, GenericAlias, MemberDescriptorType, MethodType, ModuleType, UnionType
from typing import TypeVar, get_origin

import numpy as np
import torch
from torch import Tensor, nn

OWN = "vae_utils"  # walked through, although it is an installed package with a version
PLAIN = (type(None), type(Ellipsis), type(NotImplemented), bool, int, float, complex, str, bytes)
BY_TEXT = (PurePath, torch.device, torch.dtype, np.generic, np.dtype, GenericAlias, UnionType, TypeVar, range, slice)
WRAPPERS = {cached_property: ("func",), property: ("fget", "fset"), staticmethod: ("__func__",)}
WRAPPERS |= {classmethod: ("__func__",), MethodType: ("__func__", "__self__"), partial: ("func", "args", "keywords")}
PRIVATE = {
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "training",
}  # a network's, met otherwise


class Unpinned(TypeError):
    """Say what a result depends on that no fingerprint can hold."""


def fingerprint(value: object) -> str:
    """Return a SHA-256 of a value and of all that it reaches: the same for the same, in any process.

    Raises: Unpinned for an open file, a generator, a lock, or whatever else has no content to look at.
    """
    walk = _Walk()
    walk.add(value)
    return walk.digest.hexdigest()


class _Walk:
    """A digest that grows as values are met; one met before counts by its place, so that circles end."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.alive: list[object] = []  # an id names one object only as long as that lives

    def write(self, *words: object) -> None:
        """Add words, each with its length, so that no two sequences of them look alike."""
        for word in words:
            content = word if isinstance(word, bytes) else str(word).encode()
            self.digest.update(len(content).to_bytes(8, "big") + content)

    def add(self, value: object) -> None:
        """Add a value of any kind."""
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            return self.write(type(value).__name__, repr(value))
        if type(value) is tuple:  # whether two equal ones are one object is Python's affair
            return self.each("tuple", value)
        if id(value) in self.seen:
            return self.write("again", self.seen[id(value)])
        self.seen[id(value)] = len(self.seen)
        self.alive.append(value)
        return self._data(value)

    def each(self, kind: str, parts: Iterable[object]) -> None:
        """Add a sequence."""
        parts = list(parts)
        self.write(kind, len(parts))
        for part in parts:
            self.add(part)

    def _data(self, value: object) -> None:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray) and value.dtype.kind != "O":
            return self.write("array", value.dtype, value.shape, np.ascontiguousarray(value).tobytes())
        if type(value) is dict:
            return self.each("dict", (part for pair in value.items() for part in pair))
        if type(value) in (list, torch.Size):
            return self.each(type(value).__name__, value)
        if isinstance(value, set | frozenset):
            return self.write("set", *sorted(map(fingerprint, value)))
        if isinstance(value, BY_TEXT) or get_origin(value) is not None:
            return self.write(type(value).__name__, value)
        if isinstance(value, ContextVar):
            return self.write("context", value.name)
        return self._code(value)

    def _tensor(self, tensor: Tensor) -> None:
        plain = tensor.detach().cpu().contiguous()
        self.write(type(tensor).__name__, plain.dtype, list(plain.shape))
        self.digest.update(plain.flatten().view(torch.uint8).numpy())

    def _code(self, value: object) -> None:
        if type(value) in WRAPPERS:
            return self.each(type(value).__name__, (getattr(value, name) for name in WRAPPERS[type(value)]))
        if isinstance(value, CodeType):
            names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars, value.co_flags)
            return self.each("code", (value.co_code, *names, value.co_consts))
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(getattr(value, "__fingerprint__", None), str):  # it says what it counts as
            return self.write("said", value.__fingerprint__)
        if hasattr(value, "__wrapped__") and not isinstance(value, type):  # by functools.wraps: that, and what it hides
            self.write("wrapped")
            self.add(value.__wrapped__)
        if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
            return self._definition(value)
        return self._instance(value)

    def _definition(self, value: object) -> None:
        """Add a function or a class: what it is made of, or whose it is."""
        module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", "")
        version = _version(module) if module else sys.version
        if version is not None or not isinstance(value, FunctionType | type):
            self.write("from", module, value.__qualname__, version)
            bound = getattr(value, "__self__", None)  # some_list.append
            return None if isinstance(bound, ModuleType) else self.add(bound)
        if isinstance(value, type):
            return self._class(value)
        self.each("function", (value.__code__, value.__defaults__, value.__kwdefaults__))
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self.write("closure", name)
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self.write("empty")
        for name in sorted(_looked_up(value.__code__)):
            self.write("global", name)  # one that does not exist is a builtin, or the function will fail
            if name in value.__globals__:
                self.add(value.__globals__[name])
        for name in sorted(_imported(value.__code__)):
            self.write("import", name, _version(name))
            if _version(name) is None:
                self.add(importlib.import_module(name))
        return None

    def _class(self, kind: type) -> None:
        self.each("class", kind.__bases__)
        self.write(*vars(kind).get("__dataclass_fields__", ()))
        for name, part in sorted(vars(kind).items()):
            said = (
                isinstance(part, MemberDescriptorType) or name == "_abc_impl"
            )  # a slot, and what ABC keeps for itself
            said |= name.startswith("__") and not callable(getattr(part, "__func__", part))
            if not said and not _generated(part):
                self.write("member", name)
                self.add(part)

    def _module(self, module: ModuleType) -> None:
        self.write("module", module.__name__)
        if _version(module.__name__) is not None:
            return self.write(_version(module.__name__))
        for name, part in sorted(vars(module).items()):
            if not name.startswith("__") and not (isinstance(part, ModuleType) and _version(part.__name__) is not None):
                self.write("holds", name)
                self.add(part)
        return None

    def _instance(self, value: object) -> None:
        if isinstance(value, nn.Module):
            return self.each("network", (type(value), *_content_of(value)))
        if isinstance(value, torch.Generator):
            return self.each("generator", (value.get_state(),))
        slots = [name for kind in type(value).__mro__ for name in _slots(kind) if hasattr(value, name)]
        if not hasattr(value, "__dict__") and not slots and type(value) is not object:
            raise Unpinned(f"a {type(value).__name__} has no content that a fingerprint could hold")
        if hasattr(value, "read") or hasattr(value, "__next__"):  # of an open file only its name would count
            raise Unpinned(f"a {type(value).__name__} gives something else each time that it is used")
        inherited = [list.__iter__(value)] if isinstance(value, list) else []
        inherited += [dict.items(value)] if isinstance(value, dict) else []
        self.each("inherited", (part for parts in inherited for part in parts))
        fields = {name: getattr(value, name) for name in slots} | getattr(value, "__dict__", {})
        return self.each("object", (type(value), fields))


def _content_of(network: nn.Module) -> Iterator[object]:
    """Yield what a network holds: weights, buffers, settings, hooks, and the same of its parts."""
    for tensors in (network._parameters, network._buffers):
        yield dict(tensors)
    for name, part in sorted(vars(network).items()):
        hooks = name.startswith("_")  # PyTorch's own tables, empty as a rule
        if name not in PRIVATE and not (hooks and (not part or isinstance(part, bool))):
            yield from (name, part)
    yield from network._modules.items()


def _slots(kind: type) -> tuple[str, ...]:
    """Return the names of a class's slots."""
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _generated(part: object) -> bool:
    """Return whether a class's member was written by dataclass, out of fields that count themselves."""
    return getattr(getattr(part, "__code__", None), "co_filename", "") == "<string>"


@cache
def _version(module: str) -> str | None:
    """Return the version of the package that a module belongs to; None for this project, a notebook, a script."""
    top = module.split(".")[0]
    if top in (OWN, "__main__"):
        return None
    if top in sys.stdlib_module_names:
        return sys.version
    version = getattr(sys.modules.get(top), "__version__", None)
    if version is None:
        names = importlib.metadata.packages_distributions().get(top, ())
        version = " ".join(importlib.metadata.version(name) for name in sorted(set(names))) or None
    return None if version is None else str(version)


def _looked_up(code: CodeType, how: tuple[str, ...] = ("LOAD_GLOBAL", "LOAD_NAME")) -> set[str]:
    """Return the names that code looks up around it, and the functions written inside it."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in how}
    return names.union(*(_looked_up(part, how) for part in code.co_consts if isinstance(part, CodeType)))


def _imported(code: CodeType) -> set[str]:
    """Return the modules that code imports where it runs; a relative import has no name to go by here."""
    return _looked_up(code, ("IMPORT_NAME",)) - {""}
