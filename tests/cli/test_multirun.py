"""Sweeps: each run a process of its own, whatever becomes of the others, and of the sweep."""

import json
import os
import signal
import time
from pathlib import Path

import optuna
import pytest

from gan_research.sweeps.sweep import Sweep
from gan_research.utils.errors import RESUME
from gan_research.utils.run_folder import read_history

TINY = (
    "generator.width=16", "discriminator.width=16", "rounds=12", "log_every=3", "sample_every=12", "evaluate_every=4",
    "checkpoint_every=4", "batch_size=16", "metrics.num_samples=100", "logger=none",
)  # fmt: skip

BAD = """
import os, signal
from gan_research.training.gan import GAN

play = GAN.training_step


def bad(self, *args):
    if self.round == 6 and not os.path.exists({mended!r}):
        if self.seed == 1:
            raise RuntimeError("out of luck")
        if self.seed == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seed == 3:
            for weight in self.discriminator.parameters():
                weight.data.fill_(float("nan"))
    play(self, *args)


GAN.training_step = bad
"""


LOOKING = "from gan_research.sweeps import worker; worker.REFRESH = 0.0"


def only(folder):
    (found,) = [path for path in Path(folder).iterdir() if (path / "sweep.json").is_file()]
    return Sweep.open(found)


def homes(sweep):
    """trial -> the folders that its runs have made."""
    return {trial.number: [record.parent for record in trial.folder.glob("*/*/run.json")] for trial in sweep.trials()}


def rounds(home):
    return [row["round"] for row in read_history(home / "history.jsonl")]


@pytest.mark.parametrize("runs", [6, pytest.param(40, marks=pytest.mark.long)])
def test_one_raises_one_is_killed_one_diverges_the_others_have_their_results(runs, server, tmp_path):
    mended = tmp_path / "mended"
    patch = BAD.replace("{mended!r}", repr(str(mended)))
    ended = server.start(
        "train", "-m", f"seed=range(0,{runs})", f"output={tmp_path}", *TINY, "pool.runs=2", patch=patch
    ).ended(600)
    assert ended.status == 2, ended
    sweep = only(tmp_path)
    assert f"gan: error: 3 of {runs} trials failed" in ended.error
    assert f"gan sweep resume {sweep.folder}" in ended.error.replace("\n", "")
    seen = {trial.number: trial for trial in sweep.snapshot()}
    assert [n for n, trial in seen.items() if trial.state == "failed"] == [1, 2, 3]
    assert sum(trial.state == "finished" and trial.value > 0 for trial in seen.values()) == runs - 3
    reasons = {n: seen[n].trial.reason for n in (1, 2, 3)}
    assert reasons[1] == "RuntimeError: out of luck"
    assert reasons[2] == "ended by SIGKILL"
    assert reasons[3].startswith("round 7: logits/real is NaN, training stopped")
    for reason in reasons.values():
        assert reason[:20] in ended.output
    before = homes(sweep)
    assert all(len(found) == 1 for found in before.values())
    written = {n: (trial.trial.folder / "0" / "end.json").stat().st_mtime_ns for n, trial in seen.items()}

    mended.touch()
    ended = server.start("sweep", "resume", sweep.folder, patch=patch).ended(600)
    assert ended.status == 0, ended
    assert [trial.state for trial in sweep.snapshot()] == ["finished"] * runs
    assert homes(sweep) == before  # the three have gone on where they were
    again = {n for n, old in written.items() if (seen[n].trial.folder / "0" / "end.json").stat().st_mtime_ns != old}
    assert again == {1, 2, 3}
    for (home,) in before.values():
        assert rounds(home) == [0, 3, 4, 6, 8, 9, 12, 12]
        assert json.loads((home / "run.json").read_text())["tags"] == [sweep.folder.name]


