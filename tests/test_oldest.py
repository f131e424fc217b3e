"""The environment with the lowest versions: what it asks for, and how it says where it could not have the lowest."""

import subprocess
import sys

import pytest

from tools import oldest
from tools.files import ROOT


def test_what_is_above_its_bound_is_named():
    wanted, installed = ["a>=1.0", "b>=2.1", "c>=0.5"], {"a": "1.0.0", "b": "2.1.3", "c": "0.5.0+cpu"}
    assert [line.split(":")[0] for line in oldest.above(wanted, installed)] == ["b 2.1.3"]


@pytest.mark.parametrize("wanted", ["a", "a>=1", "a==1"])
def test_what_has_no_bound_or_is_missing_is_refused(wanted):
    with pytest.raises(ValueError, match=r"a.* should have one bound >= and be installed"):
        oldest.above([wanted], {} if ">=" in wanted else {"a": "1"})


def test_every_dependency_of_the_project_is_compared():
    wanted = oldest.requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {"torch>=2.2", "pytest>=8.0"} <= set(wanted) and len(set(wanted)) == len(wanted)


def test_a_failed_installation_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(oldest, "VENV", tmp_path / "made")
    monkeypatch.setattr(oldest.venv, "create", lambda path, **_: path.mkdir())
    monkeypatch.setattr(oldest, "commands", lambda python: [[sys.executable, "-c", "raise SystemExit(3)"]])
    with pytest.raises(SystemExit, match="nothing was left behind"):
        oldest.make()
    assert not (tmp_path / "made").exists()


def test_it_starts_on_a_python_with_nothing_installed():
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import tools.oldest"], cwd=ROOT
    )
    assert done.returncode == 0
