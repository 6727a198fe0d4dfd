"""The classes of samples, numbered from 0, by the labels in their files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_research.utils.errors import UserError

LABEL_FILE = "dataset.json"
"""The labels of a folder of images, as StyleGAN writes them: {"labels": [["folder/image.png", 3], ...]}."""

TABLES = (".csv", ".tsv", ".json", ".jsonl")  # endings of files in which other programs store labels

SHOWN = 12  # the most labels in a line


def checked_labels(labels: np.ndarray, count: int, what: str) -> np.ndarray:
    """Return the labels of `count` images: integers from 0, or words; UserError if they are anything else."""
    if labels.shape != (count,):
        raise UserError(f"{what} has shape {labels.shape}, but there are {count} images: give one label an image")
    if labels.dtype.kind in "SU":
        return labels.astype(str)
    if labels.dtype.kind not in "biu" or labels.min() < 0:
        first = f" from {labels.min()}" if labels.dtype.kind in "if" else ""
        raise UserError(f"{what} must hold integers from 0, and it is {labels.dtype}{first}; or words")
    return labels.astype(np.uint64)


def number_classes(labels: np.ndarray | Sequence[Any]) -> tuple[Tensor, list[Any]]:
    """Return the classes of images, int64 (N,) from 0 without gaps, and the sorted labels."""
    values, classes = np.unique(labels, return_inverse=True)
    return torch.from_numpy(classes.astype(np.int64)), values.tolist()


def describe_classes(labels: Sequence[Any]) -> str:
    """Return the number of classes, and their labels if these aren't 0, 1, ... themselves."""
    count = f"{len(labels):,} classes"
    if list(labels) == list(range(len(labels))):
        return count
    shown = list(map(str, labels))
    if len(shown) > SHOWN:
        shown[SHOWN // 2 : -SHOWN // 2] = ["..."]
    return f"{count}, numbered from 0 for the labels {', '.join(shown)}"


def heldout_classes(labels: np.ndarray, classes: Sequence[Any], place: Any, train: Any) -> Tensor:
    """Return the classes of held-out images, int64 (N,), by the training images' labels.

    classes: those labels, sorted. Raises a UserError that names both places if a label isn't trained on.
    """
    if unknown := sorted(set(labels.tolist()) - set(classes)):
        raise UserError(
            f"{place} has a label {unknown[-1]}, and {train} has {describe_classes(classes)}: hold out images of the "
            "classes that are trained on"
        )
    number = {label: i for i, label in enumerate(classes)}
    return torch.tensor([number[label] for label in labels.tolist()])


def labels_by_name(content: bytes, place: Path) -> dict[str, Any]:
    """Return the labels in the content of a `LABEL_FILE` by the names of images; empty if it has none.

    Raises a UserError that names `place` if the content has another form.
    """
    try:
        entries = json.loads(content)["labels"]
        return {str(name).replace("\\", "/"): label for name, label in entries or ()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f'{place} can\'t be read as {{"labels": [[name, class], ...]}} ({type(error).__name__}): repair it, or set '
            "data.labels=false"
        ) from None


def labels_of(labels: Sequence[Any], names: Sequence[str], place: Path) -> np.ndarray:
    """Return the labels (N,) of the images `names`; UserError if any has none, or they are no classes.

    One-hot vectors become the positions of their ones.
    """
    if missing := [name for name, label in zip(names, labels, strict=True) if label is None]:
        raise UserError(
            f"{len(missing)} of {len(names)} images have no label in {place} ({missing[0]}): add them, or set "
            "data.labels=false"
        )
    kinds = {type(label) for label in labels}
    if kinds <= {list, tuple} and is_one_hot(labels):
        return np.array(labels).argmax(1)
    if kinds not in ({int}, {str}):
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UserError(f"the labels in {place} are {found}: give each image an integer from 0, or a word")
    return np.array(labels)


def is_one_hot(labels: Sequence[Any]) -> bool:
    """Return whether labels are vectors of one length, each of zeros and a single one."""
    if len({len(label) for label in labels}) != 1:
        return False
    return all(all(one in (0, 1) for one in label) and sum(label) == 1 for label in labels)
