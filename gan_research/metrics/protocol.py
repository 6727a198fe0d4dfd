"""How a number was measured."""

import dataclasses
import hashlib
import json
from typing import Any

from gan_research.metrics.extractors import Extractor


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a number was measured. Numbers of different protocols don't compare, and never share a column.

    channels: how grey pictures came to a network of colour. real_split, num_real: how many of which real samples the
    metrics were given ("none", where they want none; no number, where a file of statistics doesn't say); the hash is
    of the whole set. num_heldout: the same for reals that training never sees, which few metrics want. Shapes:
    channels x height x width. fake_labels: "in turn": the classes 0, 1, ... in turn. ema, batch_statistics: of the
    generator; None where samples come from files. sampling: how the sampler draws, its description. sampling_seeds:
    of the latents, never of training. settings: those of each metric, and how many real samples it was given, where
    it wants some.
    """

    extractor: str
    extractor_hash: str
    resize: str
    precision: str
    channels: str
    quantisation: str
    real_split: str
    num_real: int | None
    real_hash: str
    real_shape: str
    num_heldout: int
    heldout_hash: str
    num_fake: int | None
    fake_shape: str
    fake_labels: str
    ema: bool | None
    batch_statistics: bool | None
    sampling: str | None
    sampling_seeds: tuple[int, ...]
    settings: dict[str, dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return dataclasses.asdict(self) | {"sampling_seeds": list(self.sampling_seeds)}

    def fingerprint(self) -> str:
        """12 hex characters (blake2b) that differ wherever any field does."""
        return fingerprint(self.as_dict())


def identity(extractor: Extractor) -> dict[str, str]:
    """An extractor's part of the protocol."""
    return {
        "extractor": extractor.name,
        "extractor_hash": extractor.fingerprint(),
        "resize": extractor.resize,
        "precision": extractor.precision,
    }


def fingerprint(values: Any) -> str:
    """12 hex characters (blake2b) of plain values."""
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=6).hexdigest()
