"""What a result depends on: every way in which it can change must show, and nothing else."""

import copy
import functools
import io
import os
import shutil
import subprocess
import sys
import threading
from collections import OrderedDict, deque, namedtuple
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from tools.files import ROOT
from vae_utils import losses, models, origins, training
from vae_utils.fingerprints import Unpinned, fingerprint
from vae_utils.models import pose


def made(source: str, name: str = "f", module: str | None = "__main__", **names: object) -> object:
    """Run source in a namespace of its own, as a notebook's cell, and return what it calls `name`."""
    space = {"__name__": module, **names} if module else dict(names)
    exec(source, space)
    return space[name]


# ---- pairs of sources: the first and the second must differ

DIFFERENT = {
    "a constant": ("def f(): return 1", "def f(): return 2"),
    "1 and 1.0": ("def f(): return 1", "def f(): return 1.0"),
    "0.0 and -0.0": ("def f(): return 0.0", "def f(): return -0.0"),
    "a default": ("def f(a=1): return a", "def f(a=2): return a"),
    "a keyword's default": ("def f(*, a=1): return a", "def f(*, a=2): return a"),
    "how arguments come": ("def f(a, b): return a", "def f(a, *, b): return a"),
    "by place only": ("def f(a, b): return a", "def f(a, /, b): return a"),
    "an operator": ("def f(a): return a + 1", "def f(a): return a - 1"),
    "an attribute": ("def f(a): return a.x", "def f(a): return a.y"),
    "what try covers": (
        "def f(a, b):\n try:\n  a()\n  b()\n except KeyError: return 1\n return 2",
        "def f(a, b):\n try:\n  a()\n except KeyError: return 1\n b()\n return 2",
    ),
    "a closure": ("def g(k):\n return lambda: k\nf = g(1)", "def g(k):\n return lambda: k\nf = g(2)"),
    "a global": ("K = 1\ndef f(): return K", "K = 2\ndef f(): return K"),
    "a global of a function within": (
        "K = 1\ndef f():\n def g(): return K\n return g()", "K = 2\ndef f():\n def g(): return K\n return g()",
    ),
    "a global of a comprehension": (
        "K = 1\ndef f(): return [K for _ in range(3)]", "K = 2\ndef f(): return [K for _ in range(3)]",
    ),
    "a global of a class within": (
        "K = 1\ndef f():\n class A: k = K\n return A.k", "K = 2\ndef f():\n class A: k = K\n return A.k",
    ),
    "a text that a lambda returns": ("f = lambda: 'a'", "f = lambda: 'b'"),
    "a helper of a helper": (
        "def h(): return 1\ndef g(): return h()\ndef f(): return g()",
        "def h(): return 2\ndef g(): return h()\ndef f(): return g()",
    ),
    "a partial": (
        "from functools import partial\nf = partial(max, 1)", "from functools import partial\nf = partial(max, 2)",
    ),
    "a partial's keyword": (
        "from functools import partial\nf = partial(max, key=abs)", "from functools import partial\nf = partial(max)",
    ),
    "a cached function": (
        "from functools import cache\n@cache\ndef f(): return 1",
        "from functools import cache\n@cache\ndef f(): return 2",
    ),
    "behind wraps": (
        "from functools import wraps\ndef d(g):\n @wraps(g)\n def w(): return g()\n return w\n@d\ndef f(): return 1",
        "from functools import wraps\ndef d(g):\n @wraps(g)\n def w(): return g()\n return w\n@d\ndef f(): return 2",
    ),
    "around wraps of another's function": (
        "from functools import wraps\nimport torch\n@wraps(torch.nn.functional.relu)\ndef f(x): return x",
        "from functools import wraps\nimport torch\n@wraps(torch.nn.functional.relu)\ndef f(x): return 2 * x",
    ),
    "within another's decorator": (
        "import torch\nf = torch.func.vmap(torch.sum, in_dims=0)",
        "import torch\nf = torch.func.vmap(torch.sum, in_dims=1)",
    ),
    "an object that wraps a function": (
        "from functools import update_wrapper\nclass D:\n"
        " def __init__(self, g, k): update_wrapper(self, g); self.k = k\n"
        " def __call__(self): return self.k\nf = D(len, 1)",
        "from functools import update_wrapper\nclass D:\n"
        " def __init__(self, g, k): update_wrapper(self, g); self.k = k\n"
        " def __call__(self): return self.k\nf = D(len, 2)",
    ),
    "a callable object": (
        "class A:\n def __call__(self): return 1\nf = A()", "class A:\n def __call__(self): return 2\nf = A()",
    ),
    "a bound method's object": (
        "class A:\n def __init__(self, k): self.k = k\n def m(self): return self.k\nf = A(1).m",
        "class A:\n def __init__(self, k): self.k = k\n def m(self): return self.k\nf = A(2).m",
    ),
    "a bound method of a list": ("f = [1].append", "f = [2].append"),
    "which method of a list": ("f = [1].append", "f = [1].remove"),
    "an attribute of a function": ("def f(): return f.k\nf.k = 1", "def f(): return f.k\nf.k = 2"),
    "a method": ("class f:\n def m(self): return 1", "class f:\n def m(self): return 2"),
    "a base's method": (
        "class B:\n def m(self): return 1\nclass f(B): pass", "class B:\n def m(self): return 2\nclass f(B): pass",
    ),
    "the bases' order": (
        "class A: pass\nclass B:\n k = 1\nclass f(A, B): pass", "class A: pass\nclass B:\n k = 1\nclass f(B, A): pass",
    ),
    "a metaclass": (
        "class M(type):\n def __call__(c): return 1\nclass f(metaclass=M): pass",
        "class M(type):\n def __call__(c): return 2\nclass f(metaclass=M): pass",
    ),
    "a class attribute": ("class f: k = 1", "class f: k = 2"),
    "a class attribute of two underscores": ("class f: __k__ = 1", "class f: __k__ = 2"),
    "a class attribute that is called slots": ("class f: slots = 1", "class f: slots = 2"),
    "a property": (
        "class f:\n @property\n def m(self): return 1", "class f:\n @property\n def m(self): return 2",
    ),
    "a property's setter": (
        "class f:\n def s(self, k): self.k = k\n m = property(None, s)\n del s",
        "class f:\n def s(self, k): self.k = 2 * k\n m = property(None, s)\n del s",
    ),
    "a static method": ("class f:\n @staticmethod\n def m(): return 1", "class f:\n @staticmethod\n def m(): return 2"),
    "a class method": ("class f:\n @classmethod\n def m(c): return 1", "class f:\n @classmethod\n def m(c): return 2"),
    "a method of a base, seen through super": (
        "class B:\n def m(self): return 1\nclass A(B):\n def m(self): return super().m()\nf = A.m",
        "class B:\n def m(self): return 2\nclass A(B):\n def m(self): return super().m()\nf = A.m",
    ),
    "a class within an alias": (
        "class A(list): k = 1\nf = list[A]", "class A(list): k = 2\nf = list[A]",
    ),
    "a data class's default": (
        "from dataclasses import dataclass\n@dataclass\nclass f:\n a: int = 1",
        "from dataclasses import dataclass\n@dataclass\nclass f:\n a: int = 2",
    ),
    "a data class's factory": (
        "from dataclasses import dataclass, field\n@dataclass\nclass f:\n a: list = field(default_factory=lambda: [1])",
        "from dataclasses import dataclass, field\n@dataclass\nclass f:\n a: list = field(default_factory=lambda: [2])",
    ),
    "a data class's order": (
        "from dataclasses import dataclass\n@dataclass\nclass f:\n a: int\n b: int",
        "from dataclasses import dataclass\n@dataclass\nclass f:\n b: int\n a: int",
    ),
    "a data class's method": (
        "from dataclasses import dataclass\n@dataclass\nclass f:\n a: int\n def m(self): return 1",
        "from dataclasses import dataclass\n@dataclass\nclass f:\n a: int\n def m(self): return 2",
    ),
    "an enumeration": (
        "from enum import Enum\nclass E(Enum): A = 1\nf = E.A", "from enum import Enum\nclass E(Enum): A = 2\nf = E.A",
    ),
    "an import within": ("def f():\n import math\n return math.pi", "def f():\n import cmath\n return cmath.pi"),
    "what is taken out of an import": (
        "def f():\n from math import pi as k\n return k", "def f():\n from math import e as k\n return k",
    ),
}  # fmt: skip


