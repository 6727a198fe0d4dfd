"""What goes wrong is one line that says what to do, and nothing that was there is lost."""

import errno
import json
import os
import resource
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.callbacks import checkpoint
from gan_research.training.gan import GAN
from gan_research.training.loss_log import LossLog
from gan_research.utils.errors import DIVERGED


def pictures(folder, count=70, size=8):
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder


def folder_data(folder, resolution=8):
    return "data=image_folder", f"data.root={folder}", f"data.resolution={resolution}", "metrics=none"


def test_data_that_cannot_be_trained_on(train, one_line, tmp_path):
    runs, good = tmp_path / "runs", pictures(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    one_line(train(runs, "batch_size=1598"), "batch_size=1598", "1597 training images", "1597 or less")
    one_line(train(runs, *folder_data(good), "batch_size=71"), "70 training images", "70 or less")
    one_line(train(runs, *folder_data(tmp_path / "nowhere")), str(tmp_path / "nowhere"), "data.root")
    one_line(train(runs, *folder_data(tmp_path / "empty")), str(tmp_path / "empty"))
    one_line(train(runs, "data=arrays", f"data.path={tmp_path / 'no.npz'}"), "no.npz", "data.path")
    networks = ("generator=dcgan", "discriminator=dcgan")
    one_line(train(runs, *folder_data(good, 9), *networks), "resolution 9", "8 or 12")
    one_line(train(runs, "data.resolution=16"), "1 x 8 x 8", "1 x 16 x 16", "digits")
    one_line(train(runs, *folder_data(good), "metrics=digits"), "1 x 8 x 8", "3 x 8 x 8")
    one_line(train(runs, *folder_data(good), "data.channels=2"), "data.channels=2")
    one_line(train(runs, *folder_data(good), "conditional=true"), "conditional=true", "classes")
    assert not runs.exists()


def test_corrupt_pictures_are_counted_and_named_or_skipped_on_request(train, one_line, the_run, tmp_path):
    folder = pictures(tmp_path / "pictures")
    (folder / "003.png").write_bytes((folder / "003.png").read_bytes()[:60])
    (folder / "005.png").write_bytes(b"not a picture")
    line = one_line(train(tmp_path / "runs", *folder_data(folder)), "2 of 70", "003.png", "005.png")
    assert "skip_corrupt" in line
    assert not (tmp_path / "runs").exists()
    result = train(tmp_path / "runs", *folder_data(folder), "data.skip_corrupt=true", "rounds=2")
    assert result.status == 0, result.error


@pytest.mark.parametrize("command", ["resume", "sample", "evaluate"])
def test_checkpoints_that_are_none(command, finished, gan, one_line, contents, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    last = run / "checkpoints" / "last.ckpt"
    (run / "checkpoints" / "previous.ckpt").unlink()

    def use(path):
        arguments = ["train", f"resume={path}", "rounds=40"] if command == "resume" else [command, path]
        return gan(*arguments)

    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    before = contents(run)
    one_line(use(run), str(last), "truncated")
    torch.save({"state_dict": {}}, last)
    one_line(use(run), str(last), "another program")
    torch.save(print, last)
    one_line(use(run), str(last), "can't be read as a checkpoint")
    for path in last.parent.iterdir():
        path.unlink()
        del before[path.relative_to(run)]
    one_line(use(run), "checkpoint", str(run))
    one_line(use(tmp_path / "nowhere"), str(tmp_path / "nowhere"))
    assert contents(run) == before


def test_a_checkpoint_builds_nothing_that_is_not_allowed(finished, gan, one_line, tmp_path):
    saved = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    saved["config"]["data"] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    torch.save(saved, tmp_path / "evil.ckpt")
    one_line(gan("evaluate", tmp_path / "evil.ckpt"), "os.mkdir", "--allow os")
    saved["gan_research"]["generator"] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    torch.save(saved, tmp_path / "evil.ckpt")
    one_line(gan("sample", tmp_path / "evil.ckpt", "-o", tmp_path / "s.png"), "os.mkdir", "--allow os")
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_imports_nothing_that_is_not_allowed(finished, gan, one_line, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'made')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    evil = {"_target_": "evil.Extractor"}
    for change in ({"data": evil}, {"metrics": {"_target_": "gan_research.metrics.Evaluation", "extractor": evil}}):
        saved = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
        saved["config"] |= change
        torch.save(saved, tmp_path / "evil.ckpt")
        one_line(gan("evaluate", tmp_path / "evil.ckpt"), "evil.Extractor", "--allow evil")
    one_line(gan("evaluate", finished, "extractor._target_=evil.Extractor"), "evil.Extractor", "--allow evil")
    assert not (tmp_path / "made").exists()


def test_data_that_are_gone_are_named_before_weights_are_asked_for(finished, gan, one_line, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    saved = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    saved["config"]["data"] = {"_target_": "gan_research.data.Arrays", "path": str(tmp_path / "gone.npz")}
    torch.save(saved, tmp_path / "moved.ckpt")
    one_line(gan("evaluate", tmp_path / "moved.ckpt", "--metrics", "inception"), "data.path", "gone.npz")
    one_line(gan("evaluate", finished, "--data-root", tmp_path / "gone"), "gone")


def test_more_samples_than_memory(finished, gan, one_line, tmp_path):
    one_line(gan("sample", finished, "-n", 99999999999, "-o", tmp_path / "s.png"), "-n 99999999999", "memory")
    assert not (tmp_path / "s.png").exists()


def test_an_output_that_is_no_folder(train, one_line, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    one_line(train(tmp_path / "file"), str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("gan_research.runs.run.Path.mkdir", refuse)
        one_line(train(tmp_path / "locked"), str(tmp_path / "locked"), "Permission denied")


def room_for(size, at):
    """A training step from whose `at`-th round on files can't grow beyond `size` bytes, as if the disk were full."""
    play = GAN.training_step

    def step(self, *args):
        if self.round == at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        play(self, *args)

    return step


@pytest.mark.parametrize(
    ("size", "what"),
    [(12_000, "last.ckpt was not written"), (1_000, "gan train resume=")],
    ids=["in the checkpoint", "in the history"],
)
def test_a_full_disk_keeps_the_last_checkpoint_and_leaves_no_half_files(
    size, what, train, gan, one_line, the_run, tmp_path, monkeypatch, state, rows, identical
):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    overrides = ("rounds=30", "sample_every=1000", "metrics=none", "log_every=6")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(GAN, "training_step", room_for(size, 12))
            result = train(tmp_path / "full", *overrides)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    run = the_run(tmp_path / "full")
    one_line(result, str(run), what, os.strerror(errno.EFBIG))
    assert state(run)["gan_research"]["round"] == 10
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert gan("sample", run, "-o", tmp_path / "s.png").status == 0

    assert gan("train", f"resume={run}").status == 0
    assert train(tmp_path / "whole", *overrides).status == 0
    assert rows(run) == rows(the_run(tmp_path / "whole"))
    assert identical(state(run), state(the_run(tmp_path / "whole")))


@pytest.mark.parametrize("checked_each_round", [True, False], ids=["as on the CPU", "as on a GPU"])
def test_a_loss_that_is_nan_stops_the_run_and_keeps_the_last_good_checkpoint(
    checked_each_round, own_config, train, gan, one_line, the_run, tmp_path, monkeypatch, state
):
    if not checked_each_round:
        check, refuse = LossLog.check, checkpoint.refuse_diverged

        def refuse_with_checks(gan):
            with monkeypatch.context() as patch:
                patch.setattr(LossLog, "check", check)
                refuse(gan)

        monkeypatch.setattr(LossLog, "check", lambda *_: None)
        monkeypatch.setattr(checkpoint, "refuse_diverged", refuse_with_checks)
    ours = ("--config-dir", own_config, "loss=ours", "metrics=none", "log_every=100", "checkpoint_every=5")
    result = train(tmp_path / "runs", *ours, "loss.bad_loss_from=13")
    run = the_run(tmp_path / "runs")
    last = str(run / "checkpoints" / "last.ckpt")
    one_line(result, "round 13", "loss/discriminator is NaN", last, status=DIVERGED)
    assert state(run)["gan_research"]["round"] == 10
    assert all(w.isfinite().all() for w in state(run)["state_dict"].values())
    assert gan("sample", run, "-o", tmp_path / "s.png").status == 0


def test_weights_that_are_nan_are_not_saved_though_every_loss_was_finite(
    own_config, train, one_line, the_run, tmp_path, state
):
    ours = ("--config-dir", own_config, "loss=ours", "metrics=none", "log_every=100", "checkpoint_every=5")
    result = train(tmp_path / "runs", *ours, "loss.bad_gradient_from=15")
    one_line(result, "round 15", "the generator's weights aren't finite", status=DIVERGED)
    assert state(the_run(tmp_path / "runs"))["gan_research"]["round"] == 10


def test_a_run_whose_record_is_gone_is_none(finished, gan, one_line, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    one_line(gan("train", f"resume={tmp_path / 'run'}", "rounds=40"), "not the folder of a run", "run.json")
    assert json.loads((finished / "run.json").read_text())["segments"]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["data.resolution=0"], ["data.resolution is 0"]),
        (["data.resolution=-1"], ["data.resolution is -1"]),
        (["data.num_workers=-1"], ["data.num_workers is -1"]),
        (["data.resident_limit_gib=-2"], ["data.resident_limit_gib is -2"]),
        (["data.resident_limit_gib=.nan"], ["data.resident_limit_gib"]),
        (["data.heldout=1.5"], ["data.heldout=1.5"]),
        (["data.heldout=.nan"], ["data.heldout"]),
        (["data.value_range=[-.inf,1]"], ["data.value_range"]),
        (["data.value_range=[1,-1]"], ["data.value_range", "empty"]),
        (["data=digits", "data.resolution=0"], ["data.resolution is 0"]),
        (["data=mnist", "data.resolution=0"], ["data.resolution is 0"]),
        (["data=celeba", "data.num_workers=-3"], ["data.num_workers is -3"]),
        (["data=stacked_mnist", "data.size=-1"], ["data.size is -1"]),
        (["data=stacked_mnist", "data.size=1000000000000"], ["data.size=1000000000000", "GiB"]),
        (["data.resolution=10000000"], ["data.resolution=10000000", "GiB"]),
        (["data.resolution=300000", "data.resident=true", "batch_size=1"], ["GiB"]),
        (["data=digits", "data.resolution=10000000"], ["data.resolution=10000000", "GiB"]),
    ],
)
def test_settings_of_data_are_not_blamed_on_images(settings, parts, train, one_line, tmp_path):
    folder = pictures(tmp_path / "images", count=8)
    base = [o for o in folder_data(folder) if settings[0].startswith("data=") <= o.startswith("metrics")]
    line = one_line(train(tmp_path / "runs", "batch_size=4", *base, *settings), *parts)
    assert "cannot be read" not in line
    assert not (tmp_path / "runs").exists()


def test_an_archive_is_to_be_unpacked(train, gan, one_line, tmp_path):
    for name in ("d.zip", "d.7z"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("1.png", b"")
    one_line(train(tmp_path / "runs", *folder_data(tmp_path / "d.zip")), "d.zip is an archive", "unpack it")
    for path, parts in ((tmp_path / "d.7z", ("d.7z is an archive", "unpack it")), (tmp_path / "d.zip", ("1.png",))):
        for names in ((path, "digits"), ("digits", path)):
            one_line(gan("evaluate", *names, "--metrics", "digits"), *parts)
    assert not (tmp_path / "runs").exists()


def test_a_class_without_images_is_not_sampled(train, one_line, tmp_path):
    images, labels = np.zeros((8, 8, 8), np.uint8), np.arange(8) % 2 + 1
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    data = ("data=arrays", f"data.path={tmp_path / 'set.npz'}", "batch_size=4", "metrics=none", "conditional=true")
    one_line(train(tmp_path / "runs", *data, "data.heldout=0.5"), "1 of 2 classes", "no training image", "(2)")
    assert not (tmp_path / "runs").exists()