def test_a_sweep_that_is_stopped_goes_on_where_it_was(server, tmp_path):
    started = server.start(
        "train", "-m", "loss=hinge,wasserstein", "seed=0,1", f"output={tmp_path}", *TINY, "rounds=450", "pool.runs=2",
        "evaluate_every=150", "sample_every=450", "checkpoint_every=150",
    )  # fmt: skip
    started.until(lambda: len(list(tmp_path.glob("*/*/0/*/checkpoints/last.ckpt"))) == 2)
    os.kill(started.pid, signal.SIGINT)
    ended = started.ended()
    assert ended.status == RESUME, ended
    sweep = only(tmp_path)
    assert "resume with: gan sweep resume" in ended.output
    assert [trial.state for trial in sweep.snapshot()] == ["open", "open"]
    assert not list(tmp_path.glob("*/*/0/end.json"))
    shown = server("sweep", "status", sweep.folder)
    assert shown.output.count("open") == 3  # the title, and two rows
    resumed = server.start("sweep", "resume", sweep.folder, "pool.runs=1")
    resumed.until(lambda: list(tmp_path.glob("*/000/0/end.json")))
    os.kill(resumed.pid, signal.SIGKILL)  # its run stops after its round
    resumed.ended()
    ended = server.start("sweep", "resume", sweep.folder).ended(300)
    assert ended.status == 0, ended
    found = homes(sweep)
    assert {n: len(made) for n, made in found.items()} == {0: 1, 1: 1, 2: 1, 3: 1}
    for (home,) in found.values():
        assert rounds(home)[-1] == 450
        assert rounds(home) == sorted(rounds(home))
    (sweep.folder / "000/0/end.json").unlink()  # as if the sweep had been killed before it saw that the run was over
    ended = server.start("sweep", "resume", sweep.folder).ended(300)
    assert ended.status == 0, ended
    assert homes(sweep) == found


@pytest.mark.long
def test_runs_of_two_processes_each(server, tmp_path):
    ended = server.start(
        "train", "-m", "seed=0,1,2", f"output={tmp_path}", *TINY, "pool.runs=3", "trainer=ddp",
        "trainer.accelerator=cpu", "trainer.devices=2", "logger=[wandb,csv]", "logger.wandb.mode=offline",
    ).ended(300)  # fmt: skip
    assert ended.status == 0, ended
    sweep = only(tmp_path)
    ids = set()
    for (home,) in homes(sweep).values():
        (tracked,) = (home / "wandb").glob("offline-run-*")
        assert rounds(home) == [0, 3, 4, 6, 8, 9, 12, 12]
        assert len(list(home.glob("metrics.csv"))) == 1
        ids.add(json.loads((home / "run.json").read_text())["id"])
        assert tracked.name.endswith(json.loads((home / "run.json").read_text())["id"])
    assert len(ids) == 3


STUDY = (
    "train", "-m", "sweep=optuna", "sweep.trials=6", "optimizer.generator.lr=tag(log,interval(1e-4,1e-2))",
    "loss=hinge,minimax", "seed=0,1", "sweep/pruner=none", "pool.runs=2",
)  # fmt: skip


@pytest.mark.long
def test_two_processes_on_one_study_one_of_them_killed(server, tmp_path):
    first = server.start(*STUDY, f"output={tmp_path}", *TINY, "rounds=100", "evaluate_every=50", "log_every=50")
    first.until(lambda: list(tmp_path.glob("*/*/*/*/history.jsonl")))
    sweep = only(tmp_path)
    second = server.start("sweep", "resume", sweep.folder)
    second.until(lambda: len(list(tmp_path.glob("*/*/trial.json"))) >= 3)
    time.sleep(0.5)
    os.kill(second.pid, signal.SIGKILL)
    ended = first.ended(300)
    assert ended.status == 0, ended
    trials = sweep.snapshot()
    assert [(trial.number, trial.state) for trial in trials] == [(n, "finished") for n in range(6)]
    assert {n: len(made) for n, made in homes(sweep).items()} == dict.fromkeys(range(6), 2)  # each seed once
    study = study_of(sweep)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6
    assert sorted(trial.trial.note["study"] for trial in trials) == list(range(6))
    for trial in trials:
        frozen = study.trials[trial.trial.note["study"]]
        assert frozen.params == trial.values
        last = [
            [row for row in read_history(home / "history.jsonl") if "metrics/fid" in row][-1]
            for home in homes(sweep)[trial.number]
        ]
        assert [row["round"] for row in last] == [100, 100]
        assert frozen.value == pytest.approx(sum(row["metrics/fid"] for row in last) / 2, rel=1e-12)
    played = [run.overrides for trial in trials for run in trial.trial.runs]
    assert all(
        float(words[0].partition("=")[2]) == trial.values["optimizer.generator.lr"]
        for trial in trials
        for words in [trial.trial.runs[0].overrides]
    )
    assert len({tuple(words) for words in played}) == 12


