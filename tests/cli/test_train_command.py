"""What a run leaves behind: its folder, its history, its name, its group."""

import json
import logging
import re

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gan_research.config.compose import compose_train, groups_of_runs
from gan_research.runs.fit import names
from gan_research.utils.run_folder import read_history


def test_the_folder_holds_all_of_the_run(finished, contents):
    assert set(map(str, contents(finished))) - {"tensorboard/hparams.yaml"} == {
        "config.yaml",
        "run.json",
        "history.jsonl",
        "protocols.json",
        "metrics.csv",
        "samples/real.png",
        "samples/round_00000000.png",
        "samples/round_00000010.png",
        "samples/round_00000020.png",
        ".lock",
        "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "checkpoints/best_fid.ckpt",
        *(f"tensorboard/{p.name}" for p in (finished / "tensorboard").glob("events.*")),
    }
    text = (finished / "config.yaml").read_text()
    assert "${" not in text
    config = yaml.safe_load(text)
    assert config["rounds"] == 20
    assert config["data"]["batch_size"] == config["batch_size"] == 64
    assert config["lr_schedule"]["discriminator"]["total_iters"] == 20
    grid = np.asarray(Image.open(finished / "samples" / "round_00000020.png"))
    assert grid.shape[:2] == (8 * 34 + 2, 8 * 34 + 2)


def test_run_json_says_what_was_run(finished):
    run = json.loads((finished / "run.json").read_text())
    assert re.fullmatch("[0-9a-f]{8}", run["id"])
    stem = "digits-mlp-non_saturating+r1-generator.width=16-discriminator.width=16-lr_schedule=linear"
    assert run["name"] == f"{stem}-s0"
    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{6}", run["group"])
    assert finished.name.startswith(f"{stem}-s0-")
    assert run["tags"] == ["small", "fast"]
    assert "rounds=20" in run["overrides"]
    (segment,) = run["segments"]
    assert segment["torch"] == torch.__version__
    assert segment["commit"] is None or re.fullmatch(r"[0-9a-f]{40}\+?", segment["commit"])
    assert {"started", "command", "gan_research", "python", "host"} <= set(segment)
    assert run["choices"]["loss"] == "non_saturating"
    assert (run["choices"]["regularizer"], run["choices"]["logger"], run["choices"]["analysis"]) == (
        "r1",
        "csv+tensorboard",
        "none",
    )
    assert set(run["choices"]) == set(groups_of_runs()) - {"experiment"}  # none was chosen


def test_the_history_has_every_term_on_one_axis(finished):
    rows = list(read_history(finished / "history.jsonl"))
    assert [row["round"] for row in rows] == [0, 5, 10, 10, 15, 20, 20]
    assert [row["kimg"] for row in rows] == pytest.approx([row["round"] * 0.064 for row in rows], rel=1e-12)
    logged = [row for row in rows if "loss/discriminator" in row]
    assert [row["round"] for row in logged] == [5, 10, 15, 20]
    for row in logged:
        sides = {
            f"{kind}/{side}" for kind in ("logits", "probability") for side in ("real", "fake", "heldout", "train")
        }
        players = {f"{kind}/{p}" for kind in ("loss", "gradient_norm", "lr") for p in ("discriminator", "generator")}
        speed = {f"speed/{name}" for name in ("seconds", "images_per_second", "rounds_per_second")} | {
            "memory/peak_gib"
        }
        health = {"health/accuracy", "health/collapse", "health/explosion", "samples/spread"}
        assert set(row) == {"round", "kimg", "loss/r1", "game/value"} | sides | players | speed | health | {
            "memory/peak_gib"
        }
        assert row["game/value"] == -row["loss/discriminator"]
        assert 0 < row["probability/fake"] < 1
        assert row["speed/images_per_second"] == pytest.approx(64 * row["speed/rounds_per_second"], rel=1e-9)
        assert row["lr/generator"] == pytest.approx(1e-3 * (1 - row["round"] / 20), abs=1e-12)
    evaluated = [row for row in rows if "metrics/fid" in row]
    assert [row["round"] for row in evaluated] == [0, 10, 20]
    for row in evaluated:
        assert set(row) == {"round", "kimg", "protocol", "better", "ranges"} | {
            f"metrics/{name}" for name in ("fid", "inception_score", "inception_score_std", "rarest_class")
        }
        assert row["protocol"]["num_fake"] == 100
        assert row["protocol"]["num_real"] == 1597
        assert row["protocol"]["ema"] is True
        assert row["better"] == {"fid": "min", "inception_score": "max", "rarest_class": "max"}
        assert row["ranges"] == {"fid": (0, None), "inception_score": (1, 10), "rarest_class": (0, 0.1)}


