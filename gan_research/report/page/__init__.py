"""The page of a comparison: one self-contained HTML file."""

from gan_research.report.page.page import write_page

__all__ = ["write_page"]
