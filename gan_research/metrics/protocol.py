"""The protocol of an evaluation: everything that changes a metric's number."""

import dataclasses
import hashlib
import json
from typing import Any

from gan_research.metrics.extractors.base import Extractor


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A description of how numbers were measured. Numbers of different protocols aren't comparable.

    channels: how grey images are converted for a network that takes colour.
    real_split, num_real, real_hash: the real samples, how many the metrics use at most, and the hash of the whole set.
        "none" if no metric needs them; num_real is None if a file of statistics doesn't specify it.
    num_heldout, heldout_hash: the same of real samples that aren't trained on.
    real_shape, fake_shape: channels x height x width.
    real_files, fake_files: the image files that they were read from, if any: number, sizes, modes, and what was left
        out. Hashes identify the content, so these fields aren't compared.
    fake_labels: "in turn" means the classes 0, 1, ... in turn.
    ema, batch_statistics: of the generator; None if samples come from files. ema is a profile if it is the average of a
        power function.
    sampling: "prior", or the method that selects samples by the discriminator, with its settings.
    truncation: the threshold of the generator's latents; None: the whole prior.
    psi, cutoff, psi_by_class, noise: of w and of the noise inside layers, see `Sampler.styled`; psi is None if it is 1,
        noise if it is random.
    standing_statistics: "16 x 64" are 16 batches of 64 samples, over which batch norm's statistics were computed.
    sampling_seeds: of the latents, never of training.
    settings: of each metric, and the number of real samples that it used, if any.
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
    ema: bool | float | None
    batch_statistics: bool | None
    sampling: str | None
    sampling_seeds: tuple[int, ...]
    settings: dict[str, dict[str, Any]]
    truncation: float | None = None
    standing_statistics: str | None = None
    psi: float | None = None
    cutoff: int | None = None
    psi_by_class: bool = False
    noise: str | None = None
    real_files: str = ""
    fake_files: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, without fields that have their default."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        fields = dataclasses.asdict(self) | {"sampling_seeds": list(self.sampling_seeds)}
        return {name: value for name, value in fields.items() if value != defaults[name]}


def identity(extractor: Extractor) -> dict[str, str]:
    """Return an extractor's part of the protocol."""
    hashed = {"extractor": extractor.name, "extractor_hash": extractor.fingerprint()}
    return hashed | {"resize": extractor.resize, "precision": extractor.precision}


def fingerprint(values: Any) -> str:
    """Return 12 hex characters (blake2b) of plain values."""
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=6).hexdigest()
