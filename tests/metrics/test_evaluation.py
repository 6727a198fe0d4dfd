"""The evaluation: one pass for all metrics, what the protocol says, what is cached, and that training isn't touched."""

import json
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gan_research.config.compose import groups
from gan_research.metrics import METRICS, Classifier, Evaluation, Metric, Values
from gan_research.metrics.cache import Cache
from gan_research.metrics.exactness import exactly
from gan_research.metrics.oracle import verify
from gan_research.metrics.protocol import fingerprint
from gan_research.metrics.samples import drawn_indices
from gan_research.metrics.statistics import Rows
from gan_research.metrics.statistics_files import LAYOUTS, read_statistics, write_statistics
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

# The numbers


def test_metrics_of_digits(digits, classifier, score):
    images, labels = digits
    whole = score(classifier, ["fid", "inception_score", "rarest_class"], images, images[:1000])
    collapsed = score(classifier, ["fid", "inception_score", "rarest_class"], images[labels < 6], images[:1000])
    assert whole["rarest_class"] == pytest.approx(0.097, abs=0.003)  # 174 of 1797 are eights
    assert collapsed["rarest_class"] == 0
    assert whole["fid"] < 1
    assert collapsed["fid"] > 5
    assert 9 < whole["inception_score"] < 10
    assert 5.5 < collapsed["inception_score"] < 6.2


def test_class_accuracy_of_digits(digits, classifier):
    images, labels = digits
    predicted = classifier(images[:600]).logits.argmax(1)
    right = (predicted == labels[:600]).double().mean().item()
    assert right > 0.98
    metric = METRICS["class_accuracy"](classifier)
    for start in (0, 200, 400):
        metric.update(images[start : start + 200], labels=labels[start : start + 200])
    assert metric.compute() == {"class_accuracy": pytest.approx(right, abs=1e-12)}
    metric.reset()
    metric.update(images[:600], labels=(labels[:600] + 1) % 10)
    assert metric.compute()["class_accuracy"] < 0.02
    metric.reset()
    metric.update(images[:20])
    with pytest.raises(UserError, match="'class_accuracy' needs the classes of generated samples"):
        metric.compute()


def test_fid_of_a_set_with_itself_is_zero(digits, classifier, score):
    images = digits[0][:900]
    assert abs(score(classifier, ["fid"], images)["fid"]) < 1e-6 * classifier.num_features  # the trace, about


def test_fid_of_a_shift_is_its_square(pixels, random_images, score):
    real = random_images(1, 200, 5, high=128)
    assert score(pixels(5), ["fid"], real + 64, real)["fid"] == pytest.approx(5, rel=1e-6)  # each feature moves by 1


def test_all_that_torch_fidelity_has_agrees(pixels, random_images, as_set):
    real, fake = as_set(random_images(1, 700, 12)), as_set(random_images(2, 600, 12, high=150))
    names = ["fid", "inception_score", "kid", "precision_recall"]
    evaluation = Evaluation(
        pixels(12, 5), names, 600, 90, settings={"kid": {"subset_size": 150, "subsets": 9}}, cache=False
    )
    evaluation.prepare(real)
    checks = verify(evaluation, fake, real, evaluation(fake))
    assert list(checks) == ["fid", "inception_score", "inception_score_std", "kid", "kid_std", "precision", "recall"]
    assert all(check.difference < 1e-4 for check in checks.values()), checks
    assert checks["fid"].ours > 1
    wrong = verify(evaluation, fake, real, evaluation(fake) | {"inception_score": 1.5})
    assert wrong["inception_score"].difference > 0.1


def test_verify_asks_torch_fidelitys_network(pixels, random_images, as_set):
    class Twofold(pixels):
        name = "twofold"

        def oracle(self, samples):
            seen = self(samples)
            return seen._replace(features=2 * seen.features)

    real, fake = as_set(random_images(1, 200, 4)), as_set(random_images(2, 200, 4, high=150))
    evaluation = Evaluation(Twofold(4), ["fid"], 200, cache=False)
    evaluation.prepare(real)
    check = verify(evaluation, fake, real, evaluation(fake))["fid"]
    assert check.theirs == pytest.approx(4 * check.ours, rel=1e-6)


