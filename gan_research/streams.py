"""Randomness as a function of (seed, purpose, position).

No random state is carried from one round to the next: whatever is drawn in round r is drawn from a stream that
is named by the run's seed, what it is for, and where in training it is. A resumed run therefore draws what the
uninterrupted one drew, and nothing drawn for evaluation moves anything drawn for training.
"""

import hashlib

import torch


def stream_seed(seed: int, purpose: str, position: int = 0) -> int:
    """A 63-bit seed for the stream `purpose` at `position` of the run with this `seed`."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, purpose: str, position: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh random generator on `device` for the stream `purpose` at `position`.

    On the CPU torch's Mersenne Twister is seeded with 32 of the 63 bits.
    """
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose, position))
