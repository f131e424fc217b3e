"""The benchmarks run, on few steps: what they would measure is not looked at, because it depends on the machine."""

import sys

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import footprint, profile, race, report, sides, speed

PIXELS, CPU = 64, torch.device("cpu")


@pytest.fixture
def loader(toy):
    """Return what the usual side reads, from the small data set."""
    images, labels = toy.train[:]
    return torch.utils.data.DataLoader(list(zip(images, labels.tolist(), strict=True)), sides.BATCH, shuffle=True)


def test_both_sides_and_the_products_are_timed(toy, loader):
    times = speed.rounds(CPU, toy.train, loader, steps=3, count=2, pixels=PIXELS)
    assert len(times) == 2 and all(min(t.usual, t.ours, t.products) > 0 for t in times)
    step, share = speed.lines(times, CPU, work=1)
    assert step.target == "3.2 times" and share.target == "60%" and {step.met, share.met} <= {"met", "missed"}


def test_the_products_are_those_that_autograd_asks_for(toy):
    activities = [torch.profiler.ProfilerActivity.CPU]
    model, (x, y) = sides.Net(PIXELS), toy.train[: sides.BATCH]
    with torch.profiler.profile(activities=activities, record_shapes=True, with_flops=True) as seen:
        torch.stack(model.terms(x, y)).sum().backward()
    asked = sum(event.flops for event in seen.key_averages() if event.key in ("aten::mm", "aten::addmm"))
    assert speed.flops(speed.products(CPU, PIXELS)) == asked


def test_the_usual_side_learns_and_gives_the_loss_of_each_step(loader):
    torch.manual_seed(0)
    steps = sides.usual_steps(sides.Net(PIXELS), loader, CPU)
    losses = [next(steps) for _ in range(40)]
    assert losses[-1] < losses[0]


def test_the_race_tells_when_each_side_arrived(toy, loader):
    found = race.usual_arrivals((1e9, 1e8, 0.0), toy, loader, CPU, seed=0, every=2, most=4, pixels=PIXELS)
    assert set(found) == {1e9, 1e8} and {arrival.steps for arrival in found.values()} == {2}
    own = race.our_arrival(3, 1e-3, toy, CPU, seed=0, pixels=PIXELS)
    assert own.steps == 3 and own.seconds > 0
    usual = [race.Arrival(12.0, 470, 106.6)]
    quick = race.Arrival(1.0, 3, 106.0)
    assert race.line(106.7, usual, [quick], 1, CPU).met == "met"
    assert race.line(106.7, usual, [race.Arrival(3.0, 3, 106.0)], 1, CPU).met == "missed"
    assert race.line(106.7, usual, [race.Arrival(1.0, 3, 107.0)], 1, CPU).met == "missed"  # fast, and not there
    assert "not there after" in race.line(101.2, [], [quick], 1, CPU).usual


def test_imports_and_memory_are_measured_in_processes_of_their_own():
    assert all(seconds > 0 for seconds in footprint.import_seconds("from vae_utils import runtime", repeats=1))
    assert "vae_utils" in footprint.costs("from vae_utils import runtime")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say what a process took")
def test_memory_is_that_of_a_process_in_megabytes_and_not_of_the_one_that_starts_it():
    alone = footprint.peak_megabytes("neither")
    ballast = torch.ones(250_000_000, dtype=torch.uint8).repeat(4)  # 1,000 MB, more than the process takes
    assert 50 < alone < 900 and len(ballast) > 1e9 - 1
    assert abs(footprint.peak_megabytes("neither") - alone) < 100


def test_the_profile_accounts_for_the_whole_step(toy):
    found = profile.shares(toy.train, steps=3, pixels=PIXELS)
    assert {"matrix products", "Adam", "indexing and conversion", "random numbers"} <= set(found)
    assert all(milliseconds >= 0 for milliseconds in found.values())


@pytest.mark.parametrize(
    ("operation", "group"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::add_", "sigmoid, cross-entropy, sums"),
        ("aten::clamp_min", "ReLU"),
        ("aten::copy_", "indexing and conversion"),
        ("aten::view", "memory, views, autograd's own"),
    ],
)
def test_an_operation_belongs_to_the_group_that_knows_most_of_its_name(operation, group):
    assert profile.group_of(operation) == group


def test_the_command_prints_a_table_of_what_was_asked_for(monkeypatch, capsys):
    line = report.Line("a step", "cpu", "2", "1", report.ranged([1.0, 2.0, 4.0])).aimed("2 times", True)
    monkeypatch.setattr(speed, "measure", lambda: [line])
    monkeypatch.setattr(sys, "argv", ["benchmarks", "speed"])
    command.main()
    printed = capsys.readouterr().out
    assert printed.endswith("| a step | cpu | 2 | 1 | 2.00 (1.00 to 4.00) | 2 times | met |\n") and "threads" in printed
    monkeypatch.setattr(sys, "argv", ["benchmarks", "sped"])
    with pytest.raises(SystemExit):
        command.main()
    assert "part must be one of speed, footprint, race, not sped" in capsys.readouterr().err
