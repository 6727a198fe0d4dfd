"""Mode coverage during training: samples on a known 2-D density."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from pydantic import PositiveInt
from torch import Tensor

from gan_research.data import Data, Points
from gan_research.data.densities import GaussianMixture
from gan_research.data.density_plots import draw_points
from gan_research.losses.divergences import jsd
from gan_research.metrics import Evaluation, MixtureModes
from gan_research.theory.analysis import Analysis, Moment
from gan_research.theory.generator_density import data_masses_2d, expected_jsd, histogram_2d, mixture_masses_2d
from gan_research.theory.plots.labels import legend_above
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError
from gan_research.utils.plotting import DATA, GENERATOR, finite, mosaic, styled

SHOWN = 1000  # the number of samples drawn in a panel
COUNTED, BINS = 20_000, 40  # the number of samples, and of bins each way, in the histogram for the JSD
RING = 3  # the standard deviations within which a sample is of high quality
SHARES = (0.0, 0.1, 0.3, 1.0)  # the shares of training after which samples are drawn side by side


@dataclass(frozen=True)
class Frame(Moment):
    """Samples (N, 2) of a round, and their scores."""

    samples: Tensor


class Modes(Analysis[Frame]):
    """An analysis of samples of fixed latents on a 2-D density.

    The numbers are logged as theory/*, with those of a perfect sampler as NAME_perfect. jsd: between p_data and a
    histogram of 20,000 samples, in 40 x 40 bins, in nats; a perfect sampler's is the error of that estimate. On
    mixtures also the covered modes, the share of high-quality samples and the reverse KL (PacGAN's protocol, Lin et al.
    2018: 2,500 samples, within 3 standard deviations).

    frames: number of rounds that are measured, evenly spaced.
    film: draw a film.
    """

    name = "modes"
    frame_type = Frame
    METRICS = ("modes", "high_quality", "reverse_kl")
    NAMES: ClassVar = {
        "modes": "covered modes",
        "high_quality": "high-quality share",
        "reverse_kl": "reverse KL (nats)",
        "jsd": "JSD (nats)",
    }

    def __init__(
        self, folder: Path | None = None, frames: int = 60, num_samples: PositiveInt = 2500, film: bool = True
    ):
        super().__init__(folder, frames, power=1, film=film)
        self.num_samples = num_samples

    def check(self, gan: GAN, data: Data) -> None:
        if not isinstance(data, Points) or data.density.dim != 2:
            raise UserError(
                f"modes requires a density in two dimensions, unlike {data.name}: set data=ring or data=grid "
                "(for one dimension: gan theory phases)"
            )

    def begin(self, gan: GAN, data: Data) -> None:
        assert isinstance(data, Points)
        self.density = data.density
        self._evaluation = None
        if isinstance(self.density, GaussianMixture):
            self._real = mixture_masses_2d(self.density, self.density.bounds, BINS)
            self._evaluation = Evaluation(MixtureModes(self.density), self.METRICS, self.num_samples)
            self._evaluation.prepare(data.train, gan.device)
        else:
            self._real = data_masses_2d(self.density.log_prob, self.density.bounds, BINS)
        self._floor = expected_jsd(self._real, COUNTED)

    def measure(self, gan: GAN) -> Frame:
        source = gan.sampler().source(seed=0)  # as in an evaluation, for any seed of training
        samples = source(0, COUNTED).cpu()
        finite(samples=samples)
        numbers = self._evaluation(source) if self._evaluation is not None else {}
        numbers["jsd"] = jsd(self._real, histogram_2d(samples, self.density.bounds, BINS)).item()
        numbers["jsd_perfect"] = self._floor
        return Frame(gan.round, numbers, samples[:SHOWN])

    @styled
    def figure(self) -> Figure:
        """Draw samples of four rounds above, the scores over the rounds below."""
        last = len(self.frames) - 1
        moments = [self.frames[round(share * last)] for share in SHARES]
        names = [f"samples{i}" for i in range(len(moments))]
        scores = [name for name in self.NAMES if name in self.frames[0].numbers]
        figure, axes = mosaic([names, scores * (4 // len(scores))], heights=[3.0, 2.2], width=3.0)
        for name, frame in zip(names, moments, strict=True):
            self._draw_samples(axes[name], frame)
            axes[name].set_title(f"round {frame.round:,}")
        for name in scores:
            axes[name].plot([f.round for f in self.frames], [f.numbers[name] for f in self.frames], color=GENERATOR)
            axes[name].axhline(self.frames[0].numbers[f"{name}_perfect"], ls=":", color=DATA, label="perfect sampler")
            axes[name].set(xlabel="round", ylabel=self.NAMES[name], ylim=(0, None))
            legend_above(axes[name], axes[name].get_lines()[1:])
        rings = f", circles of {RING} standard deviations" if isinstance(self.density, GaussianMixture) else ""
        figure.suptitle(f"{self.title}{rings}")
        return figure

    def _draw_samples(self, axes: Axes, frame: Frame) -> None:
        """Draw samples on the density; those in a circle around a mode are of high quality."""
        draw_points(axes, frame.samples, self.density)
        if isinstance(self.density, GaussianMixture):
            sizes = 2 * RING * self.density.stds
            for mean, (width, height) in zip(self.density.means.tolist(), sizes.tolist(), strict=True):
                axes.add_patch(Ellipse(mean, width, height, fill=False, color=DATA, lw=0.8))

    def film(self) -> Iterator[Figure]:
        """Draw the samples of each frame."""
        for frame in self.frames:
            figure, axes = mosaic([["samples"]], heights=[4.2], width=4.0, film=True)
            self._draw_samples(axes["samples"], frame)
            covered = f"  modes {frame.numbers['modes']:.0f}" if "modes" in frame.numbers else ""
            axes["samples"].set_title(f"round {frame.round:,}{covered}")
            yield figure
