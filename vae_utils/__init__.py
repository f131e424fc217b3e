"""What the notebooks share: data, losses, models, training, evaluation and plots for variational autoencoders."""

__version__ = "0.1.0"
