"""The tables of measurements: a row is written as it ends, kept, shared out between processes, and says its code."""

import contextlib
import itertools
import subprocess
import sys

import pytest

from experiments import code, table
from vae_utils.runtime import project_root

WANTED = [{"method": name, "draw": draw} for draw in range(2) for name in ("a", "b, too", "c")]
SOME = table.Table("some", ("method", "draw"))
ALL = [(row["method"], str(row["draw"]), str(10 * row["draw"] + len(row["method"]))) for row in WANTED]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that fills a table with arguments of the command line and says what it measured."""
    monkeypatch.setattr(table, "path_of", lambda name: tmp_path / f"{name}.csv")
    monkeypatch.setattr(code, "hash_of", lambda module: "a present code")

    def run(*arguments, stop_at=None, filled=SOME, wanted=WANTED, result="error"):
        measured = []

        def measure(method, draw):
            if (method, draw) == stop_at:
                raise KeyboardInterrupt
            measured.append((method, draw))
            return {result: 10 * draw + len(method)}

        monkeypatch.setattr(sys, "argv", ["experiment", *arguments])
        with contextlib.suppress(KeyboardInterrupt):
            table.fill(filled, iter(wanted), measure, "what it is")
        return measured

    return run


def rows():
    return [(row["method"], row["draw"], row["error"]) for row in SOME.read()]


def change(old, new):
    text = SOME.path.read_text(encoding="utf-8")
    assert old in text
    SOME.path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_table_is_filled_in_order_and_only_once(run):
    assert len(run()) == 6 and rows() == ALL
    assert run() == []


def test_a_stopped_run_goes_on_where_it_was(run):
    assert len(run(stop_at=("b, too", 1))) == 4 and rows() == ALL[:4]
    assert run() == [("b, too", 1), ("c", 1)] and rows() == ALL


def test_processes_share_the_rows_and_the_order_stays(run):
    second, first = run("--part", "2/2"), run("--part", "1/2")
    assert len(first) == len(second) == 3 and not set(first) & set(second)
    assert rows() == ALL


def test_fresh_forgets(run):
    run()
    assert len(run("--fresh")) == 6 and rows() == ALL


def test_fresh_forgets_only_the_share_of_this_process(run):
    run()
    change("c,1,11", "c,1,99")  # the last row is the other's
    assert len(run("--fresh", "--part", "1/2")) == 3
    assert rows() == [*ALL[:5], ("c", "1", "99")]


@pytest.mark.parametrize("part", ["0/2", "3/2", "1/0", "-1/2", "2", "1/2/3", "a/b", "", "/"])
def test_a_part_that_is_none_is_refused(run, part, capsys):
    with pytest.raises(SystemExit):
        run(f"--part={part}")
    assert f"must be K/N with K from 1 to N, as in 1/2 and 2/2, not '{part}'" in capsys.readouterr().err
    assert not SOME.path.exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("method,", "way,", "must have the columns method, draw, once each, but it has way, draw"),
        ("method,draw", "method,method", "must have the columns method, draw, once each"),
        ("a,0,1,", "a,0,", "row 2: as many values are needed as the header has"),
        ("a,0,1,", "a,0,1,1,", "row 2: as many values are needed as the header has"),
        ("a,1,11", "a,0,11", "must have one row for each method, draw, but some are repeated"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_stays(run, old, new, sentence):
    run()
    change(old, new)
    before = SOME.path.read_bytes()
    with pytest.raises(SystemExit, match=sentence):
        run()
    assert SOME.path.read_bytes() == before
    assert len(run("--fresh")) == 6 and rows() == ALL


def test_a_result_of_another_name_is_refused_before_it_mixes_with_the_rows(run):
    run(stop_at=("c", 1))
    with pytest.raises(SystemExit, match="has the columns method, draw, error, .*but this row has method, draw, loss"):
        run(result="loss")
    assert rows() == ALL[:5]


@pytest.mark.parametrize(
    ("keys", "wanted", "sentence"),
    [
        (("method",), WANTED, "wanted must have the keys method of some, not method, draw"),
        (("method", "draw", "size"), WANTED, "wanted must have the keys method, draw, size of some, not method, draw"),
        (("method", "draw"), WANTED + WANTED[:2], "each row of some once, but 2 are repeated"),
    ],
)
def test_wanted_rows_must_have_the_declared_keys(run, keys, wanted, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(filled=table.Table("some", keys), wanted=wanted)


def test_a_row_says_which_code_made_it(run, monkeypatch, capsys):
    run(stop_at=("b, too", 0))
    monkeypatch.setattr(code, "hash_of", lambda module: "another code")
    run(stop_at=("c", 0))
    assert (
        "some: 1 rows: 0 by the present code, 1 by older code, 0 by unknown code; to measure" in capsys.readouterr().out
    )
    assert [row["code"] for row in SOME.read()] == ["a present code", "another code"]


def test_stale_measures_again_what_older_or_unknown_code_made(run, monkeypatch, capsys):
    run()
    change("a,0,1,", "a,0,100,")
    lines = SOME.path.read_text(encoding="utf-8").replace("a present code", "an older code", 1)
    lines = lines[::-1].replace("a present code"[::-1], "", 1)[::-1]  # the last: no code at all
    SOME.path.write_text(lines, encoding="utf-8")
    assert run() == []
    assert "some: 6 rows: 4 by the present code, 1 by older code, 1 by unknown code; to" in capsys.readouterr().out
    assert run("--stale") == [("a", 0), ("c", 1)] and rows() == ALL
    assert run("--stale") == []
    assert capsys.readouterr().out.endswith("6 by the present code, 0 by older code, 0 by unknown code\n")


def test_stale_drops_what_is_no_longer_asked_for(run, capsys):
    run()
    assert run("--stale", "--part", "2/2", wanted=WANTED[:2]) == [] and rows() == ALL[:2]
    assert capsys.readouterr().out.endswith("2 rows: 2 by the present code, 0 by older code, 0 by unknown code\n")


def test_fresh_is_a_cure_for_a_file_that_does_not_fit(run):
    run()
    change("method,draw", "kind,draw")
    with pytest.raises(SystemExit, match="--fresh and no --part"):
        run()
    assert len(run("--fresh")) == 6 and rows() == ALL


def test_a_table_from_before_the_column_is_of_unknown_code(run):
    run()
    change(",code\n", "\n")
    change(",a present code", "")
    assert rows() == ALL and {row["code"] for row in SOME.read()} == {""}
    assert run() == [] and len(run("--stale", "--part", "1/6")) == 1
    assert [row["code"] for row in SOME.read()] == ["a present code", "", "", "", "", ""]


def test_the_command_lists_tables_and_is_strict_about_older_code(run, monkeypatch, capsys):
    run()
    monkeypatch.setattr(table, "tables", lambda: {"experiments.some": SOME})
    monkeypatch.setattr(sys, "argv", ["table", "--strict"])
    assert table.main() == 0
    change("a present code", "")
    assert table.main() == 1  # unknown may be older
    SOME.path.write_text(SOME.path.read_text(encoding="utf-8").rstrip() + "an older code\n", encoding="utf-8")
    capsys.readouterr()
    assert table.main() == 1
    assert "1 by older code, 5 by unknown code; to measure the others again: python -m experiments.some --stale" in (
        capsys.readouterr().out
    )
    monkeypatch.setattr(sys, "argv", ["table"])
    assert table.main() == 0


AS_A_COMMAND = """
import runpy, sys
from pathlib import Path
from experiments import table

