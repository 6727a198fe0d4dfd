"""Labels in files: which are understood, how classes are numbered, and which are refused."""

import json

import numpy as np
import pytest
from PIL import Image

from gan_research.config.build import require_images_of_classes
from gan_research.data import Arrays, Digits, ImageFolder, StackedMNIST
from gan_research.data.labels import describe_classes
from gan_research.utils.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
TURN = np.arange(12)


def arrays(folder, labels, **options):
    np.savez(folder / "set.npz", images=IMAGES[: len(labels)], labels=labels)
    return Arrays(str(folder / "set.npz"), batch_size=1, **options)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (TURN % 3, [0, 1, 2]),
        (TURN % 3 + 1, [1, 2, 3]),
        (TURN % 3 * 5, [0, 5, 10]),
        (np.where(TURN < 2, 255, TURN % 2).astype(np.uint8), [0, 1, 255]),
        (np.where(TURN < 2, 2_000_000_000, TURN % 2), [0, 1, 2_000_000_000]),
        (np.where(TURN < 2, 2**64 - 1, TURN % 2).astype(np.uint64), [0, 1, 2**64 - 1]),
        (np.array(["dog", "cat", "elephant"] * 4), ["cat", "dog", "elephant"]),
        (np.array([b"dog", b"cat"] * 6), ["cat", "dog"]),
        (TURN % 2 == 0, [0, 1]),
    ],
    ids=["from 0", "from 1", "gaps", "ignore", "huge", "largest", "words", "bytes", "bool"],
)
def test_each_class_has_images_whatever_its_label(labels, classes, tmp_path):
    data = arrays(tmp_path, labels)
    assert (data.num_classes, data.classes) == (len(classes), classes)
    given = [label.decode() if isinstance(label, bytes) else label for label in labels.tolist()]
    assert [classes[i] for i in data.train.labels] == given
    assert data.train.labels.unique().tolist() == list(range(len(classes)))
    assert describe_classes(classes) in data.summary()
    require_images_of_classes(data)


def test_labels_are_described_unless_they_are_the_classes():
    assert describe_classes([0, 1, 2]) == "3 classes"
    assert describe_classes([1, 2]) == "2 classes, numbered from 0 for the labels 1, 2"
    assert describe_classes(range(1, 100)).endswith("labels 1, 2, 3, 4, 5, 6, ..., 94, 95, 96, 97, 98, 99")


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (TURN / 2, "float64 from 0.0"),
        (np.where(TURN < 2, -1, 0), "int64 from -1"),
        (np.full(12, np.nan), "float64 from nan"),
        (np.eye(12), "(12, 12)"),
        (TURN.astype("datetime64[s]"), "datetime64"),
        (np.array(["cat", None] * 6), "cannot be read"),
    ],
    ids=["fractions", "negative", "nan", "one hot", "times", "objects"],
)
def test_labels_that_are_refused(labels, part, tmp_path):
    with pytest.raises(UserError) as caught:
        arrays(tmp_path, labels).setup()
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_held_out_labels_are_numbered_as_those_of_the_training_file(tmp_path):
    np.savez(tmp_path / "test.npz", images=IMAGES[:2], labels=np.array(["dog", "bat"]))
    data = arrays(tmp_path, np.array(["dog", "cat", "bat"]), heldout_path=str(tmp_path / "test.npz"))
    assert data.heldout.labels.tolist() == [2, 0]
    np.savez(tmp_path / "test.npz", images=IMAGES[:2], labels=np.array(["dog", "emu"]))
    with pytest.raises(UserError, match=r"has a label emu, and .* has 3 classes, numbered from 0 for the labels bat"):
        arrays(tmp_path, np.array(["dog", "cat", "bat"]), heldout_path=str(tmp_path / "test.npz")).setup()


@pytest.mark.parametrize("kind", ["arrays", "folder"])
def test_a_class_without_training_images_is_refused(kind, tmp_path):
    if kind == "arrays":
        data = arrays(tmp_path, TURN % 2 + 4, heldout=0.5)
    else:
        data = folder(tmp_path, ["4/a.png", "5/a.png"], heldout=0.5)
    with pytest.raises(UserError, match=r"1 of 2 classes of \S+ have no training image, or aren't declared \(5\)"):
        require_images_of_classes(data)


def test_the_classes_of_known_sets_have_images(monkeypatch):
    require_images_of_classes(Digits())
    data = Digits()
    monkeypatch.setattr(data, "num_classes", 9)
    with pytest.raises(UserError, match=r"aren't declared \(9\)"):
        require_images_of_classes(data)
    assert StackedMNIST.num_classes == 1000


# --- folders -----------------------------------------------------------------------------------------------------


def folder(root, names, **options):
    for image, name in zip(IMAGES, names, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return ImageFolder(str(root), 4, labels=True, batch_size=1, **options)


NAMES = ["00000/b.png", "00000/a.png", "00001/c.png", "d.png"]


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [([7, 3, 3, 9], [3, 7, 9], [0, 1, 0, 2]), (["cat", "dog", "dog", "emu"], ["cat", "dog", "emu"], [1, 0, 1, 2])],
    ids=["integers", "words"],
)
def test_the_label_file_of_stylegan(labels, classes, numbers, tmp_path):
    data = folder(tmp_path, NAMES)
    entries = [[name.replace("/", "\\") if i else name, labels[i]] for i, name in enumerate(NAMES)]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [*entries, ["absent.png", 3]]}))
    assert (data.classes, data.num_classes) == (classes, 3)
    assert data.train.labels.tolist() == numbers  # in the order of names: a, b, c, d
    assert describe_classes(classes) in data.summary()
    assert "left out" not in data.summary()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('{"labels": null}', "4 of 4 images have no label"),
        ('{"labels": [["d.png", 1]]}', "3 of 4 images have no label in"),
        (json.dumps({"labels": [[name, [0.5, 1]] for name in NAMES]}), "are list"),
        (json.dumps({"labels": [[name, 0.5] for name in NAMES]}), "are float"),
        (json.dumps({"labels": [[name, -1] for name in NAMES]}), "int64 from -1"),
        (json.dumps({"labels": [[name, name if i else 1] for i, name in enumerate(NAMES)]}), "are int, str"),
        ("[]", "can't be read as"),
        ('{"labels": [3]}', "can't be read as"),
        ("[" * 100_000, "can't be read as"),
        ("", "can't be read as"),
    ],
)
def test_label_files_that_are_refused(content, part, tmp_path):
    data = folder(tmp_path, NAMES)
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError) as caught:
        _ = data.num_classes
    assert part in str(caught.value)
    assert "dataset.json" in str(caught.value)
    assert ImageFolder(str(tmp_path), 4, batch_size=1).summary().endswith("left out: 1 .json")


@pytest.mark.parametrize("name", ["labels.csv", "metadata.jsonl", "classes.TSV", "train.json"])
def test_a_table_of_labels_is_not_passed_over(name, tmp_path):
    data = folder(tmp_path, NAMES[:3])
    (tmp_path / name).write_text("a.png,1")
    with pytest.raises(UserError, match=rf"doesn't read {name}: if it has the labels, write them to dataset.json"):
        data.setup()
