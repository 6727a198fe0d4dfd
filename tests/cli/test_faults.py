"""Whatever ends a run, and whenever: it goes on to the very same end."""

import os
import random
import signal
import subprocess
import time
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.metrics import Evaluation
from gan_research.training.gan import GAN
from gan_research.utils import files
from gan_research.utils.errors import RESUME
from gan_research.utils.signals import STOP_SIGNALS

SHORT = (
    "generator.width=16", "discriminator.width=16", "discriminator.dropout=0.1", "batch_size=32", "logger=none",
    "rounds=40", "log_every=7", "sample_every=9", "evaluate_every=10", "checkpoint_every=6", "metrics.num_samples=100",
    "schedule.discriminator_steps=2", "regularizer.r1.every=3",
)  # fmt: skip
"""Intervals that don't divide each other: what is pending has to travel with the checkpoints."""


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory, the_run):
    """The folder of an uninterrupted run, and how long it took."""
    output = tmp_path_factory.mktemp("whole")
    ended = server("train", f"output={output}", *SHORT)
    assert ended.status == 0, ended.error
    return the_run(output), ended.seconds


@pytest.fixture
def same_end(whole, state, rows, identical):
    """Asserts that a run has come to the end of the uninterrupted one: weights, history, pictures."""

    def check(run, told=""):
        assert identical(state(run), state(whole[0])), told
        assert identical(state(run, "best_fid"), state(whole[0], "best_fid")), told
        assert rows(run) == rows(whole[0]), told
        pictures = [{p.name: p.read_bytes() for p in (folder / "samples").iterdir()} for folder in (run, whole[0])]
        assert pictures[0] == pictures[1], told

    return check


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.long)])
def test_killed_at_any_instant(kills, server, whole, same_end, state, tmp_path):
    """SIGKILL after a random time, from before the run's folder is made to its last row; then the same command."""
    length, cut = whole[1], 0
    for i in range(100 * kills):
        if cut == kills:
            break
        instant = random.uniform(0.1, 1.0) * length
        command = ["train", f"output={tmp_path / str(i)}", "resume=auto", *SHORT]
        started = server.start(*command)
        time.sleep(instant)
        os.kill(started.pid, signal.SIGKILL)
        if (first := started.ended()).status == -signal.SIGKILL:
            cut += 1
        else:
            length = min(length, first.seconds)  # the machine was busier before
        ended = server(*command)
        told = f"killed after {instant} s: {ended}"
        assert ended.status == 0, told
        runs = [folder for folder in (tmp_path / str(i)).iterdir() if (folder / "run.json").exists()]
        assert len(runs) == 1 or all(state(run)["gan_research"]["round"] == 40 for run in runs), told
        for run in runs:  # two where the first had played its last round when it was killed
            same_end(run, told)
            assert not [file for file in run.rglob("*") if ".partial" in file.name], told
    assert cut == kills


def in_evaluation(monkeypatch, number, at):
    measure = Evaluation.__call__

    def measuring(self, *args, **more):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == at:
            signal.raise_signal(number)
        return measure(self, *args, **more)

    monkeypatch.setattr(Evaluation, "__call__", measuring)


def in_a_save(monkeypatch, number, at):
    replace, saved = os.replace, []

    def replacing(source, target):
        if str(target).endswith("last.ckpt"):
            saved.append(target)
            if len(saved) == at:
                signal.raise_signal(number)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", replacing)


def in_a_round(monkeypatch, number, at):
    play = GAN.training_step

    def playing(self, *args):
        if self.round == at:
            signal.raise_signal(number)
        play(self, *args)

    monkeypatch.setattr(GAN, "training_step", playing)


MOMENTS = {
    "the evaluation before the first round": (partial(in_evaluation, at=1), 1),
    "an evaluation": (partial(in_evaluation, at=3), 20),
    "the first save": (partial(in_a_save, at=1), 1),
    "a save": (partial(in_a_save, at=4), 19),  # of rounds 0, 6, 12, 18: the next round is finished
    "the first round": (partial(in_a_round, at=0), 1),
    "a round": (partial(in_a_round, at=22), 23),
}


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_asked_to_stop(moment, number, gan, same_end, state, tmp_path, the_run, monkeypatch):
    if number != signal.SIGTERM and moment != "a round":
        pytest.skip("what is asked by the others is noted in the same way")
    ask, round = MOMENTS[moment]
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        ask(patch, number)
        result = gan("train", f"output={tmp_path}", *SHORT)
    run = the_run(tmp_path)
    assert result.status == RESUME == 75, result
    assert result.error == ""
    assert f"stopped after round {round}; resume with: gan train resume={run}" in result.output.replace("\n", "")
    assert state(run)["gan_research"]["round"] == round
    assert signal.getsignal(number) is before
    assert gan("train", f"resume={run}").status == 0
    same_end(run)


