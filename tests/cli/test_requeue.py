"""`resume=auto`: the same command, started again, goes on with its own run and no other."""

import json
import shutil
import signal

import pytest
import yaml
from warm import KILLED

from gan_research.callbacks import Checkpoints
from gan_research.runs.run import job
from gan_research.training.gan import GAN

SCHEDULED = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in SCHEDULED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def auto(train):
    """auto(OUTPUT, "seed=1", ...): `gan train resume=auto` of a small game."""
    return lambda output, *overrides: train(output, "resume=auto", "metrics=none", *overrides)


@pytest.fixture
def stopped(auto, monkeypatch):
    """stopped(ROUND, OUTPUT, ...): the same, ended in that round by an exception."""

    def call(round, output, *overrides):
        def step(self, *args):
            if self.round == round:
                raise RuntimeError("stopped")
            play(self, *args)

        play = GAN.training_step
        with monkeypatch.context() as patch:
            patch.setattr(GAN, "training_step", step)
            with pytest.raises(RuntimeError, match="stopped"):
                auto(output, *overrides)

    return call


def runs(output):
    """seed -> the folders of its runs in `output`."""
    found = {}
    for record in sorted(output.glob("*/config.yaml")):
        found.setdefault(yaml.safe_load(record.read_text())["seed"], []).append(record.parent)
    return found


def segments(run):
    return len(json.loads((run / "run.json").read_text())["segments"])


def test_a_run_that_a_callback_ends_has_ended(train, tmp_path):
    timer = "{_target_:pytorch_lightning.callbacks.Timer,duration:{seconds:0}}"
    result = train(tmp_path, f"+trainer.callbacks={timer}", "metrics=none")
    assert result.status == 0, result.error
    assert "by a callback" in result.output


@pytest.mark.parametrize("round", [3, 14], ids=["before the first interval", "after it"])
def test_a_killed_command_given_again_ends_as_if_nothing_had_been(
    round, server, auto, train, tmp_path, the_run, state, rows, identical
):
    output = tmp_path / "runs"
    words = ["generator.width=16", "discriminator.width=16", "rounds=20", "log_every=5", "checkpoint_every=10"]
    words += ["sample_every=10", "evaluate_every=10", "metrics=none", "logger=none", f"output={output}", "resume=auto"]
    killed = server("train", *words, patch=KILLED.replace("{round}", str(round)))
    assert killed.status == -signal.SIGKILL, killed.error
    result = auto(output)
    assert result.status == 0, result.error
    run = the_run(output)
    started = json.loads((run / "run.json").read_text())["segments"]
    assert [segment["round"] for segment in started] == [0, 10 if round > 10 else 0]
    assert train(tmp_path / "whole", "metrics=none").status == 0
    assert rows(run) == rows(the_run(tmp_path / "whole"))
    assert identical(state(run), state(the_run(tmp_path / "whole")))


def test_seeds_side_by_side_find_their_own_runs(auto, stopped, tmp_path):
    for seed, round in ((0, 12), (1, 15), (2, 5)):
        stopped(round, tmp_path, f"seed={seed}")
    before = runs(tmp_path)
    assert auto(tmp_path, "seed=1").status == 0
    assert runs(tmp_path) == before
    assert {seed: segments(run) for seed, (run,) in before.items()} == {0: 1, 1: 2, 2: 1}
    assert auto(tmp_path, "seed=3").status == 0  # there is none of that seed
    assert auto(tmp_path, "loss=hinge").status == 0  # nor of that loss
    assert {seed: len(folders) for seed, folders in runs(tmp_path).items()} == {0: 2, 1: 1, 2: 1, 3: 1}


def test_several_seeds_of_one_job_find_their_own_runs(auto, stopped, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for seed in (0, 1):
        stopped(12, tmp_path, f"seed={seed}")
    for seed in (0, 1):
        assert auto(tmp_path, f"seed={seed}").status == 0
    assert {seed: [segments(run) for run in folders] for seed, folders in runs(tmp_path).items()} == {0: [2], 1: [2]}


def test_a_run_killed_before_its_first_checkpoint_starts_afresh_in_its_folder(
    auto, tmp_path, monkeypatch, the_run, train, rows, state, identical
):
    def die(*args):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "act", die)
        with pytest.raises(RuntimeError, match="killed"):
            auto(tmp_path / "runs")
    run = the_run(tmp_path / "runs")
    (run / "history.jsonl").write_text('{"round": 0, "kimg": 0.0, "metrics/fid": 1.0}\n')
    assert auto(tmp_path / "runs").status == 0
    assert the_run(tmp_path / "runs") == run
    assert train(tmp_path / "whole", "metrics=none").status == 0
    assert rows(run) == rows(the_run(tmp_path / "whole"))
    assert identical(state(run), state(the_run(tmp_path / "whole")))


