"""Wrong formulas in notebook 2: its own checks must catch each."""

from planted import PlantedErrors

MUTATIONS = {  # what is wrong: (the right code, the wrong code)
    "black pixels take the chance of white": ("1 - white[:, None])", "white[:, None])"),
    "joint without the prior": ("joint = prior[:, None] * decoder", "joint = decoder"),
    "Bayes' rule without the prior": ("= joint / evidence", "= decoder / decoder.sum(0)"),
    "mean over pixels": ("F.softplus(logits).sum(1, keepdim=True)", "F.softplus(logits).mean(1, keepdim=True)"),
    "sign of a pixel's second term": ("x.flatten(1).T - F.softplus", "x.flatten(1).T + F.softplus"),
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
    "log of the width for the log of the variance": (
        "losses.gaussian_kl(mean, 2 * width.log())",
        "losses.gaussian_kl(mean, width.log())",
    ),
    "sum over a grid without its step": (".sum().item() * step", ".sum().item()"),
    "evidence without the step of its grid": (
        "log_joint_1d.logsumexp(0) + math.log(step)",
        "log_joint_1d.logsumexp(0)",
    ),
    "gap on the grid without the area": (
        "(log_q - log_post[:, seven])).sum() * area",
        "(log_q - log_post[:, seven])).sum()",
    ),
    "error without the root of S": ("weights.mean(0) / len(draws) ** 0.5", "weights.mean(0)"),
    "variance for sigma": ("z = mu + (0.5 * logvar).exp() * eps[:, None]", "z = mu + logvar.exp() * eps[:, None]"),
    "quadrature whose weights do not add up": ("    weights = weights / weights.sum()\n", ""),
}

ASIDE = {
    "downhill": ("parameter.data += lr * slope", "parameter.data -= lr * slope"),
    "linear ELBO without the noise of z": (" + (self.W**2).sum(0) @ var", ""),
}


class TestNotebook2(PlantedErrors):
    stem, mutations = "02_deriving_the_elbo", MUTATIONS


class TestAsideToNotebook2(PlantedErrors):
    stem, mutations = "asides/02_linear_gaussian", ASIDE
