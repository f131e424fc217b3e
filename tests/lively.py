"""A decoder that draws something without having been trained."""

import torch
from torch import nn


def livelier(model: nn.Module) -> nn.Module:
    """Spread a decoder's untrained weights, so that logits reach beyond 6 and pictures are not flat grey."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.decoder.parameters():
            bound = (6 / p[0].numel()) ** 0.5 if p.ndim > 1 else 0.5
            p.copy_(bound * (2 * torch.rand(p.shape, generator=generator) - 1))
    return model
