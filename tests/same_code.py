"""Hold code written out in a notebook to the code of the package, whatever the documentation around either."""

import ast
from itertools import zip_longest
from pathlib import Path

from nbformat import NotebookNode

from vae_utils.written_out import ALSO, bare

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(source: str) -> dict[str, str]:
    """Return the bare syntax tree, written out again, of each function and class at the top of a source."""
    found = [node for node in ast.parse(source).body if isinstance(node, Definition)]
    return {node.name: ast.unparse(ast.fix_missing_locations(bare(node))) for node in found}


def module_source(name: str, root: Path) -> str:
    """Return the source of a module, or all of a package's."""
    base = root.joinpath(*name.split("."))
    paths = [path for path in [base.with_suffix(".py"), *base.glob("*.py")] if path.exists()]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def compare(cell_source: str, root: Path) -> list[str]:
    """Return what a cell that says `# also: MODULE` defines otherwise than that module."""
    modules = ALSO.findall(cell_source)
    if not modules:
        return []
    theirs = definitions("\n".join(module_source(module, root) for module in modules))
    ours = definitions(cell_source)
    where = ", ".join(modules)
    complaints = [] if ours else [f"`# also: {where}` in a cell that defines nothing"]
    for name, tree in ours.items():
        if name not in theirs:
            complaints.append(f"{name} is not in {where}")
        elif tree != theirs[name]:
            pairs = zip_longest(tree.splitlines(), theirs[name].splitlines(), fillvalue="")
            here, there = next((a.strip(), b.strip()) for a, b in pairs if a != b)
            complaints.append(f"{name} is not the {name} of {where}: `{here}` here, `{there}` there")
    return complaints


def check_same_code(nb: NotebookNode, root: Path) -> list[str]:
    """Return what a notebook writes out otherwise than the package has it."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    return [f"code cell {k}: {text}" for k, cell in enumerate(code, start=1) for text in compare(cell.source, root)]
