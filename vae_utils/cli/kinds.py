"""Arguments that several commands have, each with its text."""

from pathlib import Path
from typing import Annotated, Literal

from vae_utils.sources import FOLDERS

Model = Annotated[Path, "a run's folder, or a model's file (.safetensors)"]
Out = Annotated[Path | None, "the file to write (default: beside the model, under the command's name)"]
Data = Annotated[Literal[tuple(FOLDERS)] | None, "the data set (default: what the model was trained on)"]
Temperature = Annotated[float, "below 1 for more typical images, above for more varied ones"]
Seed = Annotated[int, "another seed, other random numbers"]
Scale = Annotated[int, "pixels of the picture for each pixel of an image"]
