"""Time and memory of precision and recall, compared with torch-fidelity.

    python benchmarks/neighbours.py
    python benchmarks/neighbours.py --samples 50000 --methods ours

Features are Gaussian with principal components of variance k^-power. It prints a Markdown table with a row for each
method, each in its own process: seconds; seconds of ours with the reals' radii cached, as after the first evaluation
of a run; peak memory beyond the features; and the two numbers.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_research.metrics import Values
from gan_research.metrics.neighbours import PrecisionRecall
from gan_research.metrics.statistics import Rows

METHODS = {"ours": "ours", "part": "torch-fidelity, save_cpu_ram", "full": "torch-fidelity, by default"}


def features(count: int, width: int, power: float, seed: int) -> Tensor:
    """Return Gaussian features, computed in place, so that no further memory is used."""
    scales = torch.arange(1, width + 1).float() ** (-power / 2)
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).mul_(scales).add_(0.4)


def memory_in_use() -> float:
    """Return the memory of this process, in MiB (Linux)."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * resource.getpagesize() / 2**20


def peak() -> float:
    """Return the peak memory of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(method: str, options: argparse.Namespace) -> str:
    """Return a row of the table."""
    torch.set_num_threads(options.threads)
    reals, fakes = (features(options.samples, options.features, options.power, seed) for seed in (0, 1))
    metric = PrecisionRecall(Values())
    sides = {"features": Rows(fakes)}, {"train": {"features": Rows(reals)}}

    def once() -> tuple[float, dict[str, float]]:
        start = time.perf_counter()
        if method == "ours":
            found = metric.value(*sides)
        else:
            found = prc_features_to_metric(fakes, reals, save_cpu_ram=method == "part", verbose=False)
        return time.perf_counter() - start, found

    before = memory_in_use()
    seconds, found = once()
    memory = peak() - before
    cached = f"{once()[0]:.1f}" if method == "ours" else ""
    numbers = f"{found['precision']:.5f} | {found['recall']:.5f}"
    return f"| {METHODS[method]} | {seconds:.1f} | {cached} | {memory:,.0f} | {numbers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="number on each side")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--power", type=float, default=1.0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    print("| method | s | cached reals, s | memory, MiB | precision | recall |\n|---|" + "---:|" * 5)
    for method in options.methods:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            print(process.submit(measured, method, options).result(), flush=True)
    print(f"\n{options.samples:,} samples on each side, {options.features} features, {options.threads} threads")


if __name__ == "__main__":
    main()