def test_verify_says_what_it_cannot(pixels, random_images, as_set):
    real = as_set(random_images(1, 50, 4))
    evaluation = Evaluation(Values(), ["sliced_wasserstein"], 20)
    evaluation.prepare(real)
    with pytest.raises(UserError, match="torch-fidelity has none of these metrics"):
        verify(evaluation, real, real, {})


# One pass


def test_one_feature_pass_serves_all_metrics(pixels, random_images, as_set):
    images = as_set(random_images(4, 250, 6))
    extractor = pixels(6, 3)
    evaluation = Evaluation(
        extractor, ["fid", "inception_score", "kid"], 230, 100, settings={"kid": {"subset_size": 50}}, cache=False
    )
    evaluation.prepare(images)
    assert extractor.passes == [1, 100, 100, 50]  # the first to see whether it takes them
    results = evaluation(images)
    assert extractor.passes[4:] == [100, 100, 30]
    assert list(results) == ["fid", "inception_score", "inception_score_std", "kid", "kid_std"]
    assert all(type(value) is float for value in results.values())


def test_neither_the_batch_size_nor_who_draws_matters(digits, classifier, as_set):
    real, fake = as_set(digits[0][:900]), as_set(digits[0][900:])
    found = []
    for batch_size, source in [(897, fake), (100, fake), (64, lambda start, stop: fake.read(start, stop)[0])]:
        evaluation = Evaluation(classifier, ["fid", "inception_score"], 897, batch_size, cache=False)
        evaluation.prepare(real)
        found.append(evaluation(source))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[1] == pytest.approx(found[2], rel=1e-6)


def test_it_repeats_and_forgets_what_came_before(digits, classifier, as_set):
    evaluation = Evaluation(classifier, ["fid", "inception_score", "rarest_class"], num_samples=500, batch_size=200)
    evaluation.prepare(as_set(digits[0]))
    first, other = as_set(digits[0][500:1000]), as_set(digits[0][:500])
    numbers = evaluation(first)
    assert evaluation(other)["fid"] != numbers["fid"]
    assert evaluation(first) == numbers


def test_fewer_reals_are_a_fixed_random_draw(pixels, random_images, as_set, score):
    images = random_images(1, 300, 4)
    extractor = pixels(4)
    evaluation = Evaluation(extractor, ["fid"], 40, 100, num_real=120, cache=False)
    evaluation.prepare(as_set(images))
    assert extractor.passes == [1, 100, 20]  # no others are extracted
    places = drawn_indices(300, 120)
    assert len(places.unique()) == 120
    assert places.tolist() != sorted(places.tolist())
    expected = score(pixels(4), ["fid"], images[:40], images[places])
    assert evaluation(as_set(images)) == pytest.approx(expected, rel=1e-9)
    assert evaluation.protocol().num_real == 120


def test_only_the_reals_that_are_wanted_are_read(digits, classifier, as_set):
    evaluation = Evaluation(classifier, ["inception_score"], num_samples=100, batch_size=40, cache=False)
    real = as_set(digits[0])
    read, original = [], real.read
    real.read = lambda start, stop: read.append((start, stop)) or original(start, stop)
    evaluation.prepare(real, heldout=real)
    assert read == [(0, 1), (0, 1)]  # one of each, to find out whether the extractor takes them
    protocol = evaluation.protocol()
    assert (protocol.real_split, protocol.num_real, protocol.real_hash) == ("none", 0, "")
    assert (protocol.num_heldout, protocol.heldout_hash) == (0, "")
    with pytest.raises(UserError, match=r"takes images of 1 x 8 x 8"):
        evaluation.prepare(as_set(torch.zeros(5, 1, 16, 16, dtype=torch.uint8)))


