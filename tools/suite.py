"""What a run of all tests does first, and what it spent its time on."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

# Two workers take one file after another from this list; what is not in it follows: other notebooks, then other tests.
# Long notebooks come first, so that the short tests fill up the end. But 4 trains two models that 5, 6 and 7 load (one
# process trains, the others wait for it), and 1 the judge of 4, 5 and 6: these two start side by side. When 1 ends, the
# only one that 7 needs has long been trained; 6 and 5, which need both, come when 4 has ended. The planted errors of 2
# and 3 use models of those notebooks.
FIRST = ("notebooks/04", "notebooks/01", "notebooks/07", "notebooks/06", "notebooks/02", "notebooks/03", "notebooks/05")
THEN = ("notebooks/", "tests/test_mutations")


def place(path: str) -> int:
    """Return how early a file should start, given its path in the project: the lower, the earlier."""
    starts = (*FIRST, *THEN)
    return next((k for k, start in enumerate(starts) if path.startswith(start)), len(starts))


def ordered(paths: Iterable[str]) -> list[int]:
    """Return the positions of tests, given the path of the file of each, in the order in which they should run.

    Tests of one file, and files of which nothing is known, stay in the order they came in.
    """
    listed = list(paths)
    return sorted(range(len(listed)), key=lambda k: place(listed[k]))


def table(reports: Iterable[Any], most: int = 15) -> list[str]:
    """Return the seconds of each file, its setup and teardown included, and of each worker; the longest come first.

    reports: pytest's, which have nodeid, when, duration and, from a worker, worker_id.
    """
    seconds, workers, tests = defaultdict(float), defaultdict(float), defaultdict(int)
    for report in reports:
        name, worker = report.nodeid.split("::")[0], getattr(report, "worker_id", "")
        seconds[name] += getattr(report, "duration", 0.0)  # a file that was not collected has none
        workers[worker] += report.duration
        tests[name] += report.when == "call"
    files = sorted(seconds.items(), key=lambda item: -item[1])
    lines = [f"{time:8.1f} s  {tests[name]:4} tests  {name}" for name, time in files[:most]]
    rest = sum(time for _, time in files[most:])
    lines += [f"{rest:8.1f} s  in {len(files) - most} other files"] if len(files) > most else []
    return lines + [f"{time:8.1f} s  worker {name}" for name, time in sorted(workers.items()) if name]
