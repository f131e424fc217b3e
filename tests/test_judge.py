"""The digit judge: what it says, that it is trained once, and that it knows digits."""

import pytest
import torch
from torch import nn

from vae_utils import judge
from vae_utils.keeping import fit_once
from vae_utils.models import DigitJudge, forgeries


class Fake(nn.Module):
    """Give to ten times the first pixel the second one's probability, to "none of these" the third's, else the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))

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
    assert 300 < len(false) <= 400 and false.min() >= 0 and false.max() <= 1
    lost = (false > 0).flatten(1).float().mean(1) > 0.5
    assert 0.1 < lost.float().mean() < 0.3, "one in five is lost in noise"
    joined = false[~lost]
    columns = (joined.amax(dim=(1, 2)) > 0).sum(1)
    assert columns.tolist() == len(joined) * [2]
    kinds = {(image.unique().tolist() == [0, 0.5], (image.sum(1) == 2).any().item()) for image in joined[:, 0]}
    assert len(kinds) == 3, "overlaid, averaged and spliced"


def test_images_of_one_class_give_no_forgeries():
    x, y = torch.rand(6, 1, 8, 8), torch.zeros(6, dtype=torch.long)
    assert forgeries(x, y).shape == (0, 1, 8, 8)
    recon, kl = DigitJudge(image_shape=(1, 8, 8)).terms(x, y)
    assert recon.isfinite().all() and len(recon) == len(kl) == 6


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
    assert not model.training and not confidence.requires_grad and label.shape == (60,)


def test_variety_is_the_variance_within_classes_and_not_between_them():
    images, labels = torch.rand(60, 1, 4, 4), torch.arange(60) % 3
    by_hand = torch.stack(
        [images[labels == k].flatten(1).numpy().var(0, ddof=1).sum() * torch.ones(()) for k in range(3)]
    )
    assert judge.variety(images, labels) == pytest.approx(by_hand.mean().item(), rel=1e-5)
    printed = torch.rand(3, 1, 4, 4)[labels]  # one picture for each class, again and again
    assert judge.variety(printed, labels) == pytest.approx(0, abs=1e-9)
    assert judge.variety(images[labels > 0], labels[labels > 0]) == pytest.approx(by_hand[1:].mean().item(), rel=1e-5)
