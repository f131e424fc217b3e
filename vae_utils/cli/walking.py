"""Ways and planes in a latent space, as the commands want them."""

import io

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils import inputs, latent
from vae_utils.cli.drawing import Kept, class_names, class_number, decode
from vae_utils.data import Split
from vae_utils.evaluation import encode_means
from vae_utils.models import CVAE, VAE, PoseVAE
from vae_utils.pixels import enlarge
from vae_utils.plotting import tile
from vae_utils.runtime import get_device

WAYS = {"straight": latent.straight, "spherical": latent.spherical}


def ends_of(kept: Kept, images: tuple[int, int] | None, classes: tuple[str, str] | None) -> tuple[int, int]:
    """Return the numbers of two test images: those given, or the first of each of two classes."""
    labels = kept.dataset.test.labels
    if (images is None) == (classes is None):
        raise ValueError("say from where to where: --images 3 12 for two test images, or --classes 3 8")
    if images is not None:
        for number in images:
            if not 0 <= number < len(labels):
                raise ValueError(f"there is no test image {number}: they are numbered from 0 to {len(labels) - 1}")
        return images
    wanted = [class_number(word, kept.dataset.classes) for word in classes]
    first, second = ((labels == label).nonzero().flatten().tolist() for label in wanted)
    return first[0], second[1] if wanted[0] == wanted[1] else second[0]


@torch.no_grad()
def between(kept: Kept, ends: tuple[int, int], way: str, steps: int) -> Tensor:
    """Return the pictures [steps, C, H, W] on the way from one test image to another."""
    pair = kept.dataset.test.subset(list(ends))
    a, b = encode_means(kept.model, pair)
    shares = torch.linspace(0, 1, steps)[:, None]
    z = WAYS[way](a.expand(steps, -1), b.expand(steps, -1), shares)
    if not isinstance(kept.model, CVAE):
        return decode(kept, z)
    a, b = F.one_hot(pair.labels, kept.model.config["classes"]).float()
    mixed = torch.cat([z, latent.straight(a, b, shares)], dim=1)  # what CVAE.decode makes of a whole label
    return kept.model.decoder(mixed.to(get_device())).sigmoid().cpu()


def gif(pictures: Tensor, seconds: float, scale: int) -> bytes:
    """Return pictures [N, C, H, W] as an animation, there and back, without end."""
    height, width = scale * pictures.shape[2], scale * pictures.shape[3]
    inputs.check_size("scale, with so many steps,", len(pictures) * height, width)
    frames = [Image.fromarray(enlarge(tile(picture[None]), scale)) for picture in pictures]
    frames += frames[-2:0:-1]
    stored = io.BytesIO()
    each = max(20, round(1000 * seconds / len(frames)))  # milliseconds; browsers show less than 20 as 100
    frames[0].save(stored, format="gif", save_all=True, append_images=frames[1:], duration=each, loop=0)
    return stored.getvalue()


def in_two(kept: Kept, split: Split, by: str, seed: int) -> tuple[Tensor, tuple[str, str]]:
    """Return the codes of a split in two dimensions [N, 2], and what these are called."""
    codes = encode_means(kept.model, split)
    _check_dimensions(codes, kept)
    if codes.shape[1] == 2:
        return codes, ("z1", "z2")
    if by == "tsne":
        inputs.check_whole("seed", seed, 0, 2**32 - 1)
        perplexity = min(30, (len(codes) - 1) / 3)
        places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes.numpy())
        return torch.from_numpy(places), ("t-SNE 1", "t-SNE 2")
    pca = PCA(2, svd_solver="full").fit(codes.double().numpy())
    shares = [
        f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(pca.explained_variance_ratio_)
    ]
    return torch.from_numpy(pca.transform(codes.double().numpy())), tuple(shares)


def plane_images(kept: Kept, split: Split, side: int, label: int | None) -> Tensor:
    """Return the images [side^2, C, H, W] of a grid over the plane of the codes, the second axis upward.

    The grid is the mean of the codes and 2 standard deviations to each side, along the axes or, of more than two
    dimensions, along the first two principal components.
    """
    codes = encode_means(kept.model, split).double()
    _check_dimensions(codes, kept)
    mean, axes = codes.mean(0), torch.eye(2, dtype=torch.float64)
    if codes.shape[1] > 2:
        axes = torch.from_numpy(PCA(2, svd_solver="full").fit(codes.numpy()).components_)
    spread = ((codes - mean) @ axes.T).std(0)
    ticks = torch.linspace(-2, 2, side, dtype=torch.float64)
    up, across = torch.meshgrid(ticks.flip(0), ticks, indexing="ij")
    z = mean + across.reshape(-1, 1) * spread[0] * axes[0] + up.reshape(-1, 1) * spread[1] * axes[1]
    return decode(kept, z.float(), None if label is None else torch.full((side**2,), label))


def label_of(kept: Kept, digit: str | None) -> int | None:
    """Return the class that a plane or a page shows: one for a conditional model, none for another."""
    conditional = isinstance(kept.model, CVAE)
    if conditional and digit is None:
        raise ValueError(f"a {kept.name} draws something else for each class: choose one with --digit")
    if not conditional and digit is not None:
        raise ValueError(f"a {kept.name} is not told the class: leave --digit out")
    return class_number(digit, class_names(kept)) if conditional else None


@torch.no_grad()
def without_label(kept: Kept, label: int | None) -> nn.Module:
    """Return a model on the CPU whose decoder takes z alone: a conditional one's with its label built in.

    Every decoder of vae_utils.networks begins with a linear layer. The one-hot label picks a column of its weights,
    which is added to its bias.

    Raises: ValueError for a PoseVAE, whose decoder draws before the pose is put in.
    """
    model = kept.model.cpu()
    if isinstance(model, PoseVAE):
        raise ValueError(f"{kept.path} is a PoseVAE, whose decoder is only a part of how it draws: use map or samples")
    if label is None:
        return model
    config = {name: model.config[name] for name in ("latent_dim", "network", "image_shape")}
    plain, weights = VAE(**config), dict(model.decoder.state_dict())
    first, latent_dim = weights["0.weight"], config["latent_dim"]
    weights |= {"0.weight": first[:, :latent_dim], "0.bias": weights["0.bias"] + first[:, latent_dim + label]}
    plain.decoder.load_state_dict(weights)
    return plain.eval()


def _check_dimensions(codes: Tensor, kept: Kept) -> None:
    if codes.shape[1] < 2:
        raise ValueError(f"{kept.path} has codes of one number: a map needs two")
    if not np.isfinite(codes.numpy()).all():
        raise ValueError(f"{kept.path} gives codes that are not finite: train the model anew, more gently")
