"""Hooks of mkdocs: what the pages have for readers of the repository, changed for those of the site."""

import re
from pathlib import Path
from typing import Any


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replace links that lead out of docs/ by their text, and quote titles of code."""
    folder = Path(page.file.abs_src_path).parent

    def inside(link: re.Match[str]) -> str:
        text, target = link.groups()
        other = "://" in target or target.startswith("/")
        outside = not other and not (folder / target).resolve().is_relative_to(config.docs_dir)
        return text if outside else link[0]

    markdown = re.sub(r"\[([^\]]+)\]\(([^)#\s]+)\)", inside, markdown)
    return re.sub(r"^```(\w+) title=([^\s\"]+)$", r'```\1 title="\2"', markdown, flags=re.MULTILINE)
