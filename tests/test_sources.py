"""What the sources never do."""

import ast
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