@pytest.mark.parametrize("module", ["__main__", "some_script", None])
@pytest.mark.parametrize("name", DIFFERENT)
def test_an_edit_shows_and_the_same_source_is_the_same(name, module):
    first, second = DIFFERENT[name]
    assert fingerprint(made(first, module=module)) == fingerprint(made(first, module=module))
    assert fingerprint(made(first, module=module)) != fingerprint(made(second, module=module))


def test_comments_and_layout_do_not_count():
    plain = "K = 3\nclass f:\n a = 1\n def m(self, x): return [x, K]"
    laid_out = "# a class\nK = 3\n\n\nclass f:  # this\n\n  a   =   1\n  # and that\n"
    laid_out += "  def m(self,\n   x):\n     return [x,\n K]"
    assert fingerprint(made(plain)) == fingerprint(made(laid_out))


def test_a_name_that_comes_later_and_an_import_that_is_not_there_are_no_errors():
    later = made("def f(): return not_yet")
    first = fingerprint(later)
    later.__globals__["not_yet"] = 1
    assert fingerprint(later) != first
    optional = "def f():\n try:\n  import no_such_module_anywhere as m\n except ImportError: m = {}\n return m"
    assert fingerprint(made(optional)) == fingerprint(made(optional)) != fingerprint(made(optional.replace("{}", "[]")))


