"""gan evaluate: what it measures, against what, by which metrics, and what it leaves behind."""

import errno
import io
import json
import os
import shutil
import statistics
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from gan_research.checkpoints.io import read_checkpoint
from gan_research.cli.evaluation.progress import ProgressBar
from gan_research.data import Digits
from gan_research.launchers.local_processes import master_port
from gan_research.metrics import Classifier, Evaluation
from gan_research.metrics.feature_pass import FeaturePass
from gan_research.metrics.statistics_files import read_statistics
from gan_research.sampling.load import load


def save(folder, images):
    """Grey images (N, 1, H, W) as PNGs."""
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / f"{i:04}.png")
    return folder


@pytest.fixture(scope="session")
def fakes(finished, tmp_path_factory):
    """A folder of 300 generated digits."""
    return save(tmp_path_factory.mktemp("generated") / "fakes", load(finished).sample_uint8(300, seed=0))


@pytest.fixture(scope="session")
def reals(tmp_path_factory):
    """A folder of the digits that are held out."""
    data = Digits()
    data.setup()
    return save(tmp_path_factory.mktemp("real") / "reals", data.heldout.images)


@pytest.fixture
def evaluate(gan, tmp_path):
    """evaluate(SAMPLES, ...): the content of the JSON file."""

    def run(*arguments, status=0):
        result = gan("evaluate", *arguments, "--json", tmp_path / "numbers.json", "--device", "cpu")
        assert result.status == status, result
        return json.loads((tmp_path / "numbers.json").read_text())

    return run


def only(measured):
    (evaluation,) = measured["evaluations"]
    return evaluation


def direct(metrics=("fid", "inception_score", "rarest_class"), split="train", source=None, num_samples=300, **options):
    """The numbers of an evaluation without the command line."""
    data = Digits()
    data.setup()
    evaluation = Evaluation(Classifier("digits"), metrics, num_samples, batch_size=500, cache=False, **options)
    evaluation.prepare(getattr(data, split), heldout=data.heldout)
    return evaluation(source)


# --- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kept(tmp_path_factory, train, the_run):
    """A run of which three rounds are kept, the last one thrice."""
    output = tmp_path_factory.mktemp("kept")
    result = train(output, "keep_every=10", "seed=3")
    assert result.status == 0, result.error
    return the_run(output)


def test_a_run_is_each_of_its_rounds_once_over_sampling_seeds(kept, evaluate, gan, tmp_path):
    assert len(list((kept / "checkpoints").iterdir())) > 3
    found = evaluate(kept, "--seeds", "4,5,6", "--plot", tmp_path / "deep" / "plot.png")
    assert (found["samples"], found["reference"]) == (str(kept), "digits")
    assert [e["round"] for e in found["evaluations"]] == [0, 10, 20]
    assert [e["kimg"] for e in found["evaluations"]] == [0, 0.64, 1.28]
    for evaluation in found["evaluations"]:
        assert evaluation["training_seed"] == 3
        assert read_checkpoint(evaluation["checkpoint"])["gan_research"]["round"] == evaluation["round"]
        sampling = evaluation["sampling"]
        assert sampling["seeds"] == evaluation["protocol"]["sampling_seeds"] == [4, 5, 6]
        each = [numbers["fid"] for numbers in sampling["each"]]
        assert len(set(each)) == 3
        assert evaluation["metrics"]["fid"] == pytest.approx(sum(each) / 3, rel=1e-12)
        assert sampling["std"]["fid"] == pytest.approx(statistics.stdev(each), rel=1e-9)
    last = found["evaluations"][-1]
    expected = direct(source=load(kept).source(5), num_samples=100)
    assert last["sampling"]["each"][1] == pytest.approx(expected, rel=1e-9)
    assert np.asarray(Image.open(tmp_path / "deep" / "plot.png")).std() > 10

    output = gan("evaluate", kept, "--seeds", "4,5,6").output
    assert f"{last['metrics']['fid']:.6g} ± {last['sampling']['std']['fid']:.2g}" in output
    assert "sampling seeds" in output


