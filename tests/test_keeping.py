"""Models that are trained once and kept: what counts as the same training, and what happens when keeping fails."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from test_training import SETTINGS, SHAPE, equal, vae, weights
from torch import nn

from vae_utils import checkpoints, training
from vae_utils.data import Dataset, Split
from vae_utils.models import VAE, Autoencoder
from vae_utils.training import fit, fit_once


@pytest.fixture
def once(toy, monkeypatch, capsys):
    """Call fit_once on a fresh model; return its weights, its history, what was printed, and whether it trained."""
    calls = []
    monkeypatch.setattr(training, "fit", lambda *args, **settings: (calls.append(1), fit(*args, **settings))[1])

    def train(model: nn.Module | None = None, dataset: Dataset = toy, name: str = "toy", **changes: object) -> tuple:
        model, before = model or vae(), len(calls)
        history = fit_once(name, model, dataset, **(SETTINGS | changes))
        assert not model.training
        return weights(model), history, capsys.readouterr().out, len(calls) > before

    return train


def test_the_second_call_loads_what_the_first_kept(once):
    first, second = once(), once()
    assert first[3] and not second[3]
    assert torch.equal(first[0], second[0]) and equal(first[1], second[1])
    assert second[1].seconds == pytest.approx(first[1].seconds)
    path = re.search(r"trained/toy-[0-9a-f]{8}\.safetensors", first[2])[0]
    assert first[2].startswith("toy: trained in") and "kept in" in first[2]
    assert second[2].startswith("toy: loaded, trained before") and "To train it again, delete" in second[2]
    assert path in second[2] and first[2].count("\n") == second[2].count("\n") == 1


def test_deleting_the_file_named_trains_again(once, tmp_path):
    once()
    (path,) = (tmp_path / "trained").iterdir()
    path.unlink()
    assert once()[3] and path.exists()


@pytest.mark.parametrize(
    "change", [{"steps": 29}, {"batch_size": 31}, {"lr": 1e-3}, {"beta": 0.5}, {"seed": 1}, {"name": "other"}], ids=str
)
def test_any_other_setting_trains_anew(once, change):
    once()
    assert once(**change)[3]
    assert not once()[3], "and the first is still kept"


def test_other_data_another_model_or_other_code_train_anew(once, toy, monkeypatch):
    once()
    images = toy.train.images.clone()
    images[0, 0, 0, 0] ^= 1
    assert once(dataset=Dataset("mnist", Split(images, toy.train.labels), toy.test, "", False))[3]
    assert once(model=Autoencoder(2, image_shape=SHAPE))[3]
    assert once(model=VAE(3, image_shape=SHAPE))[3]
    assert once(model=VAE(2, "conv", SHAPE))[3]
    monkeypatch.setattr(checkpoints, "CODE", checkpoints.CODE[:-1])
    assert once()[3]


def test_another_start_is_another_training(once):
    once()
    torch.manual_seed(1)
    assert once(model=VAE(2, image_shape=SHAPE))[3]


def test_a_log_directory_does_not_make_another_training(once, tmp_path):
    assert once(log_dir=tmp_path / "runs")[3]
    assert not once()[3]
    assert list((tmp_path / "runs").glob("events.out*"))


def test_the_code_that_counts_is_what_a_training_runs_through():
    assert set(checkpoints.CODE) == {"data", "losses", "networks", "training"}
    assert [path.name for path in checkpoints.code_of("VAE")[len(checkpoints.CODE) :]] == ["vae.py"]
    assert [path.name for path in checkpoints.code_of("CVAE")[len(checkpoints.CODE) :]] == ["conditional.py", "vae.py"]
    assert all(path.is_file() for path in checkpoints.code_of("DigitJudge"))


def test_a_change_of_another_model_trains_nothing_anew(monkeypatch, tmp_path):
    before = {kind: checkpoints.kept_path("model", {"class": kind}) for kind in ("VAE", "CVAE", "DigitJudge")}
    copied = shutil.copytree(Path(checkpoints.__file__).parent, tmp_path / "vae_utils")
    (copied / "models" / "conditional.py").write_text("changed = True\n")
    code_of = checkpoints.code_of
    here, there = str(Path(checkpoints.__file__).parent), str(copied)
    monkeypatch.setattr(checkpoints, "code_of", lambda kind: [Path(str(p).replace(here, there)) for p in code_of(kind)])
    changed = {kind for kind, path in before.items() if checkpoints.kept_path("model", {"class": kind}) != path}
    assert changed == {"CVAE"}


def look_once(step, model):
    return {"picture": model.decode(torch.zeros(1, 2))}


def test_snapshots_are_kept_with_the_model(once):
    watch = {"callback": look_once, "callback_steps": (0, 10)}
    assert once()[3]
    first, second = once(**watch), once(**watch)
    assert first[3] and not second[3], "what was kept without them does not do"
    assert list(second[1].snapshots) == [0, 10]
    for step in (0, 10):
        assert torch.equal(first[1].snapshots[step]["picture"], second[1].snapshots[step]["picture"])
    assert not once()[3]


def test_a_training_stopped_by_hand_is_returned_and_not_kept(once, tmp_path):
    def stop(step: int, model: nn.Module) -> None:
        raise KeyboardInterrupt

    trained, history, printed, _ = once(callback=stop, callback_steps=(10,))
    assert len(history) == 10 and trained.isfinite().all() and "Stopped by hand after 10 of 30" in printed
    assert not (tmp_path / "trained").exists()
    assert len(once()[1]) == 30


def test_a_damaged_file_is_named_and_trained_anew(once, tmp_path):
    first = once()
    (path,) = (tmp_path / "trained").iterdir()
    path.write_bytes(path.read_bytes()[:-50])
    trained, _, printed, fresh = once()
    assert fresh and str(path) in printed and torch.equal(trained, first[0])
    assert not once()[3]


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(once, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("VAE_TRAINED", str(tmp_path / "file"))
    trained, history, printed, fresh = once()
    assert fresh and len(history) == 30 and trained.isfinite().all()
    assert "not kept: cannot write" in printed and "set VAE_TRAINED" in printed


def test_a_class_of_the_readers_own_is_trained_and_not_kept(once, tmp_path):
    class Mine(VAE):
        pass

    _, history, printed, fresh = once(model=Mine(2, image_shape=SHAPE))
    assert fresh and len(history) == 30 and "not kept: cannot keep a Mine" in printed
