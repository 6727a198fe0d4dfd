"""The page of a comparison: one HTML file that needs nothing else."""

from gan_research.report.page.page import page_html, write_page

__all__ = ["page_html", "write_page"]