def test_one_seed_has_no_spread(kept, evaluate):
    found = evaluate(kept / "checkpoints" / "round_00000010.ckpt", "--seed", "4")
    assert only(found)["sampling"] == {"seeds": [4], "each": [only(found)["metrics"]]}
    assert only(found)["protocol"]["ema"] is True


def test_a_curve_over_truncations_takes_one_pass_of_the_reals(kept, evaluate, gan, tmp_path, monkeypatch):
    last, words = (
        kept / "checkpoints" / "last.ckpt",
        ("--metrics", "fid,precision_recall", "--extractor", "classifier", "--no-cache"),
    )
    plain = only(evaluate(last, *words))
    passes, run = [], FeaturePass.__call__
    monkeypatch.setattr(
        FeaturePass, "__call__", lambda self, which, *rest: passes.append(which) or run(self, which, *rest)
    )
    words = (*words, "--truncation", "2,0.5,inf")
    found = evaluate(last, *words, "--plot", tmp_path / "curve.png")["evaluations"]
    assert passes == ["real", "generated", "generated", "generated"]
    assert [e["protocol"].get("truncation") for e in found] == [2.0, 0.5, None]
    assert (found[2]["metrics"], found[2]["protocol"]) == (plain["metrics"], plain["protocol"])
    assert found[1]["protocol"] == plain["protocol"] | {"truncation": 0.5}
    cut = direct(("fid", "precision_recall"), source=load(last).truncated(0.5).source(0), num_samples=100)
    assert found[1]["metrics"] == pytest.approx(cut, rel=1e-9)
    assert np.asarray(Image.open(tmp_path / "curve.png")).std() > 10
    lines = gan("evaluate", kept, *words, "--plot", tmp_path / "rounds.png").output.splitlines()
    cells = [[cell.strip() for cell in line.split("\u2502")[1:-1]] for line in lines if "\u2502" in line]
    assert [(row[0], row[2]) for row in cells] == [(r, t) for r in ("0", "10", "20") for t in ("2", "0.5", "inf")]
    assert cells[-1][3] == f"{plain['metrics']['fid']:.6g}"


def test_a_run_against_other_real_samples(kept, reals, evaluate):
    last = kept / "checkpoints" / "last.ckpt"
    folder = only(evaluate(last, reals))
    assert (folder["protocol"]["real_split"], folder["protocol"]["num_real"]) == ("folder", 200)
    held = only(evaluate(last, "--split", "heldout"))
    assert (held["protocol"]["real_split"], held["protocol"]["num_real"]) == ("heldout", 200)
    assert folder["metrics"] == pytest.approx(held["metrics"], rel=1e-9)
    assert folder["metrics"]["fid"] != only(evaluate(last))["metrics"]["fid"]


def test_a_selected_number_is_said_to_be_one(kept, evaluate, gan, tmp_path):
    best = kept / "checkpoints" / "best_fid.ckpt"
    round = read_checkpoint(best)["gan_research"]["round"]
    assert only(evaluate(best))["selected_by"] == "fid"
    assert only(evaluate(kept / "checkpoints" / "round_00000000.ckpt"))["selected_by"] is None
    chosen = [e["round"] for e in evaluate(kept)["evaluations"] if e["selected_by"] == "fid"]
    assert chosen == [round]  # though what is measured of this round is another of its files
    line = f"round {round} was selected as the best fid of the run (best_fid.ckpt): a selected number"
    for samples in (best, kept):
        assert gan("evaluate", samples).output.splitlines().count(line) == 1


def test_no_data_are_opened_where_nothing_compares(kept, evaluate, monkeypatch):
    with_data = only(evaluate(kept / "checkpoints" / "last.ckpt"))
    monkeypatch.setattr("gan_research.data.digits.Digits.load", lambda *_: pytest.fail("looked for data"))
    found = evaluate(kept / "checkpoints" / "last.ckpt", "--metrics", "inception_score", "--verify")
    assert found["reference"] is None
    assert only(found)["metrics"]["inception_score"] == pytest.approx(with_data["metrics"]["inception_score"], rel=1e-9)
    assert only(found)["protocol"]["real_split"] == "none"
    assert list(only(found)["torch_fidelity"]) == ["inception_score", "inception_score_std"]