@pytest.mark.parametrize("how", ["import alone", "from alone import k", "import pack.part", "from pack import part"])
def test_an_edited_file_that_a_function_imports_inside_itself_shows(tmp_path, monkeypatch, how):
    prints = []
    for k in (0, 1):  # as in two processes, with an edit of the files between them
        for name in ("alone", "pack", "pack.part"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        sources = {"alone.py": f"k = {k}\n__version__ = '1'\n", "pack/__init__.py": "", "pack/part.py": f"k = {k}\n"}
        for name, source in sources.items():
            path = tmp_path / str(k) / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / str(k)))
        prints.append(fingerprint(made(f"def f():\n {how}\n return 1")))
        prints.append(fingerprint(made(f"def f():\n {how}\n return 1")))
    for name in ("alone", "pack", "pack.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert prints[0] == prints[1] != prints[2] == prints[3]


def test_a_relative_import_within_a_function_is_followed():
    source = "def f():\n from .pose import POSE\n return POSE"
    function = made(source, module="vae_utils.models.new", __package__="vae_utils.models")
    before = fingerprint(function)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pose.POSE, "turn", 0.5)
        assert fingerprint(function) != before
    assert fingerprint(function) == before


# ---- this package, edited while it runs


def kinds() -> dict[str, str]:
    return {name: fingerprint(kind) for name, kind in models.KNOWN.items()}


def test_an_edit_of_pose_shows_in_the_models_that_use_it_alone(monkeypatch):
    before = kinds()
    monkeypatch.setattr(pose, "POSE", pose.POSE | {"turn": 0.3})
    assert {name for name, print_ in kinds().items() if print_ != before[name]} == {
        "PoseVAE", "Classifier", "M2", "CodeM2",
    }  # fmt: skip
    monkeypatch.undo()
    assert kinds() == before


