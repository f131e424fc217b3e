"""The digit judge: what it says, that it is trained once, and that it knows digits."""

import pytest
import torch

from vae_utils import judge
from vae_utils.keeping import fit_once
from vae_utils.models import VAE, Classifier, DigitJudge, forgeries


class Fake(DigitJudge):
    """Give to ten times the first pixel the second one's probability, to "none of these" the third's, else the rest."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x):
        label, sure, none = (x[:, 0, 0, 0] * 10).round().long(), x[:, 0, 0, 1], x[:, 0, 0, 2]
        p = ((1 - sure - none) / 9).unsqueeze(1).repeat(1, 11)
        p[:, 10] = none
        return p.scatter(1, label.unsqueeze(1), sure.unsqueeze(1)).clamp(min=1e-9).log()


def pictures(*told: tuple[int, float, float]) -> torch.Tensor:
    x = torch.zeros(len(told), 1, 28, 28)
    x[:, 0, 0, :3] = torch.tensor(told)
    x[:, 0, 0, 0] /= 10
    return x


def test_verdicts_are_the_likeliest_digit_and_its_probability():
    label, chance = judge.verdicts(Fake(), pictures((3, 0.9, 0.0), (0, 0.6, 0.2), (9, 0.2, 0.75)))
    assert label.tolist() == [3, 0, 9], "never the class of no digit"
    torch.testing.assert_close(chance, torch.tensor([0.9, 0.6, 0.2]))


def test_accepted_is_the_share_of_one_digit_above_one_half():
    assert judge.accepted(Fake(), pictures((1, 0.51, 0.3), (2, 0.49, 0.5), (3, 0.99, 0.0), (4, 0.2, 0.75))) == 0.5
    assert judge.accepted(Fake(), pictures((1, 0.9, 0.0))) == 1
    assert judge.accepted(Fake(), pictures((1, 0.3, 0.0))) == 0, "torn between digits is not accepted either"


def test_forgeries_join_two_images_of_different_classes_or_drown_one():
    x = torch.zeros(400, 1, 10, 10)
    y = torch.arange(400) % 10
    for image, label in zip(x, y, strict=True):
        image[0, :, label] = 1.0  # one bright column for each class
    torch.manual_seed(0)
    false = forgeries(x, y)
    assert len(false) == 400 and false.min() >= 0 and false.max() <= 1
    lost = (false > 0).flatten(1).float().mean(1) > 0.5
    assert 0.1 < lost.float().mean() < 0.3, "one in five is lost in noise"
    joined = false[~lost]
    columns = (joined.amax(dim=(1, 2)) > 0).sum(1)
    assert columns.tolist() == len(joined) * [2]
    kinds = {(image.unique().tolist() == [0, 0.5], (image.sum(1) == 2).any().item()) for image in joined[:, 0]}
    assert len(kinds) == 3, "overlaid, averaged and spliced"


def test_images_of_one_class_are_all_lost_in_noise():
    x, y = torch.ones(6, 1, 8, 8), torch.zeros(6, dtype=torch.long)
    false = forgeries(x, y)
    assert false.shape == x.shape and (false.flatten(1).std(1) > 0.01).all(), "two of a class joined would be all ones"
    recon, kl = DigitJudge(image_shape=(1, 8, 8)).terms(x, y)
    assert recon.isfinite().all() and len(recon) == len(kl) == 8, "two of the forgeries are judged as well"


def test_the_judge_is_trained_once_and_then_loaded(toy, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(judge, "fit_once", lambda *args, **settings: fit_once(*args, **(settings | {"steps": 3})))
    first, second = judge.load_judge(toy), judge.load_judge(toy)
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("judge-mnist: trained") and lines[1].startswith("judge-mnist: loaded") and len(lines) == 2
    )
    assert isinstance(second, DigitJudge) and not first.training and not second.training
    x, _ = toy.test[:]
    assert torch.equal(first(x), second(x)) and second(x).shape == (60, 11)
    assert len(list((tmp_path / "trained").glob("*.safetensors"))) == 1


def test_the_judge_does_not_depend_on_the_state_of_the_generator(toy, monkeypatch, tmp_path):
    monkeypatch.setattr(judge, "fit_once", lambda *args, **settings: fit_once(*args, **(settings | {"steps": 3})))
    outputs = []
    for seed in (1, 2):
        monkeypatch.setenv("VAE_TRAINED", str(tmp_path / str(seed)))
        torch.manual_seed(seed)
        outputs.append(judge.load_judge(toy)(toy.test[:4][0]))
    assert torch.equal(*outputs)


def test_the_judge_knows_digits(digits, project_kept, all_threads):
    """It is trained on its first run, in about half a minute, and kept in the project as for a reader."""
    trained = judge.load_judge(digits)
    x, y = digits.test[:]
    label, confidence = judge.verdicts(trained, x)
    right = (label == y).float().mean().item()
    assert right >= (0.99 if digits.is_full else 0.965)
    assert confidence[label == y].mean() > confidence[label != y].mean() + 0.1
    assert judge.accepted(trained, x) > 0.9
    noise = torch.rand(500, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert judge.accepted(trained, noise) < 0.5, "noise is no digit"
    torch.manual_seed(0)
    assert judge.accepted(trained, forgeries(x, y)) < 0.5, "two digits are no digit"


def test_a_judge_in_training_is_put_to_judging(toy):
    model = DigitJudge(image_shape=(1, 8, 8)).train()
    label, confidence = judge.verdicts(model, toy.test[:][0])
    assert model.training and not confidence.requires_grad and label.shape == (60,)


def test_variety_is_the_variance_within_classes_and_not_between_them():
    images, labels = torch.rand(60, 1, 4, 4), torch.arange(60) % 3
    by_hand = torch.stack(
        [images[labels == k].flatten(1).numpy().var(0, ddof=1).sum() * torch.ones(()) for k in range(3)]
    )
    assert judge.variety(images, labels) == pytest.approx(by_hand.mean().item(), rel=1e-5)
    printed = torch.rand(3, 1, 4, 4)[labels]  # one picture for each class, again and again
    assert judge.variety(printed, labels) == pytest.approx(0, abs=1e-9)
    assert judge.variety(images[labels > 0], labels[labels > 0]) == pytest.approx(by_hand[1:].mean().item(), rel=1e-5)


def test_what_cannot_be_judged_is_refused():
    model, x = DigitJudge(image_shape=(1, 8, 8)), torch.rand(4, 1, 8, 8)
    for wrong in (x * 255, x - 1, x * float("nan"), x[:0], x[0], (x * 255).long()):
        with pytest.raises((TypeError, ValueError), match="images must"):
            judge.verdicts(model, wrong)
        with pytest.raises((TypeError, ValueError), match="images must"):
            judge.accepted(model, wrong)
    with pytest.raises(ValueError, match="labels must name each class at least twice.* 3 stands there once"):
        judge.variety(x, torch.tensor([1, 1, 1, 3]))
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], not"):
        judge.variety(255 * torch.ones(4, 1, 8, 8), torch.tensor([1, 1, 3, 3]))
    with pytest.raises(ValueError, match=r"labels must be int64 \[4\], one for each image, not \[3\]"):
        judge.variety(x, torch.tensor([1, 1, 1]))
    with pytest.raises(ValueError, match="labels must be of classes, at least 0, not -1"):
        judge.variety(x, torch.tensor([1, 1, -1, -1]))
    for other in (VAE(2, image_shape=(1, 8, 8)), Classifier("mlp", (1, 8, 8)), None):
        with pytest.raises(TypeError, match=f"judge must be a DigitJudge.* not a {type(other).__name__}"):
            judge.verdicts(other, x)
    with pytest.raises(TypeError, match="dataset must be a data.Dataset, as load_dataset returns, not None"):
        judge.load_judge(None)
    with pytest.raises(ValueError, match="images must hold at least one image"):
        judge.variety(x[:0], torch.zeros(0, dtype=torch.long))


def test_one_image_has_no_variety():
    with pytest.raises(ValueError, match="labels must name each class at least twice"):
        judge.variety(torch.rand(1, 1, 8, 8), torch.tensor([7]))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 6), (1, 28, 28)])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_there_are_as_many_forgeries_as_images_and_all_are_pictures(shape, n):
    torch.manual_seed(n)
    x, y = torch.rand(n, *shape), torch.randint(0, 3, (n,))
    false = forgeries(x, y)
    assert false.shape == x.shape and false.dtype == x.dtype
    assert false.isfinite().all() and false.min() >= 0 and false.max() <= 1
    assert not any((false == image).flatten(1).all(1).any() for image in x), "none of them is an image that came"


@pytest.mark.parametrize(
    ("x", "y", "kind", "said"),
    [
        (255 * torch.ones(4, 1, 8, 8), torch.arange(4), ValueError, r"x must lie in \[0, 1\], not 255 to 255"),
        (torch.ones(0, 1, 8, 8), torch.arange(0), ValueError, "x must hold at least one image"),
        (torch.ones(4, 8, 8), torch.arange(4), ValueError, r"x must have the shape \[B, C, H, W\]"),
        (torch.ones(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4), TypeError, "x must be a tensor of floats"),
        (torch.ones(4, 1, 8, 8), torch.arange(3), ValueError, r"y must be int64 \[4\], one for each image, not \[3\]"),
    ],
)
def test_what_cannot_be_forged_is_refused(x, y, kind, said):
    with pytest.raises(kind, match=said):
        forgeries(x, y)
