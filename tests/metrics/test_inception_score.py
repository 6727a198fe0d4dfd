"""The inception score: torch-fidelity's number, and the bounds that it has."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

from gan_research.metrics import Extractor, Features, InceptionScore, Values
from gan_research.utils.errors import UserError


class Logits(Extractor):
    """Points are the logits that a classifier gave."""

    accepts = ("points",)
    name = "logits"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_features = self.num_classes = num_classes
        self.freeze()

    def extract(self, samples: Tensor) -> Features:
        return Features(samples, samples)


def measure(logits: Tensor, **settings: int) -> dict[str, float]:
    metric = InceptionScore(Logits(logits.shape[1]), **settings)
    metric.update(logits)
    return metric.compute()


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_inception_score_is_that_of_torch_fidelity(splits):
    logits = 3 * torch.randn(517, 8, generator=torch.Generator().manual_seed(0))
    theirs = isc_features_to_metric(logits, splits=splits)
    assert measure(logits, splits=splits) == {
        "inception_score": pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-12),
        "inception_score_std": pytest.approx(theirs[KEY_METRIC_ISC_STD], rel=1e-9, abs=1e-12),
    }


def test_inception_score_of_a_sure_and_balanced_classifier_is_its_number_of_classes():
    logits = 200 * torch.eye(7).repeat(30, 1)
    assert measure(logits, splits=1) == {"inception_score": pytest.approx(7, rel=1e-12), "inception_score_std": 0}
    assert 5 < measure(logits)["inception_score"] < 7  # no split is quite balanced


def test_inception_score_of_a_constant_classifier_is_one():
    logits = torch.tensor([0.5, -2, 300]).repeat(100, 1)
    assert measure(logits) == {
        "inception_score": pytest.approx(1, abs=1e-12),
        "inception_score_std": pytest.approx(0, abs=1e-12),
    }


def test_inception_score_by_hand():
    # Half the samples are class 0 with probability p, half class 1: exp of log 2 less the entropy.
    p = 0.9
    logits = torch.tensor([[p, 1 - p], [1 - p, p]]).log().repeat(50, 1)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert measure(logits, splits=1)["inception_score"] == pytest.approx(2 * np.exp(-entropy), rel=1e-6)


def test_inception_score_errors():
    metric = InceptionScore(Logits(3), splits=4)
    metric.check(40)
    assert metric.settings == {"splits": 4}
    with pytest.raises(UserError, match="metric 'inception_score' needs num_samples of at least 40, not 39"):
        metric.check(39)
    with pytest.raises(UserError, match="metric 'inception_score' needs logits, and extractor 'values' has none"):
        InceptionScore(Values()).check(1000)
    with pytest.raises(UserError, match="setting splits of at least 1, not 0"):
        InceptionScore(Logits(3), splits=0)