file = Path(sys.argv.pop(1))
table.path_of = lambda name: file
runpy.run_module("experiments.table", run_name="__main__", alter_sys=True)
"""


def test_the_command_says_in_a_sentence_what_does_not_fit(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("a,b,c\n1,2\n", encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-c", AS_A_COMMAND, str(file)]
    ran = subprocess.run(command, cwd=project_root(), capture_output=True, text=True)
    assert ran.returncode == 1 and "must have the columns" in ran.stderr and "Traceback" not in ran.stderr


def test_every_committed_table_has_an_experiment_and_can_be_read():
    found = table.tables()
    committed = {path.stem for path in (project_root() / "data" / "results").glob("*.csv")}
    assert {filled.name for filled in found.values()} == committed
    for module, filled in found.items():
        line = table.status(filled, module)
        assert filled.read() and (f"python -m {module}" in line or line.endswith("0 by older code, 0 by unknown code"))


WRITER = """
import sys, time
from pathlib import Path
from experiments import table

folder, name = Path(sys.argv[1]), sys.argv[2]
table.path_of = lambda table: folder / f"{table}.csv"
some, write = table.Table("some", ("method", "draw")), table.Table.write


def slowly(self, rows):
    time.sleep(0.02)  # between reading and writing
    write(self, rows)


table.Table.write = slowly
(folder / f"{name} is ready").touch()
while len(list(folder.glob("* is ready"))) < 2:
    time.sleep(0.005)
for draw in range(15):
    some.add({"method": name, "draw": draw, "error": draw, "code": ""}, {})
"""


def test_two_processes_that_write_at_once_lose_no_row(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "path_of", lambda name: tmp_path / f"{name}.csv")
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen([*command, name], cwd=project_root()) for name in ("one", "two")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    written = {(row["method"], int(row["draw"])) for row in SOME.read()}
    assert written == set(itertools.product(("one", "two"), range(15)))
