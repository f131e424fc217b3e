"""What happened in a training, step by step, and how it is packed into a file and unpacked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vae_utils import inputs

Snapshots = dict[int, dict[str, Tensor]]


@dataclass(frozen=True)
class History:
    """What happened, step by step: the mean loss, reconstruction and KL term of each batch, in nats.

    snapshots holds the tensors that the callback returned, by step and by name.

    Raises: TypeError or ValueError, when it is made, for other types, or curves that are not all as long.
    """

    loss: Tensor
    recon: Tensor
    kl: Tensor
    seconds: float
    snapshots: Snapshots = field(default_factory=dict)

    def __post_init__(self) -> None:
        inputs.check_floats("loss", self.loss, "steps")
        inputs.check_floats("recon", self.recon, len(self.loss))
        inputs.check_floats("kl", self.kl, len(self.loss))
        inputs.check_number("seconds", self.seconds, 0)
        _check_snapshots(self.snapshots)

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        return f"History of {len(self)} steps in {self.seconds:.0f} s"

    def to_arrays(self) -> dict[str, Tensor]:
        """Return all of it as named tensors."""
        curves = torch.stack([self.loss, self.recon, self.kl])
        seen = {
            f"snapshot/{step}/{name}": part for step, parts in self.snapshots.items() for name, part in parts.items()
        }
        return {"curves": curves, "seconds": torch.tensor(self.seconds), **seen}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Tensor]) -> "History":
        """Return the history that `to_arrays` packed.

        Raises: ValueError if these are not such tensors.
        """
        snapshots: Snapshots = {}
        _check_arrays(arrays)
        try:
            for path in filter(lambda path: path.startswith("snapshot/"), arrays):
                _, step, name = path.split("/", 2)
                snapshots.setdefault(int(step), {})[name] = arrays[path]
            loss, recon, kl = arrays["curves"]
            return cls(loss, recon, kl, arrays["seconds"].item(), dict(sorted(snapshots.items())))
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"arrays must be those of a history, and lack or garble {error}") from None


def _check_snapshots(snapshots: Snapshots) -> None:
    """Refuse what is no table by step of tables by name."""
    if not isinstance(snapshots, dict) or not all(isinstance(parts, dict) for parts in snapshots.values()):
        raise TypeError(f"snapshots must be a dictionary of dictionaries, not {inputs.described(snapshots)}")
    for step, parts in snapshots.items():
        inputs.check_whole("snapshots", step, 0)
        _check_arrays(parts, "snapshots")


def _check_arrays(arrays: Mapping[str, Tensor], name: str = "arrays") -> None:
    tensors = isinstance(arrays, Mapping) and all(isinstance(part, Tensor) for part in arrays.values())
    if not tensors or not all(isinstance(key, str) for key in arrays):
        raise ValueError(f"{name} must be tensors by name, not {inputs.described(arrays)}")
