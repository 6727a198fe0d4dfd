"""The helpers of command lines."""

import gc
import sys

import pytest

from gan_research.cli.arguments import slow_imports


@pytest.mark.parametrize("terminal", [True, False])
def test_slow_imports_are_announced_in_a_terminal_only(terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with slow_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert capsys.readouterr().err == ("gan: importing torch and Lightning ...\n" if terminal else "")
