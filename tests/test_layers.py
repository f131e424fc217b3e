"""The package stays small, typed, documented, and imports only downward."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.files import ROOT

ORDER = [
    "inputs",
    "labels",
    "arrays",
    "shapes",
    "origins",
    "written_out",
    "fingerprints",
    "runtime",
    "sources",
    "data",
    "handwriting",
    "loss_checks",
    "losses",
    "networks",
    "models",
    "checkpoints",
    "history",
    "resuming",
    "training_checks",
    "training",
    "keeping",
    "evaluation",
    "latent_checks",
    "latent",
    "judge",
    "plotting",
    "pixels",
    "widgets",
    "checks",
    "cli",
    "main__",  # __main__, without the underscores that it begins with
]
FOLDER = ROOT / "vae_utils"
FILES = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def layer(name: str) -> int:
    """Return the height of a module; the package's own __init__, and a name it holds, are beneath them all."""
    name = name.lstrip("_")
    return ORDER.index(name) if name in ORDER else -1


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of all that a source imports, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["vae_utils" if node.level else "", node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def check_imports(name: str, source: str) -> list[str]:
    own = name.removesuffix(".py").split("/")[0]
    complaints = []
    for target in imported(ast.parse(source)):
        top, *rest = target.split(".")
        if target.endswith(".*"):
            complaints.append(f"a star import: {target}")
        if top == "ipywidgets" and own != "widgets":
            complaints.append("only widgets imports ipywidgets")
        if (
            top == "vae_utils"
            and rest
            and rest[0].lstrip("_") in ORDER
            and rest[0] != own
            and layer(rest[0]) >= layer(own)
        ):
            complaints.append(f"{own} imports {rest[0]}, which is not beneath it")
    return complaints


def functions(tree: ast.Module, private: bool) -> Iterator[Function]:
    """Yield the functions of a source and the methods of its classes, those of private names or not."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and (private or not node.name.startswith("_")):
            for item in [node] if isinstance(node, Function) else node.body:
                if isinstance(item, Function) and (private or not item.name.startswith("_")):
                    yield item


def check_sizes(source: str) -> list[str]:
    tree, length = ast.parse(source), len(source.splitlines())
    complaints = [f"{length} lines, not under 250"] if length >= 250 else []
    for node in functions(tree, private=True):
        docstring = node.body[0] if ast.get_docstring(node) else None
        size = node.end_lineno - node.lineno + 1
        size -= docstring.end_lineno - docstring.lineno + 1 if docstring else 0
        if size >= 60:
            complaints.append(f"{node.name} has {size} lines, not under 60")
    return complaints


def check_habits(source: str) -> list[str]:
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            complaints.append(f"line {node.lineno}: a bare except")
        if isinstance(node, ast.Attribute) and node.attr == "chdir":
            complaints.append(f"line {node.lineno}: chdir")
    return complaints


def check_hints(source: str) -> list[str]:
    complaints = []
    for node in functions(ast.parse(source), private=False):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        bare = [a.arg for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")]
        complaints += [f"{node.name}: no type for {name}" for name in bare + ["what it returns"] * (not node.returns)]
    return complaints


def check_docstrings(source: str) -> list[str]:
    """Hold first lines to `Verb ... .`: no -s at the end of the verb, no article before it."""
    complaints = []
    for node in functions(ast.parse(source), private=False):
        first = (ast.get_docstring(node) or "").split("\n")[0]
        verb = first.split(" ")[0].rstrip(",:.")
        third_person = verb.endswith("s") and not verb.endswith("ss")
        if not verb.isalpha() or not verb[0].isupper() or third_person or verb in ("A", "An", "The"):
            complaints.append(f"{node.name}: `{first}` does not open with an imperative")
        elif not first.endswith("."):
            complaints.append(f"{node.name}: the first line of its docstring does not end with a full stop")
    return complaints


CHECKS = [check_sizes, check_habits, check_hints, check_docstrings]


@pytest.mark.parametrize("name", FILES)
def test_module(name):
    complaints = check_imports(name, FILES[name])
    assert complaints + [complaint for check in CHECKS for complaint in check(FILES[name])] == []


def test_every_module_has_a_layer():
    assert {Path(name).parts[0].removesuffix(".py").lstrip("_") for name in FILES} <= {*ORDER, "init__"}


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("data.py", "from vae_utils.losses import elbo", "data imports losses, which is not beneath it"),
        ("data.py", "def f():\n    from . import losses", "data imports losses, which is not beneath it"),
        ("_sources.py", "import vae_utils.data", "_sources imports data, which is not beneath it"),
        ("__init__.py", "from .data import load_dataset", "__init__ imports data, which is not beneath it"),
        ("plotting.py", "import ipywidgets as w", "only widgets imports ipywidgets"),
        ("data.py", "from torch import *", "a star import: torch.*"),
    ],
)
def test_an_import_upward_is_found(name, source, complaint):
    assert check_imports(name, source) == [complaint]


@pytest.mark.parametrize(
    "source", ["import vae_utils", "from . import runtime", "from .runtime import device", "import torch"]
)
def test_an_import_downward_is_not(source):
    assert check_imports("data.py", source) == []


GOOD = '''
class Net:
    def fit(self, x: int, *rest: int) -> int:
        """Fit x.

        More."""
        return x
'''
BROKEN = {
    "250 lines, not under 250": "x = 1\n" * 250,
    "f has 60 lines, not under 60": "def f():\n" + "    x = 1\n" * 59,
    "line 3: a bare except": "try:\n    pass\nexcept:\n    pass",
    "line 1: chdir": "os.chdir('..')",
    "fit: no type for x": GOOD.replace("x: int,", "x,"),
    "fit: no type for rest": GOOD.replace("rest: int", "rest"),
    "fit: no type for what it returns": GOOD.replace(" -> int", ""),
    "fit: `Fits x.` does not open with an imperative": GOOD.replace("Fit x", "Fits x"),
    "fit: `The fit.` does not open with an imperative": GOOD.replace("Fit x", "The fit"),
    "fit: `` does not open with an imperative": "class Net:\n    def fit(self) -> int: return 1",
    "fit: the first line of its docstring does not end with a full stop": GOOD.replace("Fit x.", "Fit x"),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_source_has_the_complaint(complaint):
    found = [text for check in CHECKS for text in check(BROKEN[complaint])]
    assert complaint in found


def test_a_good_source_has_no_complaint():
    assert [text for check in CHECKS for text in check(GOOD)] == []


def test_docstrings_do_not_count_as_lines():
    assert check_sizes('def f():\n    """One.\n' + "\n" * 70 + '    """\n    return 1') == []
