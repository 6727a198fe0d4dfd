"""The names of what is in a run's folder."""

import re
from pathlib import Path

import pytest

from gan_research.utils import run_folder

PACKAGE = Path(run_folder.__file__).parents[1]

FILES = {v for k, v in vars(run_folder).items() if k.isupper() and isinstance(v, str) and "." in v}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_name_is_written_in_one_module(name):
    written = re.compile(rf"""(?<!with_suffix\()["']([\w*]+/)?{re.escape(name)}["']""")
    assert [path.name for path in PACKAGE.rglob("*.py") if written.search(path.read_text())] == ["run_folder.py"]


def test_files_are_found_by_the_rounds_in_their_names(tmp_path):
    for name in (run_folder.of_round(50, ".png"), run_folder.of_round(12345678, ".png"), "round_x.png", "round_1.ckpt"):
        (tmp_path / name).touch()
    found = run_folder.by_round(tmp_path, ".png")
    assert found == {50: tmp_path / "round_00000050.png", 12345678: tmp_path / "round_12345678.png"}


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    assert run_folder.by_round(tmp_path / "none", ".png") == {}
