"""Fréchet distances between Gaussians fitted to features: the FID, within classes, and for infinitely many samples."""

from collections.abc import Mapping

import numpy as np
import torch

from gan_research.metrics.base import DRAWS, Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.metrics.gaussians import Gaussian, frechet_distance
from gan_research.utils.errors import UserError


class FID(Metric):
    """Fréchet distance between the features of real and generated samples: of Inception's 2048, the FID.

    Its column says whose features they are where they aren't those: fid768, fd_dinov2. Heusel et al. 2017,
    arXiv 1706.08500, equation 6.
    """

    name = "fid"
    wants = ("moments",)
    min_samples = 2

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.columns = {extractor.frechet: "min"}

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"moments": None}}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        return {self.extractor.frechet: frechet_distance(real["train"]["moments"], generated["moments"])}


class IntraClassFID(Metric):
    """The FID within each class, of its generated samples against its real ones; the mean over classes.

    Its column is i + that of the FID. As of any FID its bias is that of few samples: here so many a class.
    Miyato & Koyama 2018, arXiv 1802.05637, section 4, "intra FID".
    """

    name = "ifid"
    wants = ("features",)
    needs_labels = True
    min_samples = 2

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.columns = {f"i{extractor.frechet}": "min"}

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": None}}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        """Raises a UserError where samples have no labels, or a class has fewer than 2 on either side."""
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
                    f"{len(reals)} and {len(fakes)}: raise num_samples, or take more data"
                )
            distances.append(frechet_distance(Gaussian.of(reals), Gaussian.of(fakes)))
        return {f"i{self.extractor.frechet}": float(np.mean(distances))}


class InfiniteFID(Metric):
    """The FID that infinitely many generated samples would have: where a line through FID over 1 / n meets 1 / n = 0.

    FID is measured at `points` numbers n of samples, evenly spaced from a tenth of all to all, each a random subset.
    The real samples stay as they are, so that of the bias only the generated samples' share goes. FID_infinity_se is
    the intercept's standard error in the least-squares fit: how well the points lie on the line, not what other samples
    would give. Chong & Forsyth 2020, arXiv 1911.07023, section 4.
    """

    name = "fid_infinity"
    wants = ("features",)

    def __init__(self, extractor: Extractor, points: int = 15, min_samples: int = 1000) -> None:
        super().__init__(extractor)
        if points < 3 or min_samples < 20:  # of fewer than 20, a tenth would be a single sample
            raise UserError(
                "metric 'fid_infinity' needs settings points of at least 3 and min_samples of at least 20, not "
                f"{points} and {min_samples}"
            )
        self.points, self.min_samples = points, min_samples
        self.columns = {f"{extractor.frechet}_infinity": "min"}

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"moments": None}}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        features = generated["features"].features
        draws = np.random.RandomState(DRAWS)
        counts = np.linspace(len(features) / 10, len(features), self.points).round().astype(int)
        distances = []
        for count in counts:
            chosen = torch.from_numpy(draws.permutation(len(features))[:count]).to(features.device)
            distances.append(frechet_distance(real["train"]["moments"], Gaussian.of(features[chosen])))
        (_, intercept), covariance = np.polyfit(1 / counts, distances, deg=1, cov=True)
        column = f"{self.extractor.frechet}_infinity"
        return {column: float(intercept), f"{column}_se": float(np.sqrt(covariance[1, 1]))}
