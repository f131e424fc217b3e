"""What a result depends on, as a hash: the code that will run, as it is loaded now, and every value that it reaches.

A function of this project or of a notebook counts by its bytecode, its constants, its defaults, what it closes over,
and what it reads of the names around it, and so on from there; a class by its members and bases; an object by its class
and content; a module of this project by all that it holds; anybody else's code by its name and the version of its
package. So an edit counts wherever it was made, on disk or in a running kernel; and what a notebook writes out of the
package, below `# also: MODULE`, counts as the package's as long as it is the same code (`written_out`). Not seen: a
file or a variable of the environment that code reads where it runs, and a function of another package that was replaced
at run time.
What has no content that could be looked at raises `Unpinned`: what depends on it cannot be kept. What changes no result
may say so by an attribute `__fingerprint__`, a text that then counts for it.
"""

import copyreg
import hashlib
import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property, partial
from pathlib import PurePath
from types import CodeType, FunctionType, GenericAlias, MappingProxyType, MethodType, ModuleType, UnionType
from types import MemberDescriptorType as Slot
from typing import ForwardRef, TypeVar, get_args, get_origin

import numpy as np
import torch
from torch import Tensor, nn

from vae_utils.origins import imported, looked_up, origin, version_of
from vae_utils.written_out import twin_of

PLAIN = (type(None), type(Ellipsis), type(NotImplemented), bool, int, float, complex, str, bytes)
BY_TEXT = (PurePath, torch.device, torch.dtype, np.generic, np.dtype, TypeVar, ForwardRef, range, slice)
WRAPPERS = {cached_property: ("func",), property: ("fget", "fset", "fdel"), staticmethod: ("__func__",)}
WRAPPERS |= {classmethod: ("__func__",), MethodType: ("__func__", "__self__"), partial: ("func", "args", "keywords")}
MET_OTHERWISE = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"}  # a network's
TABLES = frozenset(vars(nn.Module()))  # PyTorch's own, of hooks and the like; empty as a rule
SAID = {"module", "dict", "weakref", "doc", "qualname", "annotations", "annotate", "annotate_func", "slots"}
SAID |= {"annotations_cache", "static_attributes", "firstlineno", "parameters", "orig_bases", "abstractmethods"}
SAID = {f"__{name}__" for name in SAID | {"match_args", "type_params"}}  # of a class: said by its other members


class Unpinned(TypeError):
    """Say what a result depends on that no fingerprint can hold."""