@pytest.mark.parametrize(
    ("owner", "name", "value", "changed"),
    [
        (models.VAE, "nll", lambda self, x_logits, x: x_logits, {"VAE", "LabelledVAE", "PoseVAE"}),
        (models.DigitJudge, "forward", lambda self, x: x, {"DigitJudge"}),
        (models.CVAE, "numbers", 3, {"CVAE", "M2", "CodeM2"}),
        (losses, "gaussian_kl", None, None),
    ],
    ids=["VAE.nll", "DigitJudge.forward", "CVAE.numbers", "losses"],
)  # fmt: skip
def test_a_patch_shows_in_what_inherits_it_alone(monkeypatch, owner, name, value, changed):
    before = kinds()
    monkeypatch.setattr(owner, name, value)
    after = {kind for kind, print_ in kinds().items() if print_ != before[kind]}
    assert after == (changed or set()), "what took the function by its name still has it"


def test_a_patch_of_a_module_that_a_method_reads_shows(monkeypatch):
    before = kinds()
    monkeypatch.setattr(models.vae.inputs, "check_unit", lambda name, tensor: None)
    assert "Autoencoder" in {name for name, print_ in kinds().items() if print_ != before[name]}


def test_a_patch_of_what_fit_calls_shows(monkeypatch):
    before = fingerprint(training.fit)
    monkeypatch.setattr(training, "minibatches", lambda *args, **settings: iter(()))
    assert fingerprint(training.fit) != before


def test_a_module_counts_by_what_it_holds():
    module = ModuleType("mine")
    module.k = 1
    first = fingerprint(module)
    module.k = 2
    assert fingerprint(module) != first


# ---- values


class Box:
    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


class Float(float):
    pass


class Row(tuple):
    pass


class Mangled:
    __slots__ = ("__k", "other")

    def __init__(self, k: int) -> None:
        self.__k, self.other = k, 0


Point = namedtuple("Point", "x y")


def network(**fields: object) -> nn.Module:
    module = nn.Linear(2, 2)
    nn.init.ones_(module.weight)
    nn.init.zeros_(module.bias)
    for name, value in fields.items():
        setattr(module, name, value)
    return module


def frozen() -> nn.Module:
    return network().requires_grad_(False)


def hooked() -> nn.Module:
    module = network()
    module.register_forward_hook(lambda *_: None)
    return module


