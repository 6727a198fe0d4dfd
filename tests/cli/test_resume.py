"""A run that was killed, stopped or asked for more goes on as if nothing had been."""

import json
import random
import shutil
import signal
from functools import cache

import pytest
import torch
import yaml
from quick import long_but
from warm import KILLED

from gan_research.utils.run_folder import read_history

KILLED_WHERE = {
    "play": KILLED,
    # with the new checkpoint written, but not yet in the place of the old one
    "save": """
import os, signal
import torch
from gan_research.utils import files

replace = os.replace


def until(source, target):
    if str(target).endswith("last.ckpt"):
        if torch.load(source, weights_only=True)["gan_research"]["round"] == {round}:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)


files.os.replace = until
""",
}
"""What kills a process in that round."""

DROPOUT = "discriminator.dropout=0.2"
CASES = {
    "k=1": ("play", range(11, 30), ["logger=wandb", "flip"]),
    "k=3, lazy R1": ("play", range(11, 30), ["schedule.discriminator_steps=3", "regularizer.r1.every=4", DROPOUT]),
    "k=3, two penalties, cosine": (
        "play",
        range(11, 30),
        [
            "schedule.discriminator_steps=3",
            "regularizer=[r1,gradient_penalty]",
            "lr_schedule=cosine",
            "data.dequantise=true",
        ],
    ),
    "StyleGAN2, penalties in their own steps": (
        "play",
        range(11, 30),
        [
            *("generator=stylegan2", "generator.max_width=16", "generator.w_dim=8", "generator.mapping_layers=2"),
            *("discriminator=stylegan2", "discriminator.max_width=16", "schedule.first=generator"),
            *("regularizer=[r1,path_length]", "regularizer.r1.every=4", "regularizer.r1.own_step=true"),
            *("regularizer.path_length.own_step=true", "refinement=style_mixing"),
        ],
    ),
    "k=1, lazy R1, before the first interval is over": ("play", range(1, 10), ["regularizer.r1.every=4"]),
    "k=2, simultaneous, conditional, while a checkpoint is written": (
        "save",
        [20],
        ["schedule=simultaneous", "schedule.discriminator_steps=2", "conditional=true", "ema=half_life"],
    ),
}


def arguments(output, case):
    overrides = ["data.flip=true" if o == "flip" else o for o in CASES[case][2]]
    logged = [] if any(o.startswith("logger=") for o in overrides) else ["logger=none"]
    # intervals that don't divide each other: what is pending in the log has to travel with the checkpoint
    fixed = ["rounds=30", "log_every=7", "metrics.num_samples=100", "sample_every=9", "evaluate_every=6"]
    small = ["checkpoint_every=10", "batch_size=48", "generator.width=16", "discriminator.width=16"]
    return [f"output={output}", *fixed, *small, *logged, *overrides]


@pytest.fixture(scope="module")
def killed(server, tmp_path_factory):
    """killed(case) -> the folder of a run killed at random, and its round."""

    @cache
    def kill(case):
        where, rounds, _ = CASES[case]
        output, round = tmp_path_factory.mktemp("killed"), random.choice(rounds)
        ended = server("train", *arguments(output, case), patch=KILLED_WHERE[where].replace("{round}", str(round)))
        assert ended.status == -signal.SIGKILL, ended
        (run,) = output.iterdir()
        return run, round

    return kill


@pytest.mark.parametrize("case", long_but(CASES, list(CASES)[2:4] + list(CASES)[5:]))
def test_a_killed_run_goes_on_to_the_very_same_end(case, killed, gan, tmp_path, the_run, state, rows, identical):
    run, round = killed(case)
    kept = state(run)["gan_research"]["round"]
    assert 0 <= kept <= round
    assert kept < 30
    result = gan("train", f"resume={run}")
    assert result.status == 0, (round, result.error)
    assert gan("train", *arguments(tmp_path, case)).status == 0
    whole = the_run(tmp_path)
    assert rows(run) == rows(whole), f"killed in round {round}"
    assert identical(state(run), state(whole)), f"killed in round {round}"
    assert identical(state(run, "best_fid"), state(whole, "best_fid")), f"killed in round {round}"
    pictures = {p.name: p.read_bytes() for p in (run / "samples").iterdir()}
    assert pictures == {p.name: p.read_bytes() for p in (whole / "samples").iterdir()}
    record = json.loads((run / "run.json").read_text())
    assert len(record["segments"]) == 2
    segments = list((run / "wandb").glob("offline-run-*"))
    assert len(segments) == (2 if "logger=wandb" in CASES[case][2] else 0)
    assert all(folder.name.endswith(record["id"]) for folder in segments)


