"""GANs for research: the game of Goodfellow et al. 2014, composed, tracked, measured and resumable."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":  # imported when asked for: torch takes seconds
        from gan_research.checkpoints.io import load

        return load
    raise AttributeError(f"module 'gan_research' has no attribute '{name}'")
