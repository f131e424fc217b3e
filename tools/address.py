"""Keep one address of the repository, that in pyproject.toml, everywhere it is repeated.

python -m tools.address [OWNER/NAME]          carry a new address everywhere, or that of the git remote `origin`
python -m tools.address --check OWNER/NAME    fail where another address stands; change nothing
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tools.files import ROOT, find, replace

NAME = r"[\w.-]+/[\w.-]+"
SOURCE = re.compile(rf'(?m)^(Repository = "https://github\.com/)({NAME})(")')
REPEATED = re.compile(
    r"(colab\.research\.google\.com/github/"  # badges, in notebooks and README.md
    r'|REPO = \\?"https://github\.com/'  # the setup cell, as Python or inside the JSON of a notebook
    r"|git clone https://github\.com/"  # README.md
    r'|repository-code: "https://github\.com/)'  # CITATION.cff
    rf"{NAME}"
)


def repository(root: Path = ROOT) -> str:
    """Return OWNER/NAME as pyproject.toml has it."""
    return SOURCE.search((root / "pyproject.toml").read_text(encoding="utf-8"))[2]


def remote(root: Path = ROOT) -> str:
    """Return OWNER/NAME of the git remote `origin`; leave the program with a sentence if it has none on GitHub."""
    how = "Name the repository: make address REPO=OWNER/NAME."
    try:
        words = ["git", "remote", "get-url", "origin"]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        sys.exit(f"git is not installed, so nothing says where this checkout came from. {how}")
    if done.returncode:
        sys.exit(f"This checkout has no git remote called origin. {how}")
    url = done.stdout.strip()
    found = re.fullmatch(
        rf"(?:https://(?:[^@/]+@)?github\.com/|(?:ssh://)?git@github\.com[:/])({NAME}?)(?:\.git)?/?", url
    )
    if not found:
        place = re.sub(r"//[^@/]*@", "//", url)  # without a password that may stand in it
        sys.exit(f"The git remote origin is {place}, which is not a repository on GitHub. {how}")
    return found[1]


def repeats(root: Path = ROOT) -> list[Path]:
    """Return the files that repeat the address, of those that there are."""
    files = [root / "README.md", root / "CITATION.cff", *find([], root / "notebooks")]
    return [path for path in files if path.exists()]


def differing(repo: str, root: Path = ROOT) -> list[str]:
    """Return the names of the files in which another address than a given one stands."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in repeats(root)}
    own = [] if repository(root).lower() == repo.lower() else ["pyproject.toml"]  # GitHub does not tell cases apart
    found = {name: {match[0].lower() for match in REPEATED.finditer(text)} for name, text in texts.items()}
    return own + [name for name in found if any(not match.endswith(f"/{repo.lower()}") for match in found[name])]


def check(repo: str, root: Path = ROOT) -> None:
    """Leave the program with what to run where another address than a given one stands."""
    if names := differing(repo, root):
        sys.exit(f"{', '.join(names)}: not the address of {repo}. Run `make address REPO={repo}`, and commit.")
    print(f"{repo}: every badge, setup cell and clone line names it")


def badge(repo: str, stem: str) -> str:
    """Return the Markdown of a notebook's Colab badge."""
    site = "https://colab.research.google.com"
    return f"[![Open in Colab]({site}/assets/colab-badge.svg)]({site}/github/{repo}/blob/main/notebooks/{stem}.ipynb)"


def edit(path: Path, pattern: re.Pattern, replacement: str) -> bool:
    """Replace a pattern throughout a file; return whether that changed it."""
    old = path.read_text(encoding="utf-8")
    new = pattern.sub(replacement, old)
    if new != old:
        replace(path, new)
    return new != old


def spread(repo: str | None = None, root: Path = ROOT) -> list[Path]:
    """Carry an address, a new one or that in pyproject.toml, to wherever it is repeated; return the files changed."""
    if repo is not None and not re.fullmatch(NAME, repo):
        sys.exit(f"An address looks like OWNER/NAME, not {repo}.")
    project = root / "pyproject.toml"
    changed = [project] if repo and edit(project, SOURCE, rf"\g<1>{repo}\g<3>") else []
    return changed + [path for path in repeats(root) if edit(path, REPEATED, rf"\g<1>{repository(root)}")]


def main(words: list[str]) -> None:
    """Carry or check an address, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.address", description=__doc__.splitlines()[0])
    parser.add_argument("repo", nargs="?", metavar="OWNER/NAME", help="a new address; that of git's origin if none")
    parser.add_argument("--check", action="store_true", help="change nothing, fail where another address stands")
    args = parser.parse_args(words)
    if args.check:
        check(args.repo or remote())
        return
    changed = spread(args.repo or remote())
    print(f"{repository()}: {', '.join(path.name for path in changed) or 'nothing to change'}")


if __name__ == "__main__":
    main(sys.argv[1:])
