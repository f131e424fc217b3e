"""Models that are trained once and kept: what counts as the same training, and what happens when keeping fails."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from test_training import SETTINGS, SHAPE, equal, vae, weights
from torch import nn

from tools.files import ROOT
from vae_utils import checkpoints, keeping, losses, training
from vae_utils.data import Dataset, Split
from vae_utils.keeping import fit_once, kept_path, training_facts
from vae_utils.models import M2, VAE, Autoencoder, Classifier, pose


def forget(weight: torch.Tensor) -> None:
    weight.grad.zero_()


FADE = (lambda gradient: 0 * gradient, forget)  # hooks on a weight


@pytest.fixture
def once(toy, capsys):
    """Call fit_once on a fresh model; return its weights, its history, what was printed, and whether it trained."""

    def train(model: nn.Module | None = None, dataset: Dataset = toy, name: str = "toy", **changes: object) -> tuple:
        model = vae() if model is None else model
        history = fit_once(name, model, dataset, **(SETTINGS | changes))
        said = capsys.readouterr().out
        trained, loaded = f"{name}: trained in" in said, f"{name}: loaded" in said
        assert not model.training and (trained + loaded == 1 or "Stopped by hand" in said)
        return weights(model), history, said, not loaded

    return train


@pytest.fixture
def files(tmp_path):
    """Return the kept files."""
    return lambda: sorted((tmp_path / "trained").glob("*.safetensors"))


def test_the_second_call_loads_what_the_first_kept(once):
    first, second = once(), once()
    assert first[3] and not second[3]
    assert torch.equal(first[0], second[0]) and equal(first[1], second[1])
    assert second[1].seconds == pytest.approx(first[1].seconds)
    path = re.search(r"trained/toy-[0-9a-f]{8}\.safetensors", first[2])[0]
    assert first[2].startswith("toy: trained in") and "kept in" in first[2]
    assert second[2].startswith("toy: loaded, trained before") and "To train it again, delete" in second[2]
    assert path in second[2] and first[2].count("\n") == second[2].count("\n") == 1


def test_a_hook_on_a_weight_is_another_training(once):
    once()
    for place, name in enumerate(("register_hook", "register_post_accumulate_grad_hook")):
        if hasattr(torch.Tensor, name):
            model = vae()
            for weight in model.parameters():
                getattr(weight, name)(FADE[place])
            assert once(model=model)[3]
    model = vae()
    next(model.parameters()).scale = 2
    assert once(model=model)[3]


def test_autocast_is_another_training(once):
    once()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert once()[3] and not once()[3]
    assert not once()[3]


def test_images_that_a_callback_changes_are_not_those_that_the_name_stands_for(toy, files, capsys):
    def spoil(step, model):
        own.train.images.zero_()

    own = Dataset("own", Split(toy.train.images.clone(), toy.train.labels), toy.test, "made up", is_full=False)
    fit_once("own", vae(), own, callback=spoil, callback_steps=(1,), **SETTINGS)
    assert "not kept, because the training changed the images" in capsys.readouterr().out and files() == []


def test_what_is_kept_is_what_fit_gives(once, toy):
    model = vae()
    history = training.fit(model, toy.train, **SETTINGS)
    once()
    trained, again, _, fresh = once()
    assert not fresh and torch.equal(trained, weights(model)) and equal(history, again)


def test_deleting_the_file_named_trains_again(once, files):
    once()
    (path,) = files()
    path.unlink()
    assert once()[3] and path.exists()


@pytest.mark.parametrize(
    "change", [{"steps": 29}, {"batch_size": 31}, {"lr": 1e-3}, {"beta": 0.5}, {"seed": 1}, {"name": "other"}], ids=str
)
def test_any_other_setting_trains_anew(once, change):
    once()
    assert once(**change)[3]
    assert not once()[3], "and the first is still kept"


def test_numbers_of_numpy_and_torch_are_settings_too(once):
    once()
    assert not once(steps=np.int64(30), batch_size=np.int32(32))[3]
    assert once(beta=torch.tensor(0.25))[3] and not once(beta=np.float32(0.25))[3]


def test_other_data_another_model_or_other_code_train_anew(once, toy, monkeypatch):
    once()
    images = toy.train.images.clone()
    images[0, 0, 0, 0] ^= 1
    assert once(dataset=Dataset("mnist", Split(images, toy.train.labels), toy.test, "", False))[3]
    labels = toy.train.labels.clone()
    labels[0] = 3
    assert once(dataset=Dataset("mnist", Split(toy.train.images, labels), toy.test, "", False))[3]
    assert once(model=Autoencoder(2, image_shape=SHAPE))[3]
    assert once(model=VAE(3, image_shape=SHAPE))[3]
    assert once(model=VAE(2, "conv", SHAPE))[3]
    monkeypatch.setattr(training, "CHECK_EVERY", 24)
    assert once()[3]


def test_a_method_that_is_edited_in_a_running_kernel_trains_anew(once, monkeypatch):
    once()
    with monkeypatch.context() as patch:
        patch.setattr(VAE, "nll", lambda self, x_logits, x: 2 * losses.bernoulli_nll(x_logits, x))
        assert once()[3] and not once()[3]
    assert not once()[3]


@pytest.mark.parametrize(
    "make",
    [partial(M2, 2, classifier="mlp", moves=0.5), partial(Classifier, "mlp", moves=0.5)],
    ids=["M2", "Classifier"],
)
def test_other_poses_train_what_moves_its_images_anew(once, monkeypatch, make):
    def model() -> nn.Module:
        torch.manual_seed(0)
        return make(image_shape=SHAPE)

    assert once(model=model(), steps=2)[3] and not once(model=model(), steps=2)[3]
    monkeypatch.setitem(pose.POSE, "turn", 0.5)
    assert once(model=model(), steps=2)[3]


def test_another_version_of_pytorch_trains_anew(once, monkeypatch, toy):
    once()
    assert training_facts(vae(), toy, SETTINGS)["torch"] == torch.__version__
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    assert once()[3]


def test_another_start_is_another_training(once):
    once()
    torch.manual_seed(1)
    assert once(model=VAE(2, image_shape=SHAPE))[3]
    frozen = vae()
    frozen.encoder.requires_grad_(False)
    assert once(model=frozen)[3], "what is not to learn"


def test_a_log_directory_does_not_make_another_training(once, tmp_path):
    pytest.importorskip("tensorboard")
    assert once(log_dir=tmp_path / "runs")[3]
    assert not once()[3]
    assert list((tmp_path / "runs").glob("events.out*"))


def test_a_checkpoint_on_the_way_does_not_make_another_training(once, tmp_path):
    assert once(checkpoint=tmp_path / "half", checkpoint_every=10)[3]
    assert not once()[3] and not (tmp_path / "half").exists()


def test_the_name_changes_with_every_fact(monkeypatch, tmp_path, toy):
    facts = training_facts(vae(), toy, SETTINGS)
    path = kept_path("vae", facts)
    assert path == kept_path("vae", dict(reversed(facts.items()))), "not with their order"
    assert path.parent == tmp_path / "trained" and path.name.startswith("vae-") and path.suffix == ".safetensors"
    others = [kept_path("vae", facts | {name: "other"}) for name in facts]
    assert len({path, *others}) == len(facts) + 1
    monkeypatch.delenv("VAE_TRAINED")
    assert kept_path("vae", facts).parent == ROOT / "data" / "trained"


def test_a_file_of_other_facts_under_the_wanted_name_is_not_served(once, files):
    other = once(seed=1)
    (wrong,) = files()
    once()
    (right,) = set(files()) - {wrong}
    shutil.copy(wrong, right)
    trained, _, _, fresh = once()
    assert fresh and not torch.equal(trained, other[0])
    assert not once()[3] and not once(seed=1)[3]


def test_a_file_that_lacks_weights_is_not_half_loaded(once, files, toy):
    plain = once()
    (path,) = files()
    header, kept, arrays = checkpoints.read(path)
    first = next(iter(kept))
    spoilt = {name: torch.zeros_like(part) for name, part in kept.items() if name != first}
    checkpoints.write(path, {name: header[name] for name in ("class", "config", "facts")}, spoilt, arrays)
    trained, _, said, fresh = once()
    assert fresh and str(path) in said and torch.equal(trained, plain[0])


# ---- callbacks


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
    assert once(**watch | {"callback_steps": (0, 11)})[3], "other steps are another watch"


SCALE = 1.0


def reads_a_global(step, model):
    return {"x": torch.tensor(SCALE)}


def uses_the_package(step, model):
    return {"x": losses.gaussian_kl(torch.ones(1, 2), torch.zeros(1, 2))}


class Looker:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, step, model):
        return {"x": torch.tensor(self.scale)}

    def look(self, step, model):
        return {"x": torch.tensor(self.scale)}


def scaled(scale, step, model):
    return {"x": torch.tensor(scale)}


def closing(scale: float):
    return lambda step, model: {"x": torch.tensor(scale)}


CALLBACKS = {
    "closures": closing,
    "objects": Looker,
    "bound methods": lambda scale: Looker(scale).look,
    "partials": partial(partial, scaled),
}


@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_callback_is_served_what_it_saw_itself(once, kind):
    watch = {"steps": 2, "callback_steps": (1,)}
    for scale in (1.0, 2.0):
        for fresh in (True, False):
            _, history, _, trained = once(callback=CALLBACKS[kind](scale), **watch)
            assert trained == fresh and history.snapshots[1]["x"] == scale


def test_what_a_callback_reads_around_it_counts(once, monkeypatch):
    watch = {"steps": 2, "callback_steps": (1,)}
    for callback in (reads_a_global, uses_the_package):
        assert once(callback=callback, **watch)[3] and not once(callback=callback, **watch)[3]
    monkeypatch.setattr(losses, "gaussian_kl", lambda mu, logvar: mu[:, 0] + 7)
    assert once(callback=uses_the_package, **watch)[1].snapshots[1]["x"] == 8
    once(callback=reads_a_global, **watch)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    assert once(callback=reads_a_global, **watch)[1].snapshots[1]["x"] == 2


@pytest.mark.parametrize("change", ["add_", "data", "replace"])
def test_a_callback_that_changes_the_weights_is_refused_and_nothing_kept(once, files, change):
    def meddle(step, model):
        if change == "add_":
            next(model.parameters()).add_(1)
        elif change == "data":
            next(model.parameters()).data.add_(1)
        else:
            model.decoder[0] = nn.Linear(2, 512)

    with pytest.raises(ValueError, match="callback changed the weights at step 3"):
        once(callback=meddle, callback_steps=(3,))
    assert files() == []


def test_callback_steps_without_a_callback_are_refused_although_a_model_is_kept(once):
    once()
    with pytest.raises(ValueError, match="without a callback"):
        once(callback_steps=(3,))


def test_a_training_stopped_by_hand_is_returned_and_not_kept(once, files):
    def stop(step: int, model: nn.Module) -> None:
        raise KeyboardInterrupt

    trained, history, printed, _ = once(callback=stop, callback_steps=(10,))
    assert len(history) == 10 and trained.isfinite().all() and "Stopped by hand after 10 of 30" in printed
    assert files() == []
    assert len(once()[1]) == 30, "and its lock is free"


def test_what_has_no_content_is_trained_and_not_kept(once, files):
    with open(__file__) as file:
        said = once(callback=lambda step, model: file and None, callback_steps=(1,))[2]
    assert "trained in" in said and "not kept, because a TextIOWrapper gives something else" in said and files() == []


# ---- the random numbers of whoever calls


def test_the_random_numbers_of_whoever_calls_stay_as_they_were(once):
    def numbers() -> tuple:
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()

    for fresh in (True, False):
        model = vae()
        torch.manual_seed(5)
        before = numbers()
        assert once(model=model)[3] == fresh and numbers() == before


# ---- damaged files and folders


def test_a_damaged_file_is_named_and_trained_anew(once, files):
    first = once()
    (path,) = files()
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


@pytest.mark.parametrize("error", [OSError, NotImplementedError])
@pytest.mark.parametrize("where", ["made", "acquired"])
def test_a_lock_that_cannot_be_made_costs_nothing_but_the_lock(once, monkeypatch, error, where):
    class NoLock(filelock.FileLock):
        def acquire(self, *args: object, **settings: object) -> None:
            raise error("no locks here")

    def refuse(path: Path) -> None:
        raise error("no locks here")

    monkeypatch.setattr(keeping, "FileLock", NoLock if where == "acquired" else refuse)
    assert once()[3] and not once()[3]


@pytest.mark.parametrize("locks", [True, False])
def test_an_error_in_training_is_passed_on_alone_and_frees_the_lock(once, toy, monkeypatch, locks):
    def fail(*args: object, **settings: object) -> None:
        raise FloatingPointError("gone wrong")

    def refuse(path: Path) -> None:
        raise OSError("no locks here")

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "fit", fail)
        if not locks:
            patch.setattr(keeping, "FileLock", refuse)
        with pytest.raises(FloatingPointError, match="gone wrong") as caught:
            fit_once("toy", vae(), toy, **SETTINGS)
    assert caught.value.__context__ is None
    assert once()[3]


def test_the_stop_button_frees_the_lock(toy, monkeypatch):
    def stop(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    locks = []

    class Seen(filelock.FileLock):
        def __init__(self, *args: object, **settings: object) -> None:
            super().__init__(*args, **settings)
            locks.append(self)

    monkeypatch.setattr(keeping, "FileLock", Seen)
    monkeypatch.setattr(keeping, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        fit_once("toy", vae(), toy, **SETTINGS)
    assert len(locks) == 1 and not locks[0].is_locked


# ---- models of the reader's own

MINE = """
from vae_utils.models import VAE
class Mine(VAE):
    def nll(self, x_logits, x):
        return {scale} * super().nll(x_logits, x)
