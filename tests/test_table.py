"""The tables of measurements: a row is written as it ends, kept, and shared out between processes."""

import contextlib
import sys

import pytest

from experiments import table

WANTED = [{"method": name, "draw": draw} for draw in range(2) for name in ("a", "b, too", "c")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that fills a table with arguments of the command line and says what it measured."""
    monkeypatch.setattr(table, "path_of", lambda name: tmp_path / f"{name}.csv")

    def run(*arguments, stop_at=None):
        measured = []

        def measure(method, draw):
            if (method, draw) == stop_at:
                raise KeyboardInterrupt
            measured.append((method, draw))
            return {"error": 10 * draw + len(method)}

        monkeypatch.setattr(sys, "argv", ["experiment", *arguments])
        with contextlib.suppress(KeyboardInterrupt):
            table.fill("some", iter(WANTED), measure, "what it is")
        return measured

    return run


def rows():
    return [(row["method"], row["draw"], row["error"]) for row in table.read("some")]


ALL = [(row["method"], str(row["draw"]), str(10 * row["draw"] + len(row["method"]))) for row in WANTED]


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
