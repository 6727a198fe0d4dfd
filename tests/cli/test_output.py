"""Standard output that can't show a character, is full, isn't read, or is closed."""

import os
import signal
import sys

import pytest
from rich.console import Console

from gan_research.cli import main, output

WIDE = "an arrow ↓, \udcff, 漢\n"


@pytest.fixture
def stdout(monkeypatch):
    """stdout(FILE): standard output is FILE from now on."""
    files = []

    def replace(file):
        files.append(file)
        monkeypatch.setattr(sys, "stdout", file)

    yield replace
    for file in files:
        file.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_text_can_be_printed(encoding, stdout, tmp_path):
    stdout(open(tmp_path / "out", "w", encoding=encoding))  # noqa: SIM115
    output.prepare()
    print(WIDE, end="")
    Console().print(WIDE)
    sys.stdout.flush()
    assert (
        (tmp_path / "out")
        .read_text(encoding)
        .startswith("an arrow ↓, ?, 漢" if encoding == "utf-8" else "an arrow ?, ?, ?")
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compare", "--help"], ["train", "--cfg"]])
def test_a_full_standard_output_is_one_line(arguments, stdout, capsys):
    stdout(open("/dev/full", "w", encoding="utf-8"))  # noqa: SIM115
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("gan: error: standard output")


def print_by_rich(command, *_):
    Console(file=sys.stdout).print("x" * 10_000)


def raise_another(command, *_):
    raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("run", [None, print_by_rich])
def test_a_pipe_that_is_not_read_ends_silently(run, stdout, capsys, monkeypatch):
    if run is not None:
        monkeypatch.setattr("gan_research.cli.run", run)
    reader, writer = os.pipe()
    os.close(reader)
    stdout(os.fdopen(writer, "w"))
    assert main(["--help"]) == 128 + signal.SIGPIPE
    assert capsys.readouterr().err == ""


def test_the_broken_pipe_of_something_else_is_an_error(capsys, monkeypatch):
    monkeypatch.setattr("gan_research.cli.run", raise_another)
    assert main(["--help"]) == 2
    assert capsys.readouterr().err == "gan: error: standard output or another stream: Broken pipe\n"


def test_closed_streams(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert (main(["--help"]), main(["nothing"])) == (0, 2)


def test_a_standard_error_that_is_full_leaves_the_status(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["nothing"]) == 2