"""


def mine(scale: int) -> nn.Module:
    """Return a model of a class that a cell of a notebook defines."""
    space = {"__name__": "__main__"}
    exec(MINE.format(scale=scale), space)
    torch.manual_seed(0)
    return space["Mine"](2, image_shape=SHAPE)


def test_a_class_of_the_readers_own_is_kept_until_it_is_edited(once):
    first = once(model=mine(1))
    assert first[3] and "kept in" in first[2]
    again = once(model=mine(1))
    assert not again[3] and torch.equal(again[0], first[0])
    edited = once(model=mine(2))
    assert edited[3] and not torch.equal(edited[0], first[0])
    assert not once(model=mine(2))[3] and not once(model=mine(1))[3]


def test_a_model_with_networks_of_its_own_is_kept(once, files):
    def own(width: int = 5) -> nn.Module:
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 4))
        decoder = nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, SHAPE))
        return VAE(2, (encoder, decoder), SHAPE)

    first, second = once(model=own()), once(model=own())
    assert first[3] and "kept in" in first[2] and not second[3] and torch.equal(first[0], second[0])
    assert once(model=own(6))[3]
    with pytest.raises(ValueError, match="holds a VAE with networks of its own, which this version cannot build"):
        checkpoints.load(files()[0])


def test_a_training_that_changes_more_than_weights_is_not_kept(once, files):
    class Counting(VAE):
        calls = 0

        def terms(self, x, y=None):
            self.calls += 1
            return super().terms(x, y)

    torch.manual_seed(0)
    model = Counting(2, image_shape=SHAPE)
    said = once(model=model)[2]
    assert (
        model.calls == 30
        and "not kept, because the training changed the images, or more of the model" in said
        and files() == []
    )


def test_a_kept_model_of_the_series_can_be_loaded_by_its_file(once, files):
    trained = once()[0]
    assert torch.equal(weights(checkpoints.load(files()[0])), trained)
    header = checkpoints.read(files()[0])[0]
    assert json.loads(header["facts"])["settings"] == {"batch_size": 32, "steps": 30}


# ---- two processes

RACE = """
import sys, time, torch
from vae_utils import keeping
from vae_utils.data import Dataset, Split
from vae_utils.models import VAE
torch.set_num_threads(1)
split = Split(torch.arange(64 * 16).remainder(251).byte().view(64, 1, 4, 4), torch.zeros(64, dtype=torch.int64))
torch.manual_seed(0)
model = VAE(2, image_shape=(1, 4, 4))
print("ready", flush=True)
sys.stdin.readline()
def slow(step, model):
    time.sleep(0.5)