def test_held_out_reals_are_compared_with_instead_of_those_of_training(pixels, random_images, as_set):
    train, heldout, fake = (as_set(random_images(seed, 60, 4)) for seed in range(3))
    evaluation = Evaluation(pixels(4), ["fid"], num_samples=60, cache=False, real_split="heldout")
    evaluation.prepare(train, heldout=heldout)
    plain = Evaluation(pixels(4), ["fid"], num_samples=60, cache=False)
    plain.prepare(heldout)
    assert evaluation(fake) == plain(fake)
    protocol = evaluation.protocol()
    assert (protocol.real_split, protocol.real_hash, protocol.num_real) == ("heldout", heldout.content_hash(), 60)
    plain.prepare(train)
    assert evaluation(fake) != plain(fake)
    with pytest.raises(UserError, match="that aren't trained on, and these data have none"):
        evaluation.prepare(train)


def test_progress_is_told(digits, classifier, as_set):
    told = []
    evaluation = Evaluation(classifier, ["fid"], num_samples=90, batch_size=40, cache=False)
    evaluation.prepare(as_set(digits[0][:70]), progress=lambda *step: told.append(step))
    evaluation(as_set(digits[0]), progress=lambda *step: told.append(step))
    assert [step for step in told if step[0] == "real"] == [("real", 35, 70), ("real", 70, 70)]
    assert [step for step in told if step[0] == "generated"] == [("generated", n, 90) for n in (30, 60, 90)]


# What training sees of it: nothing


def test_global_random_state_is_left_alone(digits, as_set):
    torch.manual_seed(7)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one
    metrics = ["fid", "inception_score", "kid", "precision_recall", "density_coverage", "fid_infinity", "rarest_class"]
    settings = {"kid": {"subset_size": 50, "subsets": 5}}
    evaluation = Evaluation(Classifier("digits"), metrics, num_samples=1000, settings=settings, cache=False)
    evaluation.prepare(as_set(digits[0]))
    evaluation(as_set(digits[0]))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.is_grad_enabled()


def test_float32_is_exact_inside_and_as_it_was_afterwards():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    name, coarse, exact = ("fp32_precision", "tf32", "ieee") if hasattr(cudnn, "conv") else ("allow_tf32", True, False)
    before = getattr(matmul, name)
    setattr(matmul, name, coarse)
    try:
        with exactly(torch.device("cpu")):
            assert getattr(matmul, name) == exact
            assert cudnn.deterministic
        assert getattr(matmul, name) == coarse
        assert not cudnn.deterministic
    finally:
        setattr(matmul, name, before)


def test_sampling_runs_without_gradient_or_autocast(digits, classifier, as_set):
    seen = []

    def sample(start, stop):
        seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return digits[0][start:stop]

    evaluation = Evaluation(classifier, ["fid"], num_samples=20)
    evaluation.prepare(as_set(digits[0]))
    plain = evaluation(sample)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert evaluation(sample) == plain
    assert seen == [(False, False)] * 2


# The protocol


def test_protocol_names_what_was_measured(digits, classifier, as_set):
    evaluation = Evaluation(classifier, ["fid", "inception_score"], num_samples=100, seed=3)
    real = as_set(digits[0][:30])
    evaluation.prepare(real, split="train")
    protocol = evaluation.protocol(ema=True, batch_statistics=False)
    assert protocol.as_dict() == {
        "extractor": "classifier-digits",
        "extractor_hash": classifier.fingerprint(),
        "resize": "none",
        "precision": "float32",
        "channels": "as they are",
        "quantisation": "uint8, round and clamp",
        "real_split": "train",
        "num_real": 30,
        "real_hash": real.content_hash(),
        "real_shape": "1 x 8 x 8",
        "num_heldout": 0,
        "heldout_hash": "",
        "num_fake": 100,
        "fake_shape": "",
        "fake_labels": "",
        "ema": True,
        "batch_statistics": False,
        "sampling": "prior",
        "sampling_seeds": [3],
        "settings": {"fid": {"num_real": 30}, "inception_score": {"splits": 10}},
    }
    assert json.loads(json.dumps(protocol.as_dict())) == protocol.as_dict()
    assert len(fingerprint(protocol.as_dict())) == 12
    others = [evaluation.protocol(ema=False), evaluation.protocol(sampling_seeds=(3, 4))]
    fingerprints = {fingerprint(p.as_dict()) for p in [protocol, evaluation.protocol(), *others]}
    assert len(fingerprints) == 3


