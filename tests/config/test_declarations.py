"""Configs are checked against constructors that are read from source, as against imported ones, without torch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gan_research.config import declarations
from gan_research.config.schema import _check_arguments, arguments_of, suited_metrics, target_of
from gan_research.utils.errors import UserError

CONF = Path(__file__).parents[2] / "conf"

TARGETS = sorted(
    {name for path in CONF.rglob("*.yaml") for name in re.findall(r"_target_: ([\w.]+)", path.read_text())}
)

VALUES = (0, -1, 1.5, True, "a", "32", None, [], [1, 2], ["a"], {}, {"a": 1})


def accepted(key, value, types, others, imported=None):
    try:
        return type(_check_arguments({key: value}, types, others, "", imported)[key])
    except UserError:
        return None


@pytest.mark.parametrize("target", TARGETS)
def test_a_signature_that_is_read_checks_no_less_than_the_imported_one(target):
    found = arguments_of(target_of({"_target_": target}, ""))
    types, others = declarations.signature(target)
    assert (list(types), others) == (list(found[0]), found[1])
    for key in types:
        for value in VALUES:
            read, imported = accepted(key, value, types, others, lambda: found), accepted(key, value, *found)
            assert read in (imported, None) or imported is type(value), (key, value)


MODULE = """
from typing import Literal, TypedDict, Unpack
from torch import Tensor
from handmade.other import Color, Other as Base

Mode = Literal["fast", "slow"]

class Options(TypedDict):
    size: int

class Component(Base):
    metrics = "digits"

class Own(Base):
    def __init__(self, mode: Mode, *, rate: "float | Tensor" = 1.0, color: Color = None, **rest: Unpack[Options]):
        ...

class Computed(Component):
    @property
    def metrics(self):
        return "inception"
"""
OTHER = """
from dataclasses import dataclass
from enum import Enum, unique

class Color(Enum):
    RED = "red"

class Other:
    metrics = "points"
    def __init__(self, width: int = 8, anything=None, **others): ...

@dataclass(frozen=True)
class Data:

    width: int
    size: float = 3.0

    def area(self): ...

@unique
class Decorated: ...
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "handmade"
    folder.mkdir()
    (folder / "__init__.py").write_text("from handmade.one import Own as Renamed\n")
    (folder / "one.py").write_text(MODULE)
    (folder / "other.py").write_text(OTHER)
    monkeypatch.syspath_prepend(tmp_path)
    declarations.module.cache_clear()
    yield
    declarations.module.cache_clear()


def test_what_is_inherited_imported_and_unpacked_is_found(package):
    types, others = declarations.signature("handmade.one.Component")
    assert (list(types), others) == (["width", "anything"], True)
    assert types["width"]() is int
    types, others = declarations.signature("handmade.Renamed")
    assert (list(types), others) == (["mode", "rate", "color", "size"], False)
    assert str(types["mode"]()) == "typing.Literal['fast', 'slow']"
    assert types["size"] is int
    with pytest.raises(declarations.Unreadable):
        types["color"]()
    types, others = declarations.signature("handmade.other.Data")
    assert ([(name, kind()) for name, kind in types.items()], others) == ([("width", int), ("size", float)], False)
    assert declarations.constant("handmade.one.Component", "metrics") == "digits"
    assert declarations.constant("handmade.one.Own", "metrics") == "points"
    with pytest.raises(declarations.Unreadable):
        declarations.constant("handmade.one.Computed", "metrics")


@pytest.mark.parametrize(
    "target",
    [
        "handmade.other.Decorated",
        "handmade.one.Nothing",
        "handmade.none.Component",
        "nowhere.Component",
        "Component",
        "",
    ],
)
def test_what_source_does_not_tell_is_unreadable(package, target):
    with pytest.raises(declarations.Unreadable):
        declarations.signature(target)


def test_the_metrics_that_suit_are_known_from_the_config_alone():
    def node(name, **arguments):
        return {"_target_": f"gan_research.data.{name}", **arguments}

    assert suited_metrics(node("Digits")) == "digits"
    assert suited_metrics(node("StackedMNIST")) == "stacked_mnist"
    for density, metrics in [("Ring", "modes"), ("Gaussian", "points"), ("SwissRoll", "points")]:
        assert suited_metrics(node("Points", density=node(density))) == metrics
    for target in ("gan_research.data.Rign", "nowhere.Ring", "gan_research.data.order.Order"):
        with pytest.raises(UserError, match=rf"data.density._target_={target} "):
            suited_metrics(node("Points", density={"_target_": target}))


PROBE = """
import sys
from gan_research.cli import main
for arguments in {commands!r}:
    assert main(arguments) == {status}, arguments
assert not {{"torch", "pytorch_lightning", "scipy", "matplotlib"}} & set(sys.modules), sorted(sys.modules)
"""


def without_torch(status, *commands, folder):
    code = PROBE.format(commands=[list(command) for command in commands], status=status)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result


def test_a_config_is_composed_and_checked_without_importing_torch(tmp_path):
    commands = [
        ("train", "--cfg"), ("train", "--help"), ("train", "experiment=modes", "--cfg"), ("--help",),
        ("train", "--help", "generator=resnet", "optimizer.generator", "rounds", "metrics"),
        ("train", "--cfg", "metrics=[auto,parzen]"),
    ]  # fmt: skip
    assert "_target_: gan_research.losses.NonSaturating" in without_torch(0, *commands, folder=tmp_path).stdout


def test_errors_in_the_command_line_are_found_without_importing_torch(tmp_path):
    paths = [
        ("train", "resume=nowhere"), ("train", "data=image_folder", "data.root=nowhere", "data.resolution=32"),
        ("train", "data=arrays", "data.path=nowhere.npz"), ("train", "--config-dir=nowhere"), ("sample", "nowhere"),
        ("export", "nowhere.ckpt", "-o", "out"), ("theory", "phases", "analysis.phases.frame=3"),
        ("compare", "nowhere"), ("sweep", "status", "nowhere"), ("evaluate", "nowhere"),
        ("watch", "nowhere"), ("reproduce", "nowhere"), ("cost", "rounds=0"), ("trian",),
        ("train", "-m", "generator.widht=3,4"), ("train", "-m", "seed=0"), ("train", "-m", "sweep=nowhere", "seed=0,1"),
    ]  # fmt: skip
    wrong = ["generator.widht=3", "generator.width=abc", "rounds=-5", "loss=hing", "what=3", "optimizer.generator.lr=a"]
    result = without_torch(2, *(("train", word) for word in wrong), *paths, folder=tmp_path)
    assert len(result.stderr.splitlines()) == len(wrong) + len(paths)
