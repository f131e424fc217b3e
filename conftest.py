"""Hooks for every run of pytest: the order of the files, strictness in CI, and where the time went."""

import os
from typing import Any

import pytest

from tools import suite

STRICT = ("CI", "VAE_STRICT")  # variables: either one, with anything but 0 or nothing in it, makes warnings errors


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slowest-files", type=int, default=15, metavar="N", help="show the N longest files; 0: none (15)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of the files, which xdist would sort by their number of tests; make warnings errors in CI."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    if any(os.environ.get(name, "0") not in ("", "0", "false") for name in STRICT):
        # Before the lines of pyproject.toml, of which the last that fits counts: what they ignore stays ignored.
        config.getini("filterwarnings").insert(0, "error")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest; tools/suite.py says why in which order."""
    items[:] = [items[k] for k in suite.ordered(item.nodeid.split("::")[0] for item in items)]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the seconds of each file, if there were several."""
    most = config.getoption("slowest_files")
    found = [report for group in terminalreporter.stats.values() for report in group if hasattr(report, "when")]
    if most and len({report.nodeid.split("::")[0] for report in found}) > 1:
        terminalreporter.section("seconds by file")
        for line in suite.table(found, most):
            terminalreporter.write_line(line)
