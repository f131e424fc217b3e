"""The digit judge: what it says, that it is trained once, and that it knows digits."""

import torch
from torch import nn

from vae_utils import judge
from vae_utils.models import DigitJudge
from vae_utils.training import fit_once


class Fake(nn.Module):
    """Call every image by its first pixel times ten, as surely as its second pixel says."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        label, sure = (x[:, 0, 0, 0] * 10).round().long(), x[:, 0, 0, 1]
        p = ((1 - sure) / 9).unsqueeze(1).repeat(1, 10)
        return p.scatter(1, label.unsqueeze(1), sure.unsqueeze(1)).log()


def pictures(labels: list[int], sure: list[float]) -> torch.Tensor:
    x = torch.zeros(len(labels), 1, 28, 28)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = torch.tensor(labels) / 10, torch.tensor(sure)
    return x


def test_verdicts_are_label_and_probability():
    label, confidence = judge.verdicts(Fake(), pictures([3, 0, 9], [0.9, 0.5, 0.99]))
    assert label.tolist() == [3, 0, 9]
    torch.testing.assert_close(confidence, torch.tensor([0.9, 0.5, 0.99]))


def test_accepted_is_the_share_of_the_sure_ones():
    sure = [0.951, 0.949, 0.999, 0.5]
    assert judge.accepted(Fake(), pictures([1, 2, 3, 4], sure)) == 0.5
    assert judge.accepted(Fake(), pictures([1, 3], [0.951, 0.999])) == 1
    assert judge.accepted(Fake(), pictures([2], [0.3])) == 0


def test_the_judge_is_trained_once_and_then_loaded(toy, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(judge, "fit_once", lambda *args, **settings: fit_once(*args, **(settings | {"steps": 3})))
    first, second = judge.load_judge(toy), judge.load_judge(toy)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("judge-mnist: trained") and lines[1].startswith("judge-mnist: loaded") and len(lines) == 2
    assert isinstance(second, DigitJudge) and not first.training and not second.training
    x, _ = toy.test[:]
    assert torch.equal(first(x), second(x)) and second(x).shape == (60, 10)
    assert len(list((tmp_path / "trained").iterdir())) == 1


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


def test_a_judge_in_training_is_put_to_judging(toy):
    model = DigitJudge(image_shape=(1, 8, 8)).train()
    label, confidence = judge.verdicts(model, toy.test[:][0])
    assert not model.training and not confidence.requires_grad and label.shape == (60,)
