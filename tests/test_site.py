"""The site of the pages: its build fails at a dead link, a dead anchor and a page that no menu has."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

mkdocs = pytest.importorskip("mkdocs.config", reason="the extra docs isn't installed")

ROOT = Path(__file__).resolve().parents[1]


def build(docs, site, nav):
    """Build pages by mkdocs.yml, without its plugins."""
    from mkdocs.commands.build import build

    options = {"docs_dir": str(docs), "site_dir": str(site), "nav": nav, "plugins": []}
    build(mkdocs.load_config(str(ROOT / "mkdocs.yml"), **options))


@pytest.mark.parametrize(
    ("text", "builds"),
    [
        ("[other](other.md#part), [a file outside](../outside.py), <b>", True),
        ("[other](nowhere.md)", False),
        ("[other](other.md#nowhere)", False),
        ("[other](/other.md)", False),
    ],
)
def test_dead_links_end_the_build(text, builds, tmp_path):
    from mkdocs.exceptions import Abort

    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# First\n\n{text}\n\n```python title=mine/a.py\nx = 1\n```\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## Part\n")
    if not builds:
        with pytest.raises(Abort):
            build(tmp_path / "docs", tmp_path / "site", ["index.md", "other.md"])
        return
    build(tmp_path / "docs", tmp_path / "site", ["index.md", "other.md"])
    page = (tmp_path / "site" / "index.html").read_text()
    assert '<a href="other.html#part">other</a>, a file outside' in page
    assert '<span class="filename">mine/a.py</span>' in page
    with pytest.raises(Abort):
        build(tmp_path / "docs", tmp_path / "site", ["index.md"])  # other.md is in no menu


def test_links_inside_of_the_pages_are_left_alone():
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", ROOT / "scripts" / "mkdocs_hooks.py")
    spec.loader.exec_module(hooks := importlib.util.module_from_spec(spec))
    page = SimpleNamespace(file=SimpleNamespace(abs_src_path=str(ROOT / "docs" / "tutorials" / "sweep.md")))
    config = SimpleNamespace(docs_dir=str(ROOT / "docs"))
    text = "[a](../sweeps.md) [b](https://x.org/y) [c](../../conf/train.yaml)"
    assert hooks.on_page_markdown(text, page, config, None) == "[a](../sweeps.md) [b](https://x.org/y) c"
