"""Run a few cells of a notebook, with just those before them that they depend on."""

import ast
from collections.abc import Iterator

from nbformat import NotebookNode


def without_magics(source: str) -> str:
    """Return a cell's source with IPython's % and ! lines as `pass`."""
    lines = source.splitlines()
    bare = [line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip()[:1] in "%!" else line for line in lines]
    return "\n".join(new if line.strip() else line for line, new in zip(lines, bare, strict=True))


def defined(tree: ast.Module) -> set[str]:
    """Return the names that a cell binds or changes at its top level: x = ..., x[k] = ..., x.add(...), def x."""
    names = imported(tree)
    for node in at_top(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
        elif isinstance(node, ast.Expr) and isinstance(getattr(node.value, "func", None), ast.Attribute):
            names |= {inner.id for inner in ast.walk(node.value.func) if isinstance(inner, ast.Name)}
    return names


def imported(tree: ast.Module) -> set[str]:
    """Return the names that a cell imports."""
    nodes = [node for node in at_top(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).split(".")[0] for node in nodes for alias in node.names}


def at_top(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree whose names are the notebook's: not those of a function, class or comprehension."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.comprehension):
            yield from at_top(node)


def needed(sources: list[str], wanted: list[int]) -> list[int]:
    """Return, in order, the wanted cells and all that they depend on through names (a local name counts as any other).

    plt.show() or torch.manual_seed(0) do not count as changes of plt and torch: what is imported stays what it is.
    """
    trees = [ast.parse(without_magics(source)) for source in sources]
    modules = set().union(*map(imported, trees))
    makes = [imported(tree) | (defined(tree) - modules) for tree in trees]
    uses = [{node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} for tree in trees]
    chosen, waiting = set(), list(wanted)
    while waiting:
        cell = waiting.pop()
        if cell in chosen:
            continue
        chosen.add(cell)
        for name in uses[cell]:
            waiting += [earlier for earlier in range(cell) if name in makes[earlier]][-1:]  # it needs those before it
    return sorted(chosen)


def section_end(nb: NotebookNode, place: int) -> int:
    """Return the place of the first cell after `place` that opens a new section, or the end."""
    for k in range(place + 1, len(nb.cells)):
        if nb.cells[k].cell_type == "markdown" and "\n## " in "\n" + nb.cells[k].source:
            return k
    return len(nb.cells)


def cells_from(nb: NotebookNode, old: str, count: int) -> list[int]:
    """Return which code cells to run, counted from 0: the one that holds `old`, and those that follow.

    At most `count` follow, all of the same section. Raises: ValueError unless exactly one cell holds `old`, once.
    """
    code = [k for k, cell in enumerate(nb.cells) if cell.cell_type == "code"]
    holders = [place for place, k in enumerate(code) if old in nb.cells[k].source]
    if len(holders) != 1 or nb.cells[code[holders[0]]].source.count(old) != 1:
        raise ValueError(f"{old!r} must stand once in one cell, not in {len(holders)}: choose a longer piece")
    end = section_end(nb, code[holders[0]])
    return [place for place in range(holders[0], holders[0] + count + 1) if place < len(code) and code[place] < end]
