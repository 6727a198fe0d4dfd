"""Files of statistics in place of samples, in the layouts of other programs."""

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from gan_research.metrics.gaussians import Gaussian
from gan_research.metrics.statistics import Rows
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.files import write_npz
from gan_research.utils.reading import reading, require_no_bomb, shaped

Layout = Literal["pytorch-fid", "clean-fid", "stylegan"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

Arrays = dict[str, np.ndarray]

ROUNDING = 1e-5  # the tolerance for asymmetry and negative variances, relative to a covariance's largest entry


@dataclass(frozen=True, eq=False)
class StatisticsFile:
    """The statistics in an .npz file: a `Gaussian`, and in some files features too.

    `protocol` is how they were computed, as stored in the file; empty if another program wrote it.
    """

    name: str
    statistics: dict[str, Any]
    protocol: dict[str, Any]
    digest: str

    def content_hash(self) -> str:
        """Return a hash of the file's bytes."""
        return self.digest

    def of(self, metric: str, key: str) -> Any:
        """Return the statistic that a metric needs."""
        if key not in self.statistics:
            raise UserError(
                f"metric '{metric}' needs {key} of samples, and {self.name} contains only "
                f"{', '.join(self.statistics)}: leave the metric out, or give the images themselves"
            )
        return self.statistics[key]

    def check(self, extractor: dict[str, str], num_features: int) -> None:
        """Raise a UserError if the statistics are of another extractor.

        extractor: its `identity`; num_features: the number of its features, 0 if it depends on the sample.
        """
        others = [f"{k}: {self.protocol[k]} -> {v}" for k, v in extractor.items() if self.protocol.get(k, v) != v]
        if others:
            raise UserError(f"the statistics in {self.name} were computed by another protocol ({'; '.join(others)})")
        if num_features and (found := len(self.statistics["moments"].mean)) != num_features:
            raise UserError(
                f"the statistics in {self.name} are of {found} features, and extractor "
                f"'{extractor['extractor']}' has {num_features}: choose the extractor that computed them"
            )


def read_statistics(path: str | Path) -> StatisticsFile:
    """Return the statistics in an .npz of any of `LAYOUTS`; a UserError if there are none.

    TTUR, pytorch-fid, clean-fid, EDM: mean `mu` and covariance `sigma`; clean-fid's for KID: `feats`. StyleGAN's
    feature statistics: the sums `raw_mean`, `raw_cov` over `num_items` samples, and perhaps `all_features`.
    """
    path = Path(path)
    with reading(path, problem="can't be read as an .npz file of statistics"):
        content = path.read_bytes()
        with ZipFile(BytesIO(content)) as archive:
            require_no_bomb(archive)
        with np.load(BytesIO(content), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        key = next((key for key in ("feats", "all_features") if key in arrays), None)
        features = None if key is None else Rows(_numbers(arrays, key, 2).float())
        recorded = {"protocol": json.loads(str(arrays["protocol"])) if "protocol" in arrays else {}}
        protocol = shaped(recorded, dict[str, dict[str, Any]])["protocol"]
        moments = _moments(arrays, features)
    if moments is None:
        raise UserError(
            f"{path} contains neither images nor statistics: it needs mu and sigma, or raw_mean, raw_cov and num_items "
            f"(it has {', '.join(arrays) or 'nothing'})"
        )
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    statistics = {"moments": moments} | ({} if features is None else {"features": features})
    return StatisticsFile(path.name, statistics, protocol, digest)


def _moments(arrays: Arrays, features: Rows | None) -> Gaussian | None:
    """Return the Gaussian in a file, or of its features; a ValueError if it isn't plausible."""
    if "mu" in arrays and "sigma" in arrays:
        count = int(arrays["count"]) if "count" in arrays else None
        moments = Gaussian(_numbers(arrays, "mu", 1), _numbers(arrays, "sigma", 2), count)
    elif {"raw_mean", "raw_cov", "num_items"} <= arrays.keys():
        count = int(arrays["num_items"])
        mean, outer = _numbers(arrays, "raw_mean", 1).double() / count, _numbers(arrays, "raw_cov", 2).double()
        moments = Gaussian(mean, (outer - count * mean.outer(mean)) / (count - 1), count)
    elif features is not None:
        moments = Gaussian.of(features.features)
    else:
        return None
    mean, covariance = moments.mean, moments.covariance
    if moments.count is not None and moments.count < 2:
        raise ValueError(f"a covariance needs at least 2 samples, and there are {moments.count}")
    if features is not None and features.features.shape[1] != len(mean):
        raise ValueError(f"a mean of {len(mean)} features, and samples of {features.features.shape[1]}")
    if covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"a mean of {len(mean)} features, and a covariance of {tuple(covariance.shape)}")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise ValueError("mean or covariance isn't finite")
    rounding = ROUNDING * covariance.abs().max()
    if (covariance - covariance.T).abs().max() > rounding or covariance.diagonal().min() < -rounding:
        raise ValueError("the covariance isn't symmetric, or has a negative variance")
    return moments


def _numbers(arrays: Arrays, key: str, dimensions: int) -> Tensor:
    """Return an array of numbers; a ValueError if it is anything else."""
    array = arrays[key]
    if array.dtype.kind not in "fiu" or array.ndim != dimensions or not array.size:
        raise ValueError(f"'{key}' is {array.dtype} {array.shape}: it must be numbers, {dimensions}-dimensional")
    return torch.from_numpy(array)


def write_statistics(
    path: str | Path,
    moments: Gaussian,
    layout: Layout = "pytorch-fid",
    protocol: dict[str, Any] | None = None,
    features: Rows | None = None,
) -> None:
    """Write an .npz of the statistics, atomically; layouts stylegan and clean-fid contain `features` too.

    The number of samples and the protocol are added to each layout; other programs ignore them.
    """
    mean, covariance, n = moments.mean.cpu(), moments.covariance.cpu(), moments.count
    rows = None if features is None else features.features.cpu().numpy()
    if layout == "stylegan":
        if n is None:
            raise UserError("statistics in StyleGAN's layout are sums: the number of samples must be known")
        sums = covariance * (n - 1) + n * mean.outer(mean)
        arrays: dict[str, Any] = {"num_items": n, "num_features": len(mean), "raw_mean": (mean * n).numpy()}
        arrays |= {"raw_cov": sums.numpy()} | ({} if rows is None else {"all_features": rows})
    elif layout in LAYOUTS:
        arrays = {"mu": mean.numpy(), "sigma": covariance.numpy()} | ({} if n is None else {"count": n})
        arrays |= {"feats": rows} if layout == "clean-fid" and rows is not None else {}
    else:
        raise UserError(f"there is no layout '{layout}' of statistics: {did_you_mean(layout, LAYOUTS)}")
    write_npz(path, arrays | {"protocol": json.dumps(protocol or {})})
