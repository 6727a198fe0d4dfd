"""Fréchet distances between Gaussians fitted to features: the FID, within classes, and for infinitely many samples."""

from collections.abc import Mapping

import numpy as np
import torch

from gan_research.metrics.base import METRIC_SEED, Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor
from gan_research.metrics.gaussians import Gaussian, frechet_distance
from gan_research.utils.errors import UserError
from gan_research.utils.ranges import NON_NEGATIVE


class FID(Metric):
    """Fréchet distance between the features of real and generated samples.

    The column names the features unless they are Inception's 2048: fid768, fd_dinov2. Heusel et al. 2017,
    arXiv 1706.08500, equation 6.
    """

    name = "fid"
    statistics = ("moments",)
    train_statistics = ("moments",)
    min_samples = 2

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.columns = {extractor.frechet: "min"}
        self.ranges = {extractor.frechet: NON_NEGATIVE}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        return {self.extractor.frechet: frechet_distance(real["train"]["moments"], generated["moments"])}


class IntraClassFID(Metric):
    """The mean over classes of the FID between generated and real samples of the class.

    Its column is i + the FID's. It is biased as any FID, here by the number of samples in a class.
    Miyato & Koyama 2018, arXiv 1802.05637, section 4, "intra FID".
    """

    name = "ifid"
    statistics = ("features",)
    train_statistics = ("features",)
    needs_labels = True
    min_samples = 2

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.columns = {f"i{extractor.frechet}": "min"}
        self.ranges = {f"i{extractor.frechet}": NON_NEGATIVE}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        """Return the mean. Raises a UserError if labels are missing, or a class has fewer than 2 on either side."""
        sides = real["train"]["features"], generated["features"]
        if any(rows.labels is None for rows in sides):
            raise UserError(
                "metric 'ifid' needs the classes of real and generated samples: choose labelled data and a "
                "class-conditional generator, or leave the metric out"
            )
        distances = []
        for label in torch.cat([rows.labels for rows in sides]).unique().tolist():
            reals, fakes = (rows.features[rows.labels == label] for rows in sides)
            if min(len(reals), len(fakes)) < 2:
                raise UserError(
                    f"metric 'ifid' needs at least 2 real and 2 generated samples of each class, and class {label} has "
                    f"{len(reals)} and {len(fakes)}: raise num_samples, or use more data"
                )
            distances.append(frechet_distance(Gaussian.of(reals), Gaussian.of(fakes)))
        return {f"i{self.extractor.frechet}": float(np.mean(distances))}


class InfiniteFID(Metric):
    """The FID extrapolated to infinitely many generated samples: the intercept of a line through FID over 1 / n.

    FID is measured at `points` numbers n of samples, evenly spaced from a tenth of all to all, each a random subset.
    The real samples are always the same, so that only the generated samples' part of the bias is removed. It may be
    negative.
    FID_infinity_se is the intercept's standard error in the least-squares fit: how well the points fit the line, not
    the spread over other samples. Chong & Forsyth 2020, arXiv 1911.07023, section 4.
    """

    name = "fid_infinity"
    statistics = ("features",)
    train_statistics = ("moments",)

    def __init__(self, extractor: Extractor, points: int = 15, min_samples: int = 1000) -> None:
        super().__init__(extractor)
        self.points, self.min_samples = points, min_samples
        self.require_setting("points", points >= 3, "at least 3")
        self.require_setting("min_samples", min_samples >= 20, "at least 20")  # of fewer, a tenth would be one sample
        self.columns = {f"{extractor.frechet}_infinity": "min"}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        features = generated["features"].features
        draws = np.random.RandomState(METRIC_SEED)
        counts = np.linspace(len(features) / 10, len(features), self.points).round().astype(int)
        distances = []
        for count in counts:
            chosen = torch.from_numpy(draws.permutation(len(features))[:count]).to(features.device)
            distances.append(frechet_distance(real["train"]["moments"], Gaussian.of(features[chosen])))
        (_, intercept), covariance = np.polyfit(1 / counts, distances, deg=1, cov=True)
        column = f"{self.extractor.frechet}_infinity"
        return {column: float(intercept), f"{column}_se": float(np.sqrt(covariance[1, 1]))}
