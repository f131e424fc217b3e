"""Fixtures: an environment of their own for all tests, small data sets, and a web server that misbehaves to order."""

import gzip
import hashlib
import os
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread

import numpy as np
import pytest
import torch
from hypothesis import settings

from vae_utils import sources
from vae_utils.data import Dataset, Split, load_dataset

KEPT = os.environ.get("VAE_TRAINED")  # as the reader set it, if at all

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("repeatable")
THREADS = torch.get_num_threads()
torch.set_num_threads(1)  # enough for small networks, and parallel workers with several threads each stall one another


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No progress bar, the CPU, nothing kept in the project, no proxy before the local server; small numbers stay."""
    values = {"VAE_PROGRESS": "0", "VAE_DEVICE": "cpu", "VAE_TRAINED": str(tmp_path / "trained")}
    for name, value in (values | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}).items():
        monkeypatch.setenv(name, value)
    yield
    torch.set_flush_denormal(False)  # hypothesis wants its small numbers


@pytest.fixture
def project_kept(environment, monkeypatch):
    """Use the folder in which the project keeps trained models."""
    monkeypatch.delenv("VAE_TRAINED") if KEPT is None else monkeypatch.setenv("VAE_TRAINED", KEPT)


@pytest.fixture
def all_threads():
    """As many threads as a reader has, unless workers share them."""
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else THREADS)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The digits that a reader of this checkout gets: all of MNIST, or the embedded ones."""
    return load_dataset()


@pytest.fixture(scope="session")
def embedded_folder(tmp_path_factory) -> Path:
    """A data folder that was empty and had no network: it holds the cache of the embedded digits."""
    folder = tmp_path_factory.mktemp("embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "mirrors", lambda name: [])
        load_dataset(root=folder)
    return folder


@pytest.fixture
def offline(monkeypatch):
    """No mirror answers, at once."""
    monkeypatch.setattr(sources, "mirrors", lambda name: [])


def squares(n: int, seed: int) -> Split:
    """Return n noisy 8 x 8 images, with a bright square whose place tells the label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 10
    images = torch.randint(0, 60, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 2 * (label // 4), 2 * (label % 4)
        image[0, row : row + 2, column : column + 2] = 255
    return Split(images, labels)


@pytest.fixture(scope="session")
def toy() -> Dataset:
    """A data set that a small network learns in some steps: 200 and 60 images of 8 x 8."""
    return Dataset("mnist", squares(200, seed=0), squares(60, seed=1), "made up", is_full=False)


def idx(values: np.ndarray) -> bytes:
    header = [0x0800 + values.ndim, *values.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + values.astype(np.uint8).tobytes()


class Files:
    """The four files of a small MNIST, with random pixels: raw and packed, by name."""

    bomb = gzip.compress(bytes(8_000_000))  # 8 kB, so that only what it unpacks to gives it away

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images = [rng.integers(0, 256, (n, 28, 28)) for n in (40, 20)]
        self.labels = [np.arange(n) % 10 for n in (40, 20)]
        parts = (self.images[0], self.labels[0], self.images[1], self.labels[1])
        self.raw = {stem: idx(part) for stem, part in zip(sources.FILES, parts, strict=True)}
        self.packed = {f"{stem}.gz": gzip.compress(content, mtime=0) for stem, content in self.raw.items()}
        self.sha256 = tuple(hashlib.sha256(content).hexdigest() for content in self.raw.values())

    def put(self, root: Path, *, raw: bool = False, packed: bool = True) -> Path:
        """Write the files where torchvision keeps them, and return that folder."""
        folder = root / "MNIST" / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((self.raw if raw else {}) | (self.packed if packed else {})).items():
            (folder / name).write_bytes(content)
        return folder

    def agree_with(self, dataset: Dataset) -> bool:
        """Tell whether a data set holds exactly these images and labels."""
        return dataset.is_full and all(
            np.array_equal(split.images.squeeze(1).numpy(), images) and np.array_equal(split.labels.numpy(), labels)
            for split, images, labels in zip((dataset.train, dataset.test), self.images, self.labels, strict=True)
        )


@pytest.fixture
def files(monkeypatch, offline) -> Files:
    """A small MNIST in place of the real one, offline."""
    small = Files()
    monkeypatch.setitem(sources.SHA256, "mnist", small.sha256)
    return small


class Mirror:
    """A web server for these files on this machine: `mode`, or `modes` by file, say how it answers.

    `left` is set when a client goes away that it kept waiting.
    """

    def __init__(self, files: Files) -> None:
        self.files, self.mode, self.modes = files, "good", {}
        self.asked, self.lock, self.released, self.left = Counter(), Lock(), Event(), Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.handle_error = lambda request, address: None  # clients may go away
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handler(mirror) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self, self.path.lstrip("/"))

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def answer(self, request: BaseHTTPRequestHandler, name: str) -> None:
        with self.lock:
            self.asked[name] += 1
        mode, content = self.modes.get(name, self.mode), self.files.packed[name]
        if mode == "silent":
            self.wait(request)
            return
        body = {
            "html": b"<html>Please log in.</html>",
            "wrong": gzip.compress(b"other content"),
            "bomb": self.files.bomb,
        }.get(mode, content)
        request.send_response(404 if mode == "missing" else 200)
        if mode in ("endless", "drip"):
            self.pour(request, *((bytes(1 << 16), 0) if mode == "endless" else (b"x", 0.02)))
            return
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if mode in ("half", "stalled") else body)
        if mode == "stalled":
            request.wfile.flush()
            self.wait(request)

    def wait(self, request: BaseHTTPRequestHandler) -> None:
        """Say nothing more until the test ends or the client goes away."""
        request.connection.settimeout(0.05)
        while not self.released.is_set():
            try:
                gone = request.connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                self.left.set()
                return

    def pour(self, request: BaseHTTPRequestHandler, part: bytes, pause: float) -> None:
        """Send a part again and again, without an end, until the client goes away."""
        request.end_headers()
        try:
            while not self.released.wait(pause):
                request.wfile.write(part)
        except OSError:
            self.left.set()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(files, monkeypatch):
    """The one mirror of the small MNIST."""
    mirror = Mirror(files)
    monkeypatch.setattr(sources, "mirrors", lambda name: [mirror.address])
    yield mirror
    mirror.close()
