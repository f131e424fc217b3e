"""Run the notebooks as Colab would: with its versions, each from an empty folder, on a clone of this checkout."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from itertools import takewhile
from pathlib import Path

from tools.address import repository
from tools.files import ROOT, find

VENV = ROOT / ".venv-colab"
STUB = ROOT / "tools" / "colab_stub"
PINS = {  # Colab's, in 2026; everything else, torch above all, is .venv's
    "ipykernel": "6.17",
    "ipython": "7.34",
    "ipywidgets": "7.7.1",
    "matplotlib": "3.10",
    "numpy": "2.1",
    "scikit-learn": "1.6",
}
THEIR_NEEDS = ("backcall", "decorator", "ipython-genutils", "nest-asyncio", "pickleshare")  # and .venv has the others
USED = "ipykernel, ipywidgets, matplotlib.font_manager, mlxtend.data, pandas, scipy.stats, seaborn, sklearn, torch"
PROBE = """
import sys
from importlib import metadata, util
if spec := util.find_spec("vae_utils"):
    sys.exit(f"vae_utils can be imported from {spec.origin} without the setup cell: this would test nothing.")
print("Python", sys.version.split()[0], *(f"- {name} {metadata.version(name)}" for name in sys.argv[1:]))
"""
LEFT_OUT = ("GIT_", "IPYTHON", "JUPYTER_", "JPY_", "MPL", "PYTHON", "XDG_")  # variables that would bring settings along


def site_packages(prefix: Path) -> Path:
    """Return where an environment of the running Python keeps its packages."""
    return prefix / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)


def requirements() -> list[str]:
    """Return what is installed beside .venv, as pip wants it."""
    return [f"{name}=={pin}.*" for name, pin in PINS.items()] + list(THEIR_NEEDS)


def key() -> str:
    """Return what an environment is made from; another key calls for another environment."""
    return "\n".join([sys.version, str(VENV), *shared_paths(), *requirements(), ""])


def shared_paths() -> list[str]:
    """Return the folders of .venv's packages."""
    return list(dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")))


def make_environment() -> None:
    """Make .venv-colab unless it is there with these pins; leave nothing half-made."""
    stamp = VENV / ".ok"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == key():
        return
    print("Setting up .venv-colab: under a minute the first time.", flush=True)
    try:
        venv.create(VENV, clear=True, symlinks=True)  # without pip, which some Pythons cannot put in
        install(site_packages(VENV))
        # A line of a .pth file adds a folder after this environment's own, and does not read the .pth files in there:
        # the pins win, and the project, which is installed in .venv by such a file, stays out.
        (site_packages(VENV) / "shared.pth").write_text("\n".join(shared_paths()) + "\n", encoding="utf-8")
        if subprocess.run([python(), "-c", f"import {USED}"], env=variables(VENV)).returncode:
            sys.exit("These versions do not go together: see the error above, and PINS in tools/colab.py.")
        stamp.write_text(key(), encoding="utf-8")
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise


def install(target: Path) -> None:
    """Install the pinned packages and nothing else, with uv where that is installed and with .venv's pip otherwise."""
    uv, pip = shutil.which("uv"), [sys.executable, "-m", "pip", "install", "-qq"]
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable] if uv else pip
    options = ["--no-deps", "--only-binary", ":all:", "--target", str(target)]
    if subprocess.run([*command, *options, *requirements()]).returncode:
        sys.exit(
            f"Not installed: {', '.join(requirements())}. The first run needs the network, and a Python for which all "
            f"of these have wheels; this one is {sys.version.split()[0]}. Nothing was left behind; run it again."
        )


def python() -> str:
    """Return the Python of .venv-colab."""
    return str(VENV / "bin" / "python")


def variables(private: Path) -> dict[str, str]:
    """Return an environment in which nobody's settings are found, and data and trained models are the project's."""
    values = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    for name, folder in {"VAE_DATA": ROOT / "data", "VAE_TRAINED": ROOT / "data" / "trained"}.items():
        values[name] = str(Path(os.environ.get(name) or folder).resolve())
    values["HOME"], values["JUPYTER_PATH"] = str(private / "home"), str(private / "jupyter")
    values["MPLCONFIGDIR"] = str(VENV / "matplotlib")  # a list of fonts that takes seconds to make, and says so
    return values


