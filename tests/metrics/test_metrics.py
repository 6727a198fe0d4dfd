"""Extractors, classifiers and metrics: numbers against independent computations, and errors that say what to do."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from gan_research.errors import UserError
from gan_research.metrics import METRICS, Classifier, Evaluation, Extractor, Features, Inception
from gan_research.metrics.classifier import WEIGHTS

DATA = Path(__file__).parents[2] / "data"
PARTIAL_INCEPTION = DATA / "inception" / "tf_inception_partial_768.pth"
needs_inception = pytest.mark.skipif(not PARTIAL_INCEPTION.exists(), reason="no Inception weights")


class Pictures:
    """Real pictures, as an evaluation wants them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batch_size: int):
        return ((part, None) for part in self.images.split(batch_size))

    def content_hash(self) -> str:
        return f"hash of {len(self)}"

    def sample(self, start: int, stop: int) -> Tensor:
        return self.images[start:stop]


class Pixels(Extractor):
    """Features and logits are pixels / 64: what a metric is given is known exactly. Counts its passes."""

    name = "pixels"

    def __init__(self, num_features: int, num_classes: int = 0) -> None:
        super().__init__()
        self.num_features, self.num_classes, self.passes = num_features, num_classes, 0
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        self.passes += 1
        values = images.flatten(1).float() / 64
        logits = values[:, -self.num_classes :] if self.num_classes else None
        return Features(values[:, : self.num_features], logits)


def random_pictures(seed: int, count: int, pixels: int, low: int = 0, high: int = 256) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, (count, 1, 1, pixels), dtype=torch.uint8, generator=generator)


