"""What a notebook writes out of the package counts as the package's as long as it is the same code."""

import linecache
import sys
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn

from tools.files import ROOT, read
from vae_utils import keeping, losses, models, networks, training
from vae_utils.fingerprints import fingerprint
from vae_utils.written_out import ALSO, twin_of

CHAPTER = read(ROOT / "notebooks" / "04_variational_autoencoder.ipynb")
NUMBER = count()
IMPORTS = """
import math
import torch
from torch import nn
from torch.nn import functional as F
from vae_utils.models import Model
from vae_utils.networks import build_decoder, build_encoder
"""
KL = """# also: vae_utils.losses
def gaussian_kl(mu, logvar):
    return {} * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
"""
WANTED = {"reparameterize", "gaussian_kl", "bernoulli_nll", "VAE", "conv_encoder", "conv_decoder", "descend"}


class Page(dict):
    """The names of a notebook, and cells that are run in it as IPython runs them."""

    def __init__(self):
        super().__init__(__name__="__main__")
        self.run(IMPORTS)
        for cell in CHAPTER.cells:
            if cell.cell_type == "code" and ALSO.search(cell.source):
                self.run(cell.source)

    def run(self, source):
        name = f"<cell {next(NUMBER)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), self)


@pytest.fixture
def page():
    return Page()


def print_of(kind):
    torch.manual_seed(0)
    return fingerprint(kind(3, "mlp"))


def test_a_chapters_definitions_are_the_packages(page):
    assert page.keys() >= WANTED
    for name in WANTED:
        home = next(part for part in (losses, networks, training, models) if hasattr(part, name))
        assert twin_of(page[name]) is getattr(home, name), name
        assert fingerprint(page[name]) == fingerprint(getattr(home, name))


def test_a_model_of_the_page_has_the_packages_key(page, toy):
    torch.manual_seed(0)
    ours = page["VAE"](3, "mlp", image_shape=toy.train.shape)
    torch.manual_seed(0)
    theirs = models.VAE(3, "mlp", image_shape=toy.train.shape)
    settings = {"steps": 2, "lr": 1e-3}
    facts = keeping.training_facts(theirs, toy, settings)
    assert keeping.training_facts(ours, toy, settings, step=page["descend"]) == facts


EDITS = {
    "the loss": "def gaussian_kl(mu, logvar):\n    return 0.4 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
    "a method": "VAE.nll = lambda self, x_logits, x: 2 * bernoulli_nll(x_logits, x)",
    "one method more": "VAE.reset_parameters = lambda self: None",
    "one method less": "del VAE.sample",
    "a library": "F = torch",
    "a network": "build_encoder = lambda kind, shape, outputs: nn.Sequential(nn.Flatten(), nn.Linear(784, outputs))",
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_ends_it(page, edit):
    page.run(EDITS[edit])
    assert twin_of(page["VAE"]) is None
    assert print_of(page["VAE"]) != print_of(models.VAE)


def test_it_is_back_when_the_edit_is(page):
    before = page["gaussian_kl"]
    page.run(EDITS["the loss"])
    page["gaussian_kl"] = before
    assert twin_of(page["VAE"]) is models.VAE


def test_a_comment_or_a_name_of_the_file_is_no_edit(page):
    source = next(cell.source for cell in CHAPTER.cells if "def gaussian_kl" in cell.source)
    page.run("# also: vae_utils.losses\n\n" + source.replace("# [B]", "# one number for each image"))
    assert twin_of(page["VAE"]) is models.VAE


def test_another_step_has_another_key(page, toy):
    model = models.VAE(3, "mlp", image_shape=toy.train.shape)
    facts = keeping.training_facts(model, toy, {"steps": 2})
    page.run(
        "# also: vae_utils.training\ndef descend(model, x, y, optimizer, schedule, beta=1.0):\n"
        "    recon, kl = model.terms(x, y)\n    loss = (recon + 2 * kl).mean()\n    return loss, recon, kl"
    )
    assert twin_of(page["descend"]) is None
    assert keeping.training_facts(model, toy, {"steps": 2}, step=page["descend"]) != facts


def test_what_was_put_into_the_package_by_hand_is_not_written_out(page, monkeypatch):
    monkeypatch.setattr(models.VAE, "nll", lambda self, x_logits, x: losses.bernoulli_nll(x_logits, x))
    assert twin_of(page["VAE"]) is None
    monkeypatch.undo()
    monkeypatch.setattr(losses, "gaussian_kl", lambda mu, logvar: mu.sum(-1))
    assert twin_of(page["gaussian_kl"]) is None


def test_a_class_of_the_package_that_is_of_an_older_text_is_not(page, monkeypatch):
    name = losses.__file__
    lines = linecache.getlines(name)
    page.run(KL.format(0.5))
    assert twin_of(page["gaussian_kl"]) is losses.gaussian_kl
    changed = [line.replace("0.5 * (mu**2", "0.25 * (mu**2") for line in lines]
    monkeypatch.setitem(linecache.cache, name, (1, None, changed, name))
    page.run(KL.format(0.25))
    assert twin_of(page["gaussian_kl"]) is None


@pytest.mark.parametrize("value", [1, None, nn.Linear, losses.gaussian_kl, models.VAE, len, Path, sys])
def test_what_no_notebook_has_written_has_no_twin(value):
    assert twin_of(value) is None


def test_a_module_that_is_not_there_is_passed_over(page):
    page.run("# also: vae_utils.gone\ndef gaussian_kl(mu, logvar):\n    return mu")
    assert twin_of(page["gaussian_kl"]) is None
