"""The models of the series. Each knows its configuration, and the terms of its loss."""

from torch import nn

from vae_utils.models.base import Model, evaluating
from vae_utils.models.classifiers import Classifier, DigitJudge, forgeries
from vae_utils.models.completer import Completer
from vae_utils.models.conditional import CVAE, ConditionalVAE
from vae_utils.models.pose import PoseVAE
from vae_utils.models.semi_supervised import M2, CodeM2, LabelledVAE, class_costs
from vae_utils.models.vae import VAE, Autoencoder

__all__ = [
    "CVAE",
    "KNOWN",
    "M2",
    "VAE",
    "Autoencoder",
    "Classifier",
    "CodeM2",
    "Completer",
    "ConditionalVAE",
    "DigitJudge",
    "LabelledVAE",
    "Model",
    "PoseVAE",
    "class_costs",
    "evaluating",
    "forgeries",
]

KNOWN: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (Autoencoder, VAE, CVAE, Completer, DigitJudge, PoseVAE, Classifier, LabelledVAE, M2, CodeM2)
}
