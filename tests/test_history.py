"""What a history holds, and what is none."""

import pytest
import torch

from vae_utils.history import History
from vae_utils.models import evaluating

CURVE = torch.arange(3.0)


def test_packed_and_unpacked_it_is_the_same():
    seen = {0: {"mu": torch.ones(2)}, 12: {"mu": torch.zeros(2), "a/b": torch.ones(1)}}
    first = History(CURVE, CURVE + 1, CURVE + 2, 1.5, seen)
    again = History.from_arrays(first.to_arrays())
    assert len(again) == 3 and again.seconds == 1.5 and repr(again) == "History of 3 steps in 2 s"
    assert all(torch.equal(getattr(again, name), getattr(first, name)) for name in ("loss", "recon", "kl"))
    assert {step: list(parts) for step, parts in again.snapshots.items()} == {0: ["mu"], 12: ["mu", "a/b"]}


@pytest.mark.parametrize(
    "arrays",
    [
        None,
        [1],
        "curves",
        {},
        {"curves": torch.zeros(3, 2)},
        {"curves": torch.zeros(2, 2), "seconds": torch.ones(())},
        {"curves": torch.zeros(3), "seconds": torch.ones(())},
        {"curves": torch.zeros(3, 2), "seconds": torch.ones(2)},
        {"curves": torch.zeros(3, 2), "seconds": torch.ones(()), "snapshot/x/mu": torch.ones(1)},
        {"curves": torch.zeros(3, 2), "seconds": torch.ones(()), 5: torch.ones(1)},
    ],
)
def test_arrays_of_no_history_are_refused(arrays):
    with pytest.raises(ValueError, match="arrays must be"):
        History.from_arrays(arrays)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": [1.0]}, "loss must be a tensor of floats"),
        ({"kl": CURVE[:2]}, r"kl must have the shape \[3\], not \[2\]"),
        ({"recon": CURVE[None]}, r"recon must have the shape \[3\], not \[1, 3\]"),
        ({"seconds": -1.0}, "seconds must be a finite number of at least 0"),
        ({"snapshots": [1]}, "snapshots must be a dictionary of dictionaries"),
        ({"snapshots": {"first": {}}}, "snapshots must be a whole number of at least 0"),
        ({"snapshots": {1: {"mu": 3}}}, "snapshots must be tensors by name"),
    ],
)
def test_what_is_no_history_is_refused(change, said):
    with pytest.raises((TypeError, ValueError), match=said):
        History(**({"loss": CURVE, "recon": CURVE, "kl": CURVE, "seconds": 0.0} | change))


def test_nothing_but_a_module_is_evaluated():
    with pytest.raises(TypeError, match="model must be a module, not None"), evaluating(None):
        pass
