"""The two lists of dependencies, pyproject.toml's and environment.yml's, say the same."""

import re
import sys

import yaml  # comes with JupyterLab

from tools.files import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it
    import tomli as tomllib

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def bounds(requirements: list[str], names: dict[str, str] = CONDA_NAMES) -> dict[str, str]:
    """Split `name>=1.0` into name, as conda calls it, and bound."""
    pairs = [re.fullmatch(r"([\w-]+)(.*)", requirement).groups() for requirement in requirements]
    return {names.get(name, name): bound for name, bound in pairs}


CONDA = bounds([entry for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str)], {})
RUNTIME = bounds(PROJECT["dependencies"])
DEV = bounds(PROJECT["optional-dependencies"]["dev"])


def test_conda_installs_what_the_project_needs():
    assert {name: CONDA.get(name) for name in RUNTIME} == RUNTIME


def test_conda_installs_nothing_unknown():
    known = RUNTIME | DEV | {"python": PROJECT["requires-python"], "pip": ""}
    assert {name: known.get(name) for name in CONDA} == CONDA


def test_conda_forge_alone_then_the_project_itself():
    assert set(ENVIRONMENT["channels"]) == {"conda-forge", "nodefaults"}
    assert [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)] == [["-e ."]]


def test_every_dependency_has_a_lower_bound_and_no_upper_one():
    assert [bound for bound in (RUNTIME | DEV).values() if not re.fullmatch(r">=[\d.]+", bound)] == []
