"""Figure 1 of Goodfellow et al. 2014 during training: p_data, p_g, D and the optimal D*."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from gan_research.data import Data, Density, Points
from gan_research.losses import AdversarialLoss
from gan_research.losses.divergences import jsd
from gan_research.sampling.sampler import eval_mode
from gan_research.theory.analysis import Analysis, Moment
from gan_research.theory.generator_density import TAIL, bin_masses, data_masses
from gan_research.theory.plots.labels import legend_above
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError
from gan_research.utils.plotting import (
    BOUND,
    DATA,
    DISCRIMINATOR,
    GENERATOR,
    OPTIMUM,
    finite,
    mosaic,
    over_rounds,
    styled,
)

ARROWS = 25  # the number of latents, even in probability, whose mapping to G(z) is drawn

PHASES = (1.0, 0.5, 0.1)  # the remaining shares of JSD's fall to its end, of the phases drawn before the last


@dataclass(frozen=True)
class Frame(Moment):
    """A round of a game, at the S points of its `Phases`."""

    fake: Tensor  # the masses of p_g (S,)
    logits: Tensor  # the discriminator's logits (S,)
    mapped: Tensor  # g at evenly spaced quantiles of the prior (ARROWS,)


class Phases(Analysis[Frame]):
    """An analysis of a game on a 1-D density with a 1-D latent.

    It is exact up to the width of the bins: p_g by `bin_masses`, D at their centers, expectations as sums over them.
    Logged as theory/* are the `game_numbers` and `atoms`, the mass of p_g on single points.

    frames: number of rounds that are measured, denser in the beginning.
    bins: number of bins of the x axis, which spans twice the bounds of the density.
    film: draw a film, which takes most of the time.
    """

    name = "phases"
    frame_type = Frame

    def __init__(self, folder: Path | None = None, frames: int = 80, bins: int = 400, film: bool = True):
        super().__init__(folder, frames, power=2, film=film)
        if bins < 10:
            raise UserError(f"analysis.phases: bins={bins}: set at least 10")
        self.bins = bins

    def check(self, gan: GAN, data: Data) -> None:
        require_line(data)
        if gan.prior.latent_dim != 1:
            raise UserError(f"phases requires one latent, not {gan.prior.latent_dim}: set prior.latent_dim=1")
        if gan.discriminator.packing > 1:
            raise UserError("phases requires a discriminator of single samples: set packing=1")

    def begin(self, gan: GAN, data: Data) -> None:
        density = require_line(data)
        low, high = density.bounds[0]
        middle, half = (low + high) / 2, high - low
        self.edges = torch.linspace(middle - half, middle + half, self.bins + 1, dtype=torch.float64)
        real = data_masses(density.log_prob, self.edges)
        self.real = real.all
        self.points = torch.cat([self.edges[:1], real.centers, self.edges[-1:]])  # the ends stand for what is outside
        self.loss, self.prior = gan.loss, gan.prior

    def measure(self, gan: GAN) -> Frame:
        bins = bin_masses(gan.generator, gan.prior, self.edges)
        fake = bins.all
        logits = gan.objective.forward.probe(self.points[:, None].float().to(gan.device), None).cpu().double()
        with torch.no_grad(), eval_mode(gan.generator):
            mapped = gan.generator(self.latents[:, None].float().to(gan.device)).cpu().double()[:, 0]
        finite(p_g=fake, D=logits, G=mapped)
        known = (fake > 0) | (self.real > TAIL)  # no infinite KL where G's tails are cut
        numbers = game_numbers(gan.loss, logits[known], self.real[known], fake[known])
        numbers["atoms"] = sum(mass for _, mass in bins.atoms)
        return Frame(gan.round, numbers, fake, logits, mapped)

    @property
    def latents(self) -> Tensor:
        """The latents whose mapping is drawn (ARROWS,)."""
        return self.prior.quantile((torch.arange(ARROWS, dtype=torch.float64) + 0.5) / ARROWS)

    def phases(self) -> list[Frame]:
        """Return different frames in order: the first to come so near to the last JSD as each of `PHASES`; the last."""
        jsds = [frame.numbers["jsd"] for frame in self.frames]
        last, chosen = len(jsds) - 1, [-1]
        for left, share in zip(range(len(PHASES), 0, -1), PHASES, strict=True):
            near = jsds[-1] + share * (jsds[0] - jsds[-1])
            reached = next(i for i, jsd in enumerate(jsds) if jsd <= near or i == last)
            chosen.append(max(chosen[-1] + 1, min(reached, last - left)))
        return [self.frames[i] for i in sorted({*chosen[1:], last}) if i <= last]

    @styled
    def figure(self) -> Figure:
        """Draw densities and mappings of four phases, and the values over rounds."""
        phases = self.phases()
        blank = ["."] * (len(PHASES) + 1 - len(phases))
        rows = [[*(f"{part}{i}" for i in range(len(phases))), *blank] for part in ("density", "mapping")]
        rows.append(["value", "value", "probability", "probability"])
        figure, axes = mosaic(rows, heights=[3, 1.2, 2.8], width=3.1)
        for i, frame in enumerate(phases):
            axes[f"density{i}"].set_title(f"round {frame.round:,}")
            named = {"left": i == 0, "right": i == len(phases) - 1}
            lines = self._draw_frame(axes[f"density{i}"], axes[f"mapping{i}"], frame, **named)
        self._draw_course(axes["value"], axes["probability"])
        figure.suptitle(self.title, x=0.01, ha="left")
        figure.legend(handles=lines, loc="outside upper right", ncols=len(lines))
        return figure

    def film(self) -> Iterator[Figure]:
        """Draw one frame after another."""
        return map(self._film_frame, range(len(self.frames)))

    @styled
    def _film_frame(self, i: int) -> Figure:
        rows = [["density", "value"], ["mapping", "probability"]]
        figure, axes = mosaic(rows, heights=[2.6, 2.0], width=4.2, film=True)
        legend_above(axes["density"], self._draw_frame(axes["density"], axes["mapping"], self.frames[i], right=False))
        axes["mapping"].set_title(f"round {self.frames[i].round:,}")
        self._draw_course(axes["value"], axes["probability"], until=i)
        return figure

    @styled
    def _draw_frame(
        self, density: Axes, mapping: Axes, frame: Frame, left: bool = True, right: bool = True
    ) -> list[Line2D]:
        """Draw a frame, naming its left and right axes; return the lines that a legend names."""
        x, width = self.points, (self.edges[1] - self.edges[0]).item()
        density.plot(x, self.real / width, ":", color=DATA, label="$p_{data}$")
        density.plot(x, frame.fake / width, color=GENERATOR, label="$p_g$")
        top = 1.6 * (self.real / width).max().item()
        density.set(ylim=(0, top), xlim=self.edges[[0, -1]].tolist(), yticks=[], ylabel="density" if left else "")
        judge = density.twinx()
        optimum = optimal_logit(self.loss, self.real, frame.fake)
        seen = (self.real + frame.fake) / 2 > 1e-6  # D* only where there are samples
        if self.loss.logits_are_log_odds:
            judge.plot(x, frame.logits.sigmoid(), "--", color=DISCRIMINATOR, label="D")
            judge.set(ylim=(-0.02, 1.02), yticks=[0, 0.5, 1])
        else:
            judge.plot(x, frame.logits, "--", color=DISCRIMINATOR, label="D")
            judge.margins(y=0.1)
        if optimum is not None:
            best = optimum.sigmoid() if self.loss.logits_are_log_odds else optimum
            judge.plot(x, best.where(seen, math.nan), color=OPTIMUM, alpha=0.8, label="D*")
        judge.set_ylabel(("D" if self.loss.logits_are_log_odds else "logit") if right else "")
        middle, half = (self.edges[0] + self.edges[-1]) / 2, (self.edges[-1] - self.edges[0]) / 2
        starts = middle + 0.8 * half * self.latents / self.latents.abs().max()  # latents, scaled to the x axis
        ends = [[(z, 1), (x, 0)] for z, x in zip(starts.tolist(), frame.mapped.tolist(), strict=True)]
        mapping.add_collection(LineCollection(ends, colors=BOUND, linewidths=0.6))
        mapping.plot(frame.mapped, torch.zeros(ARROWS), "v", color=BOUND, ms=3)
        mapping.set(xlim=self.edges[[0, -1]].tolist(), ylim=(-0.05, 1.05), yticks=[0, 1], yticklabels=["x", "z"])
        mapping.set(xlabel="x", ylabel="G" if left else "")
        return [*density.get_lines(), *judge.get_lines()]

    @styled
    def _draw_course(self, value: Axes, probability: Axes, until: int | None = None) -> None:
        frames = self.frames if until is None else self.frames[: until + 1]
        rounds = [frame.round for frame in frames]
        names = {"value": ("V(D, G)", DISCRIMINATOR), "value_optimal": ("V(D*, G)", OPTIMUM)}
        for name, (label, color) in names.items():
            if name in frames[0].numbers:
                value.plot(rounds, [f.numbers[name] for f in frames], color=color, label=label)
        if self.loss.logits_are_log_odds:
            bound = [2 * f.numbers["jsd"] - math.log(4) for f in frames]
            value.plot(rounds, bound, ":", color=DATA, label="2 JSD - log 4")
            value.axhline(-math.log(4), color=BOUND, lw=0.8, label="-log 4")
        over_rounds(value, self.frames[-1].round, ylabel="value (nats)" if self.loss.logits_are_log_odds else "value")
        legend_above(value)
        names = {"real": ("on reals", DATA), "fake": ("on fakes", GENERATOR)}
        for name, (label, color) in names.items():
            probability.plot(rounds, [f.numbers[name] for f in frames], color=color, label=label)
        if self.loss.logits_are_log_odds:
            probability.axhline(0.5, color=BOUND, lw=0.8, label="1/2")
        label = "mean D" if self.loss.logits_are_log_odds else "mean logit"
        over_rounds(probability, self.frames[-1].round, ylabel=label)
        legend_above(probability)


def require_line(data: Data) -> Density:
    """Return the data's density in one dimension; raise a UserError if it has none."""
    if isinstance(data, Points) and data.density.dim == 1:
        return data.density
    raise UserError(
        f"a density in one dimension is required, unlike {data.name}: set data=gaussian_1d or data=mixture_1d "
        "(for two dimensions: gan theory modes)"
    )


def game_numbers(loss: AdversarialLoss, logits: Tensor, real: Tensor, fake: Tensor) -> dict[str, float]:
    """Evaluate a discriminator by its logits (S,) at the masses (S,) of p_data and p_g.

    value: V(D, G), minus D's expected loss; value_optimal: V(D*, G), if the loss has it in closed form; regret: the
    difference; jsd: in nats; real, fake: the means of D(x) and D(G(z)), or of logits that aren't log-odds; deviation:
    the mean of |D - 1/2| over p_data and p_g. D* is the loss's, without regularizers. For a KL, value_optimal and
    regret may be infinite.
    """
    numbers = {"value": -loss.expected("discriminator", logits, real, fake), "jsd": jsd(real, fake)}
    theory = loss.theory()
    if theory.kind in ("pointwise", "shift"):
        numbers["value_optimal"] = theory.value(real, fake)
        numbers["regret"] = numbers["value_optimal"] - numbers["value"]
    judged = logits.sigmoid() if loss.logits_are_log_odds else logits
    numbers |= {"real": (real * judged).sum(), "fake": (fake * judged).sum()}
    if loss.logits_are_log_odds:
        numbers["deviation"] = ((real + fake) / 2 * (judged - 0.5).abs()).sum()
    return {name: value.item() for name, value in numbers.items()}


def optimal_logit(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> Tensor | None:
    """Return the logits (S,) of D*, or None without a unique closed form."""
    theory = loss.theory()
    return theory.optimal_logit(real, fake) if theory.kind in ("pointwise", "shift") and theory.unique else None