def redirect(repo: str, origin: Path) -> dict[str, str]:
    """Return the variables that make git clone a folder where a repository on GitHub is asked for, and nothing else."""
    return {
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{repo}",
    }


def git(folder: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """Run git in a folder and return what it prints."""
    done = subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"git {words[0]} failed in {folder}: {done.stderr.strip()}")
    return done.stdout


def snapshot(source: Path, target: Path, env: dict[str, str]) -> None:
    """Commit a checkout as it is now, with what is not committed but without what is ignored, to a new repository."""
    for name in git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (source / name).is_file():  # not deleted
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    git(target, "init", "--quiet", env=env)
    git(target, "add", "--all", "--force", env=env)
    author = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    git(target, *author, "commit", "--quiet", "--message=As it is", env=env)


def write_kernel(private: Path) -> None:
    """Write the one kernel there is: .venv-colab's, which takes itself for Colab and keeps a log."""
    startup = private / "ipython" / "profile_default" / "startup"
    kernel = private / "jupyter" / "kernels" / "python3"
    startup.mkdir(parents=True)
    kernel.mkdir(parents=True)
    shutil.copy(STUB / "startup.py", startup / "00-colab.py")
    settings = json.dumps({"log": str(private / "log"), "packages": list(PINS)})
    env = {"IPYTHONDIR": str(private / "ipython"), "PYTHONPATH": str(STUB), "VAE_COLAB": settings}
    argv = [python(), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Colab", "language": "python", "env": env}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def lay_out(notebooks: list[Path], content: Path) -> list[Path]:
    """Copy each notebook alone into a folder of its own, and return the copies."""
    copies = [content / path.stem / path.name for path in notebooks]
    for path, copy in zip(notebooks, copies, strict=True):
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    return copies


def complaints(log: Path, notebooks: list[Path]) -> list[str]:
    """Return what the kernels' log says against the run: a notebook that never reported, other code, other versions."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    records, found = [json.loads(line) for line in lines], []
    for path in notebooks:
        clone = path.parent / "vae-notebooks" / "vae_utils"
        if not any(Path(record["file"]).is_relative_to(clone) for record in records):
            found.append(f"{path.stem} has not imported vae_utils from the clone that its setup cell makes")
    for record in records:
        wrong = [f"{n} {v}" for n, v in record["versions"].items() if not f"{v}.".startswith(f"{PINS[n]}.")]
        found += [f"{record['file']} met {', '.join(wrong)}"] if wrong else []
        if not any(Path(record["file"]).is_relative_to(path.parent) for path in notebooks):
            found.append(f"vae_utils came from {record['file']}")
    return found


def run(names: list[str], options: list[str], private: Path) -> int:
    """Lay everything out in a private folder, hand over to pytest, and return its exit status, or 1."""
    origin, content = private / "origin", private / "content"
    for folder in (origin, content, private / "home"):
        folder.mkdir()
    env = variables(private) | redirect(repository(), origin)
    snapshot(ROOT, origin, env)
    write_kernel(private)
    notebooks = lay_out(find(names, ROOT / "notebooks"), content)
    if subprocess.run([python(), "-c", PROBE, *PINS, "torch"], cwd=content, env=env).returncode:
        return 1
    config = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(content), "-o", "pythonpath="]
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", *config, *options]
    status = subprocess.run([*command, *map(str, notebooks)], cwd=content, env=env).returncode
    started = [path for path in notebooks if not options or (path.parent / "vae-notebooks").exists()]
    wrong = complaints(private / "log", started)
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return status or bool(wrong)


def main(words: list[str]) -> int:
    """Split the command line into notebooks and pytest's options, and run."""
    names = list(takewhile(lambda word: not word.startswith("-"), words))
    options = words[len(names) :]
    usage = "python -m tools.colab [-h] [NAME ...] [pytest's options ...]"
    parser = argparse.ArgumentParser(usage=usage, description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="for example 04 or 04_name; all if none")
    parser.parse_args([word for word in options if word in ("-h", "--help")])
    if os.name == "nt":
        sys.exit("This is not for Windows: Colab's machines run Linux, and the environment is laid out as there.")
    make_environment()
    with tempfile.TemporaryDirectory(prefix="colab-") as folder:
        return run(names, options, Path(folder).resolve())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
