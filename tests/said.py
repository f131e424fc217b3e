"""Numbers in a chapter's text: each stands in the code or the outputs beside it, or comes with its source."""

import re
from collections.abc import Iterable, Iterator

from hygiene import FENCED
from nbformat import NotebookNode

SAID = re.compile(r"(?<![\w.,/#^_{-])(?:-|\$-\$|\u2212)?(\d[\d,]*(?:\.\d+)?)(\s?%)?(?![\w/])(?!\.\d)")
SHOWN = re.compile(r"(?<![\w.])-?(\d[\d,_]*(?:\.\d+)?(?:e[+-]?\d+)?)(%?)")
MATHS = re.compile(r"\$\$.*?\$\$", re.DOTALL)
ADDRESS = re.compile(r"\]\([^)]*\)|<[^>]*>|`[^`\n]*`")
PLACE = re.compile(r"(?i)\b(?:sections?|notebooks?|chapters?|appendix|equations?)\b")
SOURCE = re.compile(r"\b(?:19|20)\d\d\b|https?://|\bet al\.")
UNITS = re.compile(r"\s*(?:nats?|points?|degrees?)\b")


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, its displayed formulas, code and addresses taken out."""
    text = re.sub(r"(?m)^#.*", "", ADDRESS.sub("]", MATHS.sub(" ", FENCED.sub(" ", text))))
    for block in re.split(r"\n\s*\n|\n(?=[-*|#>] ?)", text):
        yield from (part for part in re.split(r"(?<=[.:;?!])\s+(?=[A-Z$*(])", " ".join(block.split())) if part)


def said(sentence: str) -> Iterator[tuple[str, bool]]:
    """Yield the numbers of a sentence that somebody must have measured, and whether each is a percentage.

    These are numbers with a decimal point, percentages, and whole numbers of nats and other units of measurement.
    Numbers of sections and the like are left out.
    """
    plain = re.sub(r"\$([^$]*)\$", lambda m: f" {m[1]} " if re.fullmatch(r"[-\d.,\s\\%]+", m[1]) else " ", sentence)
    plain = plain.replace("\\%", "%").replace("**", "")
    for found in SAID.finditer(plain):
        before = plain[max(0, found.start() - 60) : found.start()]
        place = re.search(PLACE.pattern + r"[\w\s.,\[\]*-]*$", before)
        if place and re.fullmatch(r"\d{1,2}(\.\d{1,2})?", found[1]):
            continue
        if "." in found[1] or found[2] or UNITS.match(plain[found.end() :]):
            yield found[1], bool(found[2])


def shown(text: str) -> list[tuple[float, bool]]:
    """Return the numbers in code and outputs, and whether each is a percentage."""
    return [(float(number.replace(",", "").replace("_", "")), sign == "%") for number, sign in SHOWN.findall(text)]


def supported(number: str, percent: bool, found: Iterable[tuple[float, bool]]) -> bool:
    """Tell whether a number is the rounding of one of those found; 0.42 supports 42%, and 42.3% supports 0.42."""
    value = float(number.replace(",", ""))
    digits = len(number.partition(".")[2])
    half = 0.5 * 10.0**-digits + 1e-9
    for other, sign in found:
        scales = (1, 100) if percent and not sign else (1, 0.01) if sign and not percent else (1,)
        if any(abs(abs(other) * scale - value) <= half for scale in scales):
            return True
    return False


def evidence(cell: NotebookNode) -> str:
    """Return what a code cell says: its source and its outputs."""
    parts = [cell.source]
    for output in cell.outputs:
        parts.append(output.get("text", ""))
        parts += [value for kind, value in output.get("data", {}).items() if kind == "text/plain"]
    return "\n".join(parts)


def check_numbers(nb: NotebookNode) -> list[str]:
    """Return the numbers of the text that neither the code and outputs of their section show nor a source backs.

    The front matter and the summary may repeat what any section shows. A sentence that names a year or a paper is a
    quotation, which this does not check.
    """
    sections: list[tuple[str, list[str], list[str]]] = [("", [], [])]
    for cell in nb.cells:
        if cell.cell_type == "code":
            sections[-1][2].append(evidence(cell))
            continue
        for part in re.split(r"(?m)^(?=## )", cell.source):
            if part.startswith("## "):
                sections.append((part.splitlines()[0][3:], [], []))
            sections[-1][1].append(part)
    whole = shown("\n".join(text for _, _, code in sections for text in code))
    complaints = []
    for title, texts, code in sections:
        beside = shown("\n".join(code)) if re.match(r"\d", title) else whole
        for sentence in (s for text in texts for s in sentences(text)):
            if SOURCE.search(sentence) or title == "Further reading":
                continue
            elsewhere = PLACE.search(sentence) and re.search(r"\d\.\d", sentence)
            known = whole if elsewhere else beside
            missing = [f"{n}{'%' * percent}" for n, percent in said(sentence) if not supported(n, percent, known)]
            if missing:
                complaints.append(f"{title or 'front'}: {', '.join(missing)} in: {sentence[:160]}")
    return complaints
