"""What papers say comes out, what came out here, and whether that is the same."""

from gan_research.reproduction.published import Published

__all__ = ["Published"]
