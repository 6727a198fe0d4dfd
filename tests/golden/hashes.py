"""Hashes of short trainings, the same on every x86-64 machine: `python tests/golden/hashes.py` writes them anew.

Float32 results depend on the processor: torch, MKL, oneDNN and the C library choose code by its instruction set. With
the variables of `ENVIRONMENT` they all take their oldest code, so that a hash depends on torch's version alone.
"""

import hashlib
import json
import platform
import sys
import tempfile
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1]))  # as pytest has it
from configurations import COMMON, CONFIGURATIONS
from warm import Server

GOLDEN = Path(__file__).parent / "golden.json"
"""torch's version -> configuration -> part -> hash."""

ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F",
    "CUDA_VISIBLE_DEVICES": "",
}

VERSION = torch.__version__.partition("+")[0]

LOGGED = ("loss/", "logits/", "probability/", "gradient_norm/", "samples/", "game/")
"""Columns of the history that are a function of the seed, unlike times and memory."""


def supported():
    """Return whether the hashes of this machine can be compared with others'."""
    return platform.machine() == "x86_64" and platform.system() == "Linux"


def hashes(name, server, folder):
    """Train a configuration; return the hash of its networks, components' buffers, optimizers and logged terms."""
    words = f"train {COMMON} {CONFIGURATIONS[name]} output={folder} name={name}".split()
    ended = server(*words)
    assert ended.status == 0, (name, ended.error)
    (run,) = Path(folder).glob(f"{name}-s7*")
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    state = checkpoint["state_dict"]
    networks = {k: v for k, v in state.items() if k.startswith(("generator", "discriminator"))}
    components = [(k.rpartition(".")[2], v) for k, v in state.items() if k not in networks]
    moments = [
        (f"{number}.{parameter}.{key}", value)
        for number, optimizer in enumerate(checkpoint["optimizer_states"])
        for parameter, values in optimizer["state"].items()
        for key, value in values.items()
        if value is not None
    ]
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows] == list(range(1, 11))
    terms = [
        (f"{row['round']} {key}", torch.tensor(value, dtype=torch.float64))
        for row in rows
        for key, value in row.items()
        if key.startswith(LOGGED)
    ]
    parts = {"networks": networks.items(), "buffers": components, "optimizers": moments, "terms": terms}
    return {part: digest(tensors) for part, tensors in parts.items()}


def digest(tensors):
    """Return the first 12 hex digits of a hash over (name, tensor) pairs in any order."""
    total = hashlib.sha256()
    for name, value in sorted(tensors, key=lambda pair: pair[0]):
        tensor = torch.as_tensor(value).contiguous()
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:12]


def main():
    """Write the hashes of all configurations for this version of torch."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), **ENVIRONMENT)
        golden[VERSION] = {name: hashes(name, server, folder) for name in CONFIGURATIONS}
        server.close()
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
