"""Conversion of stored images to StyleGAN's ZIP."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gan_research.data.cache import chunks
from gan_research.data.formats.base import Indexed
from gan_research.data.formats.stylegan_zip import new_zip
from gan_research.data.image_files import AsItIs, Facts, ImageDecoder, refuse, refuse_other_shapes
from gan_research.data.labels import number_classes
from gan_research.utils.errors import UserError
from gan_research.utils.images import png


def convert(source: Indexed, decoder: ImageDecoder, path: Path, skip_corrupt: bool) -> tuple[int, list[Any]]:
    """Write the images of a source and their labels to a ZIP of PNGs; return their number, and the numbered words.

    Labels that are words become the numbers of their sorted order. After an error there is no file.
    """
    labels, words = _numbered([source.label(index) for index in range(len(source))])
    facts: list[Facts | Exception] = []
    names, count, way = source.names, 0, "leave them out by --skip-corrupt"
    with new_zip(path) as archive:
        for images, found in chunks(source, decoder):
            if not skip_corrupt or any(isinstance(one, UserError) for one in found):
                refuse(source.path, names[len(facts) : len(facts) + len(found)], found, False, way)
            for image, one in zip(images, found, strict=True):
                if isinstance(one, Facts):
                    archive.add(png(torch.from_numpy(image)), labels[len(facts)])
                    count += 1
                facts.append(one)
            if isinstance(decoder, AsItIs) and any(isinstance(f, Facts) and f.shape != decoder.shape for f in found):
                refuse_other_shapes(source.path, names[: len(facts)], facts, "give --resolution, or")
        refuse(source.path, names, facts, skip_corrupt, way)
    return count, words


def _numbered(labels: Sequence[Any]) -> tuple[Sequence[Any], list[Any]]:
    if labels and all(isinstance(label, str) for label in labels):
        classes, words = number_classes(labels)
        return classes.tolist(), words
    return labels, []
