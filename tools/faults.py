"""Take each protection away, in a copy of the project, and see the test that watches over it fail.

python -m tools.faults           every row of the table, about ten minutes on one core
python -m tools.faults bomb      the rows whose names begin so
python -m tools.faults --list    their names, and nothing is run
python -m tools.faults --write   put the table into tests/README.md

A row whose test passes without its protection is a test that cannot fail: the exit status is then 1.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tools.colab import git
from tools.fault_table import FAULTS, Fault
from tools.files import ROOT, replace

README = ROOT / "tests" / "README.md"
START, END = "<!-- the table begins: python -m tools.faults --write -->", "<!-- the table ends -->"
LIMIT = 90  # seconds for one test: what takes longer may hang, or wait for a busy machine, and shows neither


def chosen(names: list[str]) -> list[Fault]:
    """Return the rows whose names begin with one of these, or all. Exits, naming it, on a name of no row."""
    for name in names:
        if not any(fault.name.startswith(name) for fault in FAULTS):
            sys.exit(f"No fault is called {name}; python -m tools.faults --list shows the names.")
    return [fault for fault in FAULTS if not names or fault.name.startswith(tuple(names))]


def table() -> str:
    """Return the table as tests/README.md shows it, area by area."""
    lines = []
    for area in dict.fromkeys(fault.area for fault in FAULTS):
        rows = [fault for fault in FAULTS if fault.area == area]
        lines += [f"## {area}", "", "| fault | what causes it in the test | what the reader sees | test |"]
        lines += ["|---|---|---|---|", *map(row, rows), ""]
    return "\n".join(lines)


def row(fault: Fault) -> str:
    """Return a line of the table, with a link to the test's file."""
    path, _, name = fault.test.partition("::")
    cells = (fault.fault, fault.cause, fault.seen, f"[{name}]({Path(path).relative_to('tests').as_posix()})")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_table(text: str) -> str:
    """Return a README with the table as it is now, in place of the one between its two marks."""
    head, _, rest = text.partition(START)
    return f"{head}{START}\n\n{table()}\n{END}{rest.partition(END)[2]}"


def copy_project(target: Path) -> None:
    """Copy the checkout as it is, uncommitted changes included, without what is ignored."""
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def take_away(fault: Fault, folder: Path) -> str:
    """Edit the protection out of a copy, and return what its file held before. Raises: ValueError if it is not there.

    It has to be there exactly once: otherwise nobody knows what the test fails without.
    """
    path = folder / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: {text.count(fault.old)} places in {fault.file}, not 1, read {fault.old!r}")
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8", newline="\n")
    return text


def run_tests(tests: list[str], folder: Path, limit: float) -> tuple[int | None, str]:
    """Run tests in a copy; return pytest's exit status, None if they took too long, and what it printed."""
    values = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    values |= {"VAE_DATA": str(Path(os.environ.get("VAE_DATA") or ROOT / "data").resolve())}
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
    own = {"start_new_session": True} if os.name != "nt" else {}  # so that what a test started ends with it
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=folder, env=os.environ | values, **pipe, **own) as process:
        try:
            printed, _ = process.communicate(timeout=limit)
            return process.returncode, printed
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            with suppress(OSError):  # nobody is left of them
                os.killpg(process.pid, signal.SIGKILL) if own else process.kill()


def verdict(status: int | None, printed: str) -> tuple[bool, str]:
    """Tell whether a test failed as it should, and in a few words how; an error while it is collected is no failure."""
    if status is None:
        return False, f"TIMED OUT after {LIMIT} s, which shows nothing: let the test itself end what hangs"
    failed = re.search(r"(?m)^FAILED .+?(?: - (.*))?$", printed)
    if status == 2 and "! KeyboardInterrupt !" in printed:
        return True, "the interrupt came through"
    if status == 1 and failed:
        return True, f"failed: {failed[1] or 'see the test'}"
    return False, "PASSED without its protection" if status == 0 else f"was not run (pytest says {status}): {printed}"


def run(faults: list[Fault]) -> int:
    """Run the tests as they are, then each without its protection; print a line for each, return how many are wrong."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder, wrong, began = Path(name).resolve(), 0, time.monotonic()
        copy_project(folder)
        status, printed = run_tests(list(dict.fromkeys(fault.test for fault in faults)), folder, LIMIT * len(faults))
        if status not in (0, 1):
            sys.exit(f"With every protection in place the tests do not run:\n{printed}")
        for fault in faults:
            start = time.monotonic()
            good, how = False, "FAILS with its protection in place, too: on a busy machine, run it again"
            if not re.search(rf"(?m)^(FAILED|ERROR) {re.escape(fault.test)}", printed):
                before = take_away(fault, folder)
                good, how = verdict(*run_tests(["-x", fault.test], folder, LIMIT))
                (folder / fault.file).write_text(before, encoding="utf-8", newline="\n")
            wrong += not good
            print(f"{'ok   ' if good else 'WRONG'} {time.monotonic() - start:5.1f} s  {fault.name}: {how}", flush=True)
    caught = len(faults) - wrong
    print(f"{caught} of {len(faults)} tests fail without their protection ({time.monotonic() - began:.0f} s).")
    return wrong


def main(words: list[str]) -> int:
    """Do what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of rows' names; all if none")
    parser.add_argument("--list", action="store_true", help="print the names, run nothing")
    parser.add_argument("--write", action="store_true", help="put the table into tests/README.md, run nothing")
    options = parser.parse_args(words)
    faults = chosen(options.names)
    if options.list:
        print("\n".join(f"{fault.name:<28} {fault.fault}" for fault in faults))
    if options.write:
        replace(README, with_table(README.read_text(encoding="utf-8")))
    return 0 if options.list or options.write else min(1, run(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