watch = {"callback": slow, "callback_steps": range(4)}
keeping.fit_once("race", model, Dataset("own", split, split), steps=4, batch_size=8, **watch)
print("weights", sum(p.double().sum().item() for p in model.parameters()))
"""


def test_two_processes_that_want_the_same_train_it_once(tmp_path, files):
    (tmp_path / "race.py").write_text(RACE)
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "race.py")]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) for _ in "ab"
    ]
    try:
        for process in both:
            assert process.stdout.readline() == "ready\n"
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=100)[0] for process in both]
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert sum("race: trained in" in text for text in said) == 1, said
    (second,) = [text for text in said if "race: trained in" not in text]
    assert "another process is training it, and this one waits" in second and "race: loaded" in second
    assert len({text.splitlines()[-1] for text in said}) == 1 and len(files()) == 1


@pytest.mark.parametrize("name", ["../../evil", "a/b", "", None, "x" * 51, "a\n", ".hidden", "a\0b", "c:d"])
def test_a_name_that_leads_elsewhere_is_refused(toy, tmp_path, name):
    for call in (lambda: fit_once(name, vae(), toy, steps=1), lambda: kept_path(name, {})):
        with pytest.raises((TypeError, ValueError), match="name must be"):
            call()
    assert list(tmp_path.iterdir()) == []
    assert kept_path("judge-my clouds, é"[:15], {}).parent == tmp_path / "trained"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"dataset": "split"}, "dataset must be a data.Dataset, as of load_dataset, not a Split"),
        ({"dataset": None}, "dataset must be a data.Dataset"),
        ({"model": None}, "model must be a module"),
        ({"steps": None}, "steps must be a whole number"),
        ({"callback_steps": None}, "callback_steps must be a collection"),
        ({"callback": 3, "callback_steps": (1,)}, "callback must be a function"),
        ({"lr": object()}, "lr must be a number"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_trained_once_is_refused(toy, files, change, complaint):
    change = change | ({"dataset": toy.train} if change.get("dataset") == "split" else {})
    with pytest.raises(TypeError, match=complaint):
        fit_once(**({"name": "toy", "model": vae(), "dataset": toy, "steps": 1, "batch_size": 32} | change))
    assert files() == []
