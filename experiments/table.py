"""A measured table: a CSV file under data/results that grows by a row as each run ends."""

import argparse
import csv
import io
import platform
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import torch

from vae_utils.data import Dataset, load_dataset
from vae_utils.runtime import get_device, project_root
from vae_utils.sources import write_atomic

Row = dict[str, object]


def path_of(name: str) -> Path:
    """Return the file of a table."""
    return project_root() / "data" / "results" / f"{name}.csv"


def read(name: str) -> list[Row]:
    """Return the rows that a table has so far, as text."""
    path = path_of(name)
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.is_file() else []


def write(name: str, rows: list[Row]) -> None:
    """Write a table whole, or leave it as it is."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if not write_atomic(path_of(name), text.getvalue().encode()):
        raise OSError(f"cannot write {path_of(name)}")


@cache
def full_mnist() -> Dataset:
    """Return the full MNIST, or stop: its figures are not to be had from the embedded digits."""
    dataset = load_dataset("mnist")
    if not dataset.is_full:
        raise SystemExit("this table needs the full MNIST")
    return dataset


def made_with() -> Row:
    """Return what a row says about the machine that made it."""
    device = get_device()
    cpu = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "torch": torch.__version__.split("+")[0],
    }


def fill(name: str, wanted: Iterable[Row], measure: Callable[..., Row], description: str | None) -> None:
    """Measure each wanted row that the table lacks; with --fresh on the command line, every row anew.

    With --part K/N only every N-th row from the K-th, so that N processes share the work and write one table.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="forget the rows of an earlier run")
    parser.add_argument("--part", default="1/1", help="the share of this process, as in 1/2 and 2/2")
    options, wanted = parser.parse_args(), list(wanted)
    torch.set_flush_denormal(True)  # a CPU crawls over gradients that have faded to less than 1e-38
    part, parts = map(int, options.part.split("/"))
    if options.fresh:
        path_of(name).unlink(missing_ok=True)
    for row in wanted[part - 1 :: parts]:
        if _place(row, read(name)) is not None:
            continue
        measured = row | measure(**row) | made_with()
        rows = sorted([*read(name), measured], key=lambda done: _place(done, wanted) or 0)  # others may have written
        write(name, rows)
        print(measured, flush=True)


def _place(row: Row, rows: list[Row]) -> int | None:
    """Return where a row, or one that it names all of, or is named by, stands among others."""
    for place, other in enumerate(rows):
        if all(str(row[key]) == str(other[key]) for key in row.keys() & other.keys()):
            return place
    return None
