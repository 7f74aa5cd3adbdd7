"""A deep autoencoder, the classical test of second-order optimization in deep learning."""

from experiments.autoencoder.autoencoder import Autoencoder

__all__ = ["Autoencoder"]
