"""GANs for research: the game of Goodfellow et al. 2014, composed, tracked, measured and resumable."""

from typing import Any

from gan_research._version import __version__

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # imported when asked for: torch takes seconds
        from gan_research.sampling.load import load

        return load
    raise AttributeError(f"module 'gan_research' has no attribute '{name}'")
