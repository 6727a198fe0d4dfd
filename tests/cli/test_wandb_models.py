"""Models in W&B: what a run uploads, online and offline, and what the commands do with it on another machine.

A server in this process stands in for W&B's; it keeps what W&B's own client sends, and gives it back.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from wandb_server import serving

from gan_research import load
from gan_research.utils.artifacts import fetch, local, place_run
from gan_research.utils.errors import UserError


@contextlib.contextmanager
def online(home):
    """W&B with a key and a server of its own; no session is left open."""
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        for name in ("WANDB_MODE", "WANDB_ENTITY", "WANDB_PROJECT"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("WANDB_API_KEY", "0123456789" * 4)
        patch.setenv("WANDB_BASE_URL", server.url)
        wandb.teardown()
        yield server
        wandb.teardown()


@pytest.fixture(scope="module")
def server(tmp_path_factory, own_cache):
    with online(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def uploaded(server, train, the_run, tmp_path_factory):
    """A run that uploaded its best and its last checkpoint."""
    output = tmp_path_factory.mktemp("uploaded")
    result = train(output, "logger=wandb", "logger.wandb.log_model=best", "logger.wandb.project=p")
    assert result.status == 0, result.error
    return the_run(output)


@pytest.fixture(scope="module")
def model(uploaded):
    """The address of that run's model, without an alias."""
    return f"wandb://me/p/model-{json.loads((uploaded / 'run.json').read_text())['id']}"


