"""Forward passes of both networks, with their precision and compilation."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

import torch
from torch import Tensor, nn

from gan_research.networks.base import DOutput
from gan_research.utils.errors import UserError
from gan_research.utils.precisions import Precision
from gan_research.utils.tf32 import Setting, products, temporarily

AUTOCAST: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def require_precision(precision: str, device: torch.device | None = None) -> None:
    """Raise a UserError if there is no such precision, or not on this device."""
    if precision not in get_args(Precision):
        raise UserError(f"precision={precision}: give 32, tf32, bf16, fp16 or 64")
    if precision == "tf32" and device is not None and device.type != "cuda":
        raise UserError("precision=tf32 is a mode of CUDA GPUs, and this run is on the CPU: set precision=32 or bf16")


class Forward:
    """Forward passes of both networks.

    Inside `full_precision()` they run in float32 (or float64), without autocast and uncompiled, as gradient penalties
    require: compiled code has no second derivative, and half precision has too few bits for it. Autocast is entered for
    each pass, since its cache of weights would be stale after an optimizer step.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        average: nn.Module | None,
        precision: Precision,
        device: torch.device,
        compiled: bool,
    ) -> None:
        self.dtype = torch.float64 if precision == "64" else torch.float32
        self.precision, self.device = precision, device
        self._generator, self._discriminator = generator, discriminator
        self._is_full = self._is_differentiated_twice = False
        self._replaced: Mapping[str, Tensor] = {}
        self._run_generator: Any = torch.compile(generator) if compiled else generator
        self._run_discriminator: Any = torch.compile(discriminator) if compiled else discriminator
        self.sampled: Any = self._run_generator
        """The network for sampling: the averaged generator, or the generator if there is no average."""
        if average is not None:
            self.sampled = torch.compile(average) if compiled else average

    @property
    def reduced_precision(self) -> bool:
        """Return True if gradient penalties need a separate forward pass in full precision."""
        return not self._is_full and (self.precision in AUTOCAST or self.precision == "tf32")

    def generate(self, latents: Tensor, labels: Tensor | None, noise: Tensor | None = None) -> Tensor:
        """Return the generator's samples; noise: that of its layers, if they add any."""
        inputs = (latents, labels) if noise is None else (latents, labels, noise)
        if self._is_full:
            return self._generator(*inputs)
        with self.autocast():
            return self._run_generator(*inputs).to(self.dtype)

    def discriminate(self, images: Tensor, labels: Tensor | None, **info: Tensor) -> DOutput:
        """Return D's output for images, with logits and extras in the dtype of the losses.

        A discriminator without classes gets no labels. info: its further arguments.
        """
        labels = labels if self._discriminator.num_classes else None
        if self._replaced:
            return torch.func.functional_call(self._discriminator, dict(self._replaced), (images, labels), info)
        if self._is_full:
            return self._discriminator(images, labels, **info)
        network = self._discriminator if self._is_differentiated_twice else self._run_discriminator
        with self.autocast():
            out: DOutput = network(images, labels, **info)
        if self.precision not in AUTOCAST:
            return out
        extras = {name: extra.to(self.dtype) for name, extra in out.extras.items()}
        return DOutput(out.logits.to(self.dtype), out.features, extras)

    @torch.no_grad()
    def probe(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return D's logits of images in training mode, without changing its buffers."""
        buffers = {name: buffer.clone() for name, buffer in self._discriminator.named_buffers()}
        with self.autocast():
            inputs = images.to(self.dtype), labels if self._discriminator.num_classes else None
            return torch.func.functional_call(self._discriminator, buffers, inputs).logits.float()

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context manager of one forward pass."""
        if self.precision not in AUTOCAST:
            return nullcontext()
        return torch.autocast(self.device.type, AUTOCAST[self.precision])

    def full_precision(self) -> AbstractContextManager[None]:
        """Run forward passes without autocast and uncompiled, and all products without TF32."""
        return temporarily(self._settings())

    def _settings(self) -> list[Setting]:
        """Return the settings of full precision."""
        return [(self, "_is_full", True), *(products(tf32=False) if self.precision == "tf32" else [])]

    def replacing(self, tensors: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Run D with these parameters and buffers, by name, in full precision; as usual if there are none."""
        return temporarily([(self, "_replaced", tensors), *self._settings()]) if tensors else nullcontext()

    def double_backward(self, enabled: bool) -> AbstractContextManager[None]:
        """Run D uncompiled if `enabled`, since its gradient will be differentiated again."""
        return temporarily([(self, "_is_differentiated_twice", True)]) if enabled else nullcontext()

    def training(self) -> AbstractContextManager[Any]:
        """Return the context manager of a run: TF32 on a GPU only for precision=tf32."""
        return temporarily(products(self.precision == "tf32")) if self.device.type == "cuda" else nullcontext()


def frozen(parameters: list[nn.Parameter]) -> AbstractContextManager[None]:
    """Disable gradients of these parameters."""
    return temporarily([(p, "requires_grad", False) for p in parameters if p.requires_grad])
