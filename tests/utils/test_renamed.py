"""Names of earlier versions: each leads to what is there today, and nobody else's names are touched."""

import pkgutil

import pytest

from gan_research.checkpoints.allowlist import resolve_allowed
from gan_research.training.ema import EMA
from gan_research.utils.renamed import RENAMED, renamed, renamed_argument, renamed_targets


@pytest.mark.parametrize("old", RENAMED)
def test_each_name_leads_to_what_is_there(old):
    found = pkgutil.resolve_name(RENAMED[old])
    name = found.__qualname__ if isinstance(found, type) else found.__name__
    assert RENAMED[old].endswith(name)
    assert renamed(old) == RENAMED[old]
    assert renamed(f"{old}.Anything.inside") == f"{RENAMED[old]}.Anything.inside"


@pytest.mark.parametrize("old", RENAMED)
def test_todays_names_stay(old):
    assert renamed(RENAMED[old]) == RENAMED[old]
    assert renamed(f"{RENAMED[old]}.Anything") == f"{RENAMED[old]}.Anything"


@pytest.mark.parametrize("old", [old for old in RENAMED if old.rpartition(".")[2].islower()])
def test_the_old_module_is_gone(old):
    with pytest.raises(ImportError):
        __import__(old)


@pytest.mark.parametrize(
    "name",
    [
        "torch.optim.Adam", "their.gan_research.ema.EMA", "gan_research", "gan_research.emacs.EMA",
        "gan_research.data.Arrays", "gan_research.sampling.priors.GaussianPrior",
        "gan_research.checkpoints.io.AtomicCheckpointIO", "",
    ],
)  # fmt: skip
def test_other_names_stay(name):
    assert renamed(name) == name


def test_targets_are_renamed_however_deep_and_nothing_else():
    old = {
        "_target_": "gan_research.priors.GaussianPrior",
        "name": "gan_research.priors.GaussianPrior",
        "parts": [{"_target_": "gan_research.ema.EMA", "decay": 0.5}, ("gan_research.ema.EMA", None)],
        "_partial_": True,
    }
    new = {
        "_target_": "gan_research.sampling.priors.GaussianPrior",
        "name": "gan_research.priors.GaussianPrior",
        "parts": [{"_target_": "gan_research.training.ema.EMA", "decay": 0.5}, ("gan_research.ema.EMA", None)],
        "_partial_": True,
    }
    assert renamed_targets(old) == new
    assert renamed_targets(new) == new
    assert old["_target_"] == "gan_research.priors.GaussianPrior"


def test_an_old_name_may_be_built():
    assert resolve_allowed("gan_research.ema.EMA") is EMA


def test_old_names_of_metrics_are_read_in_configs_and_records():
    old = {
        "best": "is",
        "name": "is",
        "metrics": {"metrics": ["fid", "is"], "settings": {"is": {"splits": 5}}},
        "published": {"numbers": {"is": {"value": 7.8}}, "trajectory": [{"column": "is", "why": "is"}]},
    }
    new = {
        "best": "inception_score",
        "name": "is",
        "metrics": {"metrics": ["fid", "inception_score"], "settings": {"inception_score": {"splits": 5}}},
        "published": {
            "numbers": {"inception_score": {"value": 7.8}},
            "trajectory": [{"column": "inception_score", "why": "is"}],
        },
    }
    assert renamed_targets(old) == new
    assert renamed_targets(new) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("is", "inception_score"),
        ("is_std", "inception_score_std"),
        ("best=is", "best=inception_score"),
        ("objective=is_std", "objective=inception_score_std"),
        ("metrics.metrics=[fid,is]", "metrics.metrics=[fid,inception_score]"),
        ("+metrics.settings.is.splits=5", "+metrics.settings.inception_score.splits=5"),
        ("metrics.extractor.weights=is/is.pth", None),
        ("name=is", None),
        ("data.root=is", None),
        ("this", None),
    ],
)
def test_old_names_of_metrics_may_be_typed(old, new, caplog):
    assert renamed_argument(old) == (new or old)
    assert [record.getMessage() for record in caplog.records] == [
        "metric 'is' is deprecated: use 'inception_score'"
    ] * bool(new)
