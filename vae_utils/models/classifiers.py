"""What says which class an image belongs to: a classifier, and the digit judge, which knows forgeries."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils import inputs
from vae_utils.models.base import Model, check_settings
from vae_utils.models.pose import affine, warp
from vae_utils.networks import Shape, check_shape

MOST_MOVES = 10.0  # of a pose that is drawn: beyond it no image is left to see


class Classifier(Model):
    """q(y | x): images [B, C, H, W] -> logits [B, classes]; "conv" with pooling and dropout, or an "mlp".

    moves > 0 shows it a freshly turned, leaning, stretched and shifted copy of each image in training: a pose of
    standard deviation `moves`, in the units of a PoseVAE.
    """

    labels = "all"

    def __init__(
        self, network: str = "conv", image_shape: Shape = (1, 28, 28), classes: int = 10, moves: float = 0.0
    ) -> None:
        super().__init__(network=network, image_shape=image_shape, classes=classes, moves=moves)

    def build(self, network: str, image_shape: Shape, classes: int, moves: float) -> None:
        """Make the layers."""
        if not isinstance(network, str) or network not in ("conv", "mlp"):
            raise ValueError(f"there is no classifier network {inputs.described(network)}; known: 'conv', 'mlp'")
        inputs.check_number("moves", moves, 0, MOST_MOVES)
        check_settings(self.config)
        check_shape(image_shape, halved=network == "conv")
        c, h, w = image_shape
        if network == "conv":
            self.layers = nn.Sequential(
                nn.Conv2d(c, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * (h // 4) * (w // 4), 128), nn.ReLU(),
                nn.Dropout(0.5), nn.Linear(128, classes),
            )  # fmt: skip
        else:
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(c * h * w, 500), nn.ReLU(), nn.Dropout(0.5), nn.Linear(500, classes)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes."""
        self._check_images(x)
        if self.training and self.config["moves"]:
            x = warp(x, affine(self.config["moves"] * torch.randn(len(x), 6, device=x.device)))
        return self.layers(x)

    def terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy [B] of each image, and zeros."""
        self._check_images(x)
        inputs.check_labels("y", y, len(x), self.config["classes"])
        loss = F.cross_entropy(self(x), y, reduction="none")
        return loss, torch.zeros_like(loss)


class DigitJudge(Model):
    """A classifier that measures samples: images [B, C, H, W] -> logits [B, classes + 1], the last "none of these".

    It learns "none of these" from forgeries: two images of different classes laid over each other, averaged or spliced,
    and images lost in smooth noise. A plain classifier accepts many of them.
    """

    labels = "all"

    def __init__(self, classes: int = 10, image_shape: Shape = (1, 28, 28)) -> None:
        super().__init__(classes=classes, image_shape=image_shape)

    def build(self, classes: int, image_shape: Shape) -> None:
        """Make the layers."""
        check_settings(self.config)
        check_shape(image_shape, halved=True)
        c, h, w = image_shape
        self.layers = nn.Sequential(
            nn.Conv2d(c, 16, 5, stride=2, padding=2), nn.SiLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * (h // 4) * (w // 4), 128), nn.SiLU(),
            nn.Linear(128, classes + 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes and of "none of these"."""
        self._check_images(x)
        return self.layers(x)

    def terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of each image and of the forgeries made from the batch, and zeros."""
        self._check_images(x)
        inputs.check_labels("y", y, len(x), self.config["classes"])
        false = forgeries(x, y)[: int(0.4 * len(x))]
        soft = nn.functional.avg_pool2d(x, 3, stride=1, padding=1)  # a quarter is shown blurred: softness is no crime
        shown = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.25, soft, x)
        target = torch.cat([y, y.new_full((len(false),), self.config["classes"])])
        loss = nn.functional.cross_entropy(self(torch.cat([shown, false])), target, reduction="none")
        return loss, torch.zeros_like(loss)


def forgeries(x: Tensor, y: Tensor) -> Tensor:
    """Return as many images as came [B, C, H, W], none of them a digit: two of different classes joined, or one lost.

    Joined is: one over the other, averaged, or spliced. Lost is: faint, in smooth noise; so are all those whose random
    partner is of the same class. Nothing depends on how many these are, so that a GPU need not be waited for.

    Shapes: x [B, C, H, W] in [0, 1], y int64 [B].
    Raises: TypeError or ValueError for other types or shapes.
    """
    inputs.check_images("x", x)
    inputs.check_unit("x", x)
    inputs.check_labels("y", y, len(x), None)
    partner = torch.randperm(len(x), device=x.device)
    a, b, same = x, x[partner], (y == y[partner]).view(-1, 1, 1, 1)
    height, n = x.shape[2], len(a)
    cut = torch.randint(height // 3, 2 * height // 3 + 1, (n, 1, 1, 1), device=x.device)
    spliced = torch.where(torch.arange(height, device=x.device).view(1, 1, -1, 1) < cut, a, b)
    noise = nn.functional.avg_pool2d(torch.rand_like(a), 5, stride=1, padding=2, count_include_pad=False)
    lost = 0.6 * (0.5 + 4 * (noise - 0.5)).clamp(0, 1) + 0.4 * a * torch.rand(n, 1, 1, 1, device=x.device)
    how = torch.rand(n, 1, 1, 1, device=x.device)
    joined = torch.where(how < 0.5, torch.maximum(a, b), torch.where(how < 0.7, (a + b) / 2, spliced))
    return torch.where(same | (torch.rand(n, 1, 1, 1, device=x.device) < 0.1), lost, joined)
