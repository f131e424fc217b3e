"""What a notebook of this series must look like: each check returns its complaints, none if all is well."""

import copy
import re
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode

from tools.address import badge
from tools.files import BAR, KERNELSPEC, to_text

LINK = re.compile(r"\]\(([^)\s]+)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)")
TAG = re.compile(r"<(?:a|img)\b[^>]*>")
NOT_LINKS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`", re.DOTALL)  # formulas and code
MACHINE_PATH = re.compile(r"(?<![\w./])(/(root|home|tmp|work|Users|var|opt|mnt)/\w|[A-Z]:\\\\?Users)")
FENCED = re.compile(r"(?ms)^```.*?^```")
TIME = re.compile(r"\b(seconds|minutes?)\b")


def of_type(nb: NotebookNode, kind: str) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == kind]


def bounds(cell: NotebookNode) -> bool:
    """Tell whether a cell is folded, and holds trained numbers to bounds."""
    return cell.cell_type == "code" and "bounds" in cell.metadata.get("tags", [])


def lines(cell: NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def prose(cell: NotebookNode) -> str:
    """Return Markdown without its fenced code."""
    return FENCED.sub("", cell.source)


def headings(nb: NotebookNode, level: int) -> list[str]:
    text = "\n".join(prose(cell) for cell in of_type(nb, "markdown"))
    return re.findall(rf"(?m)^{'#' * level} (.*\S)", text)


def front(nb: NotebookNode) -> str:
    """Return the text before `## Setup`."""
    text = "\n\n".join(prose(cell) for cell in of_type(nb, "markdown"))
    return re.split(r"(?m)^## Setup\s*$", text)[0]


def outputs(nb: NotebookNode) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    for k, cell in enumerate(of_type(nb, "code"), start=1):
        for output in cell.outputs:
            yield k, cell, output


