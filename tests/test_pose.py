"""The affine maps of a pose against linear algebra, and the way round a GPU that cannot train a warp."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vae_utils import evaluation
from vae_utils.data import Split
from vae_utils.models import PoseVAE, pose
from vae_utils.models.pose import POSE, affine, inverse, warp


@pytest.fixture
def fresh():
    """Nothing is known of any device, before and after."""
    pose.warps_in_training.cache_clear()
    yield
    pose.warps_in_training.cache_clear()


def whole(matrix: Tensor) -> Tensor:
    return torch.cat([matrix, matrix.new_tensor([0.0, 0, 1]).expand(len(matrix), 1, 3)], dim=1)


def random_maps(near: float, n: int = 500) -> Tensor:
    """Return maps around the identity; those that hardly can be undone are none of them."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.eye(2, 3, dtype=torch.float64) + near * torch.randn(n, 2, 3, generator=generator, dtype=torch.float64)
    return maps[torch.linalg.det(maps[:, :, :2]).abs() > 0.05]


@pytest.mark.parametrize("near", [1e-6, 1e-3, 0.3, 3.0])
def test_the_inverse_is_that_of_linear_algebra(near):
    maps = random_maps(near)
    assert len(maps) > 400
    torch.testing.assert_close(inverse(maps), torch.linalg.inv(whole(maps))[:, :2])
    torch.testing.assert_close(inverse(inverse(maps)), maps)


def test_gradients_pass_through_the_inverse_as_through_that_of_linear_algebra():
    gradients = []
    for undo in (inverse, lambda maps: torch.linalg.inv(whole(maps))[:, :2]):
        maps = random_maps(0.3).requires_grad_()
        (undo(maps) * torch.arange(6.0).view(2, 3)).sum().backward()
        gradients.append(maps.grad)
    torch.testing.assert_close(*gradients)


def test_the_map_of_a_pose_is_turn_times_lean_times_size_and_then_the_shift():
    numbers = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn, lean, width, height, right, down = (numbers * torch.tensor(list(POSE.values()), dtype=torch.float64)).T
    zero, one = torch.zeros_like(turn), torch.ones_like(turn)

    def matrices(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).view(-1, 2, 2)

    rotation = matrices(turn.cos(), -turn.sin(), turn.sin(), turn.cos())
    shear = matrices(one, -lean, zero, one)
    stretch = matrices(width.exp(), zero, zero, height.exp())
    expected = torch.cat([rotation @ shear @ stretch, torch.stack([right, down], dim=1)[..., None]], dim=2)
    torch.testing.assert_close(affine(numbers), expected)
    assert torch.equal(affine(torch.zeros(1, 6)), torch.eye(2, 3)[None])


