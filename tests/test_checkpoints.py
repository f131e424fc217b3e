"""Weights on disk: whole or not at all, and refused when they are not what they should be."""

import json
import os
import pickle
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from vae_utils import checkpoints, models
from vae_utils.fingerprints import fingerprint
from vae_utils.models import VAE, Autoencoder, DigitJudge

MODELS = {
    "vae": lambda: VAE(2, image_shape=(1, 4, 4)),
    "conv": lambda: VAE(3, "conv", (3, 8, 8)),
    "autoencoder": lambda: Autoencoder(2, "residual", (1, 8, 8)),
    "judge": lambda: DigitJudge(classes=3, image_shape=(1, 8, 8)),
}
FACTS = {"data": "mnist-60000", "steps": 2000, "seed": 0, "lr": 3e-3, "settings": {"beta": 1.0}}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A small checkpoint: its path and its bytes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("kept") / "judge.safetensors"
    checkpoints.save(path, DigitJudge(classes=3, image_shape=(1, 4, 4)), arrays={"loss": torch.arange(5.0)}, **FACTS)
    return path, path.read_bytes()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_comes_back_to_the_last_bit(kind, tmp_path):
    model = MODELS[kind]()
    checkpoints.save(tmp_path / "new" / "model.safetensors", model, **FACTS)
    loaded = checkpoints.load(tmp_path / "new" / "model.safetensors", **FACTS)
    assert type(loaded) is type(model) and loaded.config == model.config and not loaded.training
    assert same(loaded.state_dict(), model.state_dict())


def test_arrays_of_any_kind_come_back(tmp_path):
    arrays = {
        "snapshot/3/picture": torch.rand(2, 1, 4, 4), "labels": torch.arange(3), "pixels": torch.arange(4).byte(),
        "seconds": torch.tensor(1.5), "mask": torch.tensor([True, False]), "none": torch.zeros(0, 2),
        "transposed": torch.arange(6.0).view(2, 3).T, "double": torch.rand(2, dtype=torch.float64),
    }  # fmt: skip
    checkpoints.save(tmp_path / "model", MODELS["vae"](), arrays=arrays)
    assert same(checkpoints.read(tmp_path / "model")[2], arrays)


def test_the_header_tells_what_made_it(kept):
    header, weights, arrays = checkpoints.read(kept[0])
    assert header["class"] == "DigitJudge" and json.loads(header["config"]) == {"classes": 3, "image_shape": [1, 4, 4]}
    assert json.loads(header["facts"]) == FACTS
    assert json.loads(header["versions"])["torch"] == torch.__version__ and "python" in json.loads(header["versions"])
    assert arrays["loss"].tolist() == [0, 1, 2, 3, 4] and not any(name.startswith("weights/") for name in weights)


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 2001), ("data", "mnist-4000"), ("settings", {}), ("colour", "red")]
)
def test_a_fact_that_differs_is_named(kept, name, value):
    with pytest.raises(ValueError, match=f"was made with {name} = ") as caught:
        checkpoints.load(kept[0], **{name: value})
    assert (
        repr(FACTS.get(name)) in str(caught.value)
        and repr(value) in str(caught.value)
        and str(kept[0]) in str(caught.value)
    )


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint .*nothing.*: train the model first"):
        checkpoints.load(tmp_path / "nothing")


# ---- damaged, foreign, older


@pytest.mark.parametrize("length", [0, 1, 8, 100, 1000, -1])
def test_a_truncated_file_is_refused_by_name(kept, tmp_path, length):
    (tmp_path / "cut").write_bytes(kept[1][:length])
    with pytest.raises(ValueError, match="delete it and train anew") as caught:
        checkpoints.load(tmp_path / "cut")
    assert str(tmp_path / "cut") in str(caught.value)


@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(kept, tmp_path_factory, data):
    path, content = tmp_path_factory.getbasetemp() / "flipped", bytearray(kept[1])
    position = data.draw(st.one_of(st.integers(0, 1500), st.integers(0, len(content) - 1)))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        checkpoints.load(path)


def test_a_pickle_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Trap()))
    torch.save(MODELS["vae"]().state_dict(), tmp_path / "state.pt")
    for name in ("model.pt", "state.pt"):
        with pytest.raises(ValueError, match=f"{name} is not a readable checkpoint"):
            checkpoints.load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_weights_of_other_programs_are_refused(tmp_path):
    save_file(MODELS["vae"]().state_dict(), tmp_path / "foreign")
    with pytest.raises(ValueError, match="foreign has format None, not 'vae_utils-2'"):
        checkpoints.load(tmp_path / "foreign")


def test_an_unknown_class_is_named(tmp_path, monkeypatch):
    checkpoints.save(tmp_path / "model", MODELS["vae"]())
    others = {name: kind for name, kind in checkpoints.models.KNOWN.items() if name != "VAE"}
    monkeypatch.setattr(checkpoints.models, "KNOWN", others)
    with pytest.raises(ValueError, match="model holds a VAE, which this version cannot build: known are Auto"):
        checkpoints.load(tmp_path / "model")