def output_text(output: NotebookNode) -> str:
    """Return what a person reads of an output."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    return "\n".join(parts + [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")])


def check_valid(nb: NotebookNode) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cell ids, which check_metadata looks at
        try:
            nbformat.validate(copy.deepcopy(nb))
        except nbformat.ValidationError as error:
            return [f"not a valid notebook: {error.message}"]
    return []


def check_front(nb: NotebookNode, stem: str, stems: list[str], repo: str) -> list[str]:
    text, place = front(nb), stems.index(stem)
    first = nb.cells[0].source if nb.cells else ""
    will = re.search(r"In this notebook you will(.*?)(\n\n(?![-*\d])|\Z)", text, re.DOTALL)
    goals = len(re.findall(r"(?m)^\s*([-*]|\d+\.) ", will[1])) if will else 0
    neighbours = stems[max(place - 1, 0) : place] + stems[place + 1 : place + 2]
    wanted = {
        f"the first line is not `# {int(stem[:2])}. Title`": re.match(rf"# {int(stem[:2])}\. \S", first),
        f"the Colab badge is not {badge(repo, stem)}": badge(repo, stem) in text,
        "no `In this notebook you will` before Setup": will,
        f"{goals} goals instead of 3 to 5": not will or 3 <= goals <= 5,
        "what it needs is not said before Setup": re.search(r"(?i)\bneeds?\b", text),
        "how long it takes is not said before Setup": TIME.search(text),
    } | {f"no link to its neighbour {other}": f"]({other}.ipynb)" in text for other in neighbours}
    return [complaint for complaint, fine in wanted.items() if not fine]


def check_sections(nb: NotebookNode, stem: str) -> list[str]:
    found, n = headings(nb, 2), int(stem[:2])
    numbered = [title for title in found if re.match(r"\d", title)]
    complaints = [] if numbered else ["no numbered section"]
    for k, title in enumerate(numbered, start=1):
        if not re.match(rf"{n}\.{k} \S", title):
            complaints.append(f"`## {title}` should be `## {n}.{k} Title`")
    if found != ["Setup", *numbered, "Summary", "Further reading"]:
        complaints.append(f"sections are not Setup, {n}.1 ..., Summary, Further reading but {', '.join(found)}")
    if len(headings(nb, 1)) != 1:
        complaints.append("not exactly one title")
    return complaints


def check_setup(nb: NotebookNode, repo: str) -> list[str]:
    setup = next((cell.source for cell in of_type(nb, "code")), "")
    complaints = []
    if len(setup.splitlines()) > 15:
        complaints.append(f"the setup cell has {len(setup.splitlines())} lines, above 15")
    if f'REPO = "https://github.com/{repo}"' not in map(str.strip, setup.splitlines()):
        complaints.append(f'the setup cell has no line REPO = "https://github.com/{repo}"')
    return complaints


def check_same_setup(notebooks: dict[str, NotebookNode]) -> list[str]:
    setups = {stem: next((cell.source for cell in of_type(nb, "code")), "") for stem, nb in notebooks.items()}
    first = next(iter(setups), "")
    return [f"{stem}: its setup cell is not that of {first}" for stem in setups if setups[stem] != setups[first]]


def check_lengths(nb: NotebookNode) -> list[str]:
    sizes = sorted(lines(cell) for cell in of_type(nb, "code") if not bounds(cell)) or [0]
    measured = {
        "median": (statistics.median(sizes), 8),
        "90th percentile": (sizes[int(0.9 * (len(sizes) - 1))], 20),
        "longest": (sizes[-1], 35),
    }
    return [
        f"code cells: {name} {size:g} lines, above {most}" for name, (size, most) in measured.items() if size > most
    ]


def check_neighbours(nb: NotebookNode) -> list[str]:
    long = [cell.cell_type == "code" and lines(cell) > 10 for cell in nb.cells]
    where = [k for k in range(1, len(long)) if long[k - 1] and long[k]]
    return [f"cells {k} and {k + 1} are both code of over 10 lines, with no prose between" for k in where]


def check_size(nb: NotebookNode) -> list[str]:
    size = len(to_text(nb).encode())
    return [] if size < 500_000 else [f"{size / 1000:.0f} KB, not under 500"]


def check_counts(nb: NotebookNode) -> list[str]:
    counts = [cell.execution_count for cell in of_type(nb, "code")]
    complaints = [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are not 1..n: {counts}"]
    return complaints if any(True for _ in outputs(nb)) else [*complaints, "no stored output"]


def check_metadata(nb: NotebookNode) -> list[str]:
    wanted = {
        f"kernelspec is not {KERNELSPEC}": nb.metadata.get("kernelspec") == KERNELSPEC,
        "metadata.widgets is stored": "widgets" not in nb.metadata,
        "cell ids are missing or not unique": len({cell.get("id") or "" for cell in nb.cells} - {""}) == len(nb.cells),
    }
    return [complaint for complaint, fine in wanted.items() if not fine]


def check_outputs(nb: NotebookNode) -> list[str]:
    complaints = []
    for k, cell, output in outputs(nb):
        text = output_text(output)
        unwanted = {
            "standard error is stored": output.get("name") == "stderr",
            "an error is stored": output.output_type == "error"
            and "raises-exception" not in cell.metadata.get("tags", []),
            "a progress bar is stored": BAR.search(text),
            "a path of somebody's machine is stored": MACHINE_PATH.search(text),
            "an SVG is stored": "image/svg+xml" in output.get("data", {}) or "<svg" in text,
        }
        complaints += [f"code cell {k}: {complaint}" for complaint, found in unwanted.items() if found]
    return complaints


def check_paths(nb: NotebookNode) -> list[str]:
    return [
        f"cell {k}: {found[0]}... is a path of somebody's machine"
        for k, cell in enumerate(nb.cells, start=1)
        if (found := MACHINE_PATH.search(cell.source))
    ]


def check_links(nb: NotebookNode, folder: Path) -> list[str]:
    complaints = []
    for k, cell in enumerate(of_type(nb, "markdown"), start=1):
        text = NOT_LINKS.sub("", prose(cell))
        tags = TAG.findall(text)
        images = IMAGE.findall(text) + [(attribute(tag, "alt"), attribute(tag, "src")) for tag in tags if "<img" in tag]
        complaints += [f"text cell {k}: {target} has no alt text" for alt, target in images if not alt.strip()]
        targets = LINK.findall(text) + [attribute(tag, "src") or attribute(tag, "href") for tag in tags]
        for target in dict.fromkeys(targets):
            path = unquote(target.split("#")[0])
            if path and not re.match(r"[a-z]+:", path) and not (folder / path).exists():
                complaints.append(f"text cell {k}: {target} does not exist")
    return complaints


def attribute(tag: str, name: str) -> str:
    found = re.search(rf"""\b{name}=["']([^"']*)""", tag)
    return found[1] if found else ""


def check_figures(nb: NotebookNode) -> list[str]:
    complaints, code = [], of_type(nb, "code")
    for cell, after in zip(nb.cells, [*nb.cells[1:], None], strict=True):
        has_figure = cell.cell_type == "code" and any("image/png" in out.get("data", {}) for out in cell.outputs)
        if has_figure and (after is None or after.cell_type != "markdown"):
            complaints.append(f"code cell {code.index(cell) + 1}: no text after its figure")
    return complaints


def check_readme(readme: str, stems: list[str]) -> list[str]:
    rows = "\n".join(line for line in readme.splitlines() if line.startswith("|"))
    return [f"no row of README.md's table links {stem}" for stem in stems if f"(notebooks/{stem}.ipynb)" not in rows]
