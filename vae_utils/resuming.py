"""A training that was cut off, on disk: weights, optimizer, random numbers, curves; and the way back in."""

import json
import os

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vae_utils import checkpoints, inputs
from vae_utils.fingerprints import Unpinned, fingerprint
from vae_utils.history import History

Found = tuple[dict[str, object], dict[str, Tensor], dict[str, Tensor]]  # facts, weights, arrays


class Resumable:
    """Keep one training in a file while it runs; `training.fit` makes one, before the first step.

    Raises: TypeError or ValueError, when it is made, if that is no path, or the file is damaged or of another training.
    """

    __fingerprint__ = "goes on to the same bits"  # as tests/test_resuming.py shows: no result depends on it

    def __init__(
        self, path: str | os.PathLike, model: nn.Module, split: object, settings: dict[str, object], code: object
    ) -> None:
        parts = {"model": model, "data": split, "settings": settings, "code": (code, torch.__version__)}
        try:
            facts = {name: fingerprint(part) for name, part in parts.items()}
        except Unpinned as error:
            raise Unpinned(f"checkpoint cannot say of which training it is, because {error}: train without") from None
        self.path, self.kind, self.facts = inputs.check_path("checkpoint", path), type(model).__name__, facts
        self.found = self._read()  # before anything changes

    def _read(self) -> Found | None:
        """Return what the file holds; None if there is none. Raises: as `__init__`."""
        if self.path.is_dir():
            raise ValueError(f"checkpoint {self.path} is a folder: name a file in it")
        if not self.path.exists():
            return None
        header, weights, arrays = checkpoints.read(self.path)
        facts = json.loads(header["facts"])
        other = [name for name, value in self.facts.items() if facts.get(name) != value]
        if other:
            raise ValueError(
                f"checkpoint {self.path} is of a training with another {' and another '.join(other)}: delete it to "
                "start anew, or name another file"
            )
        return facts, weights, arrays

    def store(
        self, history: History, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, device: torch.device
    ) -> None:
        """Write the training as it stands, over what was there."""
        arrays = {f"history/{name}": part for name, part in history.to_arrays().items()}
        arrays["random/cpu"] = torch.get_rng_state()
        if device.type == "cuda":
            arrays["random/cuda"] = torch.cuda.get_rng_state(device)
        elif device.type == "mps":
            arrays["random/mps"] = torch.mps.get_rng_state()
        for place, parts in optimizer.state_dict()["state"].items():
            arrays |= {f"adam/{place}/{name}": part for name, part in parts.items()}
        facts = self.facts | {
            "schedule": _plain(schedule.state_dict()),
            "rates": [(g["lr"], g["betas"]) for g in optimizer.param_groups],
        }
        header = {"class": self.kind, "config": "{}", "facts": json.dumps(facts)}
        checkpoints.write(self.path, header, model.state_dict(), arrays)

    def restore(
        self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, device: torch.device
    ) -> History | None:
        """Set everything to where the file has it, and return the history so far; None if there was no file."""
        if self.found is None:
            return None
        (facts, weights, arrays), self.found = self.found, None
        model.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for name, part in _group(arrays, "adam").items():
            place, _, field = name.partition("/")
            state.setdefault(int(place), {})[field] = part
        groups = optimizer.state_dict()["param_groups"]
        for group, (rate, betas) in zip(groups, facts["rates"], strict=True):
            group["lr"], group["betas"] = rate, tuple(betas)  # the schedule moves both
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        for weights, parts in optimizer.state.items():
            # A fused Adam walks through memory, and the file does not know how the weights lie there.
            for name in ("exp_avg", "exp_avg_sq"):
                parts[name] = torch.empty_like(weights).copy_(parts[name])
        schedule.load_state_dict(facts["schedule"])
        torch.set_rng_state(arrays["random/cpu"])
        if device.type == "cuda" and "random/cuda" in arrays:
            torch.cuda.set_rng_state(arrays["random/cuda"], device)
        elif device.type == "mps" and "random/mps" in arrays:
            torch.mps.set_rng_state(arrays["random/mps"])
        return History.from_arrays(_group(arrays, "history"))

    def remove(self) -> None:
        """Delete the file: the training is done."""
        self.path.unlink(missing_ok=True)


def _group(arrays: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): part for key, part in arrays.items() if key.startswith(f"{name}/")}


def _plain(state: dict[str, object]) -> dict[str, object]:
    """Return the part of a schedule's state that JSON holds: numbers; its functions are made again."""
    return {name: part for name, part in state.items() if isinstance(part, int | float | str | list) or part is None}