def test_the_best_checkpoint_is_that_of_the_least_fid_of_the_run(finished, state, rows):
    fids = {row["round"]: row["metrics/fid"] for row in rows(finished) if "metrics/fid" in row}
    assert state(finished, "best_fid")["gan_research"]["round"] == min(fids, key=fids.get)
    assert state(finished)["gan_research"]["round"] == 20


def test_the_same_seed_plays_the_same_game_whatever_watches_it(finished, train, the_run, tmp_path, state, identical):
    result = train(tmp_path, "lr_schedule=linear", "sample_every=3", "metrics=none", "checkpoint_every=7")
    assert result.status == 0
    assert identical(state(the_run(tmp_path)), state(finished))
    assert train(tmp_path / "other", "lr_schedule=linear", "seed=1").status == 0
    assert not identical(state(the_run(tmp_path / "other"))["state_dict"], state(finished)["state_dict"])


def test_the_metrics_do_not_depend_on_how_many_pictures_are_measured_at_a_time(
    finished, train, the_run, tmp_path, rows
):
    assert train(tmp_path, "lr_schedule=linear", "metrics.batch_size=30").status == 0
    fids, others = (
        [row["metrics/fid"] for row in rows(run) if "metrics/fid" in row] for run in (finished, the_run(tmp_path))
    )
    assert others == pytest.approx(fids, rel=1e-3)  # a level of grey may be rounded the other way
    assert len(fids) == 3


def test_checkpoints_that_are_kept_for_good(train, the_run, tmp_path, state):
    result = train(tmp_path, "keep_every=10", "checkpoint_every=5", "best=null")
    assert result.status == 0
    run = the_run(tmp_path)
    kept = {p.name for p in (run / "checkpoints").iterdir()}
    for_good = {"round_00000000.ckpt", "round_00000010.ckpt", "round_00000020.ckpt"}
    assert kept == {"last.ckpt", "previous.ckpt"} | for_good
    for round in (0, 10, 20):
        assert state(run, f"round_{round:08d}")["gan_research"]["round"] == round


def test_two_runs_of_one_second_get_two_folders(train, tmp_path, monkeypatch):
    monkeypatch.setattr("gan_research.runs.run.time.strftime", lambda *_: "20300101-000000")
    for _ in range(3):
        assert train(tmp_path, "rounds=1", "metrics=none", "name=a/b c").status == 0
    stem = "a_b_c-s0-20300101-000000"
    assert {p.name for p in tmp_path.iterdir()} == {stem, f"{stem}-2", f"{stem}-3"}
    ids = {json.loads((p / "run.json").read_text())["id"] for p in tmp_path.iterdir()}
    assert len(ids) == 3


def test_the_group_is_shared_by_runs_that_differ_in_seed_only():
    def group(*overrides):
        return names(compose_train(list(overrides)))

    first = group()
    assert group("seed=5") == ("digits-mlp-non_saturating+r1-s5", first[1])
    elsewhere = group("seed=5", "logger=none", "tags=[x]", "output=elsewhere", "trainer=cpu", "health=roll_back")
    assert elsewhere[1] == first[1]
    others = [
        group(*o)[1]
        for o in (
            ["rounds=77"],
            ["loss=hinge"],
            ["optimizer.generator.lr=0.5"],
            ["regularizer.r1.weight=0.2"],
            ["regularizer=[r1,r2]"],
            ["conditional=true"],
            ["data.flip=true"],
        )
    ]
    assert len({first[1], *others}) == 8
    assert group("generator=dcgan", "loss=hinge", "regularizer=none", "seed=3")[0] == "digits-dcgan-mlp-hinge-s3"
    assert group("name=mine")[0] == "mine-s0"


def test_metrics_left_to_the_data_are_a_warning_where_their_weights_are_missing(
    train, the_run, one_line, gan, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    np.savez(tmp_path / "mine.npz", images=np.random.default_rng(0).integers(0, 256, (70, 8, 8), dtype=np.uint8))
    data = ("data=arrays", f"data.path={tmp_path / 'mine.npz'}")
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path / "runs", *data).status == 0
    assert "no metrics during training: there are no Inception-v3 weights" in caplog.text
    run = the_run(tmp_path / "runs")
    assert not any("metrics/fid" in row for row in read_history(run / "history.jsonl"))
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert gan("train", f"resume={run}", "rounds=30").status == 0
    one_line(train(tmp_path / "more", *data, "metrics=inception"), "Inception-v3 weights")
    assert not (tmp_path / "more").exists()