@pytest.mark.parametrize("now", [lambda **config: DigitJudge(), lambda latent_dim: VAE(latent_dim)])
def test_weights_that_fit_no_longer_are_refused(tmp_path, monkeypatch, now):
    checkpoints.save(tmp_path / "model", MODELS["vae"]())
    monkeypatch.setitem(checkpoints.models.KNOWN, "VAE", now)
    with pytest.raises(ValueError, match="the weights in .*model do not fit its VAE"):
        checkpoints.load(tmp_path / "model")


def test_a_class_that_could_not_be_loaded_is_not_saved(tmp_path):
    class VAE(checkpoints.models.VAE):  # the name alone does not do
        pass

    for model in (VAE(2), torch.nn.Linear(2, 2)):
        with pytest.raises(ValueError, match=f"cannot keep a {type(model).__name__}: known are .*VAE"):
            checkpoints.save(tmp_path / "model", model)
    assert list(tmp_path.iterdir()) == []


# ---- writing


def refuse(*args: object) -> None:
    raise OSError("no space left")


@pytest.mark.parametrize("function", ["replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path, old = tmp_path / "model", MODELS["vae"]()
    checkpoints.save(path, old)
    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(OSError, match="cannot write .*model: choose a folder"):
        checkpoints.save(path, MODELS["vae"]())
    assert list(tmp_path.iterdir()) == [path]
    assert same(checkpoints.load(path).state_dict(), old.state_dict())


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    class Full:
        def __init__(self, path: str, mode: str) -> None:
            self.file = real(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *args: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> None:
            self.file.write(content[: len(content) // 2])
            refuse()

    path, old, real = tmp_path / "model", MODELS["vae"](), open
    checkpoints.save(path, old)
    monkeypatch.setattr("vae_utils.sources.open", Full, raising=False)
    with pytest.raises(OSError, match="cannot write"):
        checkpoints.save(path, MODELS["vae"]())
    assert list(tmp_path.iterdir()) == [path]
    assert same(checkpoints.load(path).state_dict(), old.state_dict())


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="choose a folder that can be written to, or set VAE_TRAINED"):
        checkpoints.save(tmp_path / "file" / "model", MODELS["vae"]())


def test_saving_twice_keeps_the_newer(tmp_path):
    first, second = MODELS["vae"](), MODELS["vae"]()
    for model in (first, second):
        checkpoints.save(tmp_path / "model", model)
    assert same(checkpoints.load(tmp_path / "model").state_dict(), second.state_dict())


# ---- what save refuses, and crafted files


EVERY = {
    "Autoencoder": lambda: Autoencoder(2, image_shape=(1, 8, 8)),
    "VAE": lambda: VAE(2, "residual", (1, 8, 8)),
    "CVAE": lambda: models.CVAE(2, image_shape=(1, 8, 8), classes=3),
    "Completer": lambda: models.Completer(2, "mlp", (1, 8, 8), quadrants=None, features=4),
    "DigitJudge": lambda: DigitJudge(classes=3, image_shape=(1, 8, 8)),
    "PoseVAE": lambda: models.PoseVAE(8, "mlp", (1, 8, 8)),
    "Classifier": lambda: models.Classifier("mlp", (1, 8, 8), 3, 0.5),
    "LabelledVAE": lambda: models.LabelledVAE(2, image_shape=(1, 8, 8), classes=3, weight=2.5),
    "M2": lambda: models.M2(2, image_shape=(1, 8, 8), classes=3, classifier="mlp", moves=0.5, binarise=False),
    "CodeM2": lambda: models.CodeM2(2, image_shape=(1, 1, 8), classes=3, alpha=4.0),
}


def test_every_known_model_is_tried():
    assert EVERY.keys() == models.KNOWN.keys()


@pytest.mark.parametrize("kind", EVERY)
def test_every_known_model_comes_back_the_same_and_leaves_random_numbers_alone(kind, tmp_path):
    model = EVERY[kind]().eval()
    before = torch.get_rng_state()
    checkpoints.save(tmp_path / "model", model)
    loaded = checkpoints.load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), before)
    assert type(loaded).__name__ == kind and fingerprint(loaded) == fingerprint(model)


def test_a_model_with_networks_of_its_own_is_not_saved(tmp_path):
    own = (nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4))))
    with pytest.raises(ValueError, match="config must be of the kinds that JSON has"):
        checkpoints.save(tmp_path / "model", VAE(2, own, (1, 4, 4)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["attribute", "private", "network", "layer", "precision", "lock"])
def test_a_model_that_was_changed_after_it_was_made_is_not_saved(tmp_path, change):
    model = VAE(2, image_shape=(1, 4, 4))
    if change == "attribute":
        model.temperature = 2.0
    elif change == "private":
        model._skip = True
    elif change == "network":
        model.decoder = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)))
    elif change == "layer":  # the same weights, put together in another way
        model.encoder[2] = nn.ReLU()
    elif change == "precision":
        model.double()
    else:
        model.lock = threading.Lock()
    with pytest.raises(ValueError, match="cannot keep this VAE: its configuration does not say all of it"):
        checkpoints.save(tmp_path / "model", model)
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_frozen_weights_is_saved(tmp_path):
    model = VAE(2, image_shape=(1, 4, 4)).requires_grad_(False)
    checkpoints.save(tmp_path / "model", model)
    assert same(checkpoints.load(tmp_path / "model").state_dict(), model.state_dict())


