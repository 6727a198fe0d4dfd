"""Reproduction of published results: claims, records and verdicts."""

from gan_research.reproduction.published import Published

__all__ = ["Published"]
