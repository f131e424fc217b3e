"""Fixtures: a browser, a JupyterLab of its own that serves a copy of the notebooks, and evidence where a test fails."""

import os
import re
from collections.abc import Iterator

import pytest

from tools.lab import EVIDENCE, Missing, chromium, copy_project, serve

READERS = dict(os.environ)  # before the fixtures of all tests change it: notebooks run as the reader runs them


@pytest.fixture(scope="session")
def browser():
    """Chromium or Chrome, headless; without one, the whole run fails."""
    try:
        with chromium() as found:
            yield found
    except Missing as missing:
        pytest.exit(str(missing), returncode=1)


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    """A JupyterLab on a copy of the notebooks, which have no outputs yet."""
    folder = tmp_path_factory.mktemp("lab")
    copy_project(folder / "project")
    with serve(folder / "project", folder, READERS) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Name the files that show what the page looked like, and what its console said, when a test failed."""
    report = yield
    stem = getattr(item, "callspec", None) and item.callspec.params.get("notebook")
    if report.failed and stem:
        name = stem.replace("/", "-")
        if report.when == "call":
            name = re.sub(r"\W+", "-", item.name).strip("-")
            item.funcargs["notebook"].save_evidence(EVIDENCE, name)
        report.sections.append(("page", "\n".join(str(EVIDENCE / f"{name}.{kind}") for kind in ("png", "log"))))
    return report
