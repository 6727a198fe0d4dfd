"""Benchmark of a sweep of short runs, forked or in new processes.

    OMP_NUM_THREADS=1 python benchmarks/sweep.py --seeds 8 --rounds 300

The same sweep on digits is run in both ways, one after the other; the weights have to be equal.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

NEW_PROCESS = "from gan_research.sweeps import run_process; run_process.Forked = run_process.fresh"
COMMAND = "; from gan_research.cli import main; raise SystemExit(main({arguments!r}))"


def main() -> None:
    """Print the ratio of both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"forked": [], "new": []}
    for _ in range(options.repeats):
        weights = {}
        for how, setting in (("forked", "pass"), ("new", NEW_PROCESS)):
            with tempfile.TemporaryDirectory() as folder:
                seconds[how].append(run_sweep(setting, options, folder))
                weights[how] = final_weights(Path(folder))
        assert all(torch.equal(*pair) for pair in zip(weights["forked"], weights["new"], strict=True))
    ratio = statistics.median(new / forked for new, forked in zip(seconds["new"], seconds["forked"], strict=True))
    for how, found in seconds.items():
        print(f"{how}: {statistics.median(found):.1f} s for {options.seeds} runs of {options.rounds} rounds")
    print(f"new processes take {ratio:.2f} times as long")


def run_sweep(setting: str, options: argparse.Namespace, folder: str) -> float:
    """Return the seconds of the sweep."""
    arguments = ["train", "-m", f"seed=range(0,{options.seeds})", f"rounds={options.rounds}", f"output={folder}"]
    arguments += ["logger=none", "evaluate_every=100000", "sample_every=100000"]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", setting + COMMAND.format(arguments=arguments)], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def final_weights(folder: Path) -> list[torch.Tensor]:
    """Return the weights of all runs."""
    paths = sorted(folder.glob("*/*/0/*/checkpoints/last.ckpt"))
    return [w for path in paths for w in torch.load(path, weights_only=True)["state_dict"].values()]


if __name__ == "__main__":
    main()
