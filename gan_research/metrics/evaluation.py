"""An evaluation: one feature pass over generated samples, all metrics, and the protocol that the numbers belong to."""

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
from gan_research.metrics.scores import METRICS, Metric, Split


class RealSet(Interface):
    """What an evaluation asks of real samples."""

    def __len__(self) -> int:
        """How many there are."""

    def batches(self, batch_size: int) -> Iterable[tuple[Tensor, Tensor | None]]:
        """All of them, once, in a fixed order: uint8 (N, C, H, W) or float (N, dim), and labels."""

    def content_hash(self) -> str:
        """A hash of the samples themselves, never of a name."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a number was measured. Numbers of different protocols don't compare, and never share a column.

    real_split, num_real: how many of which real samples the metrics were given ("none", where they want none); the hash
    is of the whole set. num_heldout: the same for reals that training never sees, which few metrics want.
    """

    extractor: str
    extractor_hash: str
    resize: str
    quantisation: str
    real_split: str
    num_real: int
    real_hash: str
    num_heldout: int
    heldout_hash: str
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
    """Measures a generator: `prepare` once with real samples, then call it with something that samples.

    Args:
        extractor: turns pictures, or points, into features and logits.
        metrics: names out of `METRICS`.
        num_samples: how many samples are generated.
        batch_size: how many at a time, real and generated.
        seed: of the latents (which the caller draws), and of what else a metric draws.
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

    def prepare(
        self,
        real: RealSet,
        device: torch.device | str = "cpu",
        split: str = "train",
        heldout: RealSet | None = None,
    ) -> None:
        """Extract, on `device`, the features of the real samples that the metrics want, and keep what they need.

        `split` says for the protocol which real samples they are. `heldout`: samples that training never sees.
        """
        device = torch.device(device)
        self._prepared = None
        self.extractor.to(device)
        prepared = [METRICS[name](self.extractor, self.seed, device) for name in self.metrics]
        with _exactly(device):
            num_real, real_hash = self._show(prepared, "train", real, device)
            num_heldout, heldout_hash = self._show(prepared, "heldout", heldout, device)
        self._prepared, self._device = prepared, device
        self._real = {
            "real_split": split if num_real else "none",
            "num_real": num_real,
            "real_hash": real_hash,
            "num_heldout": num_heldout,
            "heldout_hash": heldout_hash,
        }

    def _show(
        self, prepared: list[Metric], split: Split, real: RealSet | None, device: torch.device
    ) -> tuple[int, str]:
        """Give each metric those of the real samples that it wants, in one pass; how many were used, and their hash."""
        wanted = [(metric, metric.wants(self.num_samples)) for metric in prepared]
        counts = {metric: wants[split] for metric, wants in wanted if split in wants}
        if real is None:
            if counts:
                name = next(iter(counts)).name
                raise UserError(
                    f"metric '{name}' needs real samples that training never sees, and these data hold none out: leave "
                    "the metric out, or choose data with held-out samples"
                )
            return 0, ""
        for metric, count in counts.items():
            if len(real) < (count or 2):
                raise UserError(
                    f"metric '{metric.name}' needs at least {count or 2:,} real samples ({split}) for num_samples="
                    f"{self.num_samples}, and there are {len(real):,}: lower num_samples, or take more data"
                )
        last = max((count or len(real) for count in counts.values()), default=0)
        start = 0
        for samples, _ in real.batches(self.batch_size):  # the first batch in any case: whether the extractor takes it
            self._quantisation = "uint8, round and clamp" if samples.dtype == torch.uint8 else "none"
            seen = self._extract(samples.to(device), "real")
            for metric, count in counts.items():
                if count is None or start < count:
                    metric.update_real(seen if count is None else seen.first(count - start), split)
            start += len(samples)
            if start >= last:
                break
        return last, real.content_hash() if last else ""

    @property
    def is_prepared(self) -> bool:
        """Whether it has seen real samples."""
        return self._prepared is not None

    def __call__(self, sample: Callable[[int, int], Tensor]) -> dict[str, float]:
        """The metrics of the samples that `sample(start, stop)` makes: uint8 (stop - start, C, H, W), or points.

        Pictures are rounded and clamped to 8 bits, not truncated; points are float (stop - start, dim). Sample number i
        should depend on i and the seed alone, so that numbers don't depend on the batch size. Sampling, too, runs here
        without gradient and autocast. Raises a UserError where features aren't finite.
        """
        prepared = self._ready()
        for metric in prepared:
            metric.reset()
        with _exactly(self._device):
            for start in range(0, self.num_samples, self.batch_size):
                stop = min(start + self.batch_size, self.num_samples)
                samples = sample(start, stop)
                if len(samples) != stop - start:
                    raise ValueError(
                        f"sample({start}, {stop}) has to make {stop - start} samples, and made {len(samples)}"
                    )
                seen = self._extract(samples.to(self._device), "generated")
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
            quantisation=self._quantisation,
            num_fake=self.num_samples,
            ema=ema,
            batch_statistics=batch_statistics,
            seed=self.seed,
            **self._real,
        )

    def _ready(self) -> list[Metric]:
        if self._prepared is None:
            raise RuntimeError("call prepare(real, device) first: an evaluation compares with real samples")
        return self._prepared

    def _extract(self, samples: Tensor, which: str) -> Features:
        if samples.is_floating_point() and not torch.isfinite(samples).all():
            raise UserError(f"the {which} points are not finite, so they can't be measured")
        seen = self.extractor(samples)
        for values in seen:
            if values is not None and not torch.isfinite(values).all():
                raise UserError(
                    f"the features of the {which} samples are not finite: the weights of extractor "
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
