"""An evaluation: one feature pass over generated pictures, all metrics, and the protocol that the numbers belong to."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from typing import Protocol as Interface

import torch
from torch import Tensor

from gan_research.errors import UserError, did_you_mean
from gan_research.metrics.extractors import Extractor, Features
from gan_research.metrics.scores import METRICS, Metric


class RealImages(Interface):
    """What an evaluation asks of real pictures."""

    def __len__(self) -> int:
        """How many there are."""

    def batches(self, batch_size: int) -> Iterable[tuple[Tensor, Tensor | None]]:
        """All of them, once, in a fixed order: uint8 (N, C, H, W), and labels."""

    def content_hash(self) -> str:
        """A hash of the pictures themselves, never of a name."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a number was measured. Numbers of different protocols don't compare, and never share a column."""

    extractor: str
    extractor_hash: str
    resize: str
    quantisation: str
    real_split: str
    num_real: int
    real_hash: str
    num_fake: int
    ema: bool
    batch_statistics: bool
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return dataclasses.asdict(self)

    def fingerprint(self) -> str:
        """12 hex characters (blake2b) that differ wherever any field does."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


class Evaluation:
    """Measures a generator: `prepare` once with real pictures, then call it with something that samples.

    Args:
        extractor: turns pictures into features and logits.
        metrics: names out of `METRICS`: "fid", "is", "rarest_class".
        num_samples: how many pictures are generated.
        batch_size: how many at a time, real and generated.
        seed: of the latents (which the caller draws) and of the inception score's splits.
    """

    def __init__(
        self,
        extractor: Extractor,
        metrics: Sequence[str] = ("fid", "is"),
        num_samples: int = 5000,
        batch_size: int = 250,
        seed: int = 0,
    ) -> None:
        if num_samples < 2 or batch_size < 1:
            raise UserError(
                "an evaluation needs num_samples of at least 2 and batch_size of at least 1, "
                f"not {num_samples} and {batch_size}"
            )
        if isinstance(metrics, str) or not metrics:
            raise UserError(f"metrics is a list of names, such as [fid, is], not {metrics!r}")
        for name in metrics:
            if name not in METRICS:
                raise UserError(f"there is no metric '{name}': {did_you_mean(name, METRICS)}")
            METRICS[name].check(extractor, num_samples)
        self.extractor = extractor
        self.metrics = list(metrics)
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self._prepared: list[Metric] | None = None
        self._real: dict[str, Any] = {}

    def prepare(self, real: RealImages, device: torch.device | str = "cpu", split: str = "train") -> None:
        """Extract the real pictures' features, in one pass, on `device`, and keep their statistics.

        `split` says for the protocol which real pictures they are.
        """
        if len(real) < 2:
            raise UserError(f"an evaluation needs at least 2 real pictures, not {len(real)}")
        device = torch.device(device)
        self._prepared = None
        self.extractor.to(device)
        prepared = [METRICS[name](self.extractor, self.seed, device) for name in self.metrics]
        with _exactly(device):
            for images, _ in real.batches(self.batch_size):
                seen = self._extract(images.to(device), "real")
                for metric in prepared:
                    metric.update_real(seen)
        self._prepared, self._device = prepared, device
        self._real = {"real_split": split, "num_real": len(real), "real_hash": real.content_hash()}

    @property
    def is_prepared(self) -> bool:
        """Whether it has seen real pictures."""
        return self._prepared is not None

    def __call__(self, sample: Callable[[int, int], Tensor]) -> dict[str, float]:
        """The metrics of the pictures that `sample(start, stop)` makes: uint8 (stop - start, C, H, W).

        They are rounded and clamped to 8 bits, not truncated. Picture number i should depend on i and the seed alone,
        so that numbers don't depend on the batch size. Sampling, too, runs here without gradient and autocast. Raises a
        UserError where features aren't finite.
        """
        prepared = self._ready()
        for metric in prepared:
            metric.reset()
        with _exactly(self._device):
            for start in range(0, self.num_samples, self.batch_size):
                stop = min(start + self.batch_size, self.num_samples)
                images = sample(start, stop)
                if len(images) != stop - start:
                    raise ValueError(
                        f"sample({start}, {stop}) has to make {stop - start} pictures, and made {len(images)}"
                    )
                seen = self._extract(images.to(self._device), "generated")
                for metric in prepared:
                    metric.update(seen)
            results: dict[str, float] = {}
            for metric in prepared:
                results |= metric.compute()
        return results

    def protocol(self, ema: bool = True, batch_statistics: bool = False) -> Protocol:
        """What the numbers belong to; the caller says which generator it samples from.

        `ema`: the averaged weights; `batch_statistics`: batch norm by each batch's own statistics, not running ones.
        """
        self._ready()
        return Protocol(
            extractor=self.extractor.name,
            extractor_hash=self.extractor.fingerprint(),
            resize=self.extractor.resize,
            quantisation="uint8, round and clamp",
            num_fake=self.num_samples,
            ema=ema,
            batch_statistics=batch_statistics,
            seed=self.seed,
            **self._real,
        )

    def _ready(self) -> list[Metric]:
        if self._prepared is None:
            raise RuntimeError("call prepare(real, device) first: an evaluation compares with real pictures")
        return self._prepared

    def _extract(self, images: Tensor, which: str) -> Features:
        seen = self.extractor(images)
        for values in seen:
            if values is not None and not torch.isfinite(values).all():
                raise UserError(
                    f"the features of the {which} pictures are not finite: the weights of extractor "
                    f"'{self.extractor.name}' are broken or lack that layer; choose another layer or other weights"
                )
        return seen


@contextlib.contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, and float32 that is float32: on a GPU no TF32, and deterministic convolutions."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            cudnn = torch.backends.cudnn
            stack.enter_context(cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False))
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        yield
