"""gan sample, gan evaluate, and what they share."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gan_research
from gan_research.sampling.load import load


@pytest.fixture
def nothing_around(tmp_path, monkeypatch):
    """Another folder, without a config tree, and without data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gan_research.config.compose.conf_folder", lambda: pytest.fail("looked for the config tree"))
    monkeypatch.setattr("gan_research.data.digits.Digits.load", lambda *_: pytest.fail("looked for data"))
    return tmp_path


def test_samples_as_a_grid_an_archive_and_a_folder(finished, gan, nothing_around):
    result = gan("sample", finished, "-n", "9")
    assert (result.status, result.error) == (0, "")
    assert np.asarray(Image.open("samples.png")).shape[:2] == (3 * 34 + 2, 3 * 34 + 2)

    assert gan("sample", finished / "checkpoints" / "last.ckpt", "-n", "9", "-o", "deep/er/s.npz").status == 0
    content = np.load("deep/er/s.npz")
    assert content.files == ["images"]
    assert content["images"].dtype == np.uint8
    assert content["images"].shape == (9, 8, 8, 1)
    expected = load(finished).sample_uint8(9, seed=0).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(content["images"], expected)

    assert gan("sample", finished, "-n", "9", "-o", "folder").status == 0
    files = sorted((nothing_around / "folder").iterdir())
    assert [f.name for f in files] == [f"{i:06}.png" for i in range(9)]
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(f).convert("L")) for f in files]), expected[..., 0])


def archive(gan, run, *options):
    assert gan("sample", run, "-o", "s.npz", *options).status == 0
    return dict(np.load("s.npz"))


def test_sample_i_is_a_function_of_the_seed_and_i(finished, gan, nothing_around):
    many = archive(gan, finished, "-n", "300")["images"]
    few = archive(gan, finished, "-n", "5")["images"]
    # a batch of another size adds its numbers up in another order
    assert np.abs(many[:5].astype(int) - few.astype(int)).max() <= 1
    assert len(np.unique(many.reshape(300, -1), axis=0)) > 250
    assert not np.array_equal(archive(gan, finished, "-n", "5", "--seed", "1")["images"], few)
    raw = archive(gan, finished, "-n", "5", "--raw")["images"]
    assert not np.array_equal(raw, few)  # the average is not the generator
    np.testing.assert_array_equal(raw, load(finished, raw=True).sample_uint8(5, seed=0).permute(0, 2, 3, 1).numpy())


def test_classes(conditional, finished, gan, one_line, nothing_around):
    turns = archive(gan, conditional, "-n", "25")
    np.testing.assert_array_equal(turns["labels"], np.arange(25) % 10)
    one = archive(gan, conditional, "-n", "25", "--class", "3")
    np.testing.assert_array_equal(one["labels"], np.full(25, 3))
    same = turns["labels"] == 3
    difference = np.abs(one["images"].astype(int) - turns["images"].astype(int)).max(axis=(1, 2, 3))
    assert difference[same].max() <= 1 < difference[~same].min()
    one_line(gan("sample", conditional, "--class", "10"), "classes run from 0 to 9")
    one_line(gan("sample", finished, "--class", "3"), "is unconditional")
    assert not (nothing_around / "samples.png").exists()


def test_truncated_samples(finished, gan, one_line, nothing_around):
    def images(*options):
        return archive(gan, finished, "-n", "5", *options)["images"]

    cut = load(finished).truncated(0.5).sample_uint8(5, seed=0).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(images("--truncation", "0.5"), cut)
    np.testing.assert_array_equal(images("--truncation", "inf"), images())
    assert not np.array_equal(images(), cut)
    Path("s.npz").unlink()
    for threshold in ("0", "-1", "nan", "half"):
        one_line(gan("sample", finished, "--truncation", threshold), f"--truncation {threshold}", "positive")
    assert list(nothing_around.iterdir()) == []


