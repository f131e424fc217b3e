"""What happened in a training, step by step, and how it is packed into a file and unpacked."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

Snapshots = dict[int, dict[str, Tensor]]


@dataclass(frozen=True)
class History:
    """What happened, step by step: the mean loss, reconstruction and KL term of each batch, in nats.

    snapshots holds the tensors that the callback returned, by step and by name.
    """

    loss: Tensor
    recon: Tensor
    kl: Tensor
    seconds: float
    snapshots: Snapshots = field(default_factory=dict)

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
        try:
            for path in filter(lambda path: path.startswith("snapshot/"), arrays):
                _, step, name = path.split("/", 2)
                snapshots.setdefault(int(step), {})[name] = arrays[path]
            loss, recon, kl = arrays["curves"]
            return cls(loss, recon, kl, arrays["seconds"].item(), dict(sorted(snapshots.items())))
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(f"arrays must be those of a history, and lack or garble {error}") from None