def test_more_rounds_than_planned_end_as_if_they_had_been_planned(
    finished, train, gan, tmp_path, the_run, state, rows, identical, monkeypatch
):
    assert train(tmp_path / "short", "rounds=12").status == 0
    run = the_run(tmp_path / "short")
    monkeypatch.chdir(tmp_path)  # a relative path will do, and a checkpoint instead of its run
    checkpoint = (run / "checkpoints" / "last.ckpt").relative_to(tmp_path)
    result = gan("train", f"resume={checkpoint}", "rounds=20", "checkpoint_every=4")
    assert result.status == 0, result.error
    assert train(tmp_path / "whole").status == 0
    whole = the_run(tmp_path / "whole")
    assert [row for row in rows(run) if row["round"] != 12] == rows(whole)  # the last of the short run
    assert identical(state(run), state(whole))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["rounds"], config["checkpoint_every"]) == (20, 4)
    # and once more: what was changed stays changed
    assert gan("train", f"resume={run}", "rounds=24").status == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["checkpoint_every"] == 4
    assert len(json.loads((run / "run.json").read_text())["segments"]) == 3
    assert state(run)["gan_research"]["round"] == 24


def test_going_back_to_an_older_checkpoint_drops_the_rows_past_it(train, gan, the_run, tmp_path, rows, state):
    assert train(tmp_path, "keep_every=10").status == 0
    run = the_run(tmp_path)
    whole, end = rows(run), state(run)["state_dict"]["generator.body.0.weight"]
    result = gan("train", f"resume={run / 'checkpoints' / 'round_00000010.ckpt'}")
    assert result.status == 0, result.error
    assert rows(run) == whole
    assert torch.equal(state(run)["state_dict"]["generator.body.0.weight"], end)


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["generator.width=32"], "generator.width: 16 -> 32"),
        (["loss=hinge"], "loss._target_: gan_research.losses.NonSaturating -> gan_research.losses.Hinge"),
        (["batch_size=32", "rounds=40"], "batch_size: 64 -> 32"),
        (["seed=1"], "seed: 0 -> 1"),
        (["regularizer=none"], "regularizer: {'r1': "),
        (["ema=none"], "ema"),
        (["rounds=40"], "lr_schedule.generator.total_iters: 20 -> 40"),
    ],
)
def test_another_game_is_refused_with_the_difference(overrides, difference, finished, gan, one_line, contents):
    before = contents(finished)
    one_line(gan("train", f"resume={finished}", *overrides), "can't change the game", difference)
    assert contents(finished) == before


def test_a_finished_run_says_so(finished, gan, one_line, contents):
    before = contents(finished)
    one_line(gan("train", f"resume={finished}"), "all its 20 rounds", "rounds=N")
    one_line(gan("train", f"resume={finished}", "--cfg"), "config.yaml")
    one_line(gan("train", f"resume={finished}", "roundss=30"), "there is no roundss", "'rounds'?")
    assert contents(finished) == before


def test_a_row_cut_short_by_a_kill_is_dropped(train, gan, the_run, tmp_path, rows):
    assert train(tmp_path, "rounds=12", "metrics=none").status == 0
    run = the_run(tmp_path)
    with (run / "history.jsonl").open("a") as file:
        file.write('{"round": 14, "ki')
    assert gan("train", f"resume={run}", "rounds=16").status == 0
    assert [row["round"] for row in read_history(run / "history.jsonl")] == [5, 10, 12, 15, 16]


def test_a_run_that_moved_goes_on_where_it_is_now(train, gan, the_run, tmp_path, state):
    assert train(tmp_path / "here", "rounds=5", "metrics=none").status == 0
    shutil.move(tmp_path / "here", tmp_path / "there")
    run = the_run(tmp_path / "there")
    assert gan("train", f"resume={run}", "rounds=8").status == 0
    assert state(run)["gan_research"]["round"] == 8
    assert not (tmp_path / "here").exists()
