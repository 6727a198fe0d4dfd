"""GANs for research: the game of Goodfellow et al. 2014, composed, tracked, measured and resumable."""

__version__ = "0.1.0"
