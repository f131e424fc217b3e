"""A real JupyterLab in a real browser: a server of its own, a notebook opened from a copy and run, its live kernel.

Nothing of the reader's settings, extensions or workspaces is used or changed, and nothing is asked of the internet.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.files import ROOT, clear, find, read, to_text

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIDENCE = ROOT / "build" / "browser"  # what the page looked like when something failed
LONG = 900  # seconds: only a hang reaches it
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
SETTINGS = {"notification": {"fetchNews": "false", "checkForUpdates": False}}  # else a pop-up, and two look-ups outside
HOW_TO_GET = {
    "Playwright": "`.venv/bin/python -m pip install playwright` (on Windows `.venv\\Scripts\\python -m ...`)",
    "Chromium": (
        "`sudo apt-get install chromium` on Debian, `.venv/bin/python -m playwright install --with-deps chromium` on "
        "Ubuntu, `.venv/bin/python -m playwright install chromium` on macOS, and "
        "`.venv\\Scripts\\python -m playwright install chromium` on Windows"
    ),
}


class Missing(Exception):
    """Say what is not installed here, and how to get it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"This needs {what}, which is not installed; what installs it is {HOW_TO_GET[what]}.")


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Start Chromium or Chrome, the system's or else Playwright's own. Raises: Missing if there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing("Playwright") from None
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, PROGRAMS)), playwright.chromium.executable_path)
        if not Path(found).exists():
            raise Missing("Chromium")
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def copy_project(target: Path) -> None:
    """Copy the notebooks without their outputs, and the files that they name, in the project's shape."""
    for folder in ("images", "data/results"):
        shutil.copytree(ROOT / folder, target / folder)
    (target / "notebooks" / "asides").mkdir(parents=True)
    for path in find([], ROOT / "notebooks"):
        (target / path.relative_to(ROOT)).write_text(to_text(clear(read(path))), encoding="utf-8")


def private(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Jupyter keeps all it writes in a folder and reads nothing of the reader's."""
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    for name, values in SETTINGS.items():
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values), encoding="utf-8")
    names = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
    names |= {f"JUPYTER_{kind.upper()}_DIR": kind for kind in ("config", "data", "runtime")}
    own = {name: str(folder / value) for name, value in names.items()} | {"JUPYTER_PREFER_ENV_PATH": "1"}
    return {**environment, **own, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


class Server:
    """Know where a JupyterLab answers, what it serves, and where it keeps its kernels' addresses.

    The port is whichever was free as it started, and known once `wait` returns. The token is in its environment, not in
    its command, which everybody on the machine may list.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.runtime, self.log = root, folder / "runtime", folder / "lab.log"
        self.port, self.token = 0, secrets.token_hex(16)

    def url(self, path: str) -> str:
        """Return the address of a path on this server."""
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def command(self) -> list[str]:
        """Return the command that starts it."""
        options = {"ServerApp.ip": "127.0.0.1", "ServerApp.port": 0, "LabApp.expose_app_in_browser": True}
        options |= {"ServerApp.root_dir": self.root, "ServerApp.open_browser": False, "ServerApp.allow_root": True}
        return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]

    def wait(self, process: subprocess.Popen) -> None:
        """Return once it answers. Raises: RuntimeError, with the end of its log, if it does not."""
        asked = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(10 * LONG):
            try:
                self.port = self.listens_on()
                asked.open(self.url("api/status"), timeout=10).close()  # only this server knows the token
                return
            except (OSError, ValueError):
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab does not answer:\n{self.log.read_text(encoding='utf-8')[-2000:]}")

    def listens_on(self) -> int:
        """Return the port that it wrote down. Raises: ValueError if it has not yet, or not all of it."""
        for path in self.runtime.glob("jpserver-*.json"):
            return json.loads(path.read_text(encoding="utf-8"))["port"]
        raise ValueError("it has not started to listen")


@contextmanager
def serve(root: Path, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a JupyterLab on a root folder, with a second folder for what it writes, in an environment (the reader's)."""
    server = Server(root, folder)
    environment = private(folder, os.environ if environment is None else environment) | {"JUPYTER_TOKEN": server.token}
    with open(server.log, "w", encoding="utf-8") as log:
        process = subprocess.Popen(server.command(), env=environment, stdout=log, stderr=log)
        try:
            server.wait(process)
            yield server
        finally:
            process.terminate()
            process.wait(60)
