"""A sweep of variants: looked at before it starts, and its best point afterwards."""

import json

import pytest
import yaml

from gan_research.cli import dry_run
from gan_research.config.compose import compose_train
from gan_research.sweeps.sweep import Sweep

TINY = (
    "generator.width=16", "discriminator.width=16", "rounds=6", "log_every=3", "sample_every=6", "evaluate_every=3",
    "checkpoint_every=6", "batch_size=16", "metrics.num_samples=100", "logger=none",
)  # fmt: skip

VARIANTS = 'variants={clipped: "loss=wasserstein regularizer=[weight_clipping]", plain: loss=wasserstein}'


def text(result):
    """The output without the lines and padding of tables."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(dry_run, "SECONDS", 0.05)


def test_a_dry_run_shows_the_points_and_starts_nothing(gan, tmp_path, quick):
    output = tmp_path / "runs"
    result = gan("train", "-m", VARIANTS, "seed=0,1,2", f"output={output}", *TINY, "--cfg")
    assert (result.status, result.error) == (0, "")
    assert not output.exists()
    shown = text(result)
    assert "variant=clipped regularizer=weight_clipping" in shown
    assert "all 6 runs: about " in shown
    assert shown.count("without a Lipschitz") == 1
    assert "compared by fid, lower is better" in shown


def test_a_dry_run_names_the_variant_that_does_not_fit(gan, one_line, tmp_path, quick):
    variants = "variants={fits: loss=hinge, not: head=projection}"
    one_line(gan("train", "-m", variants, f"output={tmp_path / 'runs'}", *TINY, "--cfg"), "variant=not: ")
    assert not (tmp_path / "runs").exists()


def test_the_best_point_is_named_and_exported(server, gan, one_line, tmp_path):
    ended = server("train", "-m", VARIANTS, "seed=0,1", f"output={tmp_path}", *TINY)
    assert ended.status == 0, ended
    (folder,) = tmp_path.glob("sweep-variant-seed-*")
    sweep = Sweep.open(folder)
    assert sweep.total == 4
    fids = {}
    for trial in sweep.snapshot():
        fids.setdefault(trial.values["variant"], []).append(trial.value)
    best = min(fids, key=lambda name: sum(fids[name]))
    assert f"best of 2: variant={best}: fid {sum(fids[best]) / 2:.4g}, the mean of 2 seeds" in ended.output
    names = [json.loads(path.read_text())["name"] for path in sorted(folder.glob("*/*/*/run.json"))]
    assert [name.partition("-")[2].partition("-")[0] for name in names] == ["clipped", "clipped", "plain", "plain"]
    assert "no Lipschitz constraint" in ended.output

    experiments = tmp_path / "mine" / "experiment"
    experiments.mkdir(parents=True)
    result = gan("sweep", "best", folder, "--export", experiments / "best.yaml")
    assert result.status == 0, result
    assert "gan train --config-dir DIR experiment=best" in result.output
    own = compose_train([VARIANTS, f"variant={best}", *TINY, "seed=5", "logger=[wandb]"]).config
    assert compose_train(["experiment=best", "seed=5"], tmp_path / "mine").config == {
        key: value for key, value in own.items() if key != "variant"
    }
    assert yaml.safe_load((experiments / "best.yaml").read_text())["rounds"] == 6
    one_line(gan("sweep", "best", folder, "--export", experiments / "best.yaml"), "it exists")

    compared = gan("compare", folder, "--no-html", "--metric", "fid")
    assert "by variant" in compared.output
    assert "clipped" in compared.output
