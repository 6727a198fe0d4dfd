"""The CPU time of `gan train` before it trains, as a ratio to that of `import torch`.

    python benchmarks/startup.py [--repeats N]

Errors are found, and configs are composed, without importing torch. The first round needs Lightning, which imports
torchmetrics, and with it torchvision, scipy.signal, matplotlib, torch._dynamo and sympy. Each row is the median of the
ratios in N repeats; in each repeat every command runs once.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile

GAN = "import sys; from gan_research.cli import main; sys.exit(main(sys.argv[1:]))"

IMPORTS = ("torch", "torch, torch._dynamo", "pytorch_lightning", "gan_research.runs.fit")

COMMANDS = {
    "gan train --cfg": ("train", "--cfg"),
    "a misspelt key": ("train", "generator.widht=3"),
    "a value of the wrong type": ("train", "generator.width=wide"),
    "a value out of range": ("train", "rounds=-5"),
    "a path that doesn't exist": ("train", "resume=nowhere"),
    "one round": ("train", "rounds=1", "logger=none", "metrics=none"),
}


def cpu_seconds(arguments: list[str], folder: str) -> float:
    """Run Python with these arguments in a folder; return its CPU time, that of its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table of ratios."""
    parser = argparse.ArgumentParser(description="CPU time of gan train before it trains, relative to import torch")
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    rows = {f"import {names}": ["-c", f"import {names}"] for names in IMPORTS}
    rows |= {name: ["-c", GAN, *arguments] for name, arguments in COMMANDS.items()}
    ratios: dict[str, list[float]] = {name: [] for name in rows}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            seconds = {name: cpu_seconds(arguments, folder) for name, arguments in rows.items()}
            for name, value in seconds.items():
                ratios[name].append(value / seconds["import torch"])
    print(f"{'CPU time / import torch':<32} median  smallest  largest")
    for name, found in ratios.items():
        print(f"{name:<32} {statistics.median(found):6.2f}  {min(found):8.2f}  {max(found):7.2f}")


if __name__ == "__main__":
    main()
