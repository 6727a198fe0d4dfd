"""The project's own classifiers as extractors: frozen, small, as accurate as they say."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_research.metrics import Classifier
from gan_research.metrics.extractors.classifier import WEIGHTS
from gan_research.utils.errors import UserError

DATA = Path(__file__).parents[2] / "data"


def test_extractors_stay_frozen(classifier, digits):
    parent = nn.Sequential(classifier)
    parent.train()
    assert not any(module.training for module in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    seen = classifier(digits[0][:5])
    assert seen.features.shape == (5, 64)
    assert seen.logits.shape == (5, 10)
    assert seen.features.dtype == seen.logits.dtype == torch.float32
    assert not seen.features.requires_grad


def test_fingerprint_is_of_the_weights():
    first, second = Classifier("digits"), Classifier("digits")
    assert first.fingerprint() == second.fingerprint()
    assert len(first.fingerprint()) == 16
    second.network.classify.bias[0] += 1e-3
    assert first.fingerprint() != second.fingerprint()


def test_features_are_standardised_over_the_training_images(classifier, digits):
    images = digits[0][torch.arange(1797) % 9 != 0]
    features = classifier(images).features.double()
    assert features.mean(0).abs().max().item() == pytest.approx(0, abs=1e-4)
    assert features.var(0).sub(1).abs().max().item() == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_shipped_classifiers_are_small_and_say_what_they_are(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 500_000
    metadata = Classifier(name).metadata
    assert metadata["data_set"] == name
    assert metadata["command"].startswith(f"python scripts/train_classifier.py {name}")
    assert float(metadata["test_accuracy"]) >= {"digits": 0.98, "mnist": 0.992}[name]
    assert (metadata["num_train"], metadata["num_test"]) == {"digits": (1597, 200), "mnist": (60000, 10000)}[name]
    assert metadata["seed"] == 0


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> str:
    right = [
        classifier(part).logits.argmax(1) == truth
        for part, truth in zip(images.split(1000), labels.split(1000), strict=True)
    ]
    return f"{torch.cat(right).double().mean():.4f}"


def test_digits_accuracy_is_what_the_file_says(classifier, digits):
    images, labels = digits
    assert accuracy(classifier, images[::9], labels[::9]) == classifier.metadata["test_accuracy"]


@pytest.mark.skipif(not (DATA / "MNIST" / "raw" / "t10k-images-idx3-ubyte").exists(), reason="no MNIST")
def test_mnist_accuracy_is_what_the_file_says():
    from torchvision.datasets import MNIST

    test = MNIST(str(DATA), train=False)
    classifier = Classifier("mnist")
    assert accuracy(classifier, test.data.unsqueeze(1), test.targets) == classifier.metadata["test_accuracy"]


def test_classifier_errors(classifier, tmp_path):
    with pytest.raises(UserError, match="no classifier 'digit': did you mean 'digits'"):
        Classifier("digit")
    (tmp_path / "other.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(
        UserError, match=r"isn't a classifier of this project: write one with scripts/train_classifier\.py"
    ):
        Classifier(str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match=r"takes images of 1 x 8 x 8 .*, not 3 x 32 x 32"):
        classifier(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(UserError, match="takes 8-bit images"):
        classifier(torch.zeros(2, 1, 8, 8))
