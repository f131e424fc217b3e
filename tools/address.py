"""Keep one address of the repository, that in pyproject.toml, everywhere it is repeated."""

import re
import sys
from pathlib import Path

from tools.files import ROOT, replace

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
    repeats = [root / "README.md", root / "CITATION.cff", *sorted((root / "notebooks").glob("*.ipynb"))]
    return changed + [path for path in repeats if path.exists() and edit(path, REPEATED, rf"\g<1>{repository(root)}")]
