"""Whose files a run's folder has, and what becomes of it when it is damaged, removed, or begun several times."""

import errno
import json
import os
import shutil
import subprocess
import threading
import zipfile
from itertools import pairwise

import pytest
import torch
import yaml

from gan_research.runs import auto_resume
from gan_research.runs.run import Run
from gan_research.training.gan import GAN
from gan_research.utils import reading
from gan_research.utils.run_folder import one_process_in, run_id


@pytest.fixture(scope="module")
def two(tmp_path_factory, train, the_run):
    """Two runs of 12 rounds, unlike in their seeds. Don't change them."""
    outputs = [tmp_path_factory.mktemp(f"seed{seed}") for seed in range(2)]
    for seed, output in enumerate(outputs):
        assert train(output, "rounds=12", f"seed={seed}").status == 0
    return [the_run(output) for output in outputs]


@pytest.fixture
def run(two, tmp_path):
    """A copy of the first."""
    return shutil.copytree(two[0], tmp_path / "run")


@pytest.fixture
def resume(gan, run):
    return lambda *overrides: gan("train", f"resume={run}", "rounds=14", *overrides)


def change(checkpoint, edit):
    content = torch.load(checkpoint, weights_only=True)
    edit(content)
    checkpoint.unlink()
    torch.save(content, checkpoint)


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "history.jsonl", "config.yaml"])
def test_a_file_of_another_run_is_refused(name, two, run, gan, resume, one_line, contents, tmp_path):
    (run / name).unlink()
    shutil.copy(two[1] / name, run / name)
    before = contents(run)
    ids = [run_id(folder) for folder in two]
    one_line(resume(), str(run / name), *ids)
    if name.endswith(".ckpt"):
        one_line(gan("train", f"resume={run / name}", "rounds=14"), str(run / name), *ids)
        for command in ("sample", "evaluate"):
            one_line(gan(command, run), str(run / name), *ids)
    else:
        result = gan("compare", run, two[1], "--no-html")
        assert result.status == 0
        assert name in result.output.replace("\n", "")
    assert contents(run) == before


def test_a_copy_of_a_run_goes_on(run, resume):
    assert resume().status == 0


MISSING = {
    "an optimizer's state": lambda c: c["optimizer_states"][0].update(state={}),
    "a moment": lambda c: c["optimizer_states"][1]["state"][0].pop("exp_avg"),
    "a moment's shape": lambda c: c["optimizer_states"][1]["state"][0].update(exp_avg=torch.zeros(3)),
    "an optimizer": lambda c: c["optimizer_states"].pop(),
    "the loops": lambda c: c.pop("loops"),
    "a callback's state": lambda c: c["callbacks"]["Log"].clear(),
    "weights": lambda c: c["state_dict"].pop("discriminator.body.0.weight"),
    "a negative round": lambda c: c["gan_research"].update(round=-1),
    "a round below its updates' sign": lambda c: c["gan_research"]["updates"].update(generator=-1),
    "rounds that are no number": lambda c: c["config"].update(rounds="many"),
    "no trainer": lambda c: c["config"].pop("trainer"),
    "a cycle": lambda c: c["config"].update(data=c["config"]),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_checkpoint_that_lacks_state_is_not_resumed(what, run, resume, one_line, contents):
    last = run / "checkpoints" / "last.ckpt"
    change(last, MISSING[what])
    before = contents(run)
    one_line(resume(), str(last))
    assert contents(run) == before


def test_weights_that_are_nan_are_neither_sampled_nor_exported(run, gan, one_line, contents, tmp_path):
    def spoil(content):
        content["state_dict"]["generator.body.0.weight"][0] = torch.nan

    change(run / "checkpoints" / "last.ckpt", spoil)
    out = tmp_path / "out"
    for words in (("sample", run, "-o", out), ("export", run, "-o", out), ("evaluate", run, "--seeds", "0")):
        one_line(gan(*words, "--raw"), "generator.body.0.weight isn't finite")
    assert not out.exists()


def test_a_network_larger_than_its_weights_is_not_built(run, gan, one_line, tmp_path):
    change(run / "checkpoints" / "last.ckpt", lambda c: c["gan_research"]["generator"].update(width=2**30))
    one_line(gan("sample", run, "-o", tmp_path / "s.png"), "last.ckpt", "1073741824")


def test_fields_of_a_newer_version_are_kept(run, resume):
    record = json.loads((run / "run.json").read_text())
    record["later"], record["segments"][0]["later"] = {"x": 1}, 2
    (run / "run.json").write_text(json.dumps(record))
    assert resume().status == 0
    now = json.loads((run / "run.json").read_text())
    assert (now["later"], now["segments"][0]["later"], len(now["segments"])) == ({"x": 1}, 2, 2)


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "history.jsonl"])
@pytest.mark.parametrize("text", ["", "{", "[]", "\0\0"])
def test_damaged_metadata_is_one_line(name, text, run, resume, one_line, contents):
    (run / name).write_text(text + "\n")
    before = contents(run)
    one_line(resume(), str(run / name))
    assert contents(run) == before


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefgh")
)
"""Nine to the power of eight values, in a kilobyte of YAML."""


