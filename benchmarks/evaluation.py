"""The time of `gan evaluate`, torch-fidelity and pytorch-fid on the same images and random weights.

    python benchmarks/evaluation.py                    # two folders of 500 PNGs each, 32 x 32
    python benchmarks/evaluation.py --num 2000 --size 256 --repeats 1

Each program runs as a separate command, which reads two folders of PNGs, runs Inception-v3 to 2048 features and
computes the FID. The programs alternate; the table shows medians of the repeats. pytorch-fid must be installed; its
resize differs, and so does its number. Nothing is cached.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=500, help="images in each folder")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for seed, name in enumerate(("first", "second")):
            write_images(root / name, options.num, options.size, seed)
        weights = write_weights(root / "torch" / "hub" / "checkpoints")
        commands = programs(root, weights, options.device)
        os.environ["TORCH_HOME"] = str(root / "torch")  # the other two read their weights there
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        fids = {}
        for _ in range(options.repeats):
            for name, command in commands.items():
                began = time.perf_counter()
                done = subprocess.run(command, capture_output=True, encoding="utf-8")
                seconds[name].append(time.perf_counter() - began)
                if done.returncode:
                    sys.exit(f"{name} failed:\n{done.stderr}")
                fids[name] = re.findall(
                    r"(?:fid|fd_inception2048|FID|frechet_inception_distance)\W+([\d.]+)", done.stdout
                )[0]
    ours = statistics.median(seconds["gan evaluate"])
    print(f"{options.num} against {options.num} images of {options.size} x {options.size}, {options.device}\n")
    print("| program | images/s | time, relative to ours | FID (random weights) |\n|---|---|---|---|")
    for name, times in seconds.items():
        taken = statistics.median(times)
        print(f"| {name} | {2 * options.num / taken:.1f} | {taken / ours:.2f} | {fids[name]} |")


def write_images(folder: Path, num: int, size: int, seed: int) -> None:
    """Write smooth random images: noise of 8 x 8, enlarged."""
    folder.mkdir()
    noise = np.random.default_rng(seed).integers(0, 200 + 55 * seed, (num, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(noise):
        Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{i:05d}.png")


def write_weights(folder: Path) -> Path:
    """Write seeded random weights to the paths of the published files."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    load = torch.nn.Module.load_state_dict
    torch.nn.Module.load_state_dict = lambda *args, **kwargs: None  # its constructor would load a file
    folder.mkdir(parents=True)
    torch.save({}, folder / "none.pth")
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(folder / "none.pth")
        )
    finally:
        torch.nn.Module.load_state_dict = load
    for file in FILES:
        torch.save(network.state_dict(), folder / file)
    return folder / FILES[0]


def programs(root: Path, weights: Path, device: str) -> dict[str, list[str]]:
    """Return the command of each program."""
    folders = [str(root / "first"), str(root / "second")]
    python = [sys.executable, "-m"]
    ours = [*python, "gan_research", "evaluate", *folders, "--metrics", "fid", "--extractor", "inception"]
    ours += ["--device", device, "--no-cache", f"extractor.weights={weights}", "batch_size=50"]
    fidelity = [shutil.which("fidelity", path=str(Path(sys.executable).parent)) or "fidelity", "--fid", "--no-cache"]
    fidelity += ["--input1", folders[0], "--input2", folders[1], "--batch-size", "50"]
    fidelity += ["--gpu", "0"] if device.startswith("cuda") else ["--cpu"]
    pytorch_fid = [*python, "pytorch_fid", *folders, "--device", device, "--batch-size", "50"]
    return {"gan evaluate": ours, "torch-fidelity": fidelity, "pytorch-fid": pytorch_fid}


if __name__ == "__main__":
    main()
