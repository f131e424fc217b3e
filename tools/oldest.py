"""Make .venv-oldest, with the lowest version of each dependency that pyproject.toml admits and that has a wheel.

It is run by the Python that the environment is for, which needs nothing installed: python3.10 -m tools.oldest
"""

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-oldest"
# uv knows how to choose the lowest; what the dependencies need themselves is the newest that fits, as for a reader.
LOWEST = ("--resolution", "lowest-direct", "--only-binary", ":all:", "-r", "pyproject.toml", "--extra", "dev")


def commands(python: str) -> list[list[str]]:
    """Return what fills a new environment, given its Python; uv itself reads UV_TORCH_BACKEND=cpu."""
    return [
        [python, "-m", "pip", "install", "-qq", "uv"],
        [python, "-m", "uv", "pip", "install", "--quiet", "--python", python, *LOWEST],
        [python, "-m", "pip", "install", "-qq", "--no-deps", "-e", "."],
        [python, "-m", "tools.oldest", "--report"],
    ]


def make() -> None:
    """Make the environment anew; leave nothing half-made."""
    python = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    print(f"Setting up {VENV.name} for Python {sys.version.split()[0]}: a few minutes.", flush=True)
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=sys.platform != "win32")
        for command in commands(str(python)):
            subprocess.run(command, cwd=ROOT, check=True)
        (VENV / ".ok").touch()
    except BaseException as error:
        shutil.rmtree(VENV, ignore_errors=True)
        if isinstance(error, subprocess.CalledProcessError):
            sys.exit(f"{VENV.name} was not made, and nothing was left behind: see the error above.")
        raise


def requirements(text: str) -> list[str]:
    """Return what a pyproject.toml asks for, its `dev` group included."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pytest brings it
        import tomli as tomllib
    project = tomllib.loads(text)["project"]
    return list(dict.fromkeys([*project["dependencies"], *project["optional-dependencies"]["dev"]]))


def above(wanted: list[str], installed: dict[str, str]) -> list[str]:
    """Return a line for each requirement of which something else than the lowest version is installed.

    Raises: ValueError for a requirement without a lower bound, or one that is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.version import Version

    lines = []
    for requirement in map(Requirement, wanted):
        bounds = [part.version for part in requirement.specifier if part.operator == ">="]
        if len(bounds) != 1 or requirement.name not in installed:
            raise ValueError(f"{requirement} should have one bound >= and be installed")
        version = installed[requirement.name]
        if Version(Version(version).public) != Version(bounds[0]):
            lines.append(f"{requirement.name} {version}: {bounds[0]} has no wheel for this Python, or was withdrawn")
    return lines


def report() -> None:
    """Print which of the versions here are not the lowest that pyproject.toml admits."""
    wanted = requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}
    names |= {name.lower(): version for name, version in names.items()}
    lines = above(wanted, names)
    print(f"{len(wanted) - len(lines)} of {len(wanted)} dependencies at their lowest version.", *lines, sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python3.10 -m tools.oldest", description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="only say which versions are installed, in .venv-oldest")
    report() if parser.parse_args().report else make()