WAITING = """
import time
from gan_research.callbacks import Evaluate

act = Evaluate.act


def rate_as_fid(self, trainer, gan):
    rate = trainer.optimizers[0].param_groups[0]["lr"]

    class Rate(type(self.evaluation)):
        def __call__(self, *args, **more):
            return dict.fromkeys(self.columns, rate / (1 + gan.round))

    self.evaluation.__class__ = Rate
    act(self, trainer, gan)
    deadline = time.monotonic() + 30
    while rate > 1e-2 and gan.round == 8 and not any(getattr(c, "asked", None) for c in trainer.callbacks):
        assert time.monotonic() < deadline
        time.sleep(0.02)


Evaluate.act = rate_as_fid
"""
"""FIDs in proportion to the rate; where that is high, a run waits before its last rounds until it is asked to stop."""


def study_of(sweep):
    journal = optuna.storages.journal.JournalFileBackend(str(sweep.folder / "study.journal"))
    return optuna.load_study(study_name=sweep.spec.name, storage=optuna.storages.JournalStorage(journal))


@pytest.mark.long
def test_what_is_hopeless_is_pruned(server, tmp_path):
    ended = server.start(
        "train", "-m", "sweep=optuna", "sweep/sampler=random", "sweep.trials=5", "sweep.pruner.n_startup_trials=1",
        "sweep.seed=2", "optimizer.generator.lr=1e-3,2e-3,1e-1,2e-1,3e-1", "seed=0,1", "pool.runs=2",
        f"output={tmp_path}", *TINY, patch=WAITING,
    ).ended(300)  # fmt: skip
    assert ended.status == 0, ended
    sweep = only(tmp_path)
    states = []
    study = study_of(sweep).trials
    for trial in sweep.snapshot():
        frozen = study[trial.trial.note["study"]]
        rate = float(trial.values["optimizer.generator.lr"])
        states.append(trial.state)
        if rate > 1e-2:
            assert (trial.state, frozen.state.name) == ("pruned", "PRUNED")
            assert all(rounds(home)[-1] < 12 for home in homes(sweep)[trial.number])
            assert trial.trial.reason in [f"unpromising: fid {rate / (1 + n):.4g} at round {n}" for n in (4, 8)]
            for n, value in frozen.intermediate_values.items():
                assert value == pytest.approx(rate / (1 + n), rel=1e-12)
            assert 4 in frozen.intermediate_values
        else:
            assert (trial.state, frozen.state.name) == ("finished", "COMPLETE")
            assert frozen.value == trial.value == pytest.approx(rate / 13, rel=1e-12)
    assert states[0] == "finished"  # as sweep.seed has it: there is something to compare with
    assert states.count("pruned") >= 1


def test_a_trial_of_a_study_that_failed_is_taken_up_again(server, tmp_path):
    mended = tmp_path / "mended"
    patch = BAD.replace("{mended!r}", repr(str(mended)))
    ended = server.start(
        "train", "-m", "sweep=optuna", "sweep.trials=2", "optimizer.generator.lr=1e-3,2e-3", "seed=0,1", "pool.runs=2",
        f"output={tmp_path}", *TINY, patch=patch,
    ).ended(300)  # fmt: skip
    assert ended.status == 2
    sweep = only(tmp_path)
    assert [(trial.state, trial.trial.reason) for trial in sweep.snapshot()] == [
        ("failed", "RuntimeError: out of luck")
    ] * 2
    asked = [trial.trial.note["study"] for trial in sweep.snapshot()]  # others of the study repeated a point
    assert [study_of(sweep).trials[number].state.name for number in asked] == ["FAIL"] * 2
    mended.touch()
    # it is looked at all the time, so that it is judged while it is played
    ended = server.start("sweep", "resume", sweep.folder, patch=patch + LOOKING).ended(300)
    assert ended.status == 0, ended
    trials, told = sweep.snapshot(), study_of(sweep).trials
    assert [trial.state for trial in trials] == ["finished"] * 2
    complete = [trial for trial in told if trial.state.name == "COMPLETE"]
    for trial, again in zip(trials, sorted(complete, key=lambda trial: trial.user_attrs["again"]), strict=True):
        assert again.user_attrs == {"again": trial.trial.note["study"]}
        assert (again.params, again.value) == (told[trial.trial.note["study"]].params, trial.value)
        assert set(again.intermediate_values) == {4, 8, 12}