def evaluate(extractor: Extractor, real: Tensor, fake: Tensor, **arguments) -> dict[str, float]:
    evaluation = Evaluation(extractor, num_samples=len(fake), **arguments)
    evaluation.prepare(Pictures(real))
    return evaluation(Pictures(fake).sample)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    images = (torch.from_numpy(data.images) * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    return images, torch.from_numpy(data.target)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier("digits")


# FID and inception score


def test_fid_is_that_of_scipy_and_of_torch_fidelity():
    real, fake = random_pictures(1, 400, 12), random_pictures(2, 300, 12, high=150)
    fid = evaluate(Pixels(12), real, fake, metrics=["fid"], batch_size=64)["fid"]
    moments = []
    for images in (real, fake):
        values = images.flatten(1).double().numpy() / 64
        moments.append({"mu": values.mean(0), "sigma": np.cov(values, rowvar=False)})
    (m1, c1), (m2, c2) = ((part["mu"], part["sigma"]) for part in moments)
    by_hand = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    assert fid == pytest.approx(by_hand, rel=1e-6)
    assert fid == pytest.approx(fid_statistics_to_metric(*moments, False)["frechet_inception_distance"], rel=1e-6)


def test_fid_of_a_set_with_itself_is_zero(digits, classifier):
    images = digits[0][:900]
    results = evaluate(classifier, images, images, metrics=["fid"])
    assert abs(results["fid"]) < 1e-6 * classifier.num_features  # the trace of the covariance, about


def test_fid_of_a_shift_is_its_square():
    real = random_pictures(1, 200, 5, high=128)
    fid = evaluate(Pixels(5), real, real + 64, metrics=["fid"])["fid"]  # every feature moves by 1
    assert fid == pytest.approx(5, rel=1e-6)


def test_inception_score_by_hand():
    # Half the pictures are surely class 0, half surely class 1 (255 / 64 = 3.98 of logit): within a split of any
    # mixture a : b the score is exp of the mean KL; all the same: 1.
    logits = torch.zeros(200, 1, 1, 2, dtype=torch.uint8)
    logits[:, 0, 0, 0] = 255
    same = evaluate(Pixels(2, 2), logits, logits, metrics=["is"])
    assert same["is"] == pytest.approx(1, abs=1e-12)
    assert same["is_std"] == pytest.approx(0, abs=1e-12)

    logits[100:] = logits[100:].flip(-1)
    mixed = evaluate(Pixels(2, 2), logits, logits, metrics=["is"])
    # The shuffle changes the mixture of a split; its share of class 0 decides the split's score.
    p = 1 / (1 + math.exp(-255 / 64))
    shuffled = _shuffled(200, seed=0) < 100
    scores = []
    for split in shuffled.view(10, 20):
        share = split.double().mean().item()
        q = share * p + (1 - share) * (1 - p)
        kl = [p * math.log(p / a) + (1 - p) * math.log((1 - p) / (1 - a)) for a in (q, 1 - q)]
        scores.append(math.exp(share * kl[0] + (1 - share) * kl[1]))
    assert mixed["is"] == pytest.approx(np.mean(scores), rel=1e-9)
    assert mixed["is_std"] == pytest.approx(np.std(scores, ddof=1), rel=1e-9)


def _shuffled(count: int, seed: int) -> Tensor:
    from gan_research.streams import stream

    return torch.randperm(count, generator=stream(seed, "inception score splits"))


def test_inception_score_is_that_of_torch_fidelity():
    images = random_pictures(3, 500, 8)
    ours = evaluate(Pixels(8, 8), images, images, metrics=["is"], seed=5)
    shuffled = (images.flatten(1).float() / 64)[_shuffled(500, seed=5)]
    theirs = isc_features_to_metric(shuffled, splits=10, shuffle=False)["inception_score_mean"]
    assert ours["is"] == pytest.approx(theirs, rel=1e-6)


def test_rarest_class(digits, classifier):
    images, labels = digits
    real = images[:1000]
    whole = evaluate(classifier, real, images, metrics=["fid", "is", "rarest_class"])
    collapsed = evaluate(classifier, real, images[labels < 6], metrics=["fid", "is", "rarest_class"])
    assert whole["rarest_class"] == pytest.approx(0.097, abs=0.003)  # 174 of 1797 are eights
    assert collapsed["rarest_class"] == 0
    assert whole["fid"] < 1
    assert collapsed["fid"] > 5
    assert 9 < whole["is"] < 10
    assert 5.5 < collapsed["is"] < 6.2


# The evaluation


def test_one_feature_pass_serves_all_metrics():
    images = random_pictures(4, 250, 6)
    extractor = Pixels(6, 3)
    evaluation = Evaluation(extractor, ["fid", "is"], num_samples=230, batch_size=100)
    evaluation.prepare(Pictures(images))
    assert extractor.passes == 3
    results = evaluation(Pictures(images).sample)
    assert extractor.passes == 6
    assert list(results) == ["fid", "is", "is_std"]
    assert all(type(value) is float for value in results.values())


def test_evaluation_repeats_and_leaves_no_trace(digits, classifier):
    images = digits[0]
    evaluation = Evaluation(classifier, ["fid", "is", "rarest_class"], num_samples=500, batch_size=200)
    evaluation.prepare(Pictures(images))
    generator = nn.Linear(4, 4)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = evaluation(lambda start, stop: images[500 + start : 500 + stop])
    other = evaluation(lambda start, stop: images[start:stop])
    again = evaluation(lambda start, stop: images[500 + start : 500 + stop])
    assert first == again
    assert first["fid"] != other["fid"]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()
    assert generator.training


def test_prepare_and_construction_leave_the_global_generator_alone(digits):
    before = torch.get_rng_state()
    Evaluation(Classifier("digits"), num_samples=100).prepare(Pictures(digits[0][:50]))
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_runs_without_gradient_or_autocast(digits, classifier):
    seen = []

    def sample(start: int, stop: int) -> Tensor:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return digits[0][start:stop]

    evaluation = Evaluation(classifier, ["fid"], num_samples=20)
    evaluation.prepare(Pictures(digits[0]))
    plain = evaluation(sample)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert evaluation(sample) == plain
    assert seen == [(False, False)] * 2


def test_protocol_names_what_was_measured(digits, classifier):
    evaluation = Evaluation(classifier, ["fid"], num_samples=20, seed=3)
    evaluation.prepare(Pictures(digits[0][:30]), split="train")
    protocol = evaluation.protocol(ema=True, batch_statistics=False)
    assert protocol.as_dict() == {
        "extractor": "classifier-digits",
        "extractor_hash": classifier.fingerprint(),
        "resize": "none",
        "quantisation": "uint8, round and clamp",
        "real_split": "train",
        "num_real": 30,
        "real_hash": "hash of 30",
        "num_heldout": 0,
        "heldout_hash": "",
        "num_fake": 20,
        "ema": True,
        "batch_statistics": False,
        "seed": 3,
    }
    assert len(protocol.fingerprint()) == 12
    assert protocol.fingerprint() == evaluation.protocol().fingerprint()
    assert protocol.fingerprint() != evaluation.protocol(ema=False).fingerprint()


def test_a_new_metric_is_one_class():
    from gan_research.metrics import Metric

    class Brightness(Metric):
        name = "brightness"

        def reset(self) -> None:
            self.total, self.count = 0.0, 0

        def update(self, seen: Features) -> None:
            self.total, self.count = self.total + seen.features.sum().item(), self.count + seen.features.numel()

        def compute(self) -> dict[str, float]:
            return {"brightness": self.total / self.count}

    try:
        images = torch.full((40, 1, 1, 3), 64, dtype=torch.uint8)
        assert evaluate(Pixels(3), images, images, metrics=["brightness"]) == {"brightness": 1.0}
    finally:
        del METRICS["brightness"]


# Extractors


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


def test_features_are_standardised_over_the_training_pictures(classifier, digits):
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


@needs_inception
def test_inception_up_to_the_layer_that_the_weights_reach():
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    before = torch.get_rng_state()
    extractor = Inception(768, str(PARTIAL_INCEPTION))
    assert torch.equal(torch.get_rng_state(), before)
    assert (extractor.num_features, extractor.num_classes) == (768, 0)
    grey = torch.randint(256, (2, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = extractor(grey)
    assert seen.logits is None
    assert seen.features.shape == (2, 768)
    theirs = FeatureExtractorInceptionV3("oracle", ["768"], feature_extractor_weights_path=str(PARTIAL_INCEPTION))
    torch.testing.assert_close(seen.features, theirs(grey.repeat(1, 3, 1, 1))[0], rtol=0, atol=0)


@needs_inception
def test_inception_beyond_that_layer_is_an_error():
    extractor = Inception(2048, str(PARTIAL_INCEPTION))
    assert extractor.num_classes == 1008
    evaluation = Evaluation(extractor, ["fid"], num_samples=2)
    real = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"features of the real samples are not finite: .*inception-v3-2048"):
        evaluation.prepare(Pictures(real))


# Errors


def test_missing_inception_weights_name_the_file_and_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    with pytest.raises(UserError, match=r"download weights-inception-2015-12-05-6726825d\.pth from https") as error:
        Inception()
    assert str(place) in str(error.value)
    place.parent.mkdir()
    place.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="isn't a file of torch-fidelity's Inception-v3 weights"):
        Inception()
    torch.save({"weight": torch.zeros(1)}, place)
    with pytest.raises(UserError, match="isn't a file of torch-fidelity's Inception-v3 weights"):
        Inception()


def test_inception_weights_are_loaded_as_tensors_only(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"weight": Harmful()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="isn't a file"):
        Inception(64, str(tmp_path / "weights.pth"))
    assert not (tmp_path / "executed").exists()


def test_classifier_errors(classifier, tmp_path):
    with pytest.raises(UserError, match="no classifier 'digit': did you mean 'digits'"):
        Classifier("digit")
    (tmp_path / "other.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(
        UserError, match=r"isn't a classifier of this project: write one with scripts/train_classifier\.py"
    ):
        Classifier(str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match=r"takes pictures of 1 x 8 x 8 .*, not 3 x 32 x 32"):
        classifier(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(UserError, match="takes 8-bit pictures"):
        classifier(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "num_samples of at least 2"),
        ({"batch_size": 0}, "batch_size of at least 1"),
        ({"metrics": ["is"], "num_samples": 99}, "'is' needs num_samples of at least 100, not 99"),
        ({"metrics": ["fdi"]}, "no metric 'fdi': did you mean 'fid'"),
        ({"metrics": []}, "metrics is a list of names"),
        ({"metrics": "fid"}, "metrics is a list of names"),
    ],
)
def test_evaluation_errors(classifier, arguments, message):
    with pytest.raises(UserError, match=message):
        Evaluation(classifier, **arguments)


