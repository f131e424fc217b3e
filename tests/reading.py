"""What a chapter asks of its reader: words, lines of code, minutes; what is folded away; where to go next."""

import ast
import re

from hygiene import bounds, front, headings, lines, of_type, prose
from nbformat import NotebookNode

MOST_WORDS, MOST_LINES = 4000, 400  # of a chapter, without what is folded
WORDS_A_MINUTE, LINES_A_MINUTE = 130, 25
FOLDED = re.compile(r"(?s)<details>.*?</details>")
TITLE = "# @title Bounds that this section's numbers must keep"
COUNT = r"(?:a|one|two|three|four|five|\d+)"
TIMES = rf"Reading takes about (\d+) minutes, running (?:about |under )?{COUNT}(?: to {COUNT})? minutes? on two cores"
MINUTES = re.compile(rf"(?m)^{TIMES}\. Short path: .+\.$")


def words(nb: NotebookNode) -> int:
    """Count the words of the text, without code in it and without what is folded."""
    return sum(len(FOLDED.sub("", prose(cell)).split()) for cell in of_type(nb, "markdown"))


def code_lines(nb: NotebookNode) -> int:
    """Count the lines of code that are not empty and not folded."""
    return sum(lines(cell) for cell in of_type(nb, "code") if not bounds(cell))


def minutes(nb: NotebookNode) -> float:
    """Return how long it takes to read."""
    return words(nb) / WORDS_A_MINUTE + code_lines(nb) / LINES_A_MINUTE


def short_path(nb: NotebookNode) -> list[str]:
    """Return the numbers of the sections that the front matter calls the short path, `4.1 to 4.3` spelled out."""
    line = MINUTES.search(front(nb))[0].split("Short path: ")[1]
    found = []
    for chapter, first, last in re.findall(r"(\d)\.(\d+)(?: to \d\.(\d+))?", line):
        found += [f"{chapter}.{k}" for k in range(int(first), int(last or first) + 1)]
    return found


def short_minutes(nb: NotebookNode) -> float:
    """Return how long the short path takes to read, with what comes before its first section, and the summary."""
    wanted, section, parts = short_path(nb), "front", []
    for cell in nb.cells:
        if cell.cell_type == "code":
            parts += [cell] * (section in wanted)
            continue
        for text in re.split(r"(?m)^(?=## )", cell.source):
            section = text.split()[1] if text.startswith("## ") else section
            parts += [NotebookNode(cell, source=text)] * (section in (*wanted, "front", "Summary"))
    return minutes(NotebookNode(cells=parts))


def check_walk(nb: NotebookNode) -> list[str]:
    """Return by how much a notebook is longer than somebody reads."""
    measured = {"words": (words(nb), MOST_WORDS), "lines of code": (code_lines(nb), MOST_LINES)}
    return [f"{size:,} {name}, above {most:,}" for name, (size, most) in measured.items() if size > most]


def check_minutes(nb: NotebookNode) -> list[str]:
    """Return what is wrong with the line that says how long a chapter takes."""
    found = MINUTES.search(front(nb))
    if not found:
        return ["no line `Reading takes about N minutes, running about M minutes on two cores. Short path: ...`"]
    wanted = 5 * round(minutes(nb) / 5)
    return [] if int(found[1]) == wanted else [f"it takes {wanted} minutes to read, and not {found[1]}"]


def check_bounds(nb: NotebookNode) -> list[str]:
    """Return what is wrong with the folded cells: they hold assertions, one cell a section, and nothing else."""
    complaints, section, seen = [], "", {}
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            section = next(reversed(re.findall(r"(?m)^## (.*)", cell.source)), section)
        elif bounds(cell):
            seen[section] = seen.get(section, 0) + 1
            wanted = {
                "does not begin with its title": cell.source.startswith(f"{TITLE}\n"),
                "is not folded in JupyterLab": cell.metadata.get("jupyter", {}).get("source_hidden"),
                "is not folded in Colab": cell.metadata.get("cellView") == "form",
                "has output to compare": "nbval-ignore-output" in cell.metadata.tags,
                "holds more than assertions": only_assertions(ast.parse(cell.source).body),
                "asserts nothing": "assert " in cell.source,
            }
            complaints += [f"the bounds of {section}: it {text}" for text, fine in wanted.items() if not fine]
    return complaints + [f"{section} has {count} cells of bounds" for section, count in seen.items() if count > 1]


def only_assertions(body: list[ast.stmt]) -> bool:
    """Tell whether statements only assert, or name what is asserted."""
    for node in body:
        if isinstance(node, ast.If | ast.For):
            if not only_assertions([*node.body, *node.orelse]):
                return False
        elif not isinstance(node, ast.Assert | ast.Assign):
            return False
    return True


def check_end(nb: NotebookNode, following: str | None) -> list[str]:
    """Return what is wrong with the end of the summary: it says where to go next."""
    text = "\n\n".join(cell.source for cell in of_type(nb, "markdown"))
    summary = re.search(r"(?s)^## Summary\s(.*?)(?=^## )", text, re.MULTILINE)
    last = summary[1].strip().split("\n\n")[-1] if summary else ""
    if last.startswith("-") or "](" not in last:
        return ["the summary does not end with a paragraph that links to where to go next"]
    wanted = f"]({following}.ipynb" if following else "]("
    return [] if wanted in last else [f"the summary does not end with a link to {following}"]


def aside_setup(chapters: str) -> str:
    """Return the setup cell of an aside, which lies one folder deeper than a chapter."""
    return (
        chapters.replace('"../vae_utils"', '"../../vae_utils"')
        .replace("vae-notebooks/notebooks", "vae-notebooks/notebooks/asides")
        .replace("Path.cwd().parent)", "Path.cwd().parents[1])")
    )


def check_aside(nb: NotebookNode, stem: str, chapter: str, setup: str) -> list[str]:
    """Return what an aside lacks; chapter is the name of the notebook it belongs to, setup that notebook's cell."""
    text = "\n\n".join(cell.source for cell in of_type(nb, "markdown"))
    first = next((cell.source for cell in of_type(nb, "code")), "")
    wanted = {
        f"the first line is not `# Aside to {int(stem[:2])}: Title`": text.startswith(f"# Aside to {int(stem[:2])}: "),
        f"no link back to {chapter}": f"](../{chapter}.ipynb" in text,
        "what it needs is not said": re.search(r"(?i)\bneeds?\b", front(nb)),
        "it has no Setup": "Setup" in headings(nb, 2),
        "it does not end with `## What to take away`": headings(nb, 2)[-1:] == ["What to take away"],
        "its setup cell is not the chapters', one folder deeper": first == aside_setup(setup),
    }
    return [complaint for complaint, fine in wanted.items() if not fine]
