"""The four files of a data set: read from disk and verified, or downloaded and verified."""

import gzip
import hashlib
import os
import tempfile
import time
import urllib.request
import zlib
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError

PATIENCE = 10.0  # seconds until the first byte, all mirrors and the import of torchvision together
PER_MIRROR = 4.0  # seconds one mirror may take to answer
STALL = 10.0  # seconds without a byte, once a download runs

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # torchvision's names, and its classes'
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
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


class SourceError(RuntimeError):
    """The files of a data set are neither on disk nor to be downloaded; `damage` names those that were no good."""

    def __init__(self, message: str, damage: str = "") -> None:
        super().__init__(f"{damage} {message}".strip())
        self.damage = damage


def write_atomic(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; return False where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        return False
    return True


def read_files(name: str, root: Path) -> tuple[list[bytes], list[str]]:
    """Return the unpacked contents of the four files, and a sentence for each damaged file met on the way.

    A file under root/MNIST/raw (torchvision's layout, packed or not) is used only if its contents have the right
    SHA-256; a damaged one is named and replaced by a fresh download where that is possible.

    Raises: SourceError, naming every damaged file, if a file is neither there nor to be downloaded.
    """
    wanted, folder = dict(zip(FILES, SHA256[name], strict=True)), root / FOLDERS[name] / "raw"
    contents, damaged, replaced = {}, [], set()
    for stem, digest in wanted.items():
        for path in (folder / stem, folder / f"{stem}.gz"):
            if stem not in contents and path.is_file():
                content = _unpacked(path, digest)
                contents |= {stem: content} if content is not None else {}
                damaged += [path] if content is None else []
    try:
        for stem in [stem for stem in FILES if stem not in contents]:
            packed, archive = _download(name, stem, wanted[stem]), folder / f"{stem}.gz"
            replaced |= {archive} if write_atomic(archive, packed) else set()
            contents[stem] = gzip.decompress(packed)
    except SourceError as error:
        raise SourceError(str(error), " ".join(_notes(damaged, replaced))) from None
    replaced |= {path for path in damaged if path.name in FILES and write_atomic(path, contents[path.name])}
    return [contents[stem] for stem in FILES], _notes(damaged, replaced)


def _notes(damaged: list[Path], replaced: set[Path]) -> list[str]:
    ends = {path: " and was replaced by a good copy." if path in replaced else "." for path in damaged}
    return [f"{path} is damaged (its checksum is wrong){end}" for path, end in ends.items()]


def _unpacked(path: Path, digest: str) -> bytes | None:
    """Return the contents of a raw or packed file, or None if they are not what they should be."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error):
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _download(name: str, stem: str, digest: str) -> bytes:
    """Return the verified archive from the first of torchvision's mirrors that serves it."""
    deadline, problems = time.monotonic() + PATIENCE, []
    for mirror in mirrors(name):
        url = f"{mirror}{stem}.gz"
        try:
            packed = _fetch(url, min(PER_MIRROR, deadline - time.monotonic()))
            if hashlib.sha256(gzip.decompress(packed)).hexdigest() == digest:
                return packed
            problems.append(f"{url}: the checksum is wrong")
        except (OSError, EOFError, zlib.error) as error:
            problems.append(f"{url}: {error}")
    raise SourceError("No download worked: " + "; ".join(problems) + ".")


def mirrors(name: str) -> list[str]:
    """Return the addresses that the installed torchvision downloads a data set from."""
    from torchvision import datasets  # takes seconds: only where something is downloaded

    return list(getattr(datasets, FOLDERS[name]).mirrors)


def _fetch(url: str, first_byte: float) -> bytes:
    """Return what an address serves; unlike a plain urlopen, never wait for a silent network."""
    chunks: SimpleQueue = SimpleQueue()

    def stream() -> None:
        try:
            with urllib.request.urlopen(url, timeout=STALL) as response:
                while chunk := response.read(1 << 16):
                    chunks.put(chunk)
            chunks.put(None)
        except Exception as error:  # handed to the caller below
            if isinstance(error, HTTPError):
                error.close()
            chunks.put(error)

    Thread(target=stream, daemon=True).start()
    parts, wait = [], max(0.1, first_byte)
    while True:
        try:
            chunk = chunks.get(timeout=wait)
        except Empty:
            raise TimeoutError(f"no answer within {wait:.0f} s") from None
        if chunk is None:
            return b"".join(parts)
        if isinstance(chunk, Exception):
            raise chunk if isinstance(chunk, OSError) else OSError(str(chunk))
        parts.append(chunk)
        wait = STALL