def test_metrics_that_an_extractor_cannot_serve():
    with pytest.raises(UserError, match="metric 'is' needs logits, and extractor 'pixels' has none"):
        Evaluation(Pixels(4), ["fid", "is"])
    with pytest.raises(UserError, match="needs to know the data's own classes"):
        Evaluation(Pixels(4, 4), ["rarest_class"])


def test_misuse_of_an_evaluation(classifier, digits):
    evaluation = Evaluation(classifier, ["fid"], num_samples=20)
    with pytest.raises(RuntimeError, match="call prepare"):
        evaluation(Pictures(digits[0]).sample)
    with pytest.raises(UserError, match=r"needs at least 2 real samples .* there are 1"):
        evaluation.prepare(Pictures(digits[0][:1]))
    evaluation.prepare(Pictures(digits[0]))
    with pytest.raises(ValueError, match=r"sample\(0, 20\) has to make 20 samples, and made 3"):
        evaluation(lambda start, stop: digits[0][:3])


def test_only_the_reals_that_are_wanted_are_read(digits, classifier):
    evaluation = Evaluation(classifier, ["is"], num_samples=100, batch_size=40)
    real = Pictures(digits[0])
    read = []
    real.batches = lambda size: (read.append(size) or (part, None) for part in digits[0].split(size))
    evaluation.prepare(real, heldout=real)
    assert read == [40, 40]  # one batch of each, to find out whether the extractor takes them
    protocol = evaluation.protocol()
    assert (protocol.real_split, protocol.num_real, protocol.real_hash) == ("none", 0, "")
    assert (protocol.num_heldout, protocol.heldout_hash) == (0, "")
    with pytest.raises(UserError, match=r"takes pictures of 1 x 8 x 8"):
        evaluation.prepare(Pictures(torch.zeros(5, 1, 16, 16, dtype=torch.uint8)))


@pytest.mark.parametrize("name", ["digits", "mnist", "inception", "none"])
def test_choices_in_conf_begin_with_a_sentence_and_compose(name):
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    folder = Path(__file__).parents[2] / "conf"
    first = (folder / "metrics" / f"{name}.yaml").read_text().partition("\n")[0]
    assert first.startswith("# ")
    assert not first.endswith(".")
    with initialize_config_dir(str(folder), version_base=None):
        node = compose(overrides=[f"+metrics={name}"]).get("metrics")
    if name == "none":
        assert not node
    elif name != "inception":  # whose weights aren't everywhere
        assert instantiate(node).num_samples == node.num_samples
