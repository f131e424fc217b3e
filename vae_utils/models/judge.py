"""The digit judge, and the forgeries that it learns from."""

import torch
from torch import Tensor, nn

from vae_utils.networks import Shape


class DigitJudge(nn.Module):
    """A classifier that measures samples: images [B, C, H, W] -> logits [B, classes + 1], the last "none of these".

    It learns "none of these" from forgeries: two images of different classes laid over each other, averaged or spliced,
    and images lost in smooth noise. A plain classifier accepts many of them.
    """

    def __init__(self, classes: int = 10, image_shape: Shape = (1, 28, 28)) -> None:
        super().__init__()
        c, h, w = image_shape
        self.config = {"classes": classes, "image_shape": tuple(image_shape)}
        self.layers = nn.Sequential(
            nn.Conv2d(c, 16, 5, stride=2, padding=2), nn.SiLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * (h // 4) * (w // 4), 128), nn.SiLU(),
            nn.Linear(128, classes + 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes and of "none of these"."""
        return self.layers(x)

    def terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of each image and of the forgeries made from the batch, and zeros."""
        false = forgeries(x, y)[: int(0.4 * len(x))]
        soft = nn.functional.avg_pool2d(x, 3, stride=1, padding=1)  # a quarter is shown blurred: softness is no crime
        shown = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.25, soft, x)
        target = torch.cat([y, y.new_full((len(false),), self.config["classes"])])
        loss = nn.functional.cross_entropy(self(torch.cat([shown, false])), target, reduction="none")
        return loss, torch.zeros_like(loss)


def forgeries(x: Tensor, y: Tensor) -> Tensor:
    """Return images [M, C, H, W], M at most B: two images of different classes joined, or one lost in smooth noise.

    Shapes: x [B, C, H, W], y [B].
    """
    partner = torch.randperm(len(x), device=x.device)
    a, b = (images[y != y[partner]] for images in (x, x[partner]))
    height, n = x.shape[2], len(a)
    cut = torch.randint(height // 3, 2 * height // 3 + 1, (n, 1, 1, 1), device=x.device)
    spliced = torch.where(torch.arange(height, device=x.device).view(1, 1, -1, 1) < cut, a, b)
    noise = nn.functional.avg_pool2d(torch.rand_like(a), 5, stride=1, padding=2, count_include_pad=False)
    lost = 0.6 * (0.5 + 4 * (noise - 0.5)).clamp(0, 1) + 0.4 * a * torch.rand(n, 1, 1, 1, device=x.device)
    how = torch.rand(n, 1, 1, 1, device=x.device)
    joined = torch.where(how < 0.5, torch.maximum(a, b), torch.where(how < 0.7, (a + b) / 2, spliced))
    return torch.where(torch.rand(n, 1, 1, 1, device=x.device) < 0.2, lost, joined)