def rows_of(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def models(server, run):
    """aliases -> metadata, of a run's models on the server."""
    name = f"model-{json.loads((run / 'run.json').read_text())['id']}"
    found = [one for one in server.artifacts.values() if one["name"] == name]
    return {tuple(sorted(one["aliases"])): json.loads(one["metadata"]) for one in found}


def check_models(found, run):
    """The best and the last checkpoint, or one that is both, each with its numbers and their protocol."""
    rows = {row["round"]: row for row in rows_of(run) if "protocol" in row}
    protocols = json.loads((run / "protocols.json").read_text())
    best = min(rows, key=lambda round: rows[round]["metrics/fid"])
    versions = {best: ["best"], 20: ["last", "latest"]} if best < 20 else {20: ["best", "last", "latest"]}
    assert set(found) == {tuple(sorted([*aliases, f"round-{round}"])) for round, aliases in versions.items()}
    for aliases, metadata in found.items():
        row = rows[metadata["round"]]
        assert f"round-{metadata['round']}" in aliases
        assert metadata["metrics"] == {name[8:]: row[name] for name in row if name.startswith("metrics/")}
        assert {key: metadata[key] for key in ("protocol", "better", "ranges")} == protocols[row["protocol"]]
        assert metadata["selected_by"] == ("fid" if "best" in aliases else None)


def test_the_best_and_the_last_checkpoint_are_uploaded_with_their_numbers(server, uploaded):
    check_models(models(server, uploaded), uploaded)
    assert not (uploaded / "wandb" / "uploads").exists()
    run = json.loads((uploaded / "run.json").read_text())
    fids = [row["metrics/fid"] for row in rows_of(uploaded) if "metrics/fid" in row]
    summary = server.summaries[run["id"]]
    assert (summary["best/fid"], summary["metrics/fid"]) == (min(fids), fids[-1])
    (data,) = (one for one in server.artifacts.values() if one["type"] == "dataset")
    assert (run["id"], data["id"]) in server.used
    assert (data["name"], json.loads(data["metadata"])) == ("data-digits", run["segments"][0]["data"])


def test_samples_and_numbers_are_those_of_the_run(server, uploaded, model, gan, tmp_path):
    best = uploaded / "checkpoints" / "best_fid.ckpt"
    assert torch.equal(load(f"{model}:best").sample(9, seed=3), load(best).sample(9, seed=3))
    assert torch.equal(load(f"{model}:last", raw=True).sample(9), load(uploaded, raw=True).sample(9))
    for source, name in ((f"{model}:best", "a"), (best, "b")):
        assert gan("sample", source, "-n", 4, "-o", tmp_path / f"{name}.npz").status == 0
        result = gan("evaluate", source, "--device", "cpu", "--json", tmp_path / f"{name}.json")
        assert result.status == 0, result.error
        assert "was selected as the best fid" in result.output
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    numbers = [json.loads((tmp_path / f"{name}.json").read_text())["evaluations"] for name in "ab"]
    for (found,) in numbers:
        del found["checkpoint"]
    assert numbers[0] == numbers[1]
    assert gan("export", f"{model}:best", "-o", tmp_path / "out", "--discriminator").status == 0
    assert torch.equal(load(tmp_path / "out").sample(9), load(best).sample(9))


def test_a_new_run_starts_from_a_model(server, uploaded, model, train, the_run, tmp_path, state):
    words = ("logger=wandb", "logger.wandb.project=p", "metrics=none", "rounds=1", f"init={model}:last")
    result = train(tmp_path, *words, "optimizer.generator.lr=0.0", "optimizer.discriminator.lr=0.0", "ema.decay=0.5")
    assert result.status == 0, result.error
    run = the_run(tmp_path)
    before, after = (state(folder)["state_dict"] for folder in (uploaded, run))
    for name in before:
        if name.startswith(("generator.", "discriminator.")):
            assert torch.equal(before[name], after[name]), name
    (segment,) = json.loads((run / "run.json").read_text())["segments"]
    version = fetch(f"{model}:last")[1]
    assert segment["init"] == {"source": version, "round": 20}
    assert f"init {version}, round 20" in result.output
    used = server.named(version.rpartition("/")[2])["id"]
    assert (json.loads((run / "run.json").read_text())["id"], used) in server.used
    assert yaml.safe_load((run / "config.yaml").read_text())["init"] == f"{model}:last"


def test_a_run_continues_on_another_machine(uploaded, model, gan, one_line, tmp_path, state, identical, monkeypatch):
    runs, elsewhere = tmp_path / "runs", tmp_path / "same"
    words = ("train", f"resume={model}:last", f"output={runs}", "rounds=22", "logger=none")
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(UserError, match="creates a folder"):
            place_run(f"{model}:last", runs)
    result = gan(*words)
    assert result.status == 0, result.error
    (run,) = runs.iterdir()
    before, after = (json.loads((folder / "run.json").read_text()) for folder in (uploaded, run))
    assert (after["id"], len(after["segments"]), run.name) == (before["id"], 2, f"{before['name']}-{before['id']}")
    assert rows_of(run)[: len(rows_of(uploaded))] == rows_of(uploaded)
    shutil.copytree(uploaded, elsewhere)
    assert gan("train", f"resume={elsewhere}", "rounds=22", "logger=none").status == 0
    assert identical(state(elsewhere), state(run))
    one_line(gan(*words), f"{run} exists, with another last checkpoint")


def test_a_download_is_kept(server, model):
    folder = local(f"{model}:best")
    written = (folder / "config.json").stat().st_mtime_ns
    assert local(f"{model}:best") == folder
    assert (folder / "config.json").stat().st_mtime_ns == written
    assert {path.name for path in folder.iterdir()} == {"config.json", "generator.safetensors"}
    files = {"run.json", "config.yaml", "history.jsonl", "protocols.json", "checkpoints"}
    assert {path.name for path in local(f"{model}:best", whole=True).iterdir()} == files


@pytest.mark.parametrize(
    ("address", "part"),
    [("wandb://me/p/nothing:best", "nothing:best"), ("wandb://me/p", "wandb://ENTITY/PROJECT/NAME:ALIAS")],
)
def test_an_address_of_nothing_is_one_line(address, part, server, gan, train, one_line, tmp_path):
    for command in ("sample", "evaluate"):
        one_line(gan(command, address), address, part)
    one_line(train(tmp_path / "runs", f"init={address}", "metrics=none"), address, part)
    assert not (tmp_path / "runs").exists()


def test_an_artifact_of_something_else_is_one_line(server, uploaded):
    with pytest.raises(UserError, match=r"^wandb://me/p/data-digits:v0 has no config.json: it isn't a model"):
        local("wandb://me/p/data-digits:v0")


def test_offline_or_without_a_key_is_one_line(gan, one_line, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    one_line(gan("sample", "wandb://me/p/model-x:best"), "WANDB_MODE=offline", "unset it")
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()
    one_line(gan("sample", "wandb://me/p/model-x:best"), "log in with `wandb login`")
    wandb.teardown()


def test_an_offline_run_is_uploaded_later(server, train, the_run, tmp_path, monkeypatch, own_config):
    """Its models, data and alert: by `wandb sync`."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = ("--config-dir", own_config, "loss=ours", "loss.bad_loss_from=15", "logger=wandb", "logger.wandb.project=p")
    result = train(tmp_path / "runs", *words, "logger.wandb.log_model=all")
    assert result.status == 3, result.error
    run = the_run(tmp_path / "runs")
    (segment,) = (run / "wandb").glob("offline-run-*")
    monkeypatch.delenv("WANDB_MODE")
    program = Path(sys.executable).with_name("wandb")
    subprocess.run([program, "sync", segment], check=True, capture_output=True, cwd=tmp_path, env=os.environ)
    fids = {row["round"]: row["metrics/fid"] for row in rows_of(run) if "metrics/fid" in row}
    found = models(server, run)
    assert {metadata["round"] for metadata in found.values()} == {0, 10}
    assert {metadata["metrics"]["fid"] for metadata in found.values()} == set(fids.values())
    identity = json.loads((run / "run.json").read_text())["id"]
    assert server.summaries[identity]["best/fid"] == min(fids.values())
    assert identity in {user for user, _ in server.used}
    (alert,) = (alert for alert in server.alerts if alert["runName"] == identity)
    assert (alert["title"], alert["severity"]) == ("Training diverged", "ERROR")
    assert "round 15" in alert["text"]
