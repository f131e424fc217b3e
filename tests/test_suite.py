"""The order of the files, the table of their seconds, and warnings, which are errors in CI alone."""

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tools import suite
from tools.files import ROOT


def test_notebooks_come_first_and_4_before_what_loads_its_models():
    names = ["tests/test_a.py", "tests/test_mutations_02.py", "notebooks/01_a.ipynb", "notebooks/02_b.ipynb"]
    names += [f"notebooks/{k:02}_x.ipynb" for k in range(3, 10)] + ["tests/test_z.py"]
    found = [names[k] for k in suite.ordered(names)]
    assert [name[:12] for name in found[:2]] == ["notebooks/04", "notebooks/01"]
    assert found[7:] == [*names[9:11], "tests/test_mutations_02.py", "tests/test_a.py", "tests/test_z.py"]


def test_tests_of_one_file_stay_in_their_order():
    assert suite.ordered(["tests/b", "notebooks/04", "tests/a", "notebooks/04"]) == [1, 3, 0, 2]


def test_every_notebook_that_is_named_exists():
    assert [start for start in suite.FIRST if not list(ROOT.glob(f"{start}*"))] == []


def test_what_is_not_run_again_without_data_touches_none():
    names = re.search(r'SAME="([^"]*)"', (ROOT / ".ci" / "run").read_text(encoding="utf-8"))[1].split()
    sources = {name: (ROOT / "tests" / f"test_{name}.py").read_text(encoding="utf-8") for name in names}
    touching = (
        r"load_dataset|\bdigits\b(?=[,)])|embedded_folder|project_kept|mirror|VAE_DATA|VAE_TRAINED|fit_once|load_judge"
    )
    assert names and [name for name, source in sources.items() if re.search(touching, source)] == []


def report(nodeid, duration, when="call", **more):
    return SimpleNamespace(nodeid=nodeid, duration=duration, when=when, **more)


def test_the_table_adds_up_by_file_and_by_worker():
    reports = [report("a.py::x", 1.0, worker_id="gw0"), report("a.py::y[1::2]", 2.0, worker_id="gw0")]
    reports += [report("b.py::z", 8.0, "setup", worker_id="gw1"), report("b.py::z", 0.5, worker_id="gw1")]
    first, second, *workers = suite.table(reports)
    assert first.split() == ["8.5", "s", "1", "tests", "b.py"]
    assert second.split() == ["3.0", "s", "2", "tests", "a.py"]
    assert [line.split() for line in workers] == [["3.0", "s", "worker", "gw0"], ["8.5", "s", "worker", "gw1"]]
    assert [line.split() for line in suite.table(reports[:2] + [report("c.py::w", 0.1)], most=1)[1:2]] == [
        ["0.1", "s", "in", "1", "other", "files"]
    ]


@pytest.fixture
def project(tmp_path):
    """A project with this one's settings, hooks and two tests, of which one warns."""
    for name in ("conftest.py", "pyproject.toml", "tools/__init__.py", "tools/suite.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in ("tests", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "import warnings\n\ndef test_warns():\n    warnings.warn('careful')\n"
    )
    (tmp_path / "tests" / "test_b.py").write_text("def test_is_quiet():\n    pass\n")
    (tmp_path / "notebooks" / "test_c.py").write_text("def test_is_first():\n    pass\n")
    return tmp_path


def run(project, *words, **variables):
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "VAE_STRICT", "PYTEST_ADDOPTS")}
    env = {name: value for name, value in env.items() if not name.startswith("PYTEST_XDIST")} | variables
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take seconds to import
    command = [sys.executable, "-m", "pytest", "-v", "-p", "xdist.plugin", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, encoding="utf-8")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"VAE_STRICT": "1"}])
def test_a_warning_is_an_error_in_ci(project, variables):
    status, printed = run(project, **variables)
    assert status == 1 and "UserWarning: careful" in printed and "1 failed, 2 passed" in printed


@pytest.mark.parametrize("variables", [{}, {"CI": "false"}, {"VAE_STRICT": ""}])
def test_a_warning_is_shown_to_a_reader(project, variables):
    status, printed = run(project, **variables)
    assert status == 0 and "UserWarning: careful" in printed and "3 passed, 1 warning" in printed


def test_a_run_on_two_workers_keeps_the_order_and_ends_with_the_table(project):
    many = "import pytest\n\n@pytest.mark.parametrize('k', range(9))\ndef test_short(k):\n    pass\n"
    (project / "tests" / "test_many.py").write_text(many)  # xdist alone would start with this one
    status, printed = run(project, "-n", "2", "--dist", "loadfile", VAE_STRICT="0")
    assert status == 0 and "12 passed" in printed
    heading, rows = printed.rsplit("seconds by file", 1)
    assert "tests/test_many.py" in rows and "worker gw0" in rows and "worker gw1" in rows
    started = [line.split("::")[0].split()[-1] for line in heading.splitlines() if "::" in line]
    assert set(started[:2]) <= {"notebooks/test_c.py", "tests/test_a.py"}
    assert "seconds by file" not in run(project, "--slowest-files=0")[1]