def test_what_was_measured_is_kept_though_a_later_checkpoint_fails(kept, gan, one_line, tmp_path, monkeypatch):
    measure = Evaluation.__call__

    def fail_later(self, source, progress=None):
        if source.sampler.fails:
            raise RuntimeError("out of memory")
        return measure(self, source, progress)

    sampler_of = load

    def loading(path, *rest, **options):
        sampler = sampler_of(path, *rest, **options)
        sampler.fails = "round_00000020" in str(path)
        return sampler

    monkeypatch.setattr(Evaluation, "__call__", fail_later)
    monkeypatch.setattr("gan_research.cli.evaluation.measurement.load", loading)
    with pytest.raises(RuntimeError, match="out of memory"):
        gan("evaluate", kept, "--json", tmp_path / "n.json", "--plot", tmp_path / "n.png")
    assert [e["round"] for e in json.loads((tmp_path / "n.json").read_text())["evaluations"]] == [0, 10]
    assert (tmp_path / "n.png").exists()


# --- samples that lie there --------------------------------------------------------------------------------------


def test_a_folder_an_archive_and_the_generator_score_the_same(finished, fakes, evaluate, gan, tmp_path):
    expected = direct(source=load(finished).source(0))
    folder = evaluate(fakes, "digits", "--metrics", "digits")
    assert only(folder)["metrics"] == pytest.approx(expected, rel=1e-9)
    assert (folder["samples"], folder["reference"]) == (str(fakes), "digits")
    missing = {"checkpoint", "round", "kimg", "training_seed", "selected_by"}
    assert {key for key, value in only(folder).items() if value is None} == missing
    protocol = only(folder)["protocol"]
    assert (protocol["num_fake"], protocol["num_real"], protocol["real_split"]) == (300, 1597, "train")
    assert (protocol["ema"], protocol["batch_statistics"], protocol["sampling_seeds"]) == (None, None, [])

    assert gan("sample", finished, "-n", "300", "-o", tmp_path / "fakes.npz").status == 0
    archive = only(evaluate(tmp_path / "fakes.npz", "digits", "--metrics", "digits"))
    assert archive["metrics"] == pytest.approx(expected, rel=1e-6)
    assert gan("data", fakes, "-o", tmp_path / "fakes.zip").status == 0
    assert only(evaluate(tmp_path / "fakes.zip", "digits", "--metrics", "digits"))["metrics"] == only(folder)["metrics"]
    first = only(evaluate(fakes, "digits", "--metrics", "digits", "--num-samples", "100"))
    assert first["protocol"]["num_fake"] == 100
    assert first["metrics"] == pytest.approx(direct(source=load(finished).source(0), num_samples=100), rel=1e-6)


def test_images_of_another_size_by_an_extractor_that_takes_any(tmp_path, evaluate):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 40, 1, 3, 5), dtype=torch.uint8, generator=generator)
    folders = save(tmp_path / "a", images[0]), save(tmp_path / "b", images[1])
    found = only(evaluate(*folders, "--metrics", "fid", "--extractor", "values"))
    gaussians = [p.flatten(1).double() / 255 for p in images]
    means, covariances = [x.mean(0) for x in gaussians], [x.T.cov() for x in gaussians]
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).sqrt().real.sum()
    trace = sum(c.trace() for c in covariances) - 2 * root
    (column,) = (name for name in found["metrics"] if name.startswith("f"))
    assert found["metrics"][column] == pytest.approx(((means[0] - means[1]).square().sum() + trace).item(), rel=1e-6)


def test_corrupt_images_are_skipped_on_request(fakes, evaluate, gan, one_line, tmp_path, caplog):
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted(fakes.iterdir())[:130]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "0003.png").write_bytes(b"not a image")
    line = one_line(gan("evaluate", folder, "digits", "--metrics", "digits"), "1 of 130", "0003.png", "--skip-corrupt")
    assert "data." not in line
    assert only(evaluate(folder, "digits", "--metrics", "digits", "--skip-corrupt"))["protocol"]["num_fake"] == 129
    assert f"1 of 130 images in {folder} can't be read" in caplog.text
    archive = shutil.make_archive(folder, "zip", folder)
    assert only(evaluate(archive, "digits", "--metrics", "digits", "--skip-corrupt"))["protocol"]["num_fake"] == 129


