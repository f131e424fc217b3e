"""Wrong formulas, planted one at a time into the chapters of the mathematics: their own checks must catch each."""

import functools

import matplotlib.pyplot as plt
import pytest
import torch
from notebook_slice import cells_from, needed, without_magics

from tools.files import ROOT, read

FOLLOWING = 4  # cells of the same section in which a planted error must show itself
MUTATIONS = {  # chapter: what is wrong: (the right code, the wrong code)
    "02_deriving_the_elbo": {
        "black pixels take the chance of white": ("1 - white[:, None])", "white[:, None])"),
        "joint without the prior": ("joint = prior[:, None] * decoder", "joint = decoder"),
        "Bayes' rule without the prior": ("= joint / evidence", "= decoder / decoder.sum(0)"),
        "mean over pixels": ("F.softplus(logits).sum(1, keepdim=True)", "F.softplus(logits).mean(1, keepdim=True)"),
        "sign of a pixel's price": ("x.flatten(1).T - F.softplus", "x.flatten(1).T + F.softplus"),
        "grid without the area of its cells": ("on_grid.logsumexp(0) + math.log(area)", "on_grid.logsumexp(0)"),
        "grid without the prior": (" + Normal(0.0, 1.0).log_prob(z).sum(1, keepdim=True))", " + 0)"),
        "sum of the weights, not their mean": (
            "log_weights.logsumexp(0) - math.log(len(draws))",
            "log_weights.logsumexp(0)",
        ),
        "mean of the logarithms": ("log_weights.logsumexp(0) - math.log(len(draws))", "log_weights.mean(0)"),
        "weights without the prior": ("w = p_xz / q", "w = decoder[:, 2] / q"),
        "mean for expectation": ("elbo = (q * w.log()).sum()", "elbo = w.log().mean()"),
        "wrong base of the logarithm": ("elbo = (q * w.log()).sum()", "elbo = (q * w.log2()).sum()"),
        "gap reversed": (
            "kl_divergence(Categorical(q), Categorical(p_z_x))",
            "kl_divergence(Categorical(p_z_x), Categorical(q))",
        ),
        "bound without log S": (
            "torch.logsumexp(log_w, dim=0) - math.log(len(log_w))",
            "torch.logsumexp(log_w, dim=0)",
        ),
        "bound that averages logarithms": ("torch.logsumexp(log_w, dim=0) - math.log(len(log_w))", "log_w.mean(0)"),
        "biased mean of S": ("- math.log(len(log_w))", "- math.log(len(log_w) + 1)"),
        "log p for -log p": ("recon, kl = -(q * decoder", "recon, kl = (q * decoder"),
        "KL to the posterior in the loss": ("(q * (q / prior).log()).sum()", "(q * (q / p_z_x).log()).sum()"),
        "posterior without its noise": ("C_post = sigma2 * M.inverse()", "C_post = M.inverse()"),
        "posterior of an image that is not centred": ("(x - b) @ W @ M.inverse()", "x @ W @ M.inverse()"),
        "sigma for variance in the evidence": ("W @ W.T + sigma2 * one_D", "W @ W.T + sigma2.sqrt() * one_D"),
        "no trace": (' + torch.einsum("dl,...lk,dk->...", W, C, W)', ""),
        "KL without its half": ("kl = 0.5 * ((m**2)", "kl = ((m**2)"),
        "KL without its constant": (".sum(-1) - L - C.logdet())", ".sum(-1) - C.logdet())"),
        "KL with the sign of its logarithm": ("- L - C.logdet())", "- L + C.logdet())"),
        "density without its constant": ("D * (2 * math.pi * sigma2).log()", "D * sigma2.log()"),
        "downhill": ("parameter.data += lr * slope", "parameter.data -= lr * slope"),
        "linear ELBO without the noise of z": (" + (self.W**2).sum(0) @ var", ""),
        "log of the width for the log of the variance": (
            "losses.gaussian_kl(mean, 2 * width.log())",
            "losses.gaussian_kl(mean, width.log())",
        ),
        "sum over a grid without its step": (".sum().item() * step", ".sum().item()"),
        "evidence without the step of its grid": (
            "log_joint_1d.logsumexp(0) + math.log(step)",
            "log_joint_1d.logsumexp(0)",
        ),
        "mixture counted four times": (".logsumexp(1) - math.log(4)", ".logsumexp(1)"),
        "gap on the grid without the area": ("log_p_x[seven]))).sum() * area", "log_p_x[seven]))).sum()"),
        "error without the root of S": ("weights.mean(0) / len(draws) ** 0.5", "weights.mean(0)"),
        "variance for sigma": ("z = mu + (0.5 * logvar).exp() * eps[:, None]", "z = mu + logvar.exp() * eps[:, None]"),
        "quadrature whose weights do not add up": ("    weights = weights / weights.sum()\n", ""),
    },
    "03_reparameterization_and_kl": {
        "variance for sigma": (
            "    std = (0.5 * logvar).exp()\n    eps = torch.randn(mu",
            "    std = logvar.exp()\n    eps = torch.randn(mu",
        ),
        "a detached sample": ("return mu + std * eps  # [B, L]", "return (mu + std * eps).detach()  # [B, L]"),
        "a sample detached from its width": (
            "return mu + std * eps  # [B, L]",
            "return mu + std.detach() * eps  # [B, L]",
        ),
        "one eps for the whole batch": (
            "eps = torch.randn(mu.shape, generator",
            "eps = torch.randn(mu.shape[1:], generator",
        ),
        "one eps for all dimensions": (
            "eps = torch.randn(mu.shape, generator",
            "eps = torch.randn(*mu.shape[:-1], 1, generator",
        ),
        "uniform noise": (
            "torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)",
            "12**0.5 * (torch.rand(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype) - 0.5)",
        ),
        "a generator that is ignored": ("torch.randn(mu.shape, generator=generator,", "torch.randn(mu.shape,"),
        "score over sigma, not its square": ("return (z - mu) / std**2,", "return (z - mu) / std,"),
        "score with the wrong sign": ("return (z - mu) / std**2,", "return (mu - z) / std**2,"),
        "pathwise without the factor 2": ("slope = 2 * (mu + std * eps - c)", "slope = mu + std * eps - c"),
        "variance of the score, 14 for 18": ("+ 14 * d**2 + 15 * std**2", "+ 18 * d**2 + 15 * std**2"),
        "variance that forgets the other dimensions": ("+ square_rest) / std**2", ") / std**2"),
        "a draw in its own baseline": (
            "(f.sum(1, keepdim=True) - f) / (S - 1)",
            "f.mean(1, keepdim=True).expand_as(f)",
        ),
        "KL without its half": (
            "return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
            "return (mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
        ),
        "sigma for variance in the KL": (
            "(mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
            "(mu**2 + (0.5 * logvar).exp() - 1 - logvar).sum(-1)",
        ),
        "mean over dimensions": (
            "(mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
            "(mu**2 + logvar.exp() - 1 - logvar).mean(-1)",
        ),
        "sum over the batch as well": (
            "(mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
            "(mu**2 + logvar.exp() - 1 - logvar).sum()",
        ),
        "sign of the logarithm": (
            "(mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
            "(mu**2 + logvar.exp() - 1 + logvar).sum(-1)",
        ),
        "minus the KL": (
            "return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)",
            "return 0.5 * (1 + logvar - mu**2 - logvar.exp())",
        ),
        "KL the other way round": (
            "return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)",
            "return 0.5 * ((mu**2 + 1) * (-logvar).exp() - 1 + logvar)",
        ),
        "KL without mu": ("return 0.5 * (mu**2 + logvar.exp()", "return 0.5 * (0 * mu + logvar.exp()"),
        "KL between, shift not divided": ("shift = (mu - mu_p) ** 2 * (-logvar_p).exp()", "shift = (mu - mu_p) ** 2"),
        "KL between, the wrong width": ("width = (logvar - logvar_p).exp()", "width = (logvar_p - logvar).exp()"),
        "KL between, reversed logarithm": (
            "(width + shift - 1 + logvar_p - logvar)",
            "(width + shift - 1 + logvar - logvar_p)",
        ),
        "logarithm to the base 2": ("(log_q + math.log(logits.shape[-1]))", "(log_q + math.log2(logits.shape[-1]))"),
        "entropy for the KL": ("(log_q + math.log(logits.shape[-1]))", "(-log_q)"),
        "mean over classes": (
            "(log_q + math.log(logits.shape[-1]))).sum(-1)",
            "(log_q + math.log(logits.shape[-1]))).mean(-1)",
        ),
        "a KL that subtracts": (
            "    return (recon + gaussian_kl(mu, logvar)).mean()",
            "    return (recon - gaussian_kl(mu, logvar)).mean()",
        ),
        "mean over pixels": (
            'reduction="none").flatten(1).sum(1)  # [B]',
            'reduction="none").flatten(1).mean(1)  # [B]',
        ),
        "the mean decoded, not a draw": (
            "    z = reparameterize(mu, logvar)\n    x_logits",
            "    z = mu\n    x_logits",
        ),
    },
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # matplotlib's, of tensors
CASES = [(stem, why) for stem, planted in MUTATIONS.items() for why in planted]


class Playback:
    """A chapter, run once as it stands as far as its mutations need, which can be set back to before any such cell."""

    def __init__(self, stem: str) -> None:
        self.stem, self.namespace, self.before = stem, {"__name__": "__main__"}, {}
        nb = read(ROOT / "notebooks" / f"{stem}.ipynb")
        self.targets = {old: cells_from(nb, old, FOLLOWING) for old, _ in MUTATIONS[stem].values()}
        self.sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        for place in needed(self.sources, sorted({place for places in self.targets.values() for place in places})):
            self.before[place] = dict(self.namespace), torch.get_rng_state()
            self.run(place, self.sources[place])

    def run(self, place: int, source: str) -> None:
        exec(compile(without_magics(source), f"{self.stem}, code cell {place + 1}", "exec"), self.namespace)

    def replay(self, old: str, new: str) -> None:
        """Run the cell that holds the old code, with the new in its place, and the cells that follow."""
        places = self.targets[old]
        names, state = self.before[places[0]]
        self.namespace.clear()  # the same dictionary, because the functions defined before look into it
        self.namespace.update(names)
        torch.set_rng_state(state)
        for place in places:
            self.run(place, self.sources[place].replace(old, new) if place == places[0] else self.sources[place])


playback = functools.cache(Playback)


@pytest.fixture(autouse=True)
def as_in_a_notebook(project_kept, all_threads, monkeypatch):
    """Keep trained models, use all cores, show no figure."""
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    yield
    plt.close("all")


@pytest.mark.parametrize("stem", MUTATIONS)
def test_the_right_code_passes(stem):
    old = next(iter(playback(stem).targets))
    playback(stem).replay(old, old)  # also after having been set back


@pytest.mark.parametrize(("stem", "why"), CASES)
def test_a_planted_error_is_caught(stem, why):
    old, new = MUTATIONS[stem][why]
    with pytest.raises((AssertionError, RuntimeError)) as caught:
        playback(stem).replay(old, new)
    about_gradients = ("does not require grad", "not have been used in the graph")
    assert isinstance(caught.value, AssertionError) or any(text in str(caught.value) for text in about_gradients)
