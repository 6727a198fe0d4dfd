"""A survey of stored images: sizes, modes, classes, copies, those that can't be read, and a contact sheet."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_research.data.formats.base import Indexed
from gan_research.data.image_files import Decoder, Facts, attempt, describe_files, reason
from gan_research.utils.images import grid

SHOWN = 5  # the most names in a line
SHEET, SIDE = 64, 96  # images of a contact sheet, and pixels a side


class Survey:
    """The facts of a source's images, or their errors, and the images with equal pixels."""

    def __init__(self, source: Indexed) -> None:
        self.source = source
        read = attempt(self._read, range(len(source)))
        self.facts: list[Facts | Exception] = [one if isinstance(one, Exception) else one[0] for one in read]
        equal: dict[bytes, list[int]] = defaultdict(list)
        for index, one in enumerate(read):
            if not isinstance(one, Exception):
                equal[one[1]].append(index)
        self.copies = [group for group in equal.values() if len(group) > 1]
        self.labels = [source.label(index) for index in range(len(source))]

    def _read(self, index: int) -> tuple[Facts, bytes]:
        """Return the facts of an image, and a hash of its pixels."""
        image, facts = self.source.decode(index)
        return facts, blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).digest()

    @property
    def readable(self) -> list[int]:
        """The indices of the images that can be read."""
        return [index for index, one in enumerate(self.facts) if isinstance(one, Facts)]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield the title and text of each line of the survey."""
        if self.readable:
            yield "images", describe_files(self.facts, self.source.left_out)
        yield "labels", self._classes()
        copies = sum(len(group) - 1 for group in self.copies)
        names = [" = ".join(self.source.name(index) for index in group[:2]) for group in self.copies[:SHOWN]]
        equal = f"{copies:,} equal an earlier image: {_listed(names, len(self.copies))}"
        yield "duplicates", equal if copies else "none"
        bad = [index for index, one in enumerate(self.facts) if isinstance(one, Exception)]
        texts = [f"{self.source.name(index)} ({self._reason(index)})" for index in bad[:SHOWN]]
        yield "refused", f"{len(bad):,} of {len(self.facts):,}: {_listed(texts, len(bad))}" if bad else "none"

    def _reason(self, index: int) -> str:
        error = self.facts[index]
        assert isinstance(error, Exception)
        return reason(error, self.source.path / self.source.name(index))

    def _classes(self) -> str:
        """Return the number of images of each class, or the kind of the labels."""
        present = [label for label in self.labels if label is not None]
        missing = len(self.labels) - len(present)
        if not present:
            return "none"
        ending = f"; {missing:,} images have none" if missing else ""
        if isinstance(present[0], list | tuple):
            return f"vectors of {len(present[0])} numbers{ending}"
        counts: Counter[Any] = Counter(label if isinstance(label, int | str) else str(label) for label in present)
        shown = sorted(counts.items(), key=lambda pair: (str(type(pair[0])), pair[0]))[: 2 * SHOWN]
        text = _listed([f"{label}: {count:,}" for label, count in shown], len(counts))
        few, many = min(counts.values()), max(counts.values())
        return f"{len(counts):,} classes of {few:,} to {many:,} images: {text}{ending}"

    def sheet(self) -> Tensor | None:
        """Return a contact sheet of evenly spaced images, uint8 (3, H, W); None without images."""
        readable = self.readable
        chosen = [readable[i * len(readable) // SHEET] for i in range(SHEET)] if len(readable) > SHEET else readable
        if not chosen:
            return None
        images = np.stack([self.source.read(index, Decoder(SIDE, 3)) for index in chosen])
        return grid(torch.from_numpy(images))


def _listed(names: list[str], count: int) -> str:
    return ", ".join(names) + (", ..." if count > len(names) else "")
