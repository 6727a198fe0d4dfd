"""Averages of power functions and standing statistics, from the command line."""

import json

import pytest
from safetensors.torch import load_file

from gan_research.sampling.load import load

NETWORKS = ("generator=dcgan", "discriminator=dcgan", "generator.width=4", "discriminator.width=4")


@pytest.fixture(scope="module")
def run(train, tmp_path_factory):
    """A run of 40 rounds with two averages, and their snapshots every 4."""
    output = tmp_path_factory.mktemp("power")
    ema = ("ema=power", "ema.profiles=[0.1,0.2]", "ema.snapshot_every=4")
    rounds = ("rounds=40", "evaluate_every=40", "checkpoint_every=20", "keep_every=20", "sample_every=40")
    result = train(output, *NETWORKS, *ema, *rounds, "metrics.standing_statistics=3")
    assert result.status == 0, result
    (folder,) = output.iterdir()
    return folder


def test_the_run_has_its_averages(run):
    """Snapshots, and the average and the statistics of batch norm in the protocol of its metrics."""
    assert len(list((run / "averages").iterdir())) == 10
    protocols = [how["protocol"] for how in json.loads((run / "protocols.json").read_text()).values()]
    assert [(p["ema"], p["standing_statistics"]) for p in protocols] == [(0.1, "3 x 64")]


def test_any_average_is_measured(run, gan, tmp_path, caplog):
    def measured(*options):
        words = ("evaluate", run, "--num-samples", "100", "--json", tmp_path / "n.json", "--device", "cpu", *options)
        result = gan(*words)
        assert result.status == 0, result
        found = json.loads((tmp_path / "n.json").read_text())["evaluations"]
        return {m["round"]: m for m in found}

    other = measured("--ema", "0.15", "--standing-statistics", "2", "standing_batch_size=8", "--seeds", "1,2")
    assert "left out: --ema 0.15: " in caplog.text  # round 0 has no snapshots before it
    assert list(other) == [20, 40]
    assert {(m["protocol"]["ema"], m["protocol"]["standing_statistics"]) for m in other.values()} == {(0.15, "2 x 8")}
    assert len({json.dumps(numbers) for numbers in other[40]["sampling"]["each"]}) == 2
    first = measured()
    assert list(first) == [0, 20, 40]
    assert {(m["protocol"]["ema"], m["protocol"]["standing_statistics"]) for m in first.values()} == {
        (0.1, "3 x 64")
    }  # as in training
    assert first[40]["metrics"]["fid"] != pytest.approx(other[40]["metrics"]["fid"], rel=1e-5)


def test_any_average_is_sampled_and_exported(run, gan, tmp_path, identical):
    assert gan("sample", run, "-n", "9", "--ema", "0.15", "-o", tmp_path / "run.npz").status == 0
    assert gan("export", run, "--ema", "0.15", "-o", tmp_path / "out").status == 0
    assert gan("sample", tmp_path / "out", "-n", "9", "--ema", "0.15", "-o", tmp_path / "export.npz").status == 0
    assert (tmp_path / "run.npz").read_bytes() == (tmp_path / "export.npz").read_bytes()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["averaged"], config["profile"], config["batch_size"]) == (True, 0.15, 64)
    assert identical(load_file(tmp_path / "out" / "generator.safetensors"), load(run, ema=0.15).generator.state_dict())


def test_what_is_impossible_fails_with_one_line(run, finished, gan, train, one_line, tmp_path):
    for option, part in (
        ("0.3", "below 0.2887"),
        ("x", "--ema x"),
        ("-1", "above 0"),
        ("0.01", "9 snapshots of 0.1 and"),
    ):
        one_line(gan("sample", run, f"--ema={option}", "-o", tmp_path / "s.png"), part)
    one_line(gan("sample", run, "--ema", "0.1", "--raw", "-o", tmp_path / "s.png"), "--raw is the generator itself")
    one_line(gan("evaluate", finished, "--ema", "0.1"), "train with ema=power")
    one_line(gan("evaluate", finished, "--standing-statistics", "2", "--device", "cpu"), "no running statistics")
    one_line(gan("evaluate", "digits", "digits", "--standing-statistics", "2"), "--standing-statistics is for")
    one_line(train(tmp_path, "metrics.standing_statistics=2"), "standing_statistics=2", "no running statistics")
    one_line(train(tmp_path, *NETWORKS, "metrics.standing_batch_size=2"), "standing_batch_size=2")
    assert list(tmp_path.iterdir()) == []
