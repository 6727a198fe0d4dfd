"""The Fréchet distance with a cached root, compared with scipy's sqrtm and torch-fidelity.

    python benchmarks/frechet.py
    python benchmarks/frechet.py --features 768 --samples 10000 500 --power 2

Features are Gaussian with principal components of variance k^-power. It prints a Markdown table with a row for each
number of generated samples: seconds of a distance (medians), the others' time relative to it, and their difference
relative to tr C + tr C'. Below are the seconds of the root, which is computed once for each reference.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import scipy.linalg
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from gan_research.metrics.gaussians import Gaussian, frechet_distance

T = TypeVar("T")


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds and the result of a call."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def by_sqrtm(a: Gaussian, b: Gaussian) -> float:
    """Compute the distance as the reference code does."""
    product = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy())
    traces = a.covariance.trace() + b.covariance.trace() - 2 * np.trace(product).real
    return ((a.mean - b.mean).square().sum() + traces).item()


def by_eigenvalues(a: Gaussian, b: Gaussian) -> float:
    """Compute the distance as torch-fidelity does."""
    moments = ({"mu": part.mean.numpy(), "sigma": part.covariance.numpy()} for part in (a, b))
    return fid_statistics_to_metric(*moments, verbose=False)[KEY_METRIC_FID]


def row(reference: Gaussian, other: Gaussian, repeats: int) -> list[str]:
    """Return a row of the table; the three methods alternate, so that all have the same conditions."""
    methods = (frechet_distance, by_sqrtm, by_eigenvalues)
    runs = [[timed(partial(method, reference, other)) for method in methods] for _ in range(repeats)]
    seconds = [statistics.median(run[i][0] for run in runs) for i in range(len(methods))]
    scale = (reference.covariance.trace() + other.covariance.trace()).item()
    cells = [f"{other.count:,}", f"{seconds[0]:.2f}"]
    for i in (1, 2):
        difference = (runs[0][i][1] - runs[0][0][1]) / scale
        cells += [f"{seconds[i] / seconds[0]:.1f}", f"{difference:+.1e}"]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--real", type=int, default=20_000, help="number of real samples")
    parser.add_argument("--samples", type=int, nargs="+", default=[5000, 1000], help="numbers of generated samples")
    parser.add_argument("--power", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    scales = torch.arange(1, options.features + 1).float() ** (-options.power / 2)
    rotation = torch.linalg.qr(torch.randn(len(scales), len(scales), generator=generator)).Q

    def features(count: int, spread: float) -> Tensor:
        return 0.4 + spread * (torch.randn(count, len(scales), generator=generator) * scales) @ rotation

    reference = Gaussian.of(features(options.real, 1.0))
    seconds, _ = timed(lambda: reference.root)
    lines = [row(reference, Gaussian.of(features(count, 1.1)), options.repeats) for count in options.samples]
    print("| samples | ours, s | sqrtm, times | sqrtm, difference | eigvals, times | eigvals, difference |")
    print("|" + "---:|" * len(lines[0]))
    for cells in lines:
        print(f"| {' | '.join(cells)} |")
    print(
        f"\n{options.features} features, {options.real:,} real samples, variances k^-{options.power:g}, "
        f"{torch.get_num_threads()} threads; the root: {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