def test_interpolations_as_a_grid_and_as_a_film(conditional, finished, gan, one_line, nothing_around):
    result = gan("sample", conditional, "--interpolate", "classes", "-n", "3", "--steps", "5", "--keyframes", "4")
    assert (result.status, result.output) == (0, "3 rows between 4 samples each in interpolation.png\n")
    rows = np.asarray(Image.open("interpolation.png"))
    assert rows.shape[:2] == (3 * 34 + 2, (3 * 4 + 1) * 34 + 2)
    assert gan("sample", conditional, "-n", "3", "-o", "samples").status == 0
    for i in range(3):
        image = np.asarray(Image.open(f"samples/{i:06}.png").convert("L"))
        np.testing.assert_array_equal(rows[34 * i + 2 :, 2:][:32:4, :32:4, 0], image)

    words = ("--interpolate", "-n", "4", "--steps", "2", "--keyframes", "3", "--truncation", "0.5", "--seed", "7")
    for name in ("film.gif", "film.webp", "film.apng"):
        result = gan("sample", finished, *words, "-o", name)
        assert result.output == f"6 frames of 4 images in {name}\n"
        film = Image.open(name)
        assert (film.size, film.n_frames) == ((70, 70), 6)
        first = np.asarray(film.convert("L"))[2:34:4, 2:34:4]
        np.testing.assert_array_equal(first, load(finished).truncated(0.5).sample_uint8(4, seed=7)[0, 0].numpy())

    before = sorted(nothing_around.iterdir())
    for words, parts in {
        (finished, "--interpolate", "classes"): ("no classes",),
        (conditional, "--interpolate", "both", "--class", "3"): ("class 3",),
        (finished, "--interpolate", "-o", "x.npz"): ("x.npz", ".png or .gif or .apng or .webp"),
        (finished, "--interpolate", "-o", "folder"): ("folder", ".png"),
        (finished, "-o", "x.gif"): ("x.gif", ".png or .npz"),
        (finished, "--interpolate", "--steps", "1"): ("--steps is 1", "at least 2"),
        (finished, "--interpolate", "--keyframes", "1"): ("--keyframes is 1",),
        (finished, "--interpolate", "-n", "0"): ("-n is 0",),
        (finished, "--steps", "5"): ("--steps 5", "--interpolate"),
    }.items():
        one_line(gan("sample", *words), *parts)
    assert sorted(nothing_around.iterdir()) == before


def test_samples_never_join_or_silently_replace_others(finished, gan, one_line, nothing_around, monkeypatch):
    (nothing_around / "full").mkdir()
    (nothing_around / "full" / ".hidden").touch()
    (nothing_around / "empty").mkdir()
    assert gan("sample", finished, "-n", "2", "-o", "empty").status == 0
    for folder in ("full", "empty", ".", finished):  # "empty" has samples now
        one_line(gan("sample", finished, "-n", "2", "-o", folder), "new folder")
    assert [path.name for path in (nothing_around / "full").iterdir()] == [".hidden"]
    for name in ("samples.png", "samples-2.png", "samples-3.png"):
        assert gan("sample", finished, "-n", "2").output.endswith(f"in {name}\n")
    assert gan("sample", finished, "-n", "2", "-o", "samples.png").output.endswith("in samples.png (replaced)\n")

    def fail(path, content):
        if path.name == "000001.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    before = sorted(nothing_around.iterdir())
    one_line(gan("sample", finished, "-n", "2", "-o", "new"), f"{nothing_around / 'new'}: No space left on device")
    assert sorted(nothing_around.iterdir()) == before


