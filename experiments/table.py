"""Measured tables: CSV files under data/results that grow by a row as each run ends, and say which code made a row.

python -m experiments.table             # every table: its rows, by present, older or unknown code, and how to refill it
python -m experiments.table --strict    # the same; the exit code is 1 if any row is of older or unknown code
"""

import argparse
import csv
import importlib
import io
import pkgutil
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

import experiments
from experiments import code
from vae_utils.data import Dataset, load_dataset
from vae_utils.runtime import get_device, project_root
from vae_utils.sources import write_atomic

Row = dict[str, object]
KINDS = ("the present code", "older code", "unknown code")


class Unfit(ValueError):
    """Say why a file is not the table that it should be."""


@dataclass(frozen=True)
class Table:
    """A file data/results/NAME.csv, whose key columns tell its rows apart."""

    name: str
    keys: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Return the file."""
        return path_of(self.name)

    def key(self, row: Row) -> tuple[str, ...]:
        """Return what tells a row apart, as text."""
        return tuple("" if row[name] is None else str(row[name]) for name in self.keys)

    def locked(self) -> FileLock:
        """Return the lock that whoever changes the file holds, from reading to writing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{self.name}.lock"))

    def read(self) -> list[Row]:
        """Return the rows that there are so far, as text; `code` is empty where no code is known.

        Raises: Unfit if a key is no column of the file, a row does not fit the header, or two rows have the same keys.
        """
        if not self.path.is_file():
            return []
        reader = csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8")))
        header, rows = reader.fieldnames or [], list(reader)
        missing = [name for name in self.keys if name not in header]
        cure = "mend the file, or measure every row anew with --fresh and no --part"
        if missing or len(set(header)) < len(header):
            wanted, came = ", ".join(self.keys), ", ".join(header)
            raise Unfit(f"{self.path} must have the columns {wanted}, once each, but it has {came}: {cure}")
        for number, row in enumerate(rows, start=2):
            if None in row or None in row.values():
                raise Unfit(f"{self.path}, row {number}: as many values are needed as the header has: {cure}")
        if len(set(map(self.key, rows))) < len(rows):
            raise Unfit(f"{self.path} must have one row for each {', '.join(self.keys)}, but some are repeated: {cure}")
        return [row | {"code": row.get("code", "")} for row in rows]

    def write(self, rows: list[Row]) -> None:
        """Write the file whole, or leave it as it is. Raises: OSError if it cannot be written."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        if not write_atomic(self.path, text.getvalue().encode()):
            raise OSError(f"cannot write {self.path}")

    def add(self, row: Row, order: dict[tuple[str, ...], int]) -> None:
        """Put a measured row in its place, instead of one with the same keys, whoever else is writing.

        Raises: Unfit if the file has other columns.
        """
        with self.locked():
            rows = {self.key(other): other for other in self.read()}
            for other in rows.values():
                if set(other) != set(row):
                    had, came = ", ".join(other), ", ".join(row)
                    raise Unfit(
                        f"{self.path} has the columns {had}, but this row has {came}: use --fresh without --part. {row}"
                    )
            rows[self.key(row)] = row
            self.write(sorted(rows.values(), key=lambda other: order.get(self.key(other), len(order))))

    def forget(self, which: Callable[[tuple[str, ...]], bool] | None = None) -> None:
        """Remove the rows whose keys `which` says yes to, or the whole file. Raises: Unfit, unless it is the whole."""
        with self.locked():
            kept = [] if which is None else [row for row in self.read() if not which(self.key(row))]
            self.write(kept) if kept else self.path.unlink(missing_ok=True)


def path_of(name: str) -> Path:
    """Return the file of a table."""
    return project_root() / "data" / "results" / f"{name}.csv"


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


def fill(table: Table, wanted: Iterable[Row], measure: Callable[..., Row], description: str | None) -> None:
    """Measure each wanted row that the table lacks; the command line may ask for more: see --help.

    With --part K/N only every N-th row from the K-th, so that N processes share the work and write one table.

    Raises: ValueError if a wanted row has other keys than the table, or two have the same; SystemExit, with a sentence,
    if the file does not fit.
    """
    options, wanted = _parser(description).parse_args(), list(wanted)
    order = _order(table, wanted)
    module = _module_of(measure)
    present = code.hash_of(module)  # now: the sources may change while this runs
    torch.set_flush_denormal(True)  # a CPU crawls over gradients that have faded to less than 1e-38
    part, parts = options.part
    share = wanted[part - 1 :: parts]
    try:
        if options.fresh:
            table.forget(None if parts == 1 else set(map(table.key, share)).__contains__)
        if options.stale:
            table.forget(lambda key: key not in order)  # no longer asked for: nothing would measure them again
        print(status(table, module), flush=True)
        for row in share:
            done = {table.key(other): other["code"] for other in table.read()}
            if table.key(row) in done and (not options.stale or done[table.key(row)] == present):
                continue
            measured = row | measure(**row) | made_with() | {"code": present}
            table.add(measured, order)
            print(measured, flush=True)
    except Unfit as error:
        raise SystemExit(str(error)) from None


def status(table: Table, module: str) -> str:
    """Return a line on whose code made the rows of a table, with the command that measures anew what is not present."""
    counts = kinds(table, module)
    made = ", ".join(f"{counts[kind]} by {kind}" for kind in KINDS)
    cure = "" if counts[KINDS[0]] == counts.total() else f"; to measure the others again: python -m {module} --stale"
    return f"{table.name}: {counts.total()} rows: {made}{cure}"


def kinds(table: Table, module: str) -> Counter:
    """Return how many rows of a table the present code made, older code, and unknown code."""
    present = code.hash_of(module)
    return Counter(KINDS[(row["code"] != present) + (not row["code"])] for row in table.read())


def tables() -> dict[str, Table]:
    """Return the table of each experiment, by the name of its module."""
    names = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__, "experiments."))
    found = {name: getattr(importlib.import_module(name), "TABLE", None) for name in names}
    return {name: table for name, table in found.items() if table is not None}


def main() -> int:
    """List every table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="exit with 1 if any row is not by the present code")
    strict, older = parser.parse_args().strict, 0
    for module, table in tables().items():
        try:
            print(status(table, module))
            counts = kinds(table, module)
            older += counts.total() - counts[KINDS[0]]
        except Unfit as error:
            raise SystemExit(str(error)) from None
    return int(strict and older > 0)


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="forget the rows of an earlier run")
    parser.add_argument(
        "--stale", action="store_true", help="measure again the rows of older or unknown code, drop those not asked for"
    )
    parser.add_argument("--part", type=_part, default=(1, 1), help="the share of this process, as in 1/2 and 2/2")
    return parser


def _part(text: str) -> tuple[int, int]:
    """Return K and N of K/N; for argparse, which shows the sentence and stops."""
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"must be K/N with K from 1 to N, as in 1/2 and 2/2, not {text!r}")
    return int(part), int(parts)


def _order(table: Table, wanted: list[Row]) -> dict[tuple[str, ...], int]:
    """Return the place of each wanted row, by its key."""
    for row in wanted:
        if set(row) != set(table.keys):
            raise ValueError(f"wanted must have the keys {', '.join(table.keys)} of {table.name}, not {', '.join(row)}")
    order = {table.key(row): place for place, row in enumerate(wanted)}
    if len(order) < len(wanted):
        raise ValueError(f"wanted must hold each row of {table.name} once, but {len(wanted) - len(order)} are repeated")
    return order


def _module_of(measure: Callable[..., Row]) -> str:
    """Return the name under which the module of an experiment is imported, also if it is the one that runs."""
    spec = sys.modules[measure.__module__].__spec__
    return measure.__module__ if spec is None else spec.name


if __name__ == "__main__":
    from experiments import table  # the module that the experiments import: its Unfit is the one that they raise

    sys.exit(table.main())
