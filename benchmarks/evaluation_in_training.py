"""What evaluation costs a run of `gan train`: the demo with its metrics and without any, in turn.

    OMP_NUM_THREADS=1 python benchmarks/evaluation_in_training.py
    python benchmarks/evaluation_in_training.py --repeats 1 experiment=mnist_dcgan data.root=data rounds=2000

Seconds of training as the run's own closing table has them, from the first round to the last checkpoint; medians.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of the run")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    variants = {"with metrics": [], "metrics=none": ["metrics=none"]}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for name, added in variants.items():
                seconds[name].append(trained([f"output={folder}", *options.overrides, *added]))
    taken = {name: statistics.median(times) for name, times in seconds.items()}
    print("| run | seconds | ratio |\n|---|---|---|")
    for name, time in taken.items():
        print(f"| {name} | {time:.1f} | {time / taken['metrics=none']:.3f} |")


def trained(overrides: list[str]) -> float:
    """The seconds that a run says it trained."""
    command = [sys.executable, "-m", "gan_research", "train", "logger=none", *overrides]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(re.findall(r"kimg\) in ([\d,.]+) s", done.stdout)[0].replace(",", ""))


if __name__ == "__main__":
    main()
