"""Decoded images on disk: made once, and mapped into memory at later starts."""

import contextlib
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_research.data.formats.base import Indexed
from gan_research.data.image_files import Facts, ImageDecoder, refuse
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.files import new_folder
from gan_research.utils.paths import cache_folder
from gan_research.utils.run_folder import one_process_in
from gan_research.utils.texts import bytes_text

log = logging.getLogger(__name__)

VERSION = 1
PIXELS, RECORD = "images.npy", "record.json"
CHUNK = 2**26  # bytes of images that are decoded before they are written
LARGE = 2**26  # bytes of decoded images from which a set is cached by default


class Cached(NamedTuple):
    """Images of a source, uint8 (N, C, H, W), and the facts of each, or an error: such an image is black."""

    images: Tensor
    facts: list[Facts | Exception]


def cached(source: Indexed, decoder: ImageDecoder, skip_corrupt: bool) -> Cached:
    """Return decoded images from the cache folder, after writing them there if need be.

    The folder is named by the files' names, sizes and times, the decoder and the version. Several processes make it
    once; it is complete or absent. A UserError if it can't be written, or if images can't be read.
    """
    digest = blake2b(source.fingerprint() + f"{decoder} {skip_corrupt} {VERSION}".encode(), digest_size=12)
    place = cache_folder() / "images" / digest.hexdigest()
    with one_process_in(place):
        whole = place / "whole"
        if whole.exists():
            with contextlib.suppress(Exception):
                return _opened(whole, (len(source), *decoder.shape))
            log.warning("the cache %s is damaged or of another version: it is made again", whole)
        for left in (whole, *place.glob(".*.partial")):  # the latter of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        _make(whole, source, decoder, skip_corrupt)
        return _opened(whole, (len(source), *decoder.shape))


def _opened(folder: Path, shape: tuple[int, ...]) -> Cached:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    # private pages: torch warns of arrays that can't be written to
    images = np.load(folder / PIXELS, mmap_mode="c", allow_pickle=False)
    if record["version"] != VERSION or images.shape != shape or images.dtype != np.uint8:
        raise ValueError("another version")
    return Cached(torch.from_numpy(images), [_read(one) for one in record["facts"] for _ in range(one["count"])])


def _make(folder: Path, source: Indexed, decoder: ImageDecoder, skip_corrupt: bool) -> None:
    """Decode all images into a new folder; its size is announced before."""
    shape = len(source), *decoder.shape
    size = math.prod(shape)
    log.warning("decoding %s images once into %s: %s", f"{len(source):,}", folder, bytes_text(size))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(folder.parent).free) < size:
            raise OSError(None, f"{bytes_text(free)} are free")
        with new_folder(folder) as partial:
            facts: list[Facts | Exception] = []
            with (partial / PIXELS).open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for images, found in chunks(source, decoder):
                    file.write(images.data)
                    facts += found
                file.flush()
                os.fsync(file.fileno())
            refuse(source.path, source.names, facts, skip_corrupt)
            source.require_unchanged()
            (partial / RECORD).write_text(json.dumps({"version": VERSION, "facts": _counted(facts)}), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the cache {folder} can't be written ({error.strerror or one_line(error)}), and takes {bytes_text(size)}: "
            "free space, set GAN_RESEARCH_CACHE to a folder on another disk, or set data.cache=false"
        ) from None


def chunks(source: Indexed, decoder: ImageDecoder) -> Iterator[tuple[np.ndarray, list[Facts | Exception]]]:
    """Yield all images in parts, uint8 (n, C, H, W), and the facts of each, or its error."""
    step = max(1, CHUNK // math.prod(decoder.shape))
    for start in range(0, len(source), step):
        indices = range(start, min(start + step, len(source)))
        images = np.zeros((len(indices), *decoder.shape), np.uint8)
        yield images, source.decode_into(images, indices, decoder)


def _counted(facts: list[Facts | Exception]) -> list[dict[str, Any]]:
    """Return runs of equal facts, with the number of images of each."""
    runs: list[dict[str, Any]] = []
    for one in facts:
        plain = {"facts": list(one)} if isinstance(one, Facts) else {"error": one_line(one)}
        if runs and plain.items() <= runs[-1].items():
            runs[-1]["count"] += 1
        else:
            runs.append(plain | {"count": 1})
    return runs


def _read(one: dict[str, Any]) -> Facts | Exception:
    """Return the facts of a run in a record, or the error."""
    if "error" in one:
        return OSError(one["error"])
    mode, shape, changes, peak = one["facts"]
    return Facts(mode, tuple(shape), tuple(changes), peak)