def warped(x: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a warp, and its gradients with respect to the image and the map."""
    x, matrix = x.clone().requires_grad_(), matrix.clone().requires_grad_()
    moved = warp(x, matrix)
    (moved * torch.linspace(0, 1, moved.numel()).view_as(moved)).sum().backward()
    return moved.detach(), x.grad, matrix.grad


def test_the_way_over_the_cpu_gives_the_same_values_and_gradients(monkeypatch):
    x, matrix = torch.rand(5, 2, 9, 7), affine(torch.randn(5, 6))
    here = warped(x, matrix)
    asked, brought = [], []
    monkeypatch.setattr(pose, "warps_in_training", lambda kind: asked.append(kind))
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: brought.append(tensor.shape) or original(tensor))
    there = warped(x, matrix)
    assert asked == ["cpu"] and brought == [(5, 2, 9, 7), (5, 9, 7, 2)], "image and grid"
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b)
        assert a.abs().max() > 0


def test_a_device_without_the_gradient_is_found_out_once_and_said(monkeypatch, capsys, fresh):
    tries = []

    def missing(*arguments: object, **options: object) -> Tensor:
        tries.append(arguments)
        raise NotImplementedError("aten::grid_sampler_2d_backward is not implemented")

    with monkeypatch.context() as patch:
        patch.setattr(F, "grid_sample", missing)
        assert [pose.warps_in_training("cpu") for _ in range(3)] == 3 * [False]
    assert len(tries) == 1
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "cannot train a warp on cpu: it is done on the CPU" in line
    torch.manual_seed(0)
    recon, kl = PoseVAE(8, "conv", (1, 8, 8)).terms(torch.rand(4, 1, 8, 8))
    (recon + kl).mean().backward()
    assert capsys.readouterr().out == "", "once is enough"


def test_a_device_with_the_gradient_is_used_in_silence(capsys, fresh):
    assert pose.warps_in_training("cpu") and capsys.readouterr().out == ""


SPLIT = Split(torch.rand(3, 1, 8, 8), torch.arange(3))
FIRST = {
    "sample": lambda model: model.sample(2),
    "decode": torch.no_grad()(lambda model: model.decode(torch.zeros(2, 8))),
    "encode": torch.inference_mode()(lambda model: model.encode(SPLIT.images)),
    "straighten": torch.no_grad()(lambda model: model.straighten(SPLIT.images)),
    "terms": torch.inference_mode()(lambda model: model.terms(SPLIT.images)),
    "evaluate": lambda model: evaluation.evaluate(model, SPLIT),
    "encode_means": lambda model: evaluation.encode_means(model, SPLIT),
    "log_likelihood": lambda model: evaluation.log_likelihood(model, SPLIT.images, samples=2),
}


@pytest.mark.parametrize("name", FIRST)
def test_the_first_call_of_a_process_may_be_one_without_gradients(name, fresh):
    FIRST[name](PoseVAE(8, "conv", (1, 8, 8)))
    assert pose.warps_in_training("cpu") and torch.is_grad_enabled()


def test_of_no_codes_no_image_is_drawn():
    assert PoseVAE(8, "conv", (1, 8, 8)).decode(torch.zeros(0, 8)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: affine(torch.full((1, 6), float("nan"))), ValueError, "pose must be finite"),
        (lambda: affine(torch.full((1, 6), 1e9)), ValueError, "pose must lie within -300 and 300, but reaches 1e"),
        (
            lambda: warp(torch.ones(1, 1, 8, 8), torch.eye(2, 3)[None].double()),
            TypeError,
            "matrix must be torch.float32, as x is, not torch.float64",
        ),
        (lambda: warp(torch.ones(1, 1, 0, 8), torch.eye(2, 3)[None]), ValueError, r"x must be images \[B, C, H, W\]"),
        (lambda: warp(torch.full((1, 1, 8, 8), float("nan")), torch.eye(2, 3)[None]), ValueError, "x must be finite"),
        (lambda: affine(torch.zeros(3, 5)), ValueError, r"pose must have the shape \[B, 6\], not \[3, 5\]"),
        (lambda: affine(torch.zeros(3, 6, dtype=torch.int64)), TypeError, "pose must be a tensor of floats"),
        (lambda: inverse(torch.eye(3)[None]), ValueError, r"matrix must have the shape \[B, 2, 3\], not \[1, 3, 3\]"),
        (lambda: warp(torch.zeros(8, 8), torch.zeros(1, 2, 3)), ValueError, r"x must have the shape \[B, C, H, W\]"),
        (
            lambda: warp(torch.zeros(2, 1, 8, 8), torch.zeros(1, 2, 3)),
            ValueError,
            r"matrix must .*\[2, 2, 3\], not \[1,",
        ),
    ],
)
def test_what_is_no_pose_and_no_map_is_refused(call, kind, said):
    with pytest.raises(kind, match=said):
        call()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e18])
def test_a_map_that_cannot_be_undone_is_refused(scale):
    flat = torch.eye(2, 3).expand(2, 2, 3) * torch.tensor([1.0, scale]).view(2, 1, 1)
    if scale > 1:
        assert inverse(flat).isfinite().all()
        return
    with pytest.raises(ValueError, match="matrix must be of maps that can be undone, and one has a determinant of 0"):
        inverse(flat)
