"""The table of faults: each protection stands where the table says, each test exists, and README.md shows it all."""

import ast
import re
import shutil

import pytest

from tools import faults
from tools.fault_table import FAULTS, Fault
from tools.files import ROOT

ONE = Fault("Area", "one", "a | b", "c", "d", "tests/test_x.py::test_y", "module.py", "    check(x)\n", "")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_protection_stands_once_in_its_file(fault):
    assert (ROOT / fault.file).read_text(encoding="utf-8").count(fault.old) == 1 and fault.old != fault.new


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_test_exists(fault):
    path, name = fault.test.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name.split("[")[0] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_rows_are_many_and_their_names_differ():
    assert len(FAULTS) >= 40 and len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({(fault.test, fault.old) for fault in FAULTS}) == len(FAULTS), "no row twice under two names"
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", fault.name) for fault in FAULTS)


def test_the_readme_shows_the_table():
    text = faults.README.read_text(encoding="utf-8")
    assert text == faults.with_table(text), "run: python -m tools.faults --write"
    assert len(re.findall(r"(?m)^\|.*\]\(test_\w+\.py\) \|$", text)) == len(FAULTS)


def test_a_row_links_its_test_and_keeps_its_bars():
    assert faults.row(ONE) == r"| a \| b | c | d | [test_y](test_x.py) |"


def test_a_table_replaces_the_one_before():
    text = f"before\n{faults.START}\nold\n{faults.END}\nafter\n"
    once = faults.with_table(text)
    assert once.startswith(f"before\n{faults.START}\n\n## ") and once.endswith(f"{faults.END}\nafter\n")
    assert "old" not in once.split("|")[0] and faults.with_table(once) == once


def test_a_protection_is_taken_away_only_where_it_stands_once(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f(x):\n    check(x)\n    return x\n")
    assert faults.take_away(ONE, tmp_path) == "def f(x):\n    check(x)\n    return x\n"
    assert path.read_text() == "def f(x):\n    return x\n"
    for text, count in (("", 0), (2 * ONE.old, 2)):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"one: {count} places in module.py, not 1"):
            faults.take_away(ONE, tmp_path)


@pytest.mark.parametrize(
    ("status", "printed", "good", "how"),
    [
        (1, "FAILED tests/test_x.py::test_y[a b] - assert 1 == 2\n1 failed in 0.1s", True, "assert 1 == 2"),
        (None, "", False, "TIMED OUT after 90 s"),
        (2, "!!!! KeyboardInterrupt !!!!\nno tests ran", True, "the interrupt came through"),
        (0, "1 passed", False, "PASSED without its protection"),
        (1, "ERROR tests/test_x.py::test_y - NameError", False, "was not run"),
        (2, "ERROR tests/test_x.py - SyntaxError", False, "pytest says 2"),
        (4, "not found: tests/test_x.py::test_y", False, "pytest says 4"),
    ],
)
def test_only_a_test_that_fails_is_a_good_one(status, printed, good, how):
    verdict = faults.verdict(status, printed)
    assert verdict[0] is good and how in verdict[1]


def test_a_test_that_cannot_fail_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "module.py").write_text("def f(x):\n    check(x)\n    return x\n\n\ndef check(x):\n    assert x\n")
    (tmp_path / "tests").mkdir()
    body = "import pytest\nfrom module import f\n\n\n"
    body += "def test_y():\n    with pytest.raises(AssertionError):\n        f(0)\n"
    body += "\n\ndef test_z():\n    assert f(1) == 1\n\n\ndef test_fails():\n    assert 0\n"
    (tmp_path / "tests" / "test_x.py").write_text(body)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -ra\n")
    monkeypatch.setattr(faults, "copy_project", lambda target: shutil.copytree(tmp_path, target, dirs_exist_ok=True))
    blind = Fault(**vars(ONE) | {"name": "blind", "test": "tests/test_x.py::test_z"})
    always = Fault(**vars(ONE) | {"name": "always", "test": "tests/test_x.py::test_fails"})
    assert faults.run([ONE, blind, always]) == 2
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first.startswith("ok ") and "one: failed: " in first and "DID NOT RAISE" in first
    assert second.startswith("WRONG") and second.endswith("blind: PASSED without its protection")
    assert third.startswith("WRONG") and "always: FAILS with its protection in place, too" in third
    assert last.startswith("1 of 3 tests fail without their protection")


def test_names_choose_rows_and_an_unknown_one_is_named(capsys):
    assert [fault.name for fault in faults.chosen(["file-"])] == ["file-damaged", "file-broken-archive", "file-bomb"]
    assert faults.chosen([]) == FAULTS
    assert faults.main(["--list", "upload-large"]) == 0
    assert capsys.readouterr().out == f"{'upload-large':<28} an upload of too many bytes\n"
    with pytest.raises(SystemExit, match="No fault is called nothing"):
        faults.chosen(["nothing"])