def test_what_is_not_the_game_may_be_changed_on_the_way(auto, stopped, tmp_path, the_run, state):
    stopped(12, tmp_path)
    assert auto(tmp_path, "rounds=24", "checkpoint_every=4", "logger=csv").status == 0
    run = the_run(tmp_path)
    assert state(run)["gan_research"]["round"] == 24
    assert state(run, "previous")["gan_research"]["round"] == 20
    assert (run / "metrics.csv").is_file()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["rounds"], config["checkpoint_every"]) == (24, 4)


def test_a_finished_run_is_no_run_to_go_on_with_unless_it_is_the_jobs_own(auto, tmp_path, monkeypatch, contents):
    assert auto(tmp_path).status == 0
    assert auto(tmp_path).status == 0
    assert len(runs(tmp_path)[0]) == 2
    assert auto(tmp_path, "rounds=30").status == 0  # it isn't lengthened without being named
    assert len(runs(tmp_path)[0]) == 3

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert auto(tmp_path).status == 0
    assert len(runs(tmp_path)[0]) == 4
    before = contents(tmp_path)
    result = auto(tmp_path)  # requeued, though it had finished
    assert (result.status, result.error) == (0, "")
    assert "is trained for all its 20 rounds" in result.output
    assert contents(tmp_path) == before
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert auto(tmp_path).status == 0
    assert len(runs(tmp_path)[0]) == 5


def test_a_job_goes_on_with_its_own_run_before_a_newer_one(auto, stopped, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    stopped(12, tmp_path)
    ((mine,),) = runs(tmp_path).values()
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    shutil.copytree(mine, tmp_path / "other")
    record = tmp_path / "other" / "run.json"
    record.write_text(record.read_text().replace('"slurm 7"', '"slurm 8"'))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert auto(tmp_path).status == 0
    assert (segments(mine), segments(tmp_path / "other")) == (2, 1)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "12"}, "slurm 12"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "0"}, "slurm 10_0"),
        ({"TORCHELASTIC_RUN_ID": "none"}, None),
        ({"TORCHELASTIC_RUN_ID": ""}, None),
        ({"TORCHELASTIC_RUN_ID": "mine"}, "torchelastic mine"),
        ({"TORCHELASTIC_RUN_ID": "mine", "SLURM_JOB_ID": "12"}, "slurm 12"),
    ],
)
def test_what_a_job_is_called(environment, name, monkeypatch):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert job() == name


def test_neither_studies_nor_broken_records_are_gone_on_with(auto, stopped, tmp_path, the_run, caplog):
    stopped(12, tmp_path)
    run = the_run(tmp_path)
    study, broken = tmp_path / "theory", tmp_path / "broken"
    for folder in (study, broken):
        shutil.copytree(run, folder)
    (study / ".lock").unlink()  # nobody has played there
    shutil.rmtree(study / "checkpoints")
    (broken / "run.json").write_text("{")
    assert auto(tmp_path).status == 0
    assert segments(run) == 2
    (warning,) = caplog.messages
    assert str(broken) in warning


def test_damage_is_found_on_the_way(auto, stopped, tmp_path, the_run, state, caplog):
    stopped(12, tmp_path)
    run = the_run(tmp_path)
    (run / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert auto(tmp_path).status == 0
    assert state(run)["gan_research"]["round"] == 20
    assert segments(run) == 2
    (warning,) = caplog.messages
    assert "the previous one is used" in warning


def test_the_config_of_auto_can_be_printed(gan, tmp_path):
    result = gan("train", "--cfg", "resume=auto", f"output={tmp_path / 'runs'}", "rounds=3")
    assert result.status == 0
    assert yaml.safe_load(result.output)["rounds"] == 3
    assert not (tmp_path / "runs").exists()