def test_samples_that_no_metric_compares_need_no_reference(fakes, evaluate, gan, one_line):
    found = evaluate(fakes, "--metrics", "inception_score", "--extractor", "classifier")
    assert found["reference"] is None
    assert only(found)["protocol"]["real_split"] == "none"
    assert only(found)["metrics"]["inception_score"] == pytest.approx(
        only(evaluate(fakes, "digits", "--metrics", "digits"))["metrics"]["inception_score"], rel=1e-12
    )
    one_line(gan("evaluate", fakes, "--metrics", "digits"), "'fid' compares with real samples", "REFERENCE")


@pytest.mark.parametrize("layout", ["pytorch-fid", "stylegan"])
def test_statistics_stand_for_the_samples_that_they_are_of(layout, fakes, reals, evaluate, gan, one_line, tmp_path):
    written = tmp_path / "reals.npz"
    result = gan("evaluate", reals, "--metrics", "digits", "--write-statistics", written, "--layout", layout)
    assert (result.status, result.output) == (0, f"statistics of 200 samples by classifier-digits in {written}\n")
    assert read_statistics(written).statistics["moments"].count == 200
    options = ("--metrics", "digits", "metrics.metrics=[fid]")
    images = only(evaluate(fakes, reals, *options))
    assert only(evaluate(fakes, written, *options))["metrics"] == pytest.approx(images["metrics"], rel=1e-9)
    swapped = only(evaluate(written, fakes, *options))
    assert swapped["metrics"] == pytest.approx(images["metrics"], rel=1e-6)
    assert (swapped["protocol"]["num_fake"], swapped["protocol"]["num_real"]) == (200, 300)
    one_line(gan("evaluate", written, fakes, "--metrics", "digits"), "logits", written.name)
    one_line(gan("evaluate", written, fakes, *options, "--num-samples", "100"), "--num-samples 100", "statistics")


def test_a_file_of_statistics_says_how_it_was_made(fakes, reals, evaluate, gan, tmp_path):
    written, foreign, options = tmp_path / "reals.npz", tmp_path / "foreign.npz", ("--metrics", "digits")
    assert gan("evaluate", reals, *options, "--write-statistics", written).status == 0
    protocol = read_statistics(written).protocol
    assert (protocol["num_real"], protocol["num_fake"], protocol["sampling_seeds"]) == (200, None, [])
    assert evaluate(fakes, written, *options, "metrics.metrics=[fid]")["reference_protocol"] == protocol
    moments = read_statistics(written).statistics["moments"]
    np.savez(foreign, mu=moments.mean.numpy(), sigma=moments.covariance.numpy())
    for reference in (foreign, reals):
        assert evaluate(fakes, reference, *options, "metrics.metrics=[fid]")["reference_protocol"] is None


@pytest.mark.parametrize("layout", ["clean-fid", "stylegan"])
def test_layouts_that_can_hold_features_do(layout, fakes, reals, evaluate, gan, tmp_path):
    written = tmp_path / "reals.npz"
    write = ("--metrics", "digits", "--write-statistics", written, "--layout", layout, "num_real=150")
    assert gan("evaluate", reals, *write).status == 0
    options = ("--metrics", "kid,precision_recall", "--extractor", "classifier", "settings.kid.subset_size=50")
    images = only(evaluate(fakes, reals, *options, "num_real=150"))["metrics"]
    assert only(evaluate(fakes, written, *options))["metrics"] == pytest.approx(images, rel=1e-6)


# --- metrics -----------------------------------------------------------------------------------------------------


def test_each_choice_is_measured_by_a_protocol_of_its_own(finished, evaluate, gan):
    last = finished / "checkpoints" / "last.ckpt"
    words = ("--metrics", "digits,parzen,fid", "parzen.num_samples=50", "digits.num_samples=110", "batch_size=40")
    found = evaluate(last, *words)["evaluations"]
    assert [e["protocol"]["extractor"] for e in found] == ["classifier-digits", "values", "classifier-digits"]
    assert [e["protocol"]["num_fake"] for e in found] == [110, 50, 100]
    assert [next(iter(e["metrics"])) for e in found] == ["fid", "parzen", "fid"]
    assert list(found[2]["metrics"]) == ["fid"]
    together = only(evaluate(last, "--metrics", "parzen,fid", "--extractor", "values"))  # no choice: two metrics
    assert list(together["protocol"]["settings"]) == ["parzen", "fid"]