def test_the_protocol_says_how_many_reals_each_metric_was_given(as_set):
    real = as_set(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    fingerprints = set()
    for num_real in (50, 100, None):
        evaluation = Evaluation(Values(), ["fid", "sliced_wasserstein"], 60, num_real=num_real)
        evaluation.prepare(real)
        protocol = evaluation.protocol()
        assert protocol.settings["fid"] == {"num_real": num_real or 200}
        assert protocol.settings["sliced_wasserstein"] == {"projections": 128, "num_real": 120}
        assert protocol.num_real == max(num_real or 200, 120)
        fingerprints.add(fingerprint(protocol.as_dict()))
    assert len(fingerprints) == 3


def test_the_protocol_says_what_fakes_look_like(pixels, as_set):
    class Colour(pixels):
        needs_rgb = True

    real = torch.randint(256, (60, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    evaluation = Evaluation(Colour(4), ["fid"], 40, cache=False)
    evaluation.prepare(as_set(real))
    evaluation(as_set(real[:, :1].repeat(1, 1, 3, 3), torch.zeros(60, dtype=torch.int64)))
    protocol = evaluation.protocol()
    assert (protocol.real_shape, protocol.fake_shape) == ("3 x 2 x 2", "1 x 6 x 6")
    assert protocol.channels == "as they are (real), grey, repeated over 3 channels (generated)"
    assert protocol.quantisation == "uint8, round and clamp"
    assert protocol.fake_labels == "as given"


def test_columns_say_which_is_better(classifier):
    evaluation = Evaluation(classifier, ["inception_score", "fid", "precision_recall"], num_samples=100)
    assert evaluation.columns == {"inception_score": "max", "fid": "min", "precision": "max", "recall": "max"}
    assert evaluation.ranges == {"inception_score": (1, 10), "fid": (0, None), "precision": (0, 1), "recall": (0, 1)}


@pytest.mark.parametrize("fakes", ["digits", "noise", "one image"])
def test_numbers_are_within_their_ranges(digits, classifier, score, fakes):
    noise = torch.randint(0, 256, (200, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = {"digits": digits[0][:200], "noise": noise, "one image": digits[0][:1].repeat(200, 1, 1, 1)}[fakes]
    names = ["fid", "inception_score", "precision_recall", "density_coverage", "rarest_class", "modes", "reverse_kl"]
    ranges = Evaluation(classifier, names, num_samples=200).ranges
    found = score(classifier, names, images, real=digits[0])
    assert len(ranges) == 9
    for column, (low, high) in ranges.items():
        assert low - 1e-9 <= found[column] <= (high or math.inf) + 1e-9, column


def test_a_new_metric_is_one_class(pixels, score):
    class Brightness(Metric):
        name = "brightness"
        columns = {"brightness": "max"}
        statistics = ("features",)

        def value(self, generated, real):
            return {"brightness": generated["features"].features.mean().item()}

    try:
        images = torch.full((40, 1, 1, 3), 64, dtype=torch.uint8)
        assert score(pixels(3), ["brightness"], images) == {"brightness": 1.0}
    finally:
        del METRICS["brightness"]


# The cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_RESEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "statistics"


def prepared(extractor, real, *names, **arguments):
    arguments = {"num_samples": 100, "batch_size": 50} | arguments
    settings = {} if names else {"kid": {"subset_size": 50}}
    evaluation = Evaluation(extractor, names or ("fid", "kid"), settings=settings, **arguments)
    extractor.passes.clear()
    evaluation.prepare(real)
    return evaluation


def test_another_resize_or_precision_is_another_reference(pixels, random_images, as_set, cache):
    real = as_set(random_images(1, 120, 4))
    for name, value in (("resize", "none"), ("resize", "8 x 8"), ("precision", "bfloat16"), ("name", "other")):
        extractor = pixels(4)
        setattr(extractor, name, value)
        prepared(extractor, real, "fid")
        assert len(extractor.passes) == 4  # none of them finds what the others kept
    prepared(extractor, real, "fid")
    assert extractor.passes == [1]


def test_reals_are_extracted_once(pixels, random_images, as_set, cache):
    extractor, real, fake = pixels(4), as_set(random_images(1, 120, 4)), as_set(random_images(2, 100, 4))
    first = prepared(extractor, real)(fake)
    assert prepared(extractor, real)(fake) == first
    assert prepared(extractor, real).protocol() == prepared(extractor, real, cache=False).protocol()
    prepared(extractor, real)
    assert extractor.passes == [1]  # which sees whether it takes them
    prepared(extractor, as_set(random_images(3, 120, 4)))
    assert extractor.passes == [1, 50, 50, 20]  # the same number, of the same size, of other content
    other = pixels(4)
    other.register_buffer("weight", torch.ones(1))
    prepared(other, real)
    assert len(other.passes) == 4  # the same name, other weights
    prepared(extractor, real, num_real=60)
    assert extractor.passes == [1, 50, 10]
    names = [path.name.split("-")[0] for path in cache.glob("*.safetensors")]
    assert sorted(names) == ["features"] * 4 + ["moments"] * 4


def test_a_damaged_cache_is_computed_again(pixels, random_images, as_set, cache):
    extractor, real, fake = pixels(4), as_set(random_images(1, 120, 4)), as_set(random_images(2, 100, 4))
    first = prepared(extractor, real)(fake)
    for path in cache.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert prepared(extractor, real)(fake) == first
    assert extractor.passes == [1, 50, 50, 20, 50, 50]
    prepared(extractor, real)
    assert extractor.passes == [1]


def test_a_full_disk_while_caching_costs_no_result(pixels, random_images, as_set, cache, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    extractor, real, fake = pixels(4), as_set(random_images(1, 120, 4)), as_set(random_images(2, 100, 4))
    with caplog.at_level(logging.WARNING):
        found = prepared(extractor, real)(fake)
    assert "No space left on device" in caplog.text
    assert not list(cache.glob("*.safetensors"))
    assert not list(cache.glob(".*partial"))
    assert found == prepared(extractor, real, cache=False)(fake)


def test_a_folder_that_cannot_be_written_to_costs_no_result(pixels, random_images, as_set, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    extractor, real = pixels(4), as_set(random_images(1, 120, 4))
    assert prepared(extractor, real)(real)["fid"] == prepared(extractor, real, cache=False)(real)["fid"]


def test_what_is_no_network_is_not_cached(as_set, cache):
    Evaluation(Values(), ["sliced_wasserstein"], 20).prepare(as_set(torch.randn(60, 2)))
    assert not cache.exists()


def test_one_computes_while_the_others_wait(pixels, random_images, as_set, cache):
    real = as_set(random_images(1, 120, 4))
    extractors = [pixels(4) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda extractor: prepared(extractor, real, "fid"), extractors))
    assert sorted(len(extractor.passes) for extractor in extractors) == [1, 1, 1, 4]


def test_a_lock_that_is_never_released_is_not_waited_for_forever(cache, monkeypatch, caplog):
    monkeypatch.setattr("gan_research.metrics.cache.PATIENCE", 0.1)
    with Cache(cache).lock("name"), ThreadPoolExecutor(1) as pool:

        def other():
            with Cache(cache).lock("name"):
                return "computed"

        with caplog.at_level(logging.WARNING):
            assert pool.submit(other).result() == "computed"
    assert "waiting for another process" in caplog.text


# Files of statistics


@pytest.fixture
def measured(pixels, random_images, as_set):
    """An evaluation that has measured 100 images against 120, and both sets."""
    real, fake = as_set(random_images(1, 120, 4)), as_set(random_images(2, 100, 4))
    evaluation = prepared(pixels(4), real, cache=False)
    return evaluation, evaluation(fake), real, fake


@pytest.mark.parametrize("layout", LAYOUTS)
def test_statistics_of_every_layout_give_the_number_of_the_images(measured, layout, pixels, tmp_path):
    evaluation, numbers, real, fake = measured
    rows = Rows(evaluation.extractor(real.samples).features)
    write_statistics(
        tmp_path / "real.npz", evaluation.reference("moments"), layout, evaluation.protocol().as_dict(), rows
    )
    file = read_statistics(tmp_path / "real.npz")
    again = Evaluation(pixels(4), ["fid"], 100)
    again.prepare(file)
    assert again(fake)["fid"] == pytest.approx(numbers["fid"], rel=1e-9)
    protocol = again.protocol()
    assert (protocol.real_split, protocol.num_real) == ("file of statistics", 120)
    assert protocol.real_hash == file.content_hash()
    assert ("features" in file.statistics) == (layout != "pytorch-fid")
    assert again(file)["fid"] == pytest.approx(0, abs=1e-9)  # generated ones can be given as statistics, too


def test_files_of_other_programs(tmp_path, pixels, random_images, as_set):
    x = random_images(1, 120, 4).flatten(1).double().numpy() / 64
    mu, sigma = x.mean(0), np.cov(x, rowvar=False)
    np.savez(tmp_path / "ttur.npz", mu=mu, sigma=sigma)
    np.savez(tmp_path / "clean.npz", feats=x.astype(np.float32))
    np.savez(tmp_path / "stylegan.npz", num_items=120, num_features=4, raw_mean=x.sum(0), raw_cov=x.T @ x)
    for name, count in (("ttur", None), ("clean", 120), ("stylegan", 120)):
        file = read_statistics(tmp_path / f"{name}.npz")
        kept = file.statistics["moments"]
        np.testing.assert_allclose(kept.mean.numpy(), mu, rtol=1e-6)
        np.testing.assert_allclose(kept.covariance.numpy(), sigma, rtol=1e-5)
        assert kept.count == count
        assert file.protocol == {}


def test_what_files_of_statistics_cannot(measured, tmp_path, pixels):
    evaluation = measured[0]
    path, moments = tmp_path / "stats.npz", evaluation.reference("moments")
    write_statistics(path, moments, "pytorch-fid", evaluation.protocol().as_dict())
    file = read_statistics(path)
    with pytest.raises(UserError, match=r"'kid' needs features of samples, and stats\.npz contains only moments"):
        evaluation.prepare(file)
    resized = pixels(4)
    resized.resize = "8 x 8"
    with pytest.raises(UserError, match=r"stats\.npz were computed by another protocol \(resize: none -> 8 x 8\)"):
        prepared(resized, file, "fid")
    write_statistics(path, moments)
    with pytest.raises(UserError, match=r"stats\.npz are of 4 features, and extractor 'pixels' has 3"):
        prepared(pixels(3), read_statistics(path), "fid")
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(UserError, match=r"contains neither images nor statistics.*\(it has weights\)"):
        read_statistics(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"stats\.npz can't be read as an \.npz file"):
        read_statistics(path)
    with pytest.raises(UserError, match="no layout 'stylegann' of statistics: did you mean 'stylegan'"):
        write_statistics(path, moments, "stylegann")


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "num_samples and num_real of at least 2"),
        ({"num_real": 1}, "num_samples and num_real of at least 2"),
        ({"batch_size": 0}, "batch_size of at least 1"),
        (
            {"metrics": ["inception_score"], "num_samples": 99},
            "'inception_score' needs num_samples of at least 100, not 99",
        ),
        ({"metrics": ["fdi"]}, "no metric 'fdi': did you mean 'fid'"),
        ({"metrics": []}, "metrics is a list of names"),
        ({"metrics": "fid"}, "metrics is a list of names"),
        ({"settings": {"kidd": {}}}, "no metric 'kidd': did you mean 'kid'"),
        ({"settings": {"kid": {}}}, "settings.kid is set, and metric 'kid' isn't measured"),
        (
            {"settings": {"inception_score": None}},
            "settings.inception_score is None: give its settings by name, such as splits",
        ),
        (
            {"settings": {"inception_score": {"splits": "many"}}},
            "settings.inception_score.splits=many: .*valid integer",
        ),
        ({"settings": {"inception_score": {"splits": 2.5}}}, "settings.inception_score.splits=2.5: .*valid integer"),
        (
            {"settings": {"inception_score": {"split": 5}}},
            "metric 'inception_score' has no setting 'split': did you mean 'splits'",
        ),
    ],
)
def test_evaluation_errors(classifier, arguments, message):
    with pytest.raises(UserError, match=message):
        Evaluation(classifier, **arguments)


def test_metrics_that_an_extractor_cannot_serve(pixels):
    with pytest.raises(UserError, match="metric 'inception_score' needs logits, and extractor 'pixels' has none"):
        Evaluation(pixels(4), ["fid", "inception_score"])
    with pytest.raises(UserError, match="needs to know the data's own classes"):
        Evaluation(pixels(4, 4), ["rarest_class"])
    with pytest.raises(UserError, match="'ppl' can't use extractor 'pixels'"):
        Evaluation(pixels(4), ["ppl"])


def test_misuse_of_an_evaluation(classifier, digits, as_set):
    evaluation = Evaluation(classifier, ["fid"], num_samples=20)
    with pytest.raises(RuntimeError, match="call prepare"):
        evaluation(as_set(digits[0]))
    with pytest.raises(UserError, match=r"needs at least 2 real samples .*, and there are 1"):
        evaluation.prepare(as_set(digits[0][:1]))
    evaluation.prepare(as_set(digits[0]))
    with pytest.raises(ValueError, match=r"sample\(0, 20\) has to return 20 samples, and returned 3"):
        evaluation(lambda start, stop: digits[0][:3])
    with pytest.raises(UserError, match="num_samples=20, and there are only 7 samples"):
        evaluation(as_set(digits[0][:7]))


def test_what_is_known_beforehand_is_said_before_anything_is_measured(pixels, random_images, as_set):
    extractor, images = pixels(4), as_set(random_images(1, 1500, 4))
    evaluation = Evaluation(extractor, ["fid", "kid"], 1000, num_real=900, cache=False)
    with pytest.raises(UserError, match=r"'kid' needs at least 1,000 real samples \(train\), and there are 900"):
        evaluation.prepare(images)
    evaluation = Evaluation(extractor, ["fid", "ifid"], 1000, cache=False)
    with pytest.raises(UserError, match="'ifid' needs the classes of samples, and the real ones have none"):
        evaluation.prepare(images)
    evaluation.prepare(as_set(images.samples, torch.arange(1500) % 3))
    passes = len(extractor.passes)
    with pytest.raises(UserError, match="'ifid' needs the classes of samples, and the generated ones have none"):
        evaluation(images)
    assert len(extractor.passes) == passes
    evaluation = Evaluation(extractor, ["fid"], 1000)
    with pytest.raises(UserError, match="metric 'fid' needs real samples"):
        evaluation.prepare(None)


def test_a_metric_without_reals_needs_none(pixels, random_images, as_set):
    evaluation = Evaluation(pixels(4, 3), ["inception_score"], 100)
    evaluation.prepare(None)
    assert evaluation(as_set(random_images(1, 100, 4)))["inception_score"] > 1
    assert (evaluation.protocol().real_split, evaluation.protocol().real_shape) == ("none", "")


def test_a_generator_of_numbers_that_are_not_finite_gets_no_number(classifier, digits, as_set):
    from gan_research.networks import MLPGenerator
    from gan_research.sampling.priors import GaussianPrior
    from gan_research.sampling.sampler import Sampler

    generator = MLPGenerator(latent_dim=2, samples=SampleSpec(8, 1), width=4)
    next(generator.parameters()).data.fill_(float("nan"))
    evaluation = Evaluation(classifier, ["fid"], 20)
    evaluation.prepare(as_set(digits[0]))
    with pytest.raises(UserError, match=r"makes values that aren't finite \(samples 0 to 19\)"):
        evaluation(Sampler(generator, GaussianPrior(2), 0, (-1.0, 1.0)).source(0))


def test_alone_a_metric_counts_every_batch(classifier, digits):
    from gan_research.metrics import FID

    whole, parts = FID(classifier), FID(classifier)
    for fid in (whole, parts):
        fid.update(digits[0][:900], of="train")
    whole.update(digits[0][900:])
    for part in digits[0][900:].split(200):
        assert parts(part) is None  # as torchmetrics calls it in a training loop
    assert parts.compute() == pytest.approx(whole.compute(), rel=1e-9)
    parts.reset()
    parts.update(digits[0][:900])
    assert parts.compute()["fid"] == pytest.approx(0, abs=1e-6)


def test_modules_of_the_same_weights_are_told_apart(random_images, as_set):
    from gan_research.metrics import ModuleExtractor

    real, fake = (
        as_set(random_images(1, 90, 16).view(90, 1, 4, 4)),
        as_set(random_images(2, 90, 16).view(90, 1, 4, 4)),
    )
    found, prints = [], set()
    for activation in (nn.ReLU(), nn.Tanh()):
        extractor = ModuleExtractor(nn.Sequential(nn.Flatten(), activation), 4, mean=(127.5,), std=(127.5,))
        evaluation = Evaluation(extractor, ["fid"], 90)
        evaluation.prepare(real)
        again = Evaluation(extractor, ["fid"], 90, cache=False)
        again.prepare(real)
        found.append(evaluation(fake))
        assert again(fake) == found[-1]
        prints.add(fingerprint(evaluation.protocol().as_dict()))
    assert found[0] != found[1]
    assert len(prints) == 2


def test_features_that_are_not_finite(pixels, random_images, as_set):
    class Broken(pixels):
        name = "broken"

        def extract(self, samples):
            seen = super().extract(samples)
            return seen._replace(features=seen.features.log())  # of 0: -inf

    images = random_images(1, 90, 4)
    images[70, 0, 0, 0] = 0
    evaluation = Evaluation(Broken(4), ["fid"], 90, 30, cache=False)
    with pytest.raises(UserError, match=r"features of the real samples are not finite: .*'broken'"):
        evaluation.prepare(as_set(images))
    evaluation.prepare(as_set(images.clamp(min=1)))
    with pytest.raises(UserError, match="features of the generated samples are not finite"):
        evaluation(as_set(images))


@pytest.mark.parametrize("name", sorted(groups()["metrics"]))
def test_choices_in_conf_begin_with_a_sentence(name):
    folder = Path(__file__).parents[2] / "conf"
    first = (folder / "metrics" / f"{name}.yaml").read_text().partition("\n")[0]
    assert first.startswith("# ")
    assert not first.endswith(".")


def test_an_evaluation_of_a_game_changes_nothing_in_it(digits, classifier, as_set):
    """Parameters, buffers (spectral-norm vectors, batch-norm statistics), modes and gradients, bit for bit."""
    from gan_research.networks import DCGANGenerator
    from gan_research.sampling.priors import GaussianPrior
    from gan_research.sampling.sampler import Sampler

    generator = DCGANGenerator(latent_dim=4, samples=SampleSpec(8, 1), width=4)
    for name, module in list(generator.named_modules()):
        if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
            nn.utils.parametrizations.spectral_norm(module)
            name_of_one = name
    generator.train()
    generator(torch.randn(8, 4)).square().mean().backward()
    one = generator.get_submodule(name_of_one)
    one.eval()  # a mode of its own
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    gradients = [p.grad.clone() for p in generator.parameters()]
    modes = [m.training for m in generator.modules()]
    evaluation = Evaluation(classifier, ["fid", "inception_score"], 300, 100)
    evaluation.prepare(as_set(digits[0]))
    evaluation(Sampler(generator, GaussianPrior(4), 0, (-1.0, 1.0)).source(0))
    after = generator.state_dict()
    assert any("_u" in key or "num_batches" in key for key in before)
    assert all(torch.equal(after[k], before[k]) for k in before)
    assert all(torch.equal(p.grad, g) for p, g in zip(generator.parameters(), gradients, strict=True))
    assert [m.training for m in generator.modules()] == modes