def test_asked_to_stop_in_the_last_round_it_has_ended(gan, same_end, tmp_path, the_run, monkeypatch):
    in_a_round(monkeypatch, signal.SIGTERM, at=39)
    assert gan("train", f"output={tmp_path}", *SHORT).status == 0
    same_end(the_run(tmp_path))


def test_ctrl_c_twice_stops_at_once(gan, same_end, state, tmp_path, the_run, monkeypatch):
    with monkeypatch.context() as patch:
        in_a_round(patch, signal.SIGINT, at=20)
        in_a_save(patch, signal.SIGINT, at=5)  # the one that the first Ctrl-C asked for
        with pytest.raises(SystemExit):  # Lightning's answer to KeyboardInterrupt
            gan("train", f"output={tmp_path}", *SHORT)
    run = the_run(tmp_path)
    assert state(run)["gan_research"]["round"] == 18
    assert gan("train", f"resume={run}").status == 0
    same_end(run)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 600 kB, and what makes it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk can't be mounted here: {error}")
    yield disk, lambda: subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk(small_disk, gan, same_end, one_line, the_run):
    disk, enlarge = small_disk
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(430_000))
    line = one_line(gan("train", f"output={disk}", *SHORT), "No space left on device")
    run = next(folder for folder in disk.iterdir() if folder.is_dir())
    assert str(run) in line
    enlarge()
    assert gan("train", f"resume={run}").status == 0
    same_end(run)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_with_processes_that_read_ahead(photos, server, tmp_path, the_run, state, rows, identical):
    """A streamed folder of pictures, read by two workers; killed, and compared with a run without any."""
    streamed = [
        "data=image_folder", f"data.root={photos}", "data.resolution=8", "data.resident=false", "data.flip=true",
        *(word for word in SHORT if not word.startswith("metrics")), "metrics=none",
    ]  # fmt: skip
    command = ["train", f"output={tmp_path / 'cut'}", "resume=auto", "data.num_workers=2", *streamed]
    patch = "import os; from gan_research.training.gan import GAN; play = GAN.training_step\n"
    patch += "GAN.training_step = lambda self, *a: os.kill(os.getpid(), 9) if self.round == 23 else play(self, *a)"
    assert server(*command, patch=patch).status == -signal.SIGKILL
    assert server(*command).status == 0
    assert server("train", f"output={tmp_path / 'whole'}", "data.num_workers=0", *streamed).status == 0
    cut, whole = the_run(tmp_path / "cut"), the_run(tmp_path / "whole")
    assert identical(state(cut), state(whole))
    assert rows(cut) == rows(whole)


TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
EXACT = (*(word for word in SHORT if "dropout" not in word), "precision=64", "checkpoint_every=10", "rounds=20")


@pytest.mark.parametrize(("first", "then"), [(TWO, ("trainer=cpu",)), (("trainer=cpu",), TWO)], ids=["2, 1", "1, 2"])
def test_on_another_number_of_devices(first, then, server, tmp_path, the_run, state, rows):
    """The same minibatches and latents: the weights that one device alone gets, to 1e-6; no row missing or double."""
    patch = "import os; from gan_research.training.gan import GAN; play = GAN.training_step\n"
    patch += "GAN.training_step = lambda self, *a: os.kill(os.getpid(), 9) if self.round == 13 else play(self, *a)"
    cut = server("train", f"output={tmp_path / 'cut'}", *EXACT, *first, patch=patch)
    assert cut.status == (RESUME if first == TWO else -signal.SIGKILL), cut
    ended = server("train", f"resume={the_run(tmp_path / 'cut')}", *then)
    assert ended.status == 0, ended
    assert server("train", f"output={tmp_path / 'whole'}", *EXACT).status == 0
    runs = the_run(tmp_path / "cut"), the_run(tmp_path / "whole")
    a, b = (state(run)["state_dict"] for run in runs)
    assert max((a[name] - b[name]).abs().max().item() for name in b) < 1e-6
    assert max(value.abs().max().item() for value in b.values() if value.dtype == torch.float64) > 0.1
    a, b = (rows(run) for run in runs)
    assert [row.keys() for row in a] == [row.keys() for row in b]
    for mine, theirs in zip(a, b, strict=True):
        theirs.pop("samples/spread", None)  # the mean of what each device sees of it
        numbers = {key: value for key, value in theirs.items() if isinstance(value, float)}
        assert {key: mine[key] for key in numbers} == pytest.approx(numbers, rel=1e-4, abs=1e-4)