def fingerprint(value: object, without: Iterable[object] = ()) -> str:
    """Return a SHA-256 of a value and of all that it reaches: the same for the same, in any process.

    The content of the objects in `without` does not count, only their places.
    Raises: TypeError if `without` is no sequence; Unpinned for an open file, a generator, a lock, or whatever else has
    no content to look at.
    """
    walk = _Walk()
    try:
        walk.alive = list(without)
    except TypeError:
        raise TypeError(f"without must be a sequence of objects, not a {type(without).__name__}") from None
    walk.seen = {id(part): place for place, part in enumerate(walk.alive)}
    try:
        walk.add(value)
    except RecursionError:
        raise Unpinned(f"a {type(value).__name__} is nested too deeply for a fingerprint") from None
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
            content = word if isinstance(word, bytes) else str(word).encode(errors="surrogatepass")
            self.digest.update(len(content).to_bytes(8, "big") + content)

    def add(self, value: object) -> None:
        """Add a value of any kind."""
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            return self.write(type(value).__name__, hex(value) if type(value) is int else repr(value))
        if type(value) is tuple:  # whether two equal ones are one object is Python's affair
            return self.each("tuple", value)
        if isinstance(value, FunctionType | type):
            value = twin_of(value) or value
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
        if type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            return self.write("array", value.dtype, value.shape, np.ascontiguousarray(value).tobytes())
        if type(value) in (dict, MappingProxyType):
            return self.each("dict", (part for pair in value.items() for part in pair))
        if type(value) in (list, torch.Size):
            return self.each(type(value).__name__, value)
        if isinstance(value, set | frozenset):
            self.write("set", len(value), *sorted(map(self._apart, value)))
            return self.each("of", (type(value), getattr(value, "__dict__", None)))
        if isinstance(value, GenericAlias | UnionType) or get_origin(value) is not None:
            return self.each(f"{value}", (get_origin(value), *get_args(value)))
        if isinstance(value, BY_TEXT):
            return self.write(type(value).__name__, value)
        if isinstance(value, ContextVar):
            return self.write("context", value.name)
        return self._code(value)

    def _apart(self, value: object) -> str:
        """Return the digest of one part, as if it came next: the parts of a set have no order."""
        walk = _Walk()
        walk.seen, walk.alive = dict(self.seen), self.alive
        walk.add(value)
        return walk.digest.hexdigest()

    def _tensor(self, tensor: Tensor) -> None:
        try:
            plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
            content = plain.flatten().view(torch.uint8).numpy()
        except (RuntimeError, TypeError) as error:  # on the device "meta", sparse, quantised
            raise Unpinned(f"a tensor has no plain numbers to look at ({str(error).splitlines()[0]})") from None
        self.write(type(tensor).__name__, plain.dtype, list(plain.shape), tensor.requires_grad)
        self.digest.update(content)
        hooks = (tensor._backward_hooks, getattr(tensor, "_post_accumulate_grad_hooks", None))
        if vars(tensor) or any(hooks):  # what a reader put on a weight
            self.each("with", (vars(tensor), *(list((hook or {}).values()) for hook in hooks)))

    def _code(self, value: object) -> None:
        if type(value) in WRAPPERS:
            return self.each(type(value).__name__, (getattr(value, name) for name in WRAPPERS[type(value)]))
        if isinstance(value, CodeType):
            names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars, value.co_flags)
            names += (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount)
            caught = getattr(value, "co_exceptiontable", b"")  # since Python 3.11 what `try` covers stands only here
            return self.each("code", (value.co_code, caught, *names, value.co_consts))
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(getattr(value, "__fingerprint__", None), str):  # it says what it counts as
            return self.write("said", value.__fingerprint__)
        if hasattr(value, "__wrapped__") and not isinstance(value, type):  # by functools.wraps: that, and what it hides
            self.write("wrapped")
            self.add(value.__wrapped__)
        if isinstance(value, FunctionType | type):
            return self._definition(value)
        named = callable(value) and hasattr(value, "__qualname__")  # an object may have copied the name of a function
        return self._definition(value) if named and "__qualname__" not in _fields(value) else self._instance(value)

    def _definition(self, value: object) -> None:
        """Add a function or a class: what it is made of, or whose it is."""
        module, version = origin(value)
        if version is not None or not isinstance(value, FunctionType | type):
            self.write("from", module, value.__qualname__, version)
            bound = getattr(value, "__self__", None)  # some_list.append
            self.add(None if isinstance(bound, ModuleType) else bound)
            return self._closure(value) if isinstance(value, FunctionType) else None  # what others' code wraps
        if isinstance(value, type):
            return self._class(value)
        self.each("function", (value.__code__, value.__defaults__, value.__kwdefaults__, vars(value)))
        self._closure(value)
        for name in sorted(looked_up(value.__code__)):
            self.write("global", name)  # one that does not exist is a builtin, or the function will fail
            if name in value.__globals__ and name != "__file__":  # where a project lies changes no result
                self.add(value.__globals__[name])
        names = sorted(imported(value.__code__, value.__globals__.get("__package__")))
        own = [name for name in names if version_of(name) is None]
        for name in own:  # all of them first: a package holds those of its modules that are loaded
            with suppress(ImportError):  # most are names in a module; what is not there will fail, or is optional
                importlib.import_module(name)
        for name in names:
            self.write("import", name, version_of(name))
            self.add(sys.modules.get(name) if name in own else None)
        return None

    def _closure(self, value: FunctionType) -> None:
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self.write("closure", name)
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self.write("empty")

    def _class(self, kind: type) -> None:
        self.each("class", (type(kind), *kind.__bases__))
        for name, part in sorted(vars(kind).items()):
            if not (isinstance(part, Slot) or name in SAID or name == "_abc_impl"):  # what ABC keeps
                self.write("member", name)
                self.add(part)

    def _module(self, module: ModuleType) -> None:
        self.write("module", module.__name__)
        if version_of(module.__name__) is not None:
            return self.write(version_of(module.__name__))
        for name, part in sorted(vars(module).items()):
            if not name.startswith("__") and not (
                isinstance(part, ModuleType) and version_of(part.__name__) is not None
            ):
                self.write("holds", name)
                self.add(part)
        return None

    def _instance(self, value: object) -> None:
        if isinstance(value, nn.Module):
            return self.each("network", (type(value), *_content_of(value)))
        if isinstance(value, torch.Generator):
            return self.each("generator", (value.get_state(),))
        if hasattr(value, "read") or hasattr(value, "__next__"):  # of an open file only its name would count
            raise Unpinned(f"a {type(value).__name__} gives something else each time that it is used")
        try:
            known = copyreg.dispatch_table.get(type(value))
            made = known(value) if known else value.__reduce_ex__(4)  # what pickle would keep of it
        except Exception:
            raise Unpinned(f"a {type(value).__name__} has no content that a fingerprint could hold") from None
        self.each("object", (type(value), _fields(value)))
        if isinstance(made, str):  # the name of one that is there once
            return self.write("named", made)
        return self.each("made", (list(part) if isinstance(part, Iterator) else part for part in made))


def _content_of(network: nn.Module) -> Iterator[object]:
    """Yield what a network holds: weights, buffers, settings, hooks, and the same of its parts."""
    for tensors in (network._parameters, network._buffers):
        yield dict(tensors)
    for name, part in sorted(vars(network).items()):
        if name not in TABLES:
            yield from (name, part)
        elif name not in MET_OTHERWISE and part and not isinstance(part, bool):
            yield from (name, list(part.values()) if isinstance(part, dict) else part)  # hooks, less their numbers
    yield from network._modules.items()


def _fields(value: object) -> dict[str, object]:
    return dict(getattr(value, "__dict__", {}))
