"""Wrong formulas in notebook 3: its own checks must catch each."""

from planted import PlantedErrors

MUTATIONS = {  # what is wrong: (the right code, the wrong code)
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
    "a sample in its own baseline": (
        "(f.sum(1, keepdim=True) - f) / (S - 1)",
        "f.mean(1, keepdim=True).expand_as(f)",
    ),
    "score of a class with the wrong sign": ("F.one_hot(k, K) - q", "q - F.one_hot(k, K)"),
    "a baseline without its f": ("((f - others)[..., None] * score_k)", "(-others[..., None] * score_k)"),
    "the score kept where it should be dropped": (
        "(q_mu.detach(), q_logvar.detach()) if stick",
        "(q_mu, q_logvar.detach()) if stick",
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
        "        return recon, gaussian_kl(mu, logvar)",
        "        return recon, -gaussian_kl(mu, logvar)",
    ),
    "mean over pixels": (
        'reduction="none").flatten(1).sum(1)  # [B]',
        'reduction="none").flatten(1).mean(1)  # [B]',
    ),
    "the mean decoded, not a draw": (
        "        z = reparameterize(mu, logvar)\n        x_logits",
        "        z = mu\n        x_logits",
    ),
}


ASIDE = {
    "variance that forgets the other dimensions": ("+ square_rest) / std**2", ") / std**2"),
    "a sample in its own baseline": (
        "(f.sum(1, keepdim=True) - f) / (S - 1)",
        "f.mean(1, keepdim=True).expand_as(f)",
    ),
    "a baseline that is added": ("((z - c) ** 2 - b) *", "((z - c) ** 2 + b) *"),
    "an image in its own baseline": (
        "return (recon.sum() - recon) / (len(recon) - 1)",
        "return recon.mean().expand_as(recon)",
    ),
    "a surrogate with the wrong sign": (
        "recon + weight * (log_q - log_q.detach())",
        "recon - weight * (log_q - log_q.detach())",
    ),
}


class TestNotebook3(PlantedErrors):
    stem, mutations = "03_reparameterization_and_kl", MUTATIONS


class TestAsideToNotebook3(PlantedErrors):
    stem, mutations = "asides/03_taming_gradients", ASIDE
