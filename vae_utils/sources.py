"""The four files of a data set: read from disk and verified, or downloaded and verified."""

import gzip
import hashlib
import http.client
import io
import os
import secrets
import socket
import time
import urllib.request
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError

from vae_utils import inputs

PATIENCE = 10.0  # seconds until the first byte, all mirrors and the import of torchvision together
PER_MIRROR = 4.0  # seconds one mirror may take to answer
STALL = 10.0  # seconds without a byte, once a download runs
WHOLE = 600.0  # seconds one file may take altogether: the largest, 26 MB, then comes at 44 kB a second

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # torchvision's names, and its classes'
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIZES = (47_040_016, 60_008, 7_840_016, 10_008)  # bytes of the unpacked files, which no packed one exceeds either
SHA256 = {  # of the unpacked files, in the order of FILES
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
WRONG, TOO_LARGE = "its checksum is wrong", "it has more than the {:,} bytes it should have"


class SourceError(RuntimeError):
    """The files of a data set are neither on disk nor to be downloaded; `damage` names those that were no good."""

    def __init__(self, message: str, damage: str = "") -> None:
        super().__init__(f"{damage} {message}".strip())
        self.damage = damage


def write_atomic(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all, also where Ctrl-C comes in between; return False where it cannot be written.
    Raises: TypeError, ValueError.
    """
    path, content = inputs.check_path("path", path), inputs.check_bytes("content", content)
    temporary = path.parent / f".{path.name}-{secrets.token_hex(8)}"  # known before it is there, so never left
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def read_files(name: str, root: Path) -> tuple[list[bytes], list[str]]:
    """Return the unpacked contents of the four files, and a sentence for each damaged file met on the way.

    A file under root/MNIST/raw (torchvision's layout, packed or not) is used only if its contents have the right
    SHA-256; a damaged one is named and replaced by a fresh download where that is possible.

    Raises: TypeError, ValueError; SourceError, naming each damaged file, if one is neither there nor to be downloaded.
    """
    name, root = inputs.check_choice("name", name, FOLDERS), inputs.check_path("root", root)
    digests, sizes = (dict(zip(FILES, values, strict=True)) for values in (SHA256[name], SIZES))
    folder, contents, damaged, replaced = root / FOLDERS[name] / "raw", {}, {}, set()
    for stem in FILES:
        for path in (folder / stem, folder / f"{stem}.gz"):
            if stem not in contents and path.is_file():
                try:
                    contents[stem] = _read(path, digests[stem], sizes[stem])
                except (OSError, EOFError, zlib.error) as error:
                    damaged[path] = str(error) if isinstance(error, _BadContent) else WRONG
    try:
        for stem in [stem for stem in FILES if stem not in contents]:
            packed, contents[stem] = _download(name, stem, digests[stem], sizes[stem])
            archive = folder / f"{stem}.gz"
            replaced |= {archive} if write_atomic(archive, packed) else set()
    except SourceError as error:
        raise SourceError(str(error), " ".join(_notes(damaged, replaced))) from None
    replaced |= {path for path in damaged if path.name in FILES and write_atomic(path, contents[path.name])}
    return [contents[stem] for stem in FILES], _notes(damaged, replaced)


def _notes(damaged: dict[Path, str], replaced: set[Path]) -> list[str]:
    ends = {path: " and was replaced by a good copy." if path in replaced else "." for path in damaged}
    return [f"{path} is damaged ({why}){ends[path]}" for path, why in damaged.items()]


class _BadContent(OSError):
    """Say what is wrong with what a file holds."""


def _read(path: Path, digest: str, size: int) -> bytes:
    """Return the verified contents of a raw or packed file. Raises: what reading and unpacking raise."""
    with path.open("rb") as file:
        content = _bounded(file, size)
    return _verified(_unpacked(content, size) if path.suffix == ".gz" else content, digest)


def _unpacked(packed: bytes, size: int) -> bytes:
    """Unpack as far as size bytes and one more, so that an archive of zeros costs no more memory than a good one."""
    with gzip.open(io.BytesIO(packed)) as file:
        return _bounded(file, size)


def _bounded(file: io.BufferedIOBase, size: int) -> bytes:
    content = file.read(size + 1)
    if len(content) > size:
        raise _BadContent(TOO_LARGE.format(size))
    return content


def _verified(content: bytes, digest: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != digest:
        raise _BadContent(WRONG)
    return content


def _download(name: str, stem: str, digest: str, size: int) -> tuple[bytes, bytes]:
    """Return the archive, and its verified contents, from the first of torchvision's mirrors that serves it."""
    deadline, problems = time.monotonic() + PATIENCE, []
    for mirror in mirrors(name):
        url = f"{mirror}{stem}.gz"
        try:
            packed = _fetch(url, min(PER_MIRROR, deadline - time.monotonic()), size)
            return packed, _verified(_unpacked(packed, size), digest)
        except (OSError, EOFError, zlib.error) as error:
            problems.append(f"{url}: {error}")
    raise SourceError("No download worked: " + "; ".join(problems) + ".")


def mirrors(name: str) -> list[str]:
    """Return the addresses that the installed torchvision downloads a data set from. Raises: as `read_files`."""
    inputs.check_choice("name", name, FOLDERS)
    from torchvision import datasets  # takes seconds: only where something is downloaded

    return list(getattr(datasets, FOLDERS[name]).mirrors)


def _fetch(url: str, first_byte: float, size: int) -> bytes:
    """Return what an address serves; unlike a plain urlopen, never wait for a silent network, nor leave a connection.

    Raises: OSError if nothing comes for too long, or more than size bytes do.
    """
    wait, deadline, parts = max(0.1, first_byte), time.monotonic() + WHOLE, []
    stream = _Stream(url, wait, size)
    try:
        while True:
            try:
                chunk = stream.chunks.get(timeout=wait)
            except Empty:
                raise TimeoutError(f"no answer within {wait:.3g} s") from None
            if chunk is None:
                return b"".join(parts)
            if isinstance(chunk, Exception):
                raise chunk if isinstance(chunk, OSError) else OSError(str(chunk))
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {WHOLE:.0f} s")
            parts.append(chunk)
            wait = STALL
    finally:  # also where the reader interrupts
        stream.stop()


class _Stream(Thread):
    """Read an address in a thread of its own, which puts chunks, then None or an exception, until it is stopped."""

    def __init__(self, url: str, first_byte: float, size: int) -> None:
        super().__init__(daemon=True)
        self.url, self.first_byte, self.size = url, first_byte, size
        self.chunks: SimpleQueue[bytes | Exception | None] = SimpleQueue()
        self.stopped, self.sockets = False, []
        self.start()

    def run(self) -> None:
        """Read to the end, or as far as there are size bytes."""
        kinds = (urllib.request.HTTPHandler, urllib.request.HTTPSHandler)
        opener = urllib.request.build_opener(*(_watched(kind, self.hold) for kind in kinds))
        try:
            with opener.open(self.url, timeout=self.first_byte) as response:
                came = 0
                while chunk := response.read1(1 << 16):
                    came += len(chunk)
                    if came > self.size:
                        raise _BadContent(TOO_LARGE.format(self.size))
                    self.chunks.put(chunk)
            self.chunks.put(None)
        except Exception as error:  # handed to who asked
            if isinstance(error, HTTPError):
                error.close()
            self.chunks.put(error)

    def hold(self, connected: socket.socket) -> None:
        """Take note of a connection, in this thread, so that another may end it."""
        connected.settimeout(STALL)
        self.sockets.append(connected)
        if self.stopped:
            raise TimeoutError("nobody waits any more")

    def stop(self) -> None:
        """End the connection, and with it the thread: at once, or when a name server or a handshake gives up."""
        self.stopped = True
        for connected in self.sockets:
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # wakes the thread, which closes it
        self.join(0.5)


def _watched(
    kind: type[urllib.request.AbstractHTTPHandler], hold: Callable[[socket.socket], None]
) -> type[urllib.request.AbstractHTTPHandler]:
    """Return a kind of handler whose connections are handed to hold as soon as they are made."""

    class Watched(kind):
        def do_open(self, http_class: Callable, req: urllib.request.Request, **options: object) -> object:
            def made(host: str, **further: object) -> http.client.HTTPConnection:
                connection = http_class(host, **further)
                connect = connection.connect

                def connect_and_tell() -> None:
                    connect()
                    hold(connection.sock)

                connection.connect = connect_and_tell
                return connection

            return super().do_open(made, req, **options)

    return Watched
