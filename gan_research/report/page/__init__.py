"""The page of a comparison: one self-contained HTML file."""

from gan_research.report.page.page import page_html, write_page

__all__ = ["page_html", "write_page"]
