"""`gan sample` and `gan evaluate` of a generator with a mapping: psi, layers' noise, w, and directions."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from styled import SmallStyles

from gan_research.checkpoints.rebuild import describe
from gan_research.sampling.export import describe_export, write_export
from gan_research.sampling.load import load
from gan_research.sampling.priors import GaussianPrior
from gan_research.utils.sample_spec import SampleSpec

ALLOW = ("--allow", "styled")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export of a generator with a mapping."""
    torch.manual_seed(0)
    generator, folder = SmallStyles(5, SampleSpec(8, 1, 10)), tmp_path_factory.mktemp("styles") / "export"
    described = {"generator": describe(generator), "prior": describe(GaussianPrior(5)), "discriminator": {}}
    game = described | {"version": "1", "round": 3, "images_seen": 192, "updates": {"discriminator": 3}}
    config = describe_export(game, False, 10, generator.value_range)
    write_export(folder, config | {"discriminator": describe(generator)}, {"generator": generator.state_dict()})
    return folder


def archive(gan, *words):
    assert (result := gan("sample", *words, *ALLOW, "-o", "s.npz")).status == 0, result.error
    return np.load("s.npz")["images"]


def test_samples_with_psi_and_noise(export, gan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sampler = load(export, allow=["styled"])
    for words, style in {
        (): {},
        ("--psi", "1"): {},
        ("--psi", "0.7", "--cutoff", "2", "--noise", "none"): {"psi": 0.7, "cutoff": 2, "noise": "none"},
        ("--psi", "0", "--noise", "constant"): {"psi": 0.0, "noise": "constant"},
        ("--psi", "-1", "--psi-by-class"): {"psi": -1.0, "by_class": True},
    }.items():
        expected = sampler.styled(**style).sample_uint8(12, seed=3).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(archive(gan, export, "-n", "12", "--seed", "3", *words), expected)
    first = ("--psi", "0.5", "--noise", "none", "-n", "3", "--seed", "3")
    assert gan("sample", export, "--interpolate", "w", *first, "--steps", "3", *ALLOW).status == 0
    rows, plain = np.asarray(Image.open("interpolation.png")), archive(gan, export, *first)[..., 0]
    for i in range(3):
        np.testing.assert_array_equal(rows[34 * i + 2 :, 2:][:32:4, :32:4, 0], plain[i])
    result = gan("sample", export, "--interpolate", "w", "-o", "film.gif", "-n", "4", "--steps", "2", *ALLOW)
    assert result.output == "8 frames of 4 images in film.gif\n"


def test_a_figure_of_directions(export, finished, gan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = gan("sample", export, "--directions", "-n", "3", "--steps", "5", "--psi", "0.7", *ALLOW)
    assert (result.status, result.output) == (0, "directions in directions.png\n")
    assert Image.open("directions.png").size == (84 + 5 * 34 + 2 + 4, 26 + 3 * 34 + 2 + 20)
    assert gan("sample", finished, "--directions", "--shift", "2", "-o", "latents.png").status == 0
    assert Image.open("latents.png").size == (84 + 7 * 34 + 2 + 4, 26 + 8 * 34 + 2 + 20)


def test_a_curve_over_psi(export, gan, tmp_path):
    words = (export, "digits", "--metrics", "digits", "--num-samples", "100", "--no-cache", *ALLOW, "--device", "cpu")
    result = gan(
        "evaluate",
        *words,
        "--json",
        tmp_path / "n.json",
        "--psi",
        "1,0,0.5",
        "--cutoff",
        "3",
        "--plot",
        tmp_path / "c.png",
    )
    assert result.status == 0, result.error
    found = json.loads((tmp_path / "n.json").read_text())["evaluations"]
    plain = found[0]["protocol"]
    assert "psi" not in plain
    assert [e["protocol"] for e in found[1:]] == [plain | {"psi": psi, "cutoff": 3} for psi in (0.0, 0.5)]
    assert len({e["metrics"]["fid"] for e in found}) == 3
    assert np.asarray(Image.open(tmp_path / "c.png")).std() > 10
    cells = [[cell.strip() for cell in line.split("\u2502")[1:-1]] for line in result.output.splitlines()]
    assert [row[2] for row in cells if len(row) > 3] == ["1", "0", "0.5"]
    result = gan(
        "evaluate", *words, "--json", tmp_path / "n.json", "--noise", "none", "--truncation", "1", "--psi", "0.5,1"
    )
    assert result.status == 0, result.error
    found = json.loads((tmp_path / "n.json").read_text())["evaluations"]
    added = {"truncation": 1.0, "noise": "none"}
    assert [e["protocol"] for e in found] == [plain | added | psi for psi in ({"psi": 0.5}, {})]


def test_one_line_for_styles_that_are_not_there(export, finished, gan, one_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, parts in {
        (finished, "--psi", "0.7"): ("psi=0.7", "no mapping"),
        (finished, "--noise", "none"): ("noise=none", "no noise"),
        (finished, "--interpolate", "w"): ("no mapping",),
        (export, "--psi", "0.7", "--cutoff", "5", *ALLOW): ("cutoff=5", "1 to 4"),
        (export, "--psi", "0.7", "--cutoff", "0", *ALLOW): ("cutoff=0", "1 to 4"),
        (export, "--cutoff", "2", *ALLOW): ("--cutoff 2", "--psi"),
        (export, "--psi-by-class", *ALLOW): ("--psi-by-class", "--psi"),
        (export, "--psi", "high", *ALLOW): ("--psi high",),
        (export, "--psi", "inf", *ALLOW): ("--psi inf",),
        (export, "--shift", "2", *ALLOW): ("--shift 2", "--directions"),
        (export, "--directions", "--shift", "0", *ALLOW): ("--shift is 0",),
        (export, "--directions", "-o", "x.gif", *ALLOW): ("x.gif", ".png"),
        (export, "--directions", "--keyframes", "3", *ALLOW): ("--keyframes 3", "--interpolate"),
    }.items():
        one_line(gan("sample", *words), *parts)
    digits = ("digits", "--metrics", "digits", "--num-samples", "100")
    for words, parts in {
        (finished, "--psi", "0.7"): ("psi=0.7", "no mapping"),
        (export, *digits, "--cutoff", "2", *ALLOW): ("cutoff=2", "psi"),
        (export, *digits, "--psi", "0.5", "--cutoff", "9", *ALLOW): ("cutoff=9", "1 to 4"),
        (export, *digits, "--psi", "0.5,0.50", *ALLOW): ("--psi 0.5,0.50", "different"),
        (export, *digits, "--psi", "0.5,1", "--truncation", "1,2", *ALLOW): ("--psi", "--truncation"),
    }.items():
        one_line(gan("evaluate", *words), *parts)
    assert list(tmp_path.iterdir()) == []


def test_training_refuses_a_psi_without_a_mapping(train, one_line, tmp_path):
    one_line(train(tmp_path / "runs", "metrics.psi=0.7"), "psi=0.7", "no mapping")
    one_line(train(tmp_path / "runs", "metrics.cutoff=2"), "cutoff=2", "psi")
    one_line(train(tmp_path / "runs", "metrics.noise=none"), "noise=none", "no noise")
    assert not (tmp_path / "runs").exists()