def craft(path, change, tensors=None):
    """Write a file with the right checksum and a header that somebody else made up."""
    weights = {f"weights/{name}": part for name, part in MODELS["vae"]().state_dict().items()}
    weights = weights if tensors is None else tensors
    header = {
        "format": checkpoints.FORMAT, "class": "VAE", "config": json.dumps({"latent_dim": 2, "image_shape": [1, 4, 4]}),
        "facts": "{}", "versions": "{}",
    }  # fmt: skip
    header = {name: text for name, text in (header | change).items() if text is not None}
    save_file(weights, path, header | {"sha256": checkpoints._checksum(header, weights)})


CRAFTED = {
    **{f"no {name}": ({name: None}, f"lacks {name}") for name in checkpoints.NEEDED},
    **{f"{name} no table": ({name: "[1]"}, f"{name} is no table") for name in checkpoints.NEEDED if name != "class"},
    **{f"{name} no JSON": ({name: "{"}, "no checkpoint") for name in checkpoints.NEEDED if name != "class"},
    "config too deep": ({"config": "[" * 200_000}, "no checkpoint"),
    "an unknown class": ({"class": "Toaster"}, "holds a Toaster, which this version cannot build"),
    "unknown arguments": ({"config": '{"latent_dim": 2, "colour": "red"}'}, "do not fit its VAE"),
    "no image": ({"config": '{"latent_dim": 2, "image_shape": null}'}, "do not fit its VAE"),
    "a text for a number": ({"config": '{"latent_dim": "two"}'}, "do not fit its VAE"),
    "a table for a network": ({"config": '{"latent_dim": 2, "network": {"a": 1}}'}, "do not fit its VAE"),
    "a list for a network": ({"config": '{"latent_dim": 2, "network": [1, 2]}'}, "do not fit its VAE"),
    "a model too large": ({"config": '{"latent_dim": 1000000000000000000000}'}, "do not fit its VAE"),
    "another image": ({"config": '{"latent_dim": 2, "image_shape": [1, 8, 8]}'}, "do not fit its VAE"),
    "another format": ({"format": "vae_utils-1"}, "has format 'vae_utils-1'"),
}


def test_a_file_as_ours_is_loaded(tmp_path):
    craft(tmp_path / "good", {})
    assert isinstance(checkpoints.load(tmp_path / "good"), VAE)


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_header_is_refused_in_a_sentence(tmp_path, name):
    change, message = CRAFTED[name]
    craft(tmp_path / "crafted", change)
    with pytest.raises(ValueError, match=f"crafted .*{message}"):
        checkpoints.load(tmp_path / "crafted")


@pytest.mark.parametrize(
    "tensors", [{"loose": torch.zeros(1)}, {"other/a": torch.zeros(1)}, {}, {"weights/a": torch.zeros(1)}]
)
def test_crafted_tensors_are_refused_in_a_sentence(tmp_path, tensors):
    craft(tmp_path / "crafted", {}, tensors)
    with pytest.raises(ValueError, match="crafted (is no checkpoint of this package|do not fit its VAE)"):
        checkpoints.load(tmp_path / "crafted")


@pytest.mark.parametrize("size", [2**63, 2**32, 10_000_000])
def test_a_huge_header_is_refused(tmp_path, size):
    (tmp_path / "huge").write_bytes(size.to_bytes(8, "little") + b"{" * 1000)
    with pytest.raises(ValueError, match="huge is not a readable checkpoint"):
        checkpoints.load(tmp_path / "huge")


def test_a_fact_that_json_does_not_have_is_refused(tmp_path):
    with pytest.raises(ValueError, match="facts must be of the kinds that JSON has"):
        checkpoints.save(tmp_path / "model", MODELS["vae"](), seen=object())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 3, "", "a\0b", "x" * 300])
def test_what_is_no_path_is_refused(path):
    calls = (lambda: checkpoints.save(path, MODELS["vae"]()), lambda: checkpoints.load(path))
    for call in (*calls, lambda: checkpoints.read(path), lambda: checkpoints.write(path, {}, {}, {})):
        with pytest.raises((TypeError, ValueError), match="path must be the path of a file"):
            call()


@pytest.mark.parametrize(
    "arrays", [[1], {"a": 1}, {1: torch.zeros(1)}, {"a": torch.zeros(1, device="meta")}, 3], ids=str
)
def test_arrays_that_are_no_tensors_by_name_are_refused(tmp_path, arrays):
    with pytest.raises(TypeError, match="arrays must be (a dictionary, its keys text|plain tensors by name)"):
        checkpoints.save(tmp_path / "model", MODELS["vae"](), arrays=arrays)
    assert list(tmp_path.iterdir()) == []
