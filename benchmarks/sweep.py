"""What a sweep of short runs costs: its runs forked from a process that has imported everything, or begun afresh.

    OMP_NUM_THREADS=1 python benchmarks/sweep.py --seeds 8 --rounds 300

The same sweep of games on digits is played in both ways in turn; its weights must agree.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

AFRESH = "from gan_research.sweeps import run_process; run_process.Forked = run_process.fresh"
PLAY = "; from gan_research.cli import main; raise SystemExit(main({words!r}))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"forked": [], "afresh": []}
    for _ in range(options.repeats):
        weights = {}
        for how, setting in (("forked", "pass"), ("afresh", AFRESH)):
            with tempfile.TemporaryDirectory() as folder:
                seconds[how].append(play(setting, options, folder))
                weights[how] = final(Path(folder))
        assert all(torch.equal(*pair) for pair in zip(weights["forked"], weights["afresh"], strict=True))
    ratio = statistics.median(a / f for a, f in zip(seconds["afresh"], seconds["forked"], strict=True))
    for how, found in seconds.items():
        print(f"{how}: {statistics.median(found):.1f} s for {options.seeds} runs of {options.rounds} rounds")
    print(f"afresh takes {ratio:.2f} times as long")


def play(setting: str, options: argparse.Namespace, folder: str) -> float:
    """Seconds of the sweep."""
    words = ["train", "-m", f"seed=range(0,{options.seeds})", f"rounds={options.rounds}", f"output={folder}"]
    words += ["logger=none", "evaluate_every=100000", "sample_every=100000"]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", setting + PLAY.format(words=words)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def final(folder: Path) -> list[torch.Tensor]:
    """The weights of all runs."""
    paths = sorted(folder.glob("*/*/0/*/checkpoints/last.ckpt"))
    return [w for path in paths for w in torch.load(path, weights_only=True)["state_dict"].values()]


if __name__ == "__main__":
    main()