PAIRS = {
    "whole numbers": (lambda: 3, lambda: 4),
    "huge numbers": (lambda: 10**5000, lambda: 10**5000 + 1),
    "one and true": (lambda: 1, lambda: True),
    "texts": (lambda: "a\ud800", lambda: "a"),
    "nested": (lambda: [1, [2]], lambda: [[1], 2]),
    "list and tuple": (lambda: [1, 2], lambda: (1, 2)),
    "dictionaries": (lambda: {"a": 1}, lambda: {"a": 2}),
    "sets": (lambda: {"a", "b", "c"}, lambda: {"a", "b", "d"}),
    "sets of tuples": (lambda: {(1, "a"), (2, "b")}, lambda: {(1, "b"), (2, "a")}),
    "arrays": (lambda: np.arange(4), lambda: np.arange(1, 5)),
    "arrays' types": (lambda: np.zeros(4, np.float32), lambda: np.zeros(4, np.int32)),
    "arrays' shapes": (lambda: np.zeros((2, 2)), lambda: np.zeros(4)),
    "arrays of objects": (lambda: np.array([[1], "a"], object), lambda: np.array([[2], "a"], object)),
    "masks": (lambda: np.ma.array([1, 2], mask=[0, 1]), lambda: np.ma.array([1, 2], mask=[0, 0])),
    "NumPy's numbers": (lambda: np.float32(0.1), lambda: np.float64(0.1)),
    "tensors": (lambda: torch.arange(4), lambda: torch.arange(4).flip(0)),
    "tensors' types": (lambda: torch.zeros(2), lambda: torch.zeros(2, dtype=torch.int32)),
    "tensors' shapes": (lambda: torch.zeros(2, 2), lambda: torch.zeros(4)),
    "conjugates": (lambda: torch.tensor([1 + 1j]).conj(), lambda: torch.tensor([1 + 1j])),
    "one bit of a tensor": (lambda: torch.tensor([0.0]), lambda: torch.tensor([-0.0])),
    "whether weights learn": (network, frozen),
    "a setting of a network": (lambda: network(k=1), lambda: network(k=2)),
    "a private setting of a network": (lambda: network(_skip=True), lambda: network(_skip=False)),
    "a private number of a network": (lambda: network(_k=0), lambda: network(_k=0.0)),
    "a private tensor of a network": (lambda: network(_m=torch.zeros(3)), lambda: network(_m=torch.ones(3))),
    "a hook": (network, hooked),
    "an order": (lambda: nn.Sequential(nn.ReLU(), nn.SiLU()), lambda: nn.Sequential(nn.SiLU(), nn.ReLU())),
    "a rate": (lambda: nn.Dropout(0.5), lambda: nn.Dropout(0.4)),
    "objects": (lambda: Box(a=1), lambda: Box(a=2)),
    "numbers of a kind of its own": (lambda: Float(1.5), lambda: Float(2.5)),
    "rows of a kind of its own": (lambda: Row((1, 2)), lambda: Row((1, 3))),
    "named tuples": (lambda: Point(1, 2), lambda: Point(2, 1)),
    "slots with two underscores": (lambda: Mangled(1), lambda: Mangled(2)),
    "deques": (lambda: deque([1, 2]), lambda: deque([2, 1])),
    "ordered": (lambda: OrderedDict(a=1, b=2), lambda: OrderedDict(b=2, a=1)),
    "Python's random numbers": (lambda: __import__("random").Random(1), lambda: __import__("random").Random(2)),
    "NumPy's random numbers": (lambda: np.random.default_rng(1), lambda: np.random.default_rng(2)),
    "PyTorch's random numbers": (
        lambda: torch.Generator().manual_seed(1), lambda: torch.Generator().manual_seed(2),
    ),
    "paths": (lambda: ROOT / "a", lambda: ROOT / "b"),
    "ranges": (lambda: range(3), lambda: range(4)),
    "patterns": (lambda: __import__("re").compile("a"), lambda: __import__("re").compile("b")),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_value_that_differs_shows_and_an_equal_one_is_the_same(name):
    first, second = PAIRS[name]
    assert fingerprint(first()) == fingerprint(first())
    assert fingerprint(second()) == fingerprint(second())
    assert fingerprint(first()) != fingerprint(second())


def test_sets_have_no_order():
    words = [8 * i for i in range(50)]
    backwards = words[::-1]
    assert list({*words[:5]}) != list({*words[4::-1]}), "two sets that are equal, and met in another order"
    assert fingerprint({*words[:5]}) == fingerprint({*words[4::-1]})
    assert fingerprint(frozenset(words)) == fingerprint(frozenset(backwards)) != fingerprint(set(words))


def test_circles_end():
    def circle(last: int) -> list:
        values: list = [1, 2]
        values += [values, {"again": values}, last]
        return values

    assert fingerprint(circle(1)) == fingerprint(circle(1)) != fingerprint(circle(2))
    one, two = Box(), Box()
    one.friends, two.friends = {two}, {one}
    assert fingerprint(one) == fingerprint(two)


def test_a_view_and_a_copy_of_it_are_the_same():
    x = torch.arange(12).view(3, 4)
    assert fingerprint(x.T) == fingerprint(x.T.contiguous()) and fingerprint(x[:, ::2]) == fingerprint(
        x[:, ::2].clone()
    )
    y = np.arange(12).reshape(3, 4)
    assert fingerprint(y.T) == fingerprint(np.ascontiguousarray(y.T))


def test_without_leaves_out_the_content_and_not_the_place():
    def printed(first: float, second: float, name: str = "a") -> str:
        left_out = torch.tensor(first)
        return fingerprint({name: left_out, "b": torch.tensor(second)}, without=[left_out])

    assert printed(1, 2) == printed(3, 2) != printed(1, 4)
    assert printed(1, 2) != printed(1, 2, "c")


def test_what_says_what_it_counts_as_counts_as_that():
    def said(text: str, k: int) -> object:
        def function() -> int:
            return k

        function.__fingerprint__ = text
        return function

    assert fingerprint(said("a", 1)) == fingerprint(said("a", 2)) != fingerprint(said("b", 1))


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
KEYS = st.integers() | st.text(max_size=2)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(NESTED, NESTED)
def test_different_plain_values_differ_and_copies_agree(a, b):
    assert fingerprint(a) == fingerprint(copy.deepcopy(a))
    assume(repr(a) != repr(b))  # which tells 1 from True, 0.0 from -0.0, and one order of a dictionary from another
    assert fingerprint(a) != fingerprint(b)


# ---- what has no content, and other processes


def deep() -> list:
    values: list = []
    for _ in range(100_000):
        values = [values]
    return values


UNPINNED = {
    "a file": lambda: open(__file__),  # noqa: SIM115
    "a buffer": io.StringIO,
    "a generator": lambda: (i for i in range(3)),
    "an iterator": lambda: iter([1]),
    "a lock": threading.Lock,
    "a tensor without numbers": lambda: torch.zeros(2, device="meta"),
    "a sparse tensor": lambda: torch.eye(2).to_sparse(),
    "what is too deep": deep,
}


@pytest.mark.parametrize("name", UNPINNED)
def test_what_has_no_content_is_unpinned(name):
    value = UNPINNED[name]()
    try:
        for holder in (value, [value], Box(a=value), functools.partial(print, value), lambda: value):
            with pytest.raises(Unpinned, match="a "):
                fingerprint(holder)
    finally:
        if hasattr(value, "close"):
            value.close()


ELSEWHERE = """
import torch
from functools import partial
from vae_utils import models, training
from vae_utils.fingerprints import fingerprint
words = {f"word {i}" for i in range(20)}
class Mine(models.VAE):
    words = words
    def nll(self, x_logits, x): return x if "a" in {"a", "b", "c"} else x_logits
torch.manual_seed(0)
print(fingerprint((Mine(2, image_shape=(1, 4, 4)), words, partial(Mine, 2), training.fit, *models.KNOWN.values())))
"""


def test_another_process_with_other_hashes_finds_the_same():
    found = []
    for seed in ("1", "2", "3"):
        variables = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        found.append(subprocess.check_output([sys.executable, "-c", ELSEWHERE], env=variables, text=True, cwd=ROOT))
    assert len(set(found)) == 1 and len(found[0].strip()) == 64


def test_without_must_be_a_sequence():
    with pytest.raises(TypeError, match="without must be a sequence of objects, not a int"):
        fingerprint(1, without=3)


@pytest.mark.parametrize("function", [origins.looked_up, lambda code: origins.imported(code, None)])
def test_what_is_no_code_is_refused(function):
    with pytest.raises(TypeError, match="code must be code, as f.__code__ of a function f is, not a str"):
        function("x = 1")


WHERE = """
import vae_utils
from vae_utils import data, models, training
from vae_utils.fingerprints import fingerprint

for line in vae_utils.__file__, *map(fingerprint, (training.fit, data.Split, models.VAE)):
    print(line)
"""


def test_a_project_is_the_same_in_another_folder(tmp_path):
    shutil.copytree(ROOT / "vae_utils", tmp_path / "vae_utils", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", WHERE]
    printed = [subprocess.check_output(command, cwd=folder, text=True).splitlines() for folder in (ROOT, tmp_path)]
    assert printed[0][0] != printed[1][0] and printed[0][1:] == printed[1][1:]


def test_a_training_is_the_same_whichever_progress_bar_there_is(monkeypatch):
    before = fingerprint(training.fit)

    class InANotebook(training.tqdm):  # as tqdm.auto has it there
        pass

    monkeypatch.setattr(training, "tqdm", InANotebook)
    assert fingerprint(training.fit) == before
