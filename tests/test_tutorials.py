"""The commands of the tutorials: each one is run as it is written, or is marked with what it needs."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from gan_research.cli import COMMANDS, main
from gan_research.cli.arguments import parse
from gan_research.cli.sweep_request import sweep_request
from gan_research.config.compose import compose_train

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
OWN = "PYTHONPATH=mine "


def commands(page):
    """The commands of a page as (line, words, what it needs)."""
    for line in re.findall(r"^\$ (.+)$", page.read_text(), re.MULTILINE):
        command, _, comment = line.partition(" #")
        yield line, shlex.split(command.removeprefix(OWN)), comment.strip().startswith("needs:")


def as_on_disk(word):
    """Replace runs/NAME-... by the newest folder of that name; also behind resume=."""
    key, path = ("resume=", word[7:]) if word.startswith("resume=") else ("", word)
    if "..." not in path:
        return word
    return key + str(max(Path().glob(path.replace("...", "*")), key=lambda found: found.stat().st_mtime))


ALL = [(page, *rest) for page in PAGES for rest in commands(page)]


@pytest.mark.parametrize(("page", "line", "words", "needs"), ALL, ids=[entry[1][:70] for entry in ALL])
def test_a_command_is_understood(page, line, words, needs, tmp_path, monkeypatch):
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
        return
    assert words[0] == "gan"
    assert words[1] in COMMANDS
    if f"$ {line.partition(' #')[0]}" in (ROOT / "README.md").read_text():  # composed by its tests
        return
    config = "--config-dir" in words  # its files are written by the test of the whole page
    if words[1] == "train" and not config and not any("..." in word for word in words):
        monkeypatch.chdir(tmp_path)
        given = parse(words[2:], "gan train", options=("--cfg", "-m"))
        overrides = [o for o in given.overrides if not o.startswith("resume=")]
        compositions = sweep_request(given).compositions if "-m" in given.options else [compose_train(overrides)]
        assert all(composition.config["rounds"] >= 1 for composition in compositions) or given.help


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_as_written(page, tmp_path, monkeypatch, capsys):
    for name, content in re.findall(r"```(?:python|yaml) title=(\S+)\n(.*?)```", page.read_text(), re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    ran = 0
    for line, words, needs in commands(page):
        if needs or words[0] == "make":
            continue
        words = [as_on_disk(word) for word in words]
        try:
            status = main(words[1:])
        except SystemExit as end:  # of argparse's --help
            status = end.code
        assert status == 0, (line, capsys.readouterr().err)
        ran += 1
    sys.modules.pop("mine", None)
    assert ran >= 2
