"""Hold code written out in a notebook to the code of the package, whatever the documentation around either."""

import ast
import re
from itertools import zip_longest
from pathlib import Path

from nbformat import NotebookNode

ALSO = re.compile(r"# *also: *(\w+(?:\.\w+)*)")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Bare(ast.NodeTransformer):
    """Strip docstrings, annotations and the checks of arguments that open a function."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.body = node.body[is_docstring(node.body[0]) :]
        while node.body and is_guard(node.body[0]):
            del node.body[0]
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = node.body[is_docstring(node.body[0]) :]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_guard(node: ast.stmt) -> bool:
    """Return whether a statement is a call of some `_check...` or `check_...`."""
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return getattr(called, "attr", getattr(called, "id", "")).startswith(("_check", "check_"))


def definitions(source: str) -> dict[str, str]:
    """Return the bare syntax tree, written out again, of each function and class at the top of a source."""
    found = [node for node in ast.parse(source).body if isinstance(node, Definition)]
    return {node.name: ast.unparse(ast.fix_missing_locations(Bare().visit(node))) for node in found}


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
