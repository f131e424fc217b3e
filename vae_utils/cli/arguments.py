"""Arguments from signatures: a parameter's type, default and Annotated text become an option of the command line."""

import argparse
import inspect
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

SIMPLE = (int, float, str, bool, Path)


class Kind(NamedTuple):
    """What a parameter accepts: one of SIMPLE, how many of it (None for one, "+" for some), and its choices."""

    type: type
    count: int | str | None = None
    choices: tuple | None = None
    optional: bool = False
    help: str = ""

    def __str__(self) -> str:
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
        one = f"one of {', '.join(self.choices)}" if self.choices else names[self.type]
        return one if self.count is None else f"a list, each {one}"


def kind_of(annotation: Any) -> Kind | None:
    """Return what an annotation accepts, or None if a shell cannot say it (a tensor, a function)."""
    if get_origin(annotation) is Annotated:
        inner, text, *_ = get_args(annotation)
        kind = kind_of(inner)
        return kind and kind._replace(help=text)
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for part in get_args(annotation) if (kind := kind_of(part))]  # those that a shell can say
        return kinds[0]._replace(optional=type(None) in get_args(annotation)) if len(kinds) == 1 else None
    if get_origin(annotation) is Literal:
        return Kind(str, choices=get_args(annotation))
    if get_origin(annotation) is tuple:
        parts = get_args(annotation)
        return Kind(parts[0], "+" if parts[-1] is Ellipsis else len(parts)) if parts[0] in SIMPLE else None
    return Kind(annotation) if annotation in SIMPLE else None


def parameters_of(function: Callable, skip: Iterable[str] = ()) -> dict[str, inspect.Parameter]:
    """Return those parameters of a function or a class that a shell can give, by name."""
    found = inspect.signature(function, eval_str=True).parameters
    return {name: p for name, p in found.items() if name not in skip and kind_of(p.annotation)}


def add_options(parser: argparse.ArgumentParser, function: Callable) -> None:
    """Give a parser an argument for each parameter of a command: options for the keyword-only ones.

    What is not given is absent from the namespace, so that the function's own defaults hold.
    """
    for name, parameter in parameters_of(function).items():
        kind = kind_of(parameter.annotation)
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            text = _with_default(kind.help, parameter.default)
            option = add_option(parser, name, kind, text, negatable=parameter.default is not False)
            option.required = parameter.default is inspect.Parameter.empty
        else:
            optional = {} if parameter.default is inspect.Parameter.empty else {"nargs": "?"}
            metavar = name.upper() if kind.choices is None else None
            parser.add_argument(
                name, type=kind.type, metavar=metavar, help=kind.help, default=argparse.SUPPRESS, **optional
            )


def add_option(parser: argparse._ActionsContainer, name: str, kind: Kind, text: str, *, negatable: bool = True) -> None:
    """Give a parser the option --name, or -n for a single letter; a switch also the option --no-name if negatable."""
    option = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
    rest = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
    if kind.type is bool:
        action = argparse.BooleanOptionalAction if negatable else "store_true"
        return parser.add_argument(option, dest=name, action=action, **rest)
    read = _or_none(kind.type) if kind.optional and kind.type is not Path and kind.count is None else kind.type
    metavar = None if kind.choices else {int: "N", float: "X", Path: "PATH"}.get(kind.type, "NAME")
    rest |= {"nargs": kind.count, "choices": kind.choices, "metavar": metavar}
    return parser.add_argument(option, dest=name, type=read, **rest)


def checked(name: str, value: object, kind: Kind, where: str) -> object:
    """Return a value read from a file as the type that a parameter wants.

    Raises: ValueError, naming the file, for another type.
    """
    if value is None and kind.optional:
        return None
    if kind.count is not None and isinstance(value, list):
        return tuple(checked(name, item, kind._replace(count=None), where) for item in value)
    accepted = {float: (int, float), Path: str}.get(kind.type, kind.type)
    fits = kind.count is None and isinstance(value, accepted) and (kind.type is bool or not isinstance(value, bool))
    if not fits or (kind.choices and value not in kind.choices):
        raise ValueError(f"{name} in {where} must be {kind}, not {value!r}")
    try:
        return kind.type(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise ValueError(f"{name} in {where} must be {kind} that a float can hold, not {str(value)[:20]}...") from None


def _with_default(text: str, default: object) -> str:
    return text if default in (None, False, inspect.Parameter.empty) else f"{text} (default {default})"


def _or_none(kind: type) -> Callable[[str], object]:
    def read(word: str) -> object:
        return None if word == "none" else kind(word)

    read.__name__ = kind.__name__  # what argparse calls it in an error
    return read