def test_settings_reach_the_block_that_measures_the_metric(finished, evaluate, gan, one_line):
    last = finished / "checkpoints" / "last.ckpt"
    found = evaluate(last, "--metrics", "digits,parzen", "settings.inception_score.splits=5", "parzen.num_samples=50")
    assert found["evaluations"][0]["protocol"]["settings"]["inception_score"] == {"splits": 5}
    assert only(evaluate(last, "metrics.num_real=500"))["protocol"]["num_real"] == 500
    assert only(evaluate(last, "--extractor", "classifier", "extractor.weights=digits"))["metrics"]
    for word, parts in {
        "extractor.weigths=a": ("no metrics.extractor.weigths", "'metrics.extractor.weights'"),
        "num_samples=many": ("metrics.num_samples='many'", "integer"),
        "samples=3": ("no metrics.samples",),
        "settings.kid.subsets=3": ("kid", "isn't measured"),
        "settings.inception_score.split=3": ("'inception_score' has no setting 'split'", "did you mean 'splits'?"),
        "extractor={a": ("extractor={a can't be read",),
    }.items():
        one_line(gan("evaluate", last, word), *parts)
    one_line(gan("evaluate", last, "--extractor", "clasifier"), "did you mean 'classifier'?")
    one_line(gan("evaluate", last, "--extractor", "mixture_modes", "--metrics", "fid"), "metrics.extractor.density")


def test_verified_by_torch_fidelity(fakes, reals, gan, evaluate, monkeypatch):
    found = only(evaluate(fakes, reals, "--metrics", "digits", "--verify"))
    assert list(found["torch_fidelity"]) == ["fid", "inception_score", "inception_score_std"]
    for name, check in found["torch_fidelity"].items():
        assert check["ours"] == found["metrics"][name]
        assert check["theirs"] == pytest.approx(check["ours"], rel=1e-6)
        assert check["difference"] == abs(check["ours"] - check["theirs"]) / max(check["ours"], check["theirs"])
    output = gan("evaluate", fakes, reals, "--metrics", "digits", "--verify").output
    assert "torch-fidelity" in output

    from gan_research.metrics import frechet

    distance = frechet.frechet_distance
    monkeypatch.setattr(frechet, "frechet_distance", lambda *gaussians: 1.001 * distance(*gaussians))
    wrong = only(evaluate(fakes, reals, "--metrics", "digits", "--verify", status=1))
    assert wrong["torch_fidelity"]["fid"]["difference"] == pytest.approx(0.001, rel=0.01)


def test_what_cannot_be_verified_is_said_beforehand(finished, fakes, reals, gan, one_line, monkeypatch):
    monkeypatch.setattr(Evaluation, "prepare", lambda *_, **__: pytest.fail("began to measure"))
    one_line(gan("evaluate", finished, "--metrics", "parzen", "parzen.num_samples=50", "--verify"), "torch-fidelity")
    one_line(gan("evaluate", fakes, reals, "--metrics", "parzen", "--verify"), "torch-fidelity has none")


def test_blocks_that_cannot_be_verified_are_measured_all_the_same(fakes, evaluate, caplog):
    words = ("--metrics", "parzen,digits", "parzen.num_samples=50", "--verify")
    parzen, digits = evaluate(fakes, "digits", *words)["evaluations"]
    assert parzen["metrics"]["parzen"]
    assert "torch_fidelity" not in parzen
    assert "fid" in digits["torch_fidelity"]
    assert "parzen isn't verified: torch-fidelity has none" in caplog.text


