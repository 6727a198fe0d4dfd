"""Codes in latents: their distribution, samples by number, interpolation, and the figure of what they do."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gan_research.checkpoints.rebuild import describe, rebuild
from gan_research.cli import main
from gan_research.sampling.code_figure import COLUMNS, LEFT, TOP, codes_png
from gan_research.sampling.load import load
from gan_research.sampling.priors import CodedPrior, GaussianPrior
from gan_research.sampling.sampler import BLOCK, Sampler
from gan_research.utils.codes import Codes
from gan_research.utils.errors import UserError

PRIOR = CodedPrior(12, 2, 3, 2)


@pytest.mark.parametrize(("noise", "std"), [("gaussian", 1.0), ("uniform", 3**-0.5)])
def test_codes_are_one_hot_or_uniform(noise, std):
    prior = CodedPrior(12, 2, 3, 2, noise)
    latents = prior.sample(30_000, torch.Generator().manual_seed(0))
    assert latents.shape == (30_000, 12)
    assert latents.dtype == torch.float32
    others, one_hot, continuous = prior.codes.split(latents)
    assert (others.shape[1], one_hot.shape[1:], continuous.shape[1]) == (4, (2, 3), 2)
    assert others.std().item() == pytest.approx(std, rel=0.02)
    assert set(one_hot.unique().tolist()) == {0, 1}
    assert torch.equal(one_hot.sum(2), torch.ones(30_000, 2))
    assert one_hot.mean(0).sub(1 / 3).abs().max().item() < 0.015
    joint = one_hot[:, 0, :, None] * one_hot[:, 1, None, :]  # both codes are independent
    assert joint.mean(0).sub(1 / 9).abs().max().item() < 0.01
    assert -1 <= continuous.min() < -0.999 < 0.999 < continuous.max() < 1
    assert continuous.var(0).tolist() == pytest.approx([1 / 3, 1 / 3], rel=0.03)


def test_a_latent_is_a_function_of_the_seed_and_its_number():
    sampler = Sampler(nn.Identity(), PRIOR, 0, (-1.0, 1.0))
    whole = sampler.latents(BLOCK + 9, seed=3)
    assert torch.equal(sampler.latents(9, 3, BLOCK), whole[BLOCK:])
    assert (sampler.latents(9, 4) - whole[:9]).abs().amax(1).min() > 0
    rebuilt = rebuild(describe(PRIOR))
    assert torch.equal(rebuilt.sample(5, torch.Generator()), PRIOR.sample(5, torch.Generator()))


def test_interpolation_keeps_to_the_priors_values():
    a, b = PRIOR.sample(200, torch.Generator().manual_seed(0)).view(2, 100, 12)
    torch.testing.assert_close(PRIOR.interpolate(a, b, 0.0), a)
    torch.testing.assert_close(PRIOR.interpolate(a, b, 1.0), b)
    for t in (0.25, 0.75):
        noise, one_hot, continuous = PRIOR.codes.split(PRIOR.interpolate(a, b, t))
        assert torch.equal(one_hot, PRIOR.codes.split(a if t < 0.5 else b)[1])
        torch.testing.assert_close(continuous, (1 - t) * a[:, -2:] + t * b[:, -2:])
        torch.testing.assert_close(noise, GaussianPrior(4).interpolate(a[:, :4], b[:, :4], t))
    pairs = torch.stack([a, b])
    torch.testing.assert_close(PRIOR.interpolate(pairs, pairs.flip(0), 0.25)[0], PRIOR.interpolate(a, b, 0.25))


@pytest.mark.parametrize("number", range(4))
def test_a_code_takes_its_values_and_nothing_else_changes(number):
    latents = PRIOR.sample(5, torch.Generator().manual_seed(0))
    values, varied = PRIOR.codes.vary(latents, number, 7)
    coordinates = [slice(4, 7), slice(7, 10), slice(10, 11), slice(11, 12)][number]
    expected = torch.eye(3) if number < 2 else torch.linspace(-1, 1, 7)[:, None]
    assert values.tolist() == ([0, 1, 2] if number < 2 else expected.flatten().tolist())
    assert torch.equal(varied[:, :, coordinates], expected[:, None].expand(-1, 5, -1))
    kept = [i for i in range(12) if i not in range(*coordinates.indices(12))]
    assert torch.equal(varied[:, :, kept], latents[:, kept].expand(len(expected), -1, -1))


class Shows(nn.Module):
    """Grey images 32 pixels wide: the left half shows the category, the right one the continuous code."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, latents, labels):
        _, one_hot, continuous = Codes(1, 3, 1).split(latents)
        category = one_hot[:, 0] @ torch.tensor([-1.0, 0.0, 1.0])
        halves = torch.stack([category, continuous[:, 0]], 1)
        return halves.repeat_interleave(16, 1)[:, None, None].expand(-1, 1, 32, -1)


