"""The hash that says which code made a row: it follows imports, and is blind to what changes no result."""

import ast

import pytest

from experiments import code

SOURCES = {
    "vae_utils/__init__.py": "",
    "vae_utils/losses.py": "HALF = 0.5\n",
    "vae_utils/networks.py": "import torch\nWIDTH = 400\n",
    "vae_utils/models/__init__.py": "from .vae import VAE\nfrom vae_utils.models import judge\n",
    "vae_utils/models/vae.py": "from vae_utils import losses\n\n\nclass VAE:\n    half = losses.HALF\n",
    "vae_utils/models/judge.py": "def judged():\n    from ..networks import WIDTH\n    return WIDTH\n",
    "vae_utils/plotting.py": "from vae_utils import models\nDOTS = 100\n",
    "experiments/__init__.py": "",
    "experiments/first.py": "import json\nfrom vae_utils import models\n\nSTEPS = 2000\n",
    "experiments/second.py": "from experiments.first import STEPS\n",
    "experiments/third.py": "import vae_utils.models.judge\n",
    "experiments/fourth.py": "from vae_utils.networks import *\n",
}


@pytest.fixture
def project(tmp_path):
    """Return a function that writes a small project, one file of it changed, and hashes a module."""

    def hashed(module="experiments.first", **changed):
        for name, source in SOURCES.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(changed.get(name.removesuffix(".py").replace("/", "_"), source), encoding="utf-8")
        return code.hash_of(module, tmp_path)

    hashed.root = tmp_path
    return hashed


def test_a_hash_has_12_hexadecimal_digits_and_is_the_same_again(project):
    assert len(project()) == 12 and int(project(), 16) >= 0 and project() == project()


@pytest.mark.parametrize(
    "changed",
    [
        {"experiments_first": SOURCES["experiments/first.py"].replace("2000", "2001")},
        {"vae_utils_losses": "HALF = 0.25\n"},
        {"vae_utils_networks": "import torch\nWIDTH = 401\n"},
        {"vae_utils_models_judge": SOURCES["vae_utils/models/judge.py"].replace("return WIDTH", "return 2 * WIDTH")},
        {"vae_utils_models_vae": SOURCES["vae_utils/models/vae.py"] + "    more = None\n"},
        {"vae_utils___init__": "__version__ = '2'"},
    ],
)
def test_a_change_of_what_is_imported_directly_or_not_counts(project, changed):
    assert project(**changed) != project()
    assert project("experiments.second", **changed) != project("experiments.second")


@pytest.mark.parametrize(
    "changed",
    [
        {"vae_utils_plotting": "DOTS = 99\n"},
        {"experiments_third": "LATER = 1\n"},
        {"vae_utils_losses": '"""Losses."""\n\n# half of it\nHALF = (\n    0.5\n)\n'},
        {"vae_utils_networks": "import torch; WIDTH = 400"},
        {"vae_utils_models_vae": SOURCES["vae_utils/models/vae.py"].replace(":\n", ':\n    """A VAE."""\n\n')},
        {"vae_utils_models_judge": SOURCES["vae_utils/models/judge.py"].replace("():\n", '():\n    "Judge."\n')},
    ],
)
def test_a_module_not_imported_a_comment_layout_and_docstrings_do_not(project, changed):
    assert project(**changed) == project()


def test_what_counts_is_every_module_that_python_would_run(project):
    def names(module):
        project()
        return [name for name, _ in code.sources_of(module, project.root)]

    models = ["vae_utils.models", "vae_utils.models.judge", "vae_utils.models.vae", "vae_utils.networks"]
    assert names("experiments.first") == ["experiments", "experiments.first", "vae_utils", "vae_utils.losses", *models]
    assert names("experiments.third") == ["experiments", "experiments.third", "vae_utils", "vae_utils.losses", *models]
    assert names("experiments.fourth") == ["experiments", "experiments.fourth", "vae_utils", "vae_utils.networks"]


@pytest.mark.parametrize("module", ["torch", "vae_utils.nothing", "experiments.nothing", ""])
def test_a_module_that_is_not_the_projects_is_refused(project, module):
    project()
    with pytest.raises(ValueError, match=f"module must be one of vae_utils or experiments, .* not '{module}'"):
        code.hash_of(module, project.root)


def test_the_dump_leaves_out_fields_that_versions_of_python_add():
    tree = ast.parse("def f(a: int) -> int:\n    return a\n\n\nclass C: pass")
    before = code.dump(tree)
    for node in tree.body:
        node.type_params = []  # Python 3.12 has these
        node._fields = (*(name for name in node._fields if name != "type_params"), "type_params", "yet_to_come")
        node.yet_to_come = None
    assert code.dump(tree) == before
    tree.body[0].type_params = [ast.Name("T")]
    assert code.dump(tree) != before


def test_the_dump_of_an_f_string_does_not_depend_on_where_it_is_cut():
    whole, cut = ast.parse("f'one {x} two'").body[0].value, ast.parse("f'one {x} two'").body[0].value
    cut.values = [ast.Constant("on"), ast.Constant("e "), cut.values[1], ast.Constant(" two"), ast.Constant("")]
    assert code.dump(whole) == code.dump(cut) != code.dump(ast.parse("f'one {x}two'").body[0].value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return_ = None", "return_ = 0"),
        ("x = 1", "x = 1.0"),
        ("x = 'a'", "x = b'a'"),
        ("def f():\n    return", "def f():\n    return None"),
        ("f(*a)", "f(**a)"),
        ("x = -1", "x = +1"),
        ("{**a, 1: 2}", "{a: a, 1: 2}"),
        ("a < b", "a <= b"),
    ],
)
def test_the_dump_tells_programs_apart(one, other):
    assert code.dump(ast.parse(one)) != code.dump(ast.parse(other))
    assert code.dump(ast.parse(one)) == code.dump(ast.parse(one))