def test_sampling_what_cannot_be(finished, gan, one_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    one_line(gan("sample", finished, "-n", "0"), "-n is 0", "at least 1")
    one_line(gan("sample", finished, "-o", "s.jpg"), "s.jpg", ".png or .npz")
    one_line(gan("sample", finished, "-o", "file"), "file is a file", "new folder")
    one_line(gan("sample", finished, "-o", "file/s.png"), "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_evaluate_gives_the_numbers_of_the_history(finished, gan, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    last = finished / "checkpoints" / "last.ckpt"
    result = gan("evaluate", last, "--json", "deep/numbers.json", "--device", "cpu")
    assert (result.status, result.error) == (0, "")
    (measured,) = json.loads((tmp_path / "deep" / "numbers.json").read_text())["evaluations"]
    assert measured["round"] == 20
    (row,) = (row for row in rows(finished) if row["round"] == 20 and "metrics/fid" in row)
    assert measured["kimg"] == row["kimg"]
    logged = {name.removeprefix("metrics/"): v for name, v in row.items() if name.startswith("metrics/")}
    assert measured["metrics"] == pytest.approx(logged, rel=1e-9, abs=1e-12)
    assert measured["protocol"] == row["protocol"]
    for name, value in logged.items():
        assert any(name in line.split() and f"{value:.6g}" in line.split() for line in result.output.splitlines())
    assert row["protocol"]["extractor_hash"] in result.output


def test_evaluate_with_another_protocol(finished, conditional, gan, one_line, tmp_path):
    def evaluate(run, *options):
        last = run / "checkpoints" / "last.ckpt"
        result = gan("evaluate", last, "--json", tmp_path / "n.json", "--device", "cpu", *options)
        assert result.status == 0, result.error
        (measured,) = json.loads((tmp_path / "n.json").read_text())["evaluations"]
        return measured

    first = evaluate(finished)
    for options, changes in {
        ("--num-samples", "150"): {"num_fake": 150},
        ("--seed", "1"): {"sampling_seeds": [1]},
        ("--raw",): {"ema": False},
    }.items():
        other = evaluate(finished, *options)
        assert other["protocol"] == first["protocol"] | changes
        assert other["metrics"]["fid"] != first["metrics"]["fid"]
    one_line(gan("evaluate", conditional), "--metrics")
    assert evaluate(conditional, "--metrics", "digits", "--num-samples", "100")["metrics"]["fid"] > 0
    one_line(gan("evaluate", conditional, "--metrics", "digit"), "did you mean 'digits'?")
    one_line(gan("evaluate", finished, "--data-root", tmp_path), "--data-root")


def test_evaluate_takes_the_seed_and_the_truncation_of_the_run(train, the_run, gan, rows, tmp_path):
    words = ("metrics.seed=7", "metrics.truncation=0.5", "rounds=2", "evaluate_every=2")
    assert train(tmp_path / "runs", *words).status == 0
    run = the_run(tmp_path / "runs")
    assert gan("evaluate", run, "--json", tmp_path / "n.json", "--device", "cpu").status == 0
    measured = json.loads((tmp_path / "n.json").read_text())["evaluations"][-1]
    assert (measured["protocol"]["sampling_seeds"], measured["protocol"]["truncation"]) == ([7], 0.5)
    assert rows(run)[-1]["protocol"] == measured["protocol"]
    assert measured["round"] == 2
    assert measured["metrics"]["fid"] == pytest.approx(rows(run)[-1]["metrics/fid"], rel=1e-9)


def test_help_version_and_what_is_no_command(gan, one_line):
    for arguments in ([], ["--help"], ["-h"]):
        result = gan(*arguments)
        assert result.status == 0
        assert all(f"gan {name} " in result.output for name in ("train", "sample", "evaluate"))
    assert gan("--version").output.strip() == gan_research.__version__
    one_line(gan("trian"), "no command 'trian'", "did you mean 'train'?")
    one_line(gan("--quiet"), "no command '--quiet'", "train")


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_an_unknown_option_is_refused(command, finished, gan, capsys):
    with pytest.raises(SystemExit) as refusal:
        gan(command, finished, "--colour", "red")
    assert refusal.value.code == 2


def test_ctrl_c_outside_the_game_is_no_traceback(gan, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gan_research.cli.train.show_help", interrupt)
    assert gan("train", "--help") == (130, "", "gan: interrupted\n")


def test_sampling_leaves_the_random_state_alone(finished, gan, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sampler = load(finished)
    torch.set_rng_state(before)
    sampler.sample(10)
    assert torch.equal(torch.get_rng_state(), before)
