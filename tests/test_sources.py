"""What the sources never do."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gan_research"
SOURCES = sorted(PACKAGE.rglob("*.py"))
UNPICKLERS = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
READERS = {"load", "loads", "Unpickler"}


def calls(source):
    """The calls in a source: what is called, as written, and its keyword arguments."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_is_unpickled(source):
    for name, arguments in calls(source):
        module, _, function = name.rpartition(".")
        assert not (module in UNPICKLERS and function in READERS), name
        if name == "torch.load":
            assert arguments["weights_only"] == "True"
        if module in ("np", "numpy") and function == "load":
            assert arguments["allow_pickle"] == "False"
        if name.endswith("trainer.fit") and "ckpt_path" in arguments:
            assert arguments["weights_only"] == "True"
        assert arguments.get("allow_pickle", "False") == "False"
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in UNPICKLERS


MODE = re.compile(r"[rwax][bt+]*")
TEXT = {"read_text": 1, "write_text": 2}  # method -> the number of its arguments, the last of which is the encoding


def is_of_text(call):
    """Whether a call opens, reads or writes text, as it is written."""
    name = ast.unparse(call.func)
    words = [ast.literal_eval(value) if isinstance(value, ast.Constant) else "" for value in call.args]
    mode = next((word for word in words[name in ("open", "os.fdopen") :] if MODE.fullmatch(str(word))), None)
    if name.endswith("TemporaryFile"):
        return mode is not None and "b" not in mode
    if name in ("open", "os.fdopen") or (name.endswith(".open") and (mode or not call.args)):
        return "b" not in (mode or "")
    return name.rpartition(".")[2] in TEXT or any(
        word.arg == "text" and ast.unparse(word.value) == "True" for word in call.keywords
    )


@pytest.mark.parametrize(
    "source", [*SOURCES, *(PACKAGE.parent / "benchmarks").rglob("*.py")], ids=lambda path: path.stem
)
def test_text_is_utf_8_whatever_the_locale(source):
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Call) and is_of_text(node):
            count = TEXT.get(ast.unparse(node.func).rpartition(".")[2], 99)
            assert len(node.args) >= count or "encoding" in {word.arg for word in node.keywords}, node.lineno


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("open('a')", True), ("open('a', 'rb')", False), ("path.open('w')", True), ("path.open('ab')", False),
        ("Image.open(path)", False), ("path.read_text()", True), ("tempfile.TemporaryFile()", False),
        ("tempfile.TemporaryFile('w+')", True), ("subprocess.run(a, text=True)", True),
    ],
)  # fmt: skip
def test_calls_of_text_are_found(code, text):
    assert is_of_text(ast.parse(code, mode="eval").body) == text
