"""The list of commands, the parser made of it, and what becomes of errors."""

import argparse
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import NamedTuple, NoReturn

from vae_utils.cli.arguments import add_options

PROG = "python -m vae_utils"
START = """examples, from nothing to a page of sliders:
  python -m vae_utils train VAE --latent-dim 2 --steps 2000   train, into runs/VAE
  python -m vae_utils samples runs/VAE                        64 samples, into runs/VAE/samples.png
  python -m vae_utils map runs/VAE                            where the test images lie in its plane
  python -m vae_utils page runs/VAE                           sliders in any browser, into runs/VAE/page.html

The data set is downloaded at the first use; without a network 5,000 digits that come with the packages stand in.
'python -m vae_utils COMMAND --help' says more about one command."""


class Command(NamedTuple):
    """Where a command's function is, "module:function" in this package, what it is for, and how it is called."""

    place: str
    purpose: str
    example: str


COMMANDS = {
    "train": Command(
        "train:train", "train a model, with curves, checkpoints and grids", "VAE --latent-dim 2 --steps 2000"
    ),
    "curves": Command("pictures:curves", "draw a run's loss, reconstruction and KL", "runs/VAE"),
    "samples": Command("pictures:samples", "draw a grid of samples", "runs/VAE -n 64 --temperature 0.8"),
    "digit": Command("pictures:digit", "draw images of one class", "runs/CVAE 7 -n 20"),
    "rows": Command("pictures:rows", "draw a row of images for each class", "runs/CVAE -n 10"),
    "folders": Command(
        "pictures:folders", "write labelled images into a folder for each class", "runs/CVAE -n 1000 --out made"
    ),
    "reconstruct": Command("pictures:reconstruct", "draw test images above their reconstructions", "runs/VAE -n 10"),
    "transition": Command(
        "places:transition", "go from one test image to another", "runs/VAE --classes 3 8 --out walk.gif"
    ),
    "map": Command("places:latent_map", "draw where the test images lie in the latent space", "runs/VAE --plane"),
    "page": Command("places:page", "write a web page with a slider for each dimension", "runs/VAE --out explorer.html"),
}


class Stopped(KeyboardInterrupt):
    """A command was stopped by hand; its text says what was kept."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, and asks for a command's arguments only when it is called."""

    command: Command | None = None

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None) -> tuple:
        """Add the arguments of the command, and parse."""
        if self.command is not None:
            command, self.command = self.command, None
            name, _, function = command.place.partition(":")
            module = import_module(f"vae_utils.cli.{name}")
            self.description = inspect.getdoc(getattr(module, function))
            add_options(self, getattr(module, function))
            if hasattr(module, "add_more"):  # arguments that no signature has
                module.add_more(self)
            text = "device: cpu, cuda or mps (default: the fastest, or VAE_DEVICE)"
            self.add_argument("--device", metavar="NAME", default=argparse.SUPPRESS, help=text)
            self.set_defaults(function=getattr(module, function))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one sentence."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the reader of the command line."""
    look = argparse.RawDescriptionHelpFormatter
    about = "Train variational autoencoders, and draw what they have learned: the series without a notebook."
    usage = f"{PROG} COMMAND [ARGUMENTS]"
    top = Parser(prog=PROG, usage=usage, description=about, epilog=START, formatter_class=look, allow_abbrev=False)
    commands = top.add_subparsers(
        required=True, metavar="COMMAND [ARGUMENTS]", dest="name", title="commands", prog=PROG
    )
    for name, command in COMMANDS.items():
        example = f"example:\n  {PROG} {name} {command.example}"
        one = commands.add_parser(name, help=command.purpose, epilog=example, formatter_class=look, allow_abbrev=False)
        one.command = command
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, print what it wrote, and return the exit status.

    0 if it worked, 2 if it was asked for something wrong, 1 if it failed on the way, 130 if it was stopped by hand. All
    but the one line that says what was written goes to the standard error.
    """
    try:
        given = vars(parser().parse_args(argv))
        given.pop("name")
        function = given.pop("function")
        with _device(given.pop("device", None)), redirect_stdout(sys.stderr):
            line = function(**given)
        print(line)
        return 0
    except KeyboardInterrupt as stop:
        return _complain(130, str(stop) or "stopped by hand")
    except (ValueError, TypeError, FileNotFoundError) as error:  # what the package raises for wrong input
        return _complain(2, str(error))
    except MemoryError:
        return _complain(1, "there is not enough memory: ask for less at a time")
    except (OSError, RuntimeError, ArithmeticError, ImportError) as error:
        return _complain(1, str(error))


@contextmanager
def _device(name: str | None) -> Iterator[None]:
    """Let VAE_DEVICE be the device that was asked for, for as long as the command runs."""
    before = os.environ.get("VAE_DEVICE")
    if name is not None:
        os.environ["VAE_DEVICE"] = name
    try:
        yield
    finally:
        if name is not None:
            os.environ.pop("VAE_DEVICE")
            os.environ.update({} if before is None else {"VAE_DEVICE": before})


def _complain(status: int, text: str) -> int:
    print(f"{PROG}: {' '.join(text.split())}", file=sys.stderr)
    return status
