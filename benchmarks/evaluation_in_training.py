"""The share of a run's time that its evaluations take.

    OMP_NUM_THREADS=1 python benchmarks/evaluation_in_training.py
    python benchmarks/evaluation_in_training.py experiment=mnist_dcgan data.root=data rounds=2000

The evaluations of one run are timed: two runs, with and without, would differ by more on a shared machine.
"""

import sys
import tempfile
import time

from gan_research.callbacks import Evaluate
from gan_research.cli import main as gan
from gan_research.training.gan import GAN


def main() -> None:
    spent: dict[str, list[float]] = {"evaluation": [], "round": []}
    for cls, name, kind in ((Evaluate, "act", "evaluation"), (GAN, "training_step", "round")):
        setattr(cls, name, timed(getattr(cls, name), spent[kind]))
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        if gan(["train", "logger=none", f"output={folder}", *sys.argv[1:]]):
            sys.exit(1)
        whole = time.process_time() - began
    evaluations = sum(spent["evaluation"])
    print("\n| | number | CPU seconds | of the command, % |\n|---|---|---|---|")
    print(f"| the command | | {whole:.1f} | 100 |")
    print(f"| rounds | {len(spent['round']):,} | {sum(spent['round']):.1f} | {100 * sum(spent['round']) / whole:.1f} |")
    print(f"| evaluations | {len(spent['evaluation'])} | {evaluations:.2f} | {100 * evaluations / whole:.1f} |")


def timed(function, seconds: list[float]):
    """Wrap `function` to append each call's CPU time to `seconds`."""

    def call(*args, **kwargs):
        began = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.process_time() - began)

    return call


if __name__ == "__main__":
    main()
