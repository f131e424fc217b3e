"""The notebooks' own tools: running, regenerating, scrubbing, and carrying the address."""

import base64
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from nbformat import v4
from PIL import Image

from tools import address, files, lab, notebooks

BAR = "  0%|          | 0/30 [00:00<?, ?it/s]"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with two notebooks, one of which fails in its second code cell."""
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    good = [v4.new_markdown_cell("# 1. Good"), v4.new_code_cell("import os\nprint(os.path.basename(os.getcwd()))")]
    bad = [v4.new_code_cell("x = 1"), v4.new_code_cell("\nx / 0  # too far"), v4.new_code_cell("x")]
    for stem, cells in {"01_good": good, "02_bad": bad}.items():
        files.replace(tmp_path / "notebooks" / f"{stem}.ipynb", files.to_text(v4.new_notebook(cells=cells)))
    return tmp_path / "notebooks"


def call(*words):
    arguments = notebooks.parser().parse_args(words)
    return arguments.function(arguments)


def data_set(monkeypatch, is_full):
    module = SimpleNamespace(load_dataset=lambda name: SimpleNamespace(is_full=is_full))
    monkeypatch.setitem(sys.modules, "vae_utils.data", module)


def test_run_goes_on_after_a_failure_and_names_it(folder, tmp_path, capfd):
    assert call("run", "--out", str(tmp_path / "out")) == 1
    printed = capfd.readouterr().out.splitlines()
    assert printed[0].startswith("01_good") and printed[0].endswith(" s  ok")
    assert printed[1].startswith("02_bad")
    assert printed[1].endswith("code cell 2 (x / 0  # too far): ZeroDivisionError: division by zero")
    assert printed[2] == "1 of 2 notebooks failed."
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("01_good.html", "01_good.ipynb", "02_bad.html", "02_bad.ipynb")
    ]
    assert files.read(tmp_path / "out" / "01_good.ipynb").cells[1].outputs[0].text == "notebooks\n"
    assert files.read(folder / "01_good.ipynb").cells[1].outputs == []


def test_regenerate_replaces_only_what_succeeded(folder, monkeypatch):
    data_set(monkeypatch, is_full=True)
    monkeypatch.setenv("VAE_TRAINED", "kept")
    nb = files.read(folder / "01_good.ipynb")
    nb.cells[1].source = "import os\nprint(os.environ['VAE_TRAINED'] == 'kept')"
    files.replace(folder / "01_good.ipynb", files.to_text(nb))
    bad = (folder / "02_bad.ipynb").read_text(encoding="utf-8")
    assert call("regenerate") == 1
    assert files.read(folder / "01_good.ipynb").cells[1].outputs[0].text == "False\n"
    assert (folder / "02_bad.ipynb").read_text(encoding="utf-8") == bad
    assert call("scrub", "--check", "01") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["01_good.ipynb", "02_bad.ipynb"]


def test_regenerate_refuses_without_the_full_data_set(folder, monkeypatch):
    data_set(monkeypatch, is_full=False)
    with pytest.raises(SystemExit, match="full MNIST"):
        call("regenerate")


def test_scrub_says_then_cleans(folder, capsys):
    assert call("scrub", "--check") == 2
    assert capsys.readouterr().out == "01_good.ipynb is not scrubbed\n02_bad.ipynb is not scrubbed\n"
    assert call("scrub", "02_bad") == 0
    assert call("scrub", "--check") == 1


def test_an_unknown_notebook_is_named(folder):
    with pytest.raises(SystemExit, match="No notebook is called 7; there are: 01_good, 02_bad."):
        call("scrub", "7")


def png(picture):
    picture.save(stream := io.BytesIO(), "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_what_scrub_keeps_and_drops():
    dot = png(Image.new("RGB", (1, 1)))
    view = {"model_id": "ab12", "version_major": 2, "version_minor": 0}
    shown = [
        v4.new_output("stream", name="stderr", text="careful\n"),
        v4.new_output("stream", name="stdout", text="one"),
        v4.new_output("display_data", data={"text/plain": BAR, files.WIDGET_VIEW: view}),
        v4.new_output(
            "stream", name="stdout", text="\ntwo\n\r 40%|####   | 12/30 [00:01<00:02, 9.1it/s]\nthree | 1/2\n"
        ),
        v4.new_output("display_data", data={"text/plain": "VBox()", "image/png": dot, files.WIDGET_VIEW: view}),
        v4.new_output("execute_result", data={"text/plain": "3"}, execution_count=9),
    ]
    metadata = {"tags": ["nbval-ignore-output"], "execution": {"shell.execute_reply": "now"}, "collapsed": False}
    cells = [
        v4.new_code_cell("import os", execution_count=8, id="kept"),
        v4.new_code_cell("Show it all, twice over", outputs=shown, execution_count=9, metadata=metadata),
    ]
    nb = v4.new_notebook(cells=cells, metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.9.1"}})
    nb.cells[1].id = "kept"
    files.scrub(nb, "03_kl")
    assert nb.metadata == {"kernelspec": files.KERNELSPEC, "language_info": {"name": "python"}}
    assert [cell.id for cell in nb.cells] == ["kept", "03-show-it-all-twice"]
    assert [cell.execution_count for cell in nb.cells] == [1, 2]
    assert nb.cells[1].metadata == {"tags": ["nbval-ignore-output"]}
    text, still, result = nb.cells[1].outputs
    assert text.text == "one\ntwo\nthree | 1/2\n"
    assert still.data == {"text/plain": "VBox()", "image/png": files.small(dot)}
    assert result.execution_count == 2
    assert files.to_text(files.scrub(files.reads(files.to_text(nb)), "03_kl")) == files.to_text(nb)


def test_scrub_leaves_a_cell_that_has_not_run_uncounted():
    cells = [v4.new_code_cell("1", execution_count=5), v4.new_code_cell("2")]
    nb = files.scrub(v4.new_notebook(cells=cells), "01_x")
    assert [cell.execution_count for cell in nb.cells] == [5, None]


def test_notebooks_are_written_with_indent_1_and_letters_as_they_are():
    text = files.to_text(v4.new_notebook(cells=[v4.new_markdown_cell("é β", id="a")]))
    assert text.startswith('{\n "cells": [\n  {') and '"é β"' in text and text.endswith("}\n")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.replace(path, "old")
    monkeypatch.setattr(files.os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        files.replace(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_one_address_is_carried_everywhere(tmp_path):
    nb = v4.new_notebook(
        cells=[
            v4.new_markdown_cell(address.badge("old/place", "01_x") + " and https://github.com/pytorch/examples"),
            v4.new_code_cell('REPO = "https://github.com/old/place"\nprint("é")'),
        ]
    )
    files.replace(tmp_path / "notebooks" / "01_x.ipynb", files.to_text(nb))
    files.replace(tmp_path / "pyproject.toml", '[project.urls]\nRepository = "https://github.com/old/place"\n')
    files.replace(tmp_path / "README.md", "git clone https://github.com/other/place\n")
    changed = address.spread("new.name/the-place", tmp_path)
    assert [path.name for path in changed] == ["pyproject.toml", "README.md", "01_x.ipynb"]
    assert address.repository(tmp_path) == "new.name/the-place"
    assert (tmp_path / "README.md").read_text() == "git clone https://github.com/new.name/the-place\n"
    first, second = files.read(tmp_path / "notebooks" / "01_x.ipynb").cells
    assert first.source == address.badge("new.name/the-place", "01_x") + " and https://github.com/pytorch/examples"
    assert second.source == 'REPO = "https://github.com/new.name/the-place"\nprint("é")'
    assert address.spread(root=tmp_path) == []
    json.loads((tmp_path / "notebooks" / "01_x.ipynb").read_text(encoding="utf-8"))


def test_a_jupyterlab_of_ones_own_finds_a_port_and_keeps_its_token_to_itself(tmp_path):
    (tmp_path / "root").mkdir()
    asked = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with lab.serve(tmp_path / "root", tmp_path / "own") as server:
        (written,) = [json.loads(path.read_text()) for path in (tmp_path / "own" / "runtime").glob("jpserver-*.json")]
        assert written["port"] == server.port > 0 and written["token"] == server.token
        with asked.open(server.url("api/contents"), timeout=30) as answer:
            assert json.load(answer)["content"] == []
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            asked.open(server.url("api/contents").split("?")[0], timeout=30)
        refused.value.close()
        command = Path("/proc", str(written["pid"]), "cmdline")  # which every user of a Linux machine may read
        shown = command.read_text() if command.exists() else " ".join(server.command())
        assert "jupyterlab" in shown and server.token not in shown
        assert server.token not in server.log.read_text(encoding="utf-8")
    with pytest.raises(urllib.error.URLError):
        asked.open(server.url("api/contents"), timeout=30)


def test_a_jupyterlab_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(
        lab.Server, "command", lambda server: [sys.executable, "-c", "raise SystemExit('no such port')"]
    )
    with pytest.raises(RuntimeError, match="does not answer:\nno such port"), lab.serve(tmp_path, tmp_path / "own"):
        pass


@pytest.mark.parametrize("wrong", ["name", "https://github.com/a/b", "a/b c", ""])
def test_a_wrong_address_is_refused(tmp_path, wrong):
    with pytest.raises(SystemExit, match="OWNER/NAME"):
        address.spread(wrong, tmp_path)


@pytest.fixture
def checkout(tmp_path):
    """A project in a repository of its own, whose address is not known yet."""
    files.replace(tmp_path / "pyproject.toml", '[project.urls]\nRepository = "https://github.com/OWNER/REPO"\n')
    files.replace(tmp_path / "README.md", "git clone https://github.com/OWNER/REPO\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    "url",
    [
        *("https://github.com/an-owner/vae.notes", "https://github.com/an-owner/vae.notes.git"),
        *("git@github.com:an-owner/vae.notes.git", "ssh://git@github.com/an-owner/vae.notes"),
        "https://name:token@github.com/an-owner/vae.notes.git",
    ],
)
def test_the_address_is_that_of_the_remote(checkout, url):
    subprocess.run(["git", "remote", "add", "origin", url], cwd=checkout, check=True)
    assert address.remote(checkout) == "an-owner/vae.notes"


def test_without_a_remote_on_github_it_says_what_to_do(checkout, monkeypatch):
    with pytest.raises(SystemExit, match="no git remote called origin. Name the repository: make address REPO="):
        address.remote(checkout)
    subprocess.run(["git", "remote", "add", "origin", "https://me:secret@example.org/a/b"], cwd=checkout, check=True)
    with pytest.raises(SystemExit, match="origin is https://example.org/a/b, which is not a repository on GitHub"):
        address.remote(checkout)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="git is not installed"):
        address.remote(checkout)


def test_another_address_is_named_with_the_command_that_mends_it(checkout, capsys):
    with pytest.raises(SystemExit) as told:
        address.check("an-owner/vae", checkout)
    assert str(told.value) == (
        "pyproject.toml, README.md: not the address of an-owner/vae. Run `make address REPO=an-owner/vae`, and commit."
    )
    address.spread("An-Owner/vae", checkout)
    address.check("an-owner/vae", checkout)
    assert capsys.readouterr().out.startswith("an-owner/vae: every badge")
    files.replace(checkout / "README.md", "git clone https://github.com/an-owner/vae-2\n")
    assert address.differing("an-owner/vae", checkout) == ["README.md"]


def test_pictures_are_stored_with_a_palette_and_look_the_same():
    ramp = Image.fromarray(np.linspace(0, 255, 100 * 100).reshape(100, 100).astype(np.uint8)).convert("RGB")
    full = png(ramp)
    small = files.small(full)
    seen = Image.open(io.BytesIO(base64.b64decode(small)))
    assert seen.mode == "P" and files.small(small) == small
    assert np.abs(np.asarray(seen.convert("RGB")).astype(int) - np.asarray(ramp)).max() <= 3