def test_bombs_are_not_unpacked(run, resume, gan, one_line, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "UNPACKED", 2**18)
    monkeypatch.setattr(reading, "PARTS", 10_000)
    (run / "config.yaml").write_text(BOMB)
    one_line(resume(), "config.yaml", "10,000 values")
    last = run / "checkpoints" / "last.ckpt"
    last.unlink()
    for path in (last, tmp_path / "images.npz"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", bytes(2**20))
    for words in (("sample", last), ("evaluate", tmp_path / "images.npz", "--metrics", "inception_score")):
        one_line(gan(*words), str(words[1]), "times its size")


def test_a_run_that_is_removed_during_training_is_not_made_anew(train, one_line, tmp_path, monkeypatch, the_run):
    play = GAN.training_step

    def step(self, *args):
        if self.round == 9:
            shutil.rmtree(the_run(tmp_path / "runs"))
        play(self, *args)

    monkeypatch.setattr(GAN, "training_step", step)
    for other in ("log_every=7", "sample_every=5"):  # what is written first: a checkpoint, a grid
        one_line(train(tmp_path / "runs", "metrics=none", other), "was removed during training")
        assert not list((tmp_path / "runs").iterdir())


def test_a_run_that_cannot_begin_leaves_no_folder(train, one_line, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "run.json")

    monkeypatch.setattr(Run, "begin", full)
    one_line(train(tmp_path, "metrics=none"), "run.json", "No space left")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_read_only_is_named(run, gan, one_line, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a disk can't be mounted here: {error}")
    try:
        shutil.copytree(run, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        line = one_line(gan("train", f"resume={disk / 'run'}", "rounds=14"), str(disk / "run"))
        assert os.strerror(errno.EROFS) in line
        assert "partial" not in line
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_one_command_begun_at_once_is_one_run(train, gan, tmp_path, monkeypatch, the_run, one_line):
    """While one prepares its run, another begins and ends; then one begins and is still training."""
    build, began = auto_resume.build_new, []

    def slow(*args, **kwargs):
        parts = build(*args, **kwargs)
        if not began:
            began.append(True)
            assert train(tmp_path, *words).status == 0
        return parts

    words = ("resume=auto", "metrics=none", "rounds=3")
    monkeypatch.setattr(auto_resume, "build_new", slow)
    result = train(tmp_path, *words)
    assert result.status == 0
    assert "is trained for all its 3 rounds" in result.output
    assert len(json.loads((the_run(tmp_path) / "run.json").read_text())["segments"]) == 1


def test_a_folder_has_one_process_at_a_time(tmp_path):
    order, inside = [], threading.Event()

    def other():
        inside.wait(10)
        with one_process_in(tmp_path / "runs"):
            order.append("second")

    thread = threading.Thread(target=other)
    thread.start()
    with one_process_in(tmp_path / "runs"):
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.long
def test_three_processes_begun_at_once_make_one_run(server, tmp_path):
    words = ["train", f"output={tmp_path}", "resume=auto", "metrics=none", "logger=none", "rounds=300"]
    started = [server.start(*words) for _ in range(3)]
    statuses = sorted(process.ended().status for process in started)
    assert statuses in ([0, 2, 2], [0, 0, 2], [0, 0, 0])
    (run,) = tmp_path.iterdir()
    assert len(json.loads((run / "run.json").read_text())["segments"]) == 1
    assert yaml.safe_load((run / "config.yaml").read_text())["rounds"] == 300