def test_numbers_are_kept_though_verifying_them_fails(fakes, reals, gan, monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("gan_research.cli.evaluation.command.verify", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        gan("evaluate", fakes, reals, "--metrics", "digits", "--verify", "--json", tmp_path / "n.json")
    found = only(json.loads((tmp_path / "n.json").read_text()))
    assert found["metrics"]["fid"] > 0
    assert "torch_fidelity" not in found


def test_reals_are_seen_once_unless_told_otherwise(fakes, reals, evaluate, monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_RESEARCH_CACHE", str(tmp_path / "cache"))
    passes, run = [], FeaturePass.__call__
    monkeypatch.setattr(
        FeaturePass, "__call__", lambda self, which, *rest: passes.append(which) or run(self, which, *rest)
    )
    found = [
        only(evaluate(fakes, reals, "--metrics", "digits", *options))["metrics"] for options in ((), (), ["--no-cache"])
    ]
    assert passes == ["real", "generated", "generated", "real", "generated"]
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    assert found[2] == pytest.approx(found[0], rel=1e-12)


# --- progress ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("started_by", ["variables", pytest.param("torchrun", marks=pytest.mark.long)])
def test_two_processes_share_the_samples(started_by, server, fakes, reals, evaluate, tmp_path):
    arguments = ["evaluate", fakes, reals, "--metrics", "digits", "batch_size=70", "--json", tmp_path / "shared.json"]
    if started_by == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
        command = [*torchrun, "gan_research", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        output = done.stdout
    else:
        with master_port() as port:
            group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            started = [server.start(*arguments, **group, RANK=str(r), LOCAL_RANK=str(r)) for r in (0, 1)]
            ended = [process.ended() for process in started]
        assert [end.status for end in ended] == [0, 0], ended
        output = "".join(end.output for end in ended)
    assert output.count("rarest_class ↑") == 1  # one of them shows what all have found
    shared = only(json.loads((tmp_path / "shared.json").read_text()))
    alone = only(evaluate(fakes, reals, "--metrics", "digits", "batch_size=70"))
    assert shared["metrics"] == pytest.approx(alone["metrics"], rel=1e-6)
    assert shared["protocol"] == alone["protocol"]


def test_a_bar_with_a_rate_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # colours, which are no terminal
    for terminal in (True, False):
        shown = io.StringIO()
        shown.isatty = lambda terminal=terminal: terminal
        with ProgressBar(Console(file=shown, width=100)) as bar:
            tell = bar.of("round 10, seed 0")
            for done in (0, 50, 100):
                tell("generated", done, 200)
        assert ("round 10, seed 0: generated samples" in shown.getvalue()) == terminal
        assert ("100/200" in shown.getvalue()) == terminal


# --- what can't be -----------------------------------------------------------------------------------------------


def test_one_line_for_what_cannot_be_measured(finished, fakes, reals, gan, one_line, tmp_path):
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "neither.npz", values=np.zeros(3))
    (tmp_path / "broken.npz").write_text("no archive")
    save(tmp_path / "mixed", [torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(1, 8, 9, dtype=torch.uint8)])
    digits = ("digits", "--metrics", "digits")
    for arguments, parts in {
        (tmp_path / "nowhere", *digits): (str(tmp_path / "nowhere"), "a folder of images"),
        (tmp_path / "nowhere.ckpt", *digits): (str(tmp_path / "nowhere.ckpt"),),
        (tmp_path / "empty", *digits): (str(tmp_path / "empty"), "no images"),
        (tmp_path / "neither.npz", *digits): ("neither.npz", "neither images nor statistics"),
        (tmp_path / "broken.npz", *digits): ("broken.npz", "can't be read as an .npz file"),
        (tmp_path / "mixed", *digits): ("1 of 2 images", "9 x 8"),
        (fakes, "digitz", "--metrics", "digits"): ("digitz", "did you mean 'digits'?"),
        (fakes, "arrays", "--metrics", "digits"): ("'arrays'", "the path"),
        (fakes, finished, "--metrics", "digits"): (str(finished), "gan sample"),
        (fakes, reals, fakes): ("one REFERENCE",),
        (fakes, *digits, "--num-samples", "301"): ("--num-samples 301", "300"),
        (fakes, *digits, "--num-samples", "0"): ("num_samples=0",),
        (fakes, *digits, "--seeds", "1"): ("--seeds", "checkpoints"),
        (fakes, *digits, "--raw"): ("--raw", "checkpoints"),
        (fakes, *digits, "--truncation", "1"): ("--truncation", "checkpoints"),
        (finished, "--truncation", "1,inf,1.0"): ("--truncation 1,inf,1.0", "different"),
        (finished, "--truncation", "0"): ("--truncation 0", "positive"),
        (fakes, reals, "--metrics", "digits", "--split", "heldout"): ("--split", str(reals)),
        (fakes, *digits, "--device", "foo"): ("--device foo", "no such device"),
        (reals, "--write-statistics", tmp_path / "s.npz", "--device", "foo"): ("--device foo",),
        (finished, "--seeds", "1,1"): ("--seeds 1,1", "different"),
        (finished, "--seeds", "one"): ("--seeds one",),
        (finished, "--plot", "plot.jpg"): ("plot.jpg", ".png"),
        (finished, "--write-statistics", tmp_path / "s.npz"): (str(finished), "gan sample"),
        (reals, fakes, "--write-statistics", tmp_path / "s.npz"): ("REFERENCE",),
        (reals, "--write-statistics", tmp_path / "s.npz", "--layout", "pytorch_fid"): ("did you mean 'pytorch-fid'?",),
        (reals, "--write-statistics", tmp_path / "s.npz", "--metrics", "digits,parzen"): ("one extractor",),
    }.items():
        one_line(gan("evaluate", *arguments), *parts)
    assert not (tmp_path / "s.npz").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(finished, gan, one_line):
    for device in ("cuda", "cuda:1"):
        one_line(gan("evaluate", finished, "--device", device), f"--device {device}", "no such device")


def test_a_full_disk_is_one_line(fakes, finished, gan, one_line, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write raises it: without a name

    monkeypatch.setattr(os, "fsync", full)
    digits = ("digits", "--metrics", "digits", "--no-cache")
    for file, arguments in {
        "n.json": ("evaluate", fakes, *digits, "--json"),
        "n.png": ("evaluate", fakes, *digits, "--plot"),
        "s.npz": ("evaluate", fakes, "--metrics", "digits", "--no-cache", "--write-statistics"),
        "p.npz": ("sample", finished, "-n", "4", "-o"),
    }.items():
        line = one_line(gan(*arguments, tmp_path / file))
        assert line == f"gan: error: {tmp_path / file}: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_one_of_many_processes_says_what_is_wrong(gan, one_line, monkeypatch, tmp_path):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert gan("evaluate", tmp_path / "nowhere").error.startswith("gan: error: process 1: there is no ")  # alone
    monkeypatch.setenv("RANK", "0")
    one_line(gan("evaluate", tmp_path / "nowhere"), "nowhere")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"protocol": "{"}, ("Expecting",)),
        ({"protocol": "[1]"}, ("protocol: Input should be a valid dictionary",)),
        ({"count": "many"}, ("many",)),
        ({"mu": np.zeros((2, 2))}, ("'mu' is float64 (2, 2): it must be numbers, 1-dimensional",)),
        ({"mu": np.array(["a", "b"])}, ("'mu' is <U1",)),
        ({"mu": np.zeros(3)}, ("a mean of 3 features, and a covariance of (2, 2)",)),
        ({"mu": np.array([0, np.nan])}, ("isn't finite",)),
        ({"sigma": -np.eye(2)}, ("negative variance",)),
        ({"sigma": np.array([[1, 0.5], [0, 1]])}, ("isn't symmetric",)),
        ({"feats": np.zeros(2)}, ("'feats' is float64 (2,): it must be numbers, 2-dimensional",)),
        ({"feats": np.zeros((5, 3))}, ("a mean of 2 features, and samples of 3",)),
    ],
)
def test_statistics_that_are_none(change, parts, fakes, gan, one_line, tmp_path):
    good = {"mu": np.zeros(2), "sigma": np.eye(2)}
    np.savez(tmp_path / "good.npz", **good)
    assert len(read_statistics(tmp_path / "good.npz").statistics["moments"].mean) == 2
    np.savez(tmp_path / "bad.npz", **good | change)
    result = gan("evaluate", fakes, tmp_path / "bad.npz", "--metrics", "digits")
    one_line(result, "bad.npz can't be read as an .npz file of statistics", *parts)
