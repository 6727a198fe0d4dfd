"""What a run's folder or a checkpoint of somebody else may name: nothing outside the allow-list is imported."""

import json
import shutil

import pytest
import torch
import yaml

from gan_research import load
from gan_research.checkpoints.allowlist import require_allowed, resolve_allowed
from gan_research.config.compose import choice, compose_train, groups_of_runs
from gan_research.utils.errors import UserError

EVIL = [
    {"_target_": "os.system", "command": "touch made"},
    {"_target_": "evil.Part"},
    {"_target_": "gan_research.cli.main", "arguments": ["train"]},
    {"_target_": "gan_research.utils.files.write_atomically", "path": "made", "content": "x"},
    {"_target_": "gan_research.data.sets.os.mkdir", "path": "made"},
    {"_target_": "gan_research.metrics.cache.Path.touch", "self": "made"},
    {"_target_": "gan_research.launchers.task.Task", "command": ["touch", "made"], "requeues": 0},
    {"_target_": "gan_research.networks_evil.Part"},
    {"_target_": "torch.optimizer.Part"},
    {"_target_": "torch.load", "f": "made"},
    {"_target_": "torch.optim.Optimizer.load_state_dict"},
    {"_target_": "pytorch_lightning.Trainer.__init__"},
    {"_target_": "pytorch_lightning.strategies.DeepSpeedStrategy"},
    {"_target_": "functools.partial"},
    {"_target_": "eval"},
    {"_target_": ""},
    {"_target_": None},
    {"_target_": ["os.system"]},
    "${oc.create:{_target_:os.mkdir,path:made}}",
]
PARTS = ("data", "loss", "generator", "prior", "trainer", "schedule", "ema", "metrics")


def planted(run, where, part):
    """Put `part` into the config of the run's last checkpoint."""
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    if where in ("optimizer", "lr_schedule"):
        checkpoint["config"][where]["generator"] = part
    elif where in ("regularizer", "logger", "analysis"):
        checkpoint["config"][where] = {"evil": part}
    else:
        checkpoint["config"][where] = part
    path.unlink()
    torch.save(checkpoint, path)


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of the finished run, beside a module that notes that it was imported."""
    (tmp_path / "evil.py").write_text("open('made', 'w')\nclass Part: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("part", EVIL, ids=lambda part: str(part["_target_"] if isinstance(part, dict) else part))
def test_nothing_else_is_built_when_a_run_is_resumed(part, run, gan, one_line, contents, tmp_path):
    planted(run, "loss", part)
    before = contents(run)
    one_line(gan("train", f"resume={run}", "rounds=30"), "isn't allowed")
    assert not (tmp_path / "made").exists()
    assert contents(run) == before


@pytest.mark.parametrize("where", [*PARTS, "optimizer", "lr_schedule", "regularizer", "logger", "analysis"])
@pytest.mark.parametrize("depth", [0, 3])
def test_wherever_it_is_named(where, depth, run, gan, one_line, tmp_path):
    part = {"_target_": "evil.Part"}
    for _ in range(depth):
        part = {"_target_": "gan_research.losses.Hinge", "inner": [part]}
    planted(run, where, part)
    one_line(gan("train", f"resume={run}", "rounds=30"), "evil.Part", "add --allow evil")
    assert not (tmp_path / "made").exists()


def test_nothing_is_imported_by_what_the_record_of_a_run_says(run, gan, one_line, tmp_path):
    record = json.loads((run / "run.json").read_text())
    for override in ("loss._target_=evil.Part", "data._target_=evil.Part"):
        (run / "run.json").write_text(json.dumps(record | {"overrides": [override]}))
        one_line(gan("train", f"resume={run}", "rounds=30"), "evil.Part", "add --allow evil")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["trainer"] = {"_target_": "evil.Part"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    one_line(gan("train", f"resume={run}", "rounds=30"), "evil.Part", "add --allow evil")
    assert not (tmp_path / "made").exists()


def test_a_package_of_the_users_own_is_built_from_once_it_is_allowed(
    own_config, gan, train, the_run, one_line, tmp_path
):
    words = ("--config-dir", own_config, "loss=ours", "metrics=none")
    assert train(tmp_path / "runs", *words, "rounds=10").status == 0
    run = the_run(tmp_path / "runs")
    line = one_line(gan("train", f"resume={run}", "rounds=20"), "their_losses.Ours", "add --allow their_losses ")
    assert "allow=['their_losses']" in line
    one_line(gan("train", f"resume={run}", "rounds=20", "--allow", "their"), "their_losses.Ours")  # no part of a name
    one_line(gan("train", f"resume={run}", "--allow"), "--allow: give a package")
    assert gan("train", f"resume={run}", "rounds=20", "--allow", "other", "--allow=their_losses").status == 0
    assert gan("sample", run, "-o", tmp_path / "s.png").status == 0  # which builds no loss


def test_what_the_command_line_itself_names_is_the_users_own(own_config, train, the_run, tmp_path, state):
    words = ("--config-dir", own_config, "loss=ours", "metrics=none", "resume=auto")
    assert train(tmp_path / "runs", *words, "rounds=10").status == 0
    run = the_run(tmp_path / "runs")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("rounds: 10", "rounds: 20"))  # as if it had been stopped
    assert train(tmp_path / "runs", *words).status == 0
    assert state(run)["gan_research"]["round"] == 20


@pytest.fixture(scope="module")
def points():
    """The config of a game on points."""
    return compose_train(["data=veegan_ring", "metrics=none"]).config


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group, names in groups_of_runs().items() if group != "experiment" for name in names],
)
def test_every_choice_of_the_config_tree_is_allowed(group, name, points):
    require_allowed(choice(group, name, within=points))


def test_the_users_own_functions_are_built_too_but_of_ours_only_classes():
    assert resolve_allowed("os.path.join", ["posixpath", "os"]) is not None
    with pytest.raises(UserError, match=r"names gan_research\.data\.arrays\.read_npz, which isn't allowed"):
        resolve_allowed("gan_research.data.arrays.read_npz", [])


def test_python_is_told_as_well(finished, tmp_path):
    checkpoint = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["gan_research"]["prior"] = {"_target_": "os.getcwd"}
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match=r"os.getcwd, which isn't allowed: add --allow os \(in Python allow=\['os'\]\)"):
        load(tmp_path / "evil.ckpt")
