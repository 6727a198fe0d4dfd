"""Files of statistics, instead of samples: those that other programs read and write, too."""

import hashlib
import json
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from gan_research.metrics.gaussians import Gaussian
from gan_research.metrics.statistics import Rows
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.files import write_npz

Layout = Literal["pytorch-fid", "clean-fid", "stylegan"]
LAYOUTS: tuple[Layout, ...] = ("pytorch-fid", "clean-fid", "stylegan")

Arrays = dict[str, np.ndarray]

ROUNDING = 1e-5
"""How far a covariance may be from symmetric, and a variance below 0, relative to its largest entry, for float32."""


class StatisticsFile:
    """Statistics of samples out of an .npz file, instead of the samples: a `Gaussian`, in some files features too.

    `protocol` holds what the file says of how it was made: nothing, where another program wrote it.
    """

    def __init__(
        self, name: str, content_hash: str, moments: Gaussian, features: Rows | None, protocol: dict[str, Any]
    ) -> None:
        self.name, self.protocol, self._hash = name, protocol, content_hash
        self.kept: dict[str, Any] = {"moments": moments} | ({} if features is None else {"features": features})

    def content_hash(self) -> str:
        """A hash of the file's bytes."""
        return self._hash

    @property
    def num_features(self) -> int:
        """How many features a sample has."""
        return len(self.kept["moments"].mean)

    def of(self, metric: str, key: str) -> Any:
        """The statistic that a metric wants."""
        if key not in self.kept:
            raise UserError(
                f"metric '{metric}' needs {key} of samples, and {self.name} holds only {', '.join(self.kept)}: leave "
                "the metric out, or give the pictures themselves"
            )
        return self.kept[key]

    def check(self, extractor: dict[str, str], num_features: int) -> None:
        """Raise a UserError where the file's statistics aren't of what an extractor sees.

        extractor: its `identity`; num_features: how many features it has, 0: as many as a sample has numbers.
        """
        others = [f"{k}: {self.protocol[k]} -> {v}" for k, v in extractor.items() if self.protocol.get(k, v) != v]
        if others:
            raise UserError(f"the statistics in {self.name} were made by another protocol ({'; '.join(others)})")
        if num_features and self.num_features != num_features:
            raise UserError(
                f"the statistics in {self.name} are of {self.num_features} features, and extractor "
                f"'{extractor['extractor']}' has {num_features}: choose the extractor that they were made by"
            )


def read_statistics(path: str | Path) -> StatisticsFile:
    """The statistics in an .npz of any of `LAYOUTS`; a UserError where there are none.

    TTUR, pytorch-fid, clean-fid, EDM: mean `mu` and covariance `sigma`; clean-fid's for KID: `feats`. StyleGAN's
    feature statistics: the sums `raw_mean`, `raw_cov` over `num_items` samples, and perhaps `all_features`.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        with np.load(BytesIO(content), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        features, protocol = _features(arrays), _protocol(arrays)
        moments = _moments(arrays, features)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error, AttributeError, TypeError, OverflowError) as error:
        raise UserError(
            f"{path} can't be read as an .npz file of statistics: {' '.join(str(error).split())}"
        ) from error
    if moments is None:
        raise UserError(
            f"{path} holds neither pictures nor statistics: it needs mu and sigma, or raw_mean, raw_cov and num_items "
            f"(it has {', '.join(arrays) or 'nothing'})"
        )
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return StatisticsFile(path.name, digest, moments, features, protocol)


def _features(arrays: Arrays) -> Rows | None:
    """The features of every sample, where there are any."""
    key = next((key for key in ("feats", "all_features") if key in arrays), None)
    return None if key is None else Rows(_numbers(arrays, key, 2).float())


def _moments(arrays: Arrays, features: Rows | None) -> Gaussian | None:
    """The Gaussian in a file, or that of its features; a ValueError where it can't be one."""
    if "mu" in arrays and "sigma" in arrays:
        count = int(arrays["count"]) if "count" in arrays else None
        found = Gaussian(_numbers(arrays, "mu", 1), _numbers(arrays, "sigma", 2), count)
    elif {"raw_mean", "raw_cov", "num_items"} <= arrays.keys():
        count = int(arrays["num_items"])
        mean, outer = _numbers(arrays, "raw_mean", 1).double() / count, _numbers(arrays, "raw_cov", 2).double()
        found = Gaussian(mean, (outer - count * mean.outer(mean)) / (count - 1), count)
    elif features is not None:
        found = Gaussian.of(features.features)
    else:
        return None
    _require_plausible(found.mean, found.covariance)
    if features is not None and features.features.shape[1] != len(found.mean):
        raise ValueError(f"a mean of {len(found.mean)} features, and samples of {features.features.shape[1]}")
    return found


def _require_plausible(mean: Tensor, covariance: Tensor) -> None:
    """Raise a ValueError where it is seen at once that this isn't the mean and covariance of samples."""
    if covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"a mean of {len(mean)} features, and a covariance of {tuple(covariance.shape)}")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise ValueError("mean or covariance isn't finite")
    rounding = ROUNDING * covariance.abs().max()
    if (covariance - covariance.T).abs().max() > rounding or covariance.diagonal().min() < -rounding:
        raise ValueError("the covariance isn't symmetric, or has a negative variance")


def _numbers(arrays: Arrays, key: str, dimensions: int) -> Tensor:
    """An array of numbers; a ValueError where it is anything else."""
    array = arrays[key]
    if array.dtype.kind not in "fiu" or array.ndim != dimensions or not array.size:
        raise ValueError(f"'{key}' is {array.dtype} {array.shape}: it must be numbers, {dimensions}-dimensional")
    return torch.from_numpy(array)


def _protocol(arrays: Arrays) -> dict[str, Any]:
    """What the file says of how it was made."""
    protocol = json.loads(str(arrays["protocol"])) if "protocol" in arrays else {}
    if not isinstance(protocol, dict):
        raise ValueError(f"'protocol' is {protocol!r}, not a JSON object")
    return protocol


def write_statistics(
    path: str | Path,
    moments: Gaussian,
    layout: Layout = "pytorch-fid",
    protocol: dict[str, Any] | None = None,
    features: Rows | None = None,
) -> None:
    """An .npz of the statistics, atomically; `features`, which StyleGAN's and clean-fid's layouts can hold, too.

    Sample number and protocol are added to each layout under names of our own, which other programs ignore.
    """
    mean, covariance, n = moments.mean.cpu(), moments.covariance.cpu(), moments.count
    rows = None if features is None else features.features.cpu().numpy()
    if layout == "stylegan":
        if n is None:
            raise UserError("statistics in StyleGAN's layout are sums: how many samples they are of must be known")
        sums = covariance * (n - 1) + n * mean.outer(mean)
        arrays: dict[str, Any] = {
            "num_items": n,
            "num_features": len(mean),
            "raw_mean": (mean * n).numpy(),
            "raw_cov": sums.numpy(),
        }
        arrays |= {} if rows is None else {"all_features": rows}
    elif layout in LAYOUTS:
        arrays = {"mu": mean.numpy(), "sigma": covariance.numpy()} | ({} if n is None else {"count": n})
        arrays |= {"feats": rows} if layout == "clean-fid" and rows is not None else {}
    else:
        raise UserError(f"there is no layout '{layout}' of statistics: {did_you_mean(layout, LAYOUTS)}")
    write_npz(path, arrays | {"protocol": json.dumps(protocol or {})})