def test_the_figure_has_a_row_for_each_value_and_a_column_for_each_latent():
    sampler = Sampler(Shows(), CodedPrior(5, 1, 3, 1), 0, (-1.0, 1.0))
    figure = np.asarray(Image.open(BytesIO(codes_png(sampler, seed=1))).convert("L")).astype(int)
    width, height = 34 * COLUMNS + 2, 34 * 3 + 2
    assert figure.shape == (TOP + height + 4, 2 * (LEFT + width) + 4)
    codes = sampler.prior.codes.split(sampler.latents(COLUMNS, 1))
    drawn = (codes[1][:, 0].argmax(1) * 127.5).tolist(), (127.5 * (codes[2][:, 0] + 1)).tolist()
    for block in range(2):
        left = block * (LEFT + width) + LEFT
        for row in range(3):
            for column in range(COLUMNS):
                cell = figure[TOP + 34 * row + 2 :, left + 34 * column + 2 :][:32, :32]
                value = 127.5 * row
                shown = [value, drawn[1][column]] if block == 0 else [drawn[0][column], value]
                assert [cell[16, 5], cell[16, 25]] == pytest.approx(shown, abs=1.01)


def test_generators_without_codes_have_no_figure():
    with pytest.raises(UserError, match="no codes: train it with prior=coded head=infogan"):
        codes_png(Sampler(Shows(), GaussianPrior(5), 0, (-1.0, 1.0)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CodedPrior(5, 1, 3, 2), "prior.latent_dim=5: 1 x 3 categorical and 2 continuous codes take 5"),
        (lambda: CodedPrior(5, 0, 3, 0), "make no codes"),
        (lambda: CodedPrior(5, 1, 1, 0), "categories is 1"),
        (lambda: CodedPrior(5, 1, 3, 1, "cauchy"), "prior.noise=cauchy"),
    ],
)
def test_impossible_codes_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


WORDS = ("metrics=none", "logger=none", "trainer=cpu", "batch_size=8", "generator.width=8", "discriminator.width=8")
INFOGAN = (
    "prior=coded",
    "prior.categories=4",
    "prior.latent_dim=9",
    "head=infogan",
    "regularizer=[mutual_information]",
)


@pytest.mark.parametrize("data", ["digits", "ring"])
def test_a_run_of_infogan_shows_its_codes_and_resumes(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"data={data}", *INFOGAN, *WORDS, "rounds=2", "sample_every=1"]) == 0
    (run,) = Path("runs").iterdir()
    figures = [f"codes_round_0000000{i}.png" for i in range(3)]
    assert sorted(path.name for path in (run / "samples").glob("codes*")) == figures
    assert main(["train", f"resume={run}", "rounds=3"]) == 0
    assert load(run).prior.codes == Codes(1, 4, 2)
    assert main(["sample", str(run), "--codes"]) == 0
    assert Path("codes.png").read_bytes() == (run / "samples" / "codes_round_00000003.png").read_bytes()
    assert main(["sample", str(run), "--codes", "-n", "3", "-o", "few.png"]) == 0
    sizes = [Image.open(name).size for name in ("codes.png", "few.png")]
    assert (sizes[0] > sizes[1]) == (data == "digits")
    capsys.readouterr()
    assert main(["sample", str(run), "--codes", "-o", "codes.npz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "codes.npz" in line
    assert math.prod(sizes[0]) > 0
