"""Run the notebooks, regenerate their stored outputs, and clean them.

python -m tools.notebooks run|regenerate|scrub -h
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from tools.files import ROOT, clear, find, read, replace, scrub, to_text

NOTEBOOKS = ROOT / "notebooks"


def execute(nb: NotebookNode, folder: Path) -> str | None:
    """Run a cleared notebook in a kernel of its own, in place; return what went wrong and where, or None."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    started = []
    client = NotebookClient(
        nb,
        kernel_name="python3",
        timeout=None,
        extra_arguments=["--log-level=ERROR"],
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: started.append(cell) if cell.cell_type == "code" else None,
    )
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as error:
        message = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        first = next((line for line in started[-1].source.splitlines() if line.strip()), "") if started else ""
        return f"code cell {len(started)} ({first.strip()[:60]}): {message.strip()}"
    return None


def execute_all(paths: list[Path], finish: Callable[[Path, NotebookNode, bool], None]) -> int:
    """Run notebooks one after another, hand each to `finish`, print a line for each, and return how many failed."""
    failed = 0
    for path in paths:
        start, nb = time.perf_counter(), clear(read(path))
        error = execute(nb, path.parent)
        finish(path, nb, error is None)
        print(f"{path.stem:<32} {time.perf_counter() - start:6.1f} s  {error or 'ok'}", flush=True)
        failed += error is not None
    if failed:
        print(f"{failed} of {len(paths)} notebooks failed.")
    return failed


def run(args: argparse.Namespace) -> int:
    """Execute notebooks from scratch into a folder, as notebook and as page."""
    from nbconvert import HTMLExporter

    def finish(path: Path, nb: NotebookNode, ok: bool) -> None:
        scrub(nb, path.stem)
        html, _ = HTMLExporter(embed_images=True).from_notebook_node(nb, {"metadata": {"path": str(path.parent)}})
        replace(args.out / path.name, to_text(nb))
        replace(args.out / f"{path.stem}.html", html)

    return execute_all(find(args.names, NOTEBOOKS), finish)


def regenerate(args: argparse.Namespace) -> int:
    """Replace the stored outputs of notebooks by those of a fresh run on the full data set."""
    from vae_utils.data import load_dataset

    if not load_dataset("mnist").is_full:
        sys.exit("Stored outputs are made on the full MNIST data set, which is not here: see data/README.md.")

    def finish(path: Path, nb: NotebookNode, ok: bool) -> None:
        if ok:
            replace(path, to_text(scrub(nb, path.stem)))

    with tempfile.TemporaryDirectory() as folder:  # nothing trained earlier is found: stored times are of trainings
        os.environ["VAE_TRAINED"] = str(Path(folder, "data", "trained"))
        return execute_all(find(args.names, NOTEBOOKS), finish)


def clean(args: argparse.Namespace) -> int:
    """Scrub notebooks in place, or only name those that need it."""
    dirty = 0
    for path in find(args.names, NOTEBOOKS):
        text = to_text(scrub(read(path), path.stem))
        if text != path.read_text(encoding="utf-8"):
            dirty += 1
            print(f"{path.name} {'is not scrubbed' if args.check else 'scrubbed'}")
            if not args.check:
                replace(path, text)
    return dirty if args.check else 0


def parser() -> argparse.ArgumentParser:
    """Return the reader of the command line."""
    top = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, function in {"run": run, "regenerate": regenerate, "scrub": clean}.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("names", nargs="*", metavar="NAME", help="for example 04 or 04_name; all if none")
    commands.choices["run"].add_argument("--out", type=Path, default=ROOT / "build", help="folder (build)")
    commands.choices["scrub"].add_argument("--check", action="store_true", help="change nothing, fail if needed")
    return top


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(1 if arguments.function(arguments) else 0)
