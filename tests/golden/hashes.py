"""Hashes of short trainings, and the terms that they log last: `python tests/golden/hashes.py` adds those of this CPU.

Float32 results depend on the processor: torch, MKL, oneDNN and the C library choose code by its instruction set. With
the variables of `ENVIRONMENT` they all take their oldest code; then results still differ between vendors (MKL's
matrix products), so that hashes are kept for each kind of CPU. On a kind that isn't known terms are compared, by value.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1]))  # as pytest has it
from configurations import COMMON, CONFIGURATIONS
from warm import Server

GOLDEN = Path(__file__).parent / "golden.json"
"""hashes: torch's version -> kind of CPU -> configuration -> part -> hash. terms: configuration -> term -> value."""

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


PROBE = """
import torch
from torch.nn.functional import conv2d, softplus
torch.manual_seed(0)
shapes = (8, 64, 32), (3, 200, 7), (64, 1024, 16), (128, 2, 128)
results = [torch.randn(m, k) @ torch.randn(k, n) for m, k, n in shapes]
results += [(torch.randn(8, 64).bfloat16() @ torch.randn(64, 32).bfloat16()).float()]
results += [(torch.randn(8, 64).double() @ torch.randn(64, 32).double())]
results += [conv2d(torch.randn(2, 8, 16, 16), torch.randn(16, 8, 3, 3), padding=1)]
results += [f(torch.randn(1000)) for f in (torch.exp, torch.tanh, softplus, torch.erf, torch.rsqrt)]
print(b"".join(r.double().numpy().tobytes() for r in results).hex())
"""
"""Prints the bits of what processors differ in."""


def kind_of_cpu():
    """Return a name for the processors that calculate as this one does: its vendor, and a hash of some results."""
    ended = subprocess.run(
        [sys.executable, "-c", PROBE], env=os.environ | {"OMP_NUM_THREADS": "1"} | ENVIRONMENT, stdout=subprocess.PIPE
    )
    vendor = re.search(r"vendor_id\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{vendor[1] if vendor else platform.machine()} {hashlib.sha256(ended.stdout).hexdigest()[:12]}"


def trained(name, server, folder):
    """Train a configuration.

    Return the hashes of its networks, components' buffers, optimizers and logged terms, and the terms after the last
    round.
    """
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
    last = {key: value for key, value in rows[-1].items() if key.startswith(LOGGED)}
    return {part: digest(tensors) for part, tensors in parts.items()}, last


def digest(tensors):
    """Return the first 12 hex digits of a hash over (name, tensor) pairs in any order."""
    total = hashlib.sha256()
    for name, value in sorted(tensors, key=lambda pair: pair[0]):
        tensor = torch.as_tensor(value).contiguous()
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:12]


def main():
    """Write the hashes of all configurations for this version of torch and this kind of CPU, and the terms."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {"hashes": {}}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), **ENVIRONMENT)
        found = {name: trained(name, server, folder) for name in CONFIGURATIONS}
        server.close()
    golden["hashes"].setdefault(VERSION, {})[kind_of_cpu()] = {name: hashes for name, (hashes, _) in found.items()}
    golden["terms"] = {name: terms for name, (_, terms) in found.items()}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
