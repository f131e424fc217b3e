"""The run as on Colab: what can be checked of it without making its environment."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import colab
from tools.files import ROOT

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
not_windows = pytest.mark.skipif(os.name == "nt", reason="the tool is not for Windows")


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def cloned(tmp_path):
    """A changed checkout's snapshot, cloned as the setup cell does it."""
    source, origin, home = tmp_path / "source", tmp_path / "an origin é", tmp_path / "home"
    for folder in (source, origin, home):
        folder.mkdir()
    env = colab.variables(tmp_path) | colab.redirect("OWNER/REPO", origin)
    write(
        source, {".gitignore": "data/*\n", "kept.txt": "1", "changed.txt": "1", "deleted.txt": "1", "data/a.txt": "1"}
    )
    colab.git(source, "init", "--quiet", env=env)
    colab.git(source, "add", "--all", env=env)
    colab.git(source, "add", "--force", "data/a.txt", env=env)
    write(source, {"changed.txt": "2", "sub folder/new é.txt": "2", "data/ignored.txt": "2"})
    (source / "deleted.txt").unlink()
    colab.snapshot(source, origin, env)
    address = "https://github.com/OWNER/REPO"
    colab.git(tmp_path, "clone", "--quiet", "--depth=1", address, "vae-notebooks", env=env)
    return tmp_path / "vae-notebooks", env


@needs_git
def test_the_clone_is_the_checkout_as_it_is(cloned):
    folder, _ = cloned
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    found = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}
    assert found == {
        ".gitignore": "data/*\n", "kept.txt": "1", "changed.txt": "2", "data/a.txt": "1", "sub folder/new é.txt": "2"
    }  # fmt: skip


@needs_git
def test_no_other_address_is_asked(cloned):
    folder, env = cloned
    with pytest.raises(SystemExit, match="'https' not allowed"):
        colab.git(folder, "clone", "https://github.com/OTHER/REPO", env=env)


@needs_git
def test_a_folder_that_is_no_checkout_is_named(tmp_path):
    env = {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    with pytest.raises(SystemExit, match=f"git status failed in {re.escape(str(tmp_path))}: .*not a git repository"):
        colab.git(tmp_path, "status", env=os.environ | env)


def test_colab_stands_in_for_itself_and_records():
    code = """
        import google.colab, sys
        from google.colab import output
        from google.colab.files import download
        output.enable_custom_widget_manager()
        download("a.png")
        print(google.colab.calls, "google.colab" in sys.modules, hasattr(output, "__path__"))
    """.replace(" " * 8, "")
    env = os.environ | {"PYTHONPATH": str(colab.STUB)}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert printed == "['output.enable_custom_widget_manager', 'files.download'] True False\n"


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_pyproject_admits_the_pins():
    bounds = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    shared = {name: pin for name, pin in colab.PINS.items() if name in bounds}
    assert len(shared) >= 4
    assert {name: pin for name, pin in shared.items() if numbers(pin) < numbers(bounds[name])} == {}


def test_nobodys_settings_come_along(monkeypatch, tmp_path):
    for name in ("PYTHONPATH", "PYTHONWARNINGS", "GIT_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "VAE_DATA"):
        monkeypatch.setenv(name, "mine")
    values = colab.variables(tmp_path)
    assert [name for name, value in values.items() if value == "mine"] == []
    assert values["VAE_DATA"] == str(Path("mine").resolve())
    monkeypatch.delenv("VAE_DATA")
    assert colab.variables(tmp_path)["VAE_DATA"] == str(ROOT / "data")


@pytest.fixture
def environment_in(monkeypatch, tmp_path):
    """An environment that is elsewhere, and into which nothing is installed."""
    monkeypatch.setattr(colab, "VENV", tmp_path / "environment")
    monkeypatch.setattr(colab, "USED", "pytest")
    installed = []
    monkeypatch.setattr(colab, "install", installed.append)
    return installed


@not_windows
def test_the_environment_has_what_this_one_has_but_not_the_project(environment_in):
    colab.make_environment()
    probe = [colab.python(), "-c", colab.PROBE, "pytest"]
    env = colab.variables(colab.VENV)
    done = subprocess.run(probe, cwd=colab.VENV, env=env, capture_output=True, text=True)
    assert done.stdout.endswith(f" - pytest {pytest.__version__}\n"), done.stderr
    done = subprocess.run(probe, cwd=colab.VENV, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 1 and "without the setup cell" in done.stderr


@not_windows
def test_the_environment_is_made_once_for_its_pins(environment_in, monkeypatch):
    colab.make_environment()
    colab.make_environment()
    assert environment_in == [colab.site_packages(colab.VENV)]
    monkeypatch.setitem(colab.PINS, "numpy", "2.2")
    colab.make_environment()
    assert len(environment_in) == 2


@not_windows
def test_versions_that_do_not_go_together_leave_nothing(environment_in, monkeypatch):
    monkeypatch.setattr(colab, "USED", "not_there")
    with pytest.raises(SystemExit, match="do not go together"):
        colab.make_environment()
    assert not colab.VENV.exists()


@not_windows
def test_without_the_network_it_says_what_is_missing_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(colab, "VENV", tmp_path / "environment")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(SystemExit, match=r"Not installed: .*ipywidgets==7\.7\.1.*needs the network"):
        colab.make_environment()
    assert not colab.VENV.exists()


def test_what_the_kernels_report_is_held_against_the_run(tmp_path):
    good, bad, mute = (tmp_path / stem / f"{stem}.ipynb" for stem in ("01_good", "02_bad", "03_mute"))
    clone = good.parent / "vae-notebooks" / "vae_utils" / "__init__.py"
    versions = {"numpy": "2.1.3", "ipywidgets": "7.7.1", "matplotlib": "3.10.9"}
    other = versions | {"ipywidgets": "8.1.9", "numpy": "2.10.0"}
    records = [{"file": str(clone), "versions": versions}, {"file": "/elsewhere/__init__.py", "versions": other}]
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert colab.complaints(log, [good, bad, mute]) == [
        "02_bad has not imported vae_utils from the clone that its setup cell makes",
        "03_mute has not imported vae_utils from the clone that its setup cell makes",
        "/elsewhere/__init__.py met numpy 2.10.0, ipywidgets 8.1.9",
        "vae_utils came from /elsewhere/__init__.py",
    ]
    log.write_text(json.dumps(records[0]), encoding="utf-8")
    assert colab.complaints(log, [good]) == []


def test_words_before_the_first_option_are_notebooks(monkeypatch):
    monkeypatch.setattr(colab, "make_environment", lambda: None)
    monkeypatch.setattr(colab, "run", lambda names, options, private: (names, options))
    monkeypatch.setattr(colab.os, "name", "posix")
    assert colab.main(["02", "03_x", "-k", "sliders"]) == (["02", "03_x"], ["-k", "sliders"])
    assert colab.main([]) == ([], [])


def test_notebooks_lie_alone(tmp_path):
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    copies = colab.lay_out(paths, tmp_path / "content")
    assert [copy.read_bytes() for copy in copies] == [path.read_bytes() for path in paths]
    assert [list(copy.parent.iterdir()) for copy in copies] == [[copy] for copy in copies]
