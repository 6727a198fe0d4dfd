"""`gan data`: the survey of a set of images, and its conversion."""

import json
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from written import IMAGES, LABELS, hdf5, imagenet_folders, names, stylegan_folder, web_dataset

from gan_research.data import Images


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_is_there(gan, tmp_path):
    folder = stylegan_folder(tmp_path / "set", labels=[*LABELS[:11], 7])
    (folder / names(12)[3]).write_bytes((folder / names(12)[1]).read_bytes())
    (folder / names(12)[4]).write_bytes(b"no image")
    Image.new("L", (20, 10)).save(folder / "z.png")
    (folder / "notes.txt").write_text("words")
    result = gan("data", folder)
    assert result.status == 0
    lines = [line.split(None, 1) for line in result.output.splitlines()]
    assert lines[0] == [f"{folder}:", "13 images, Folder"]
    assert dict(lines[1:]) == {
        "images": "12 image files of 8 x 8 to 20 x 10; 11 RGB, 1 L; left out: 1 unreadable, 1 .txt",
        "labels": "4 classes of 1 to 4 images: 0: 4, 1: 4, 2: 3, 7: 1; 1 images have none",
        "duplicates": f"1 equal an earlier image: {names(12)[1]} = {names(12)[3]}",
        "refused": f"1 of 13: {names(12)[4]} (cannot identify image file)",
        "sheet": "data.png",
    }
    with Image.open("data.png") as sheet:
        assert sheet.size == (3 * 98 + 2, 4 * 98 + 2)
    assert "data-2.png" in gan("data", folder).output


@pytest.mark.parametrize("write", [hdf5, web_dataset, imagenet_folders])
def test_a_conversion_has_equal_images_and_labels(write, gan, tmp_path):
    (tmp_path / "made").mkdir()
    result = gan("data", write(tmp_path / "made"), "-o", "new/set.zip")
    assert result.status == 0, result.error
    assert result.output.startswith("12 images of 3 x 8 x 8 in new/set.zip, ")
    assert ("0 = n00, 1 = n01, 2 = n02" in result.output) is (write is imagenet_folders)
    train = Images("new/set.zip", batch_size=1).train
    assert torch.equal(train.take(12), torch.from_numpy(IMAGES))
    assert train.labels.tolist() == LABELS
    with ZipFile("new/set.zip") as archive:
        assert archive.namelist()[0] == "00000/img00000000.png"
        assert json.loads(archive.read("dataset.json"))["labels"][11] == ["00000/img00000011.png", 2]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set.zip"]


def test_a_conversion_crops_resizes_and_skips(gan, one_line, contents, tmp_path):
    folder = stylegan_folder(tmp_path / "set", np.repeat(IMAGES, 2, 3), labels=None)
    (folder / names(12)[11]).write_bytes(b"no image")
    one_line(gan("data", folder, "-o", "a.zip"), "16 x 8 pixels", "--resolution")
    one_line(gan("data", folder, "-o", "a.zip", "--resolution", "4"), names(12)[11], "--skip-corrupt")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    arguments = ("--resolution", "4", "--recipe", "adm", "--channels", "1", "--skip-corrupt")
    assert gan("data", folder, "-o", "a.zip", *arguments).status == 0
    expected = Images(str(folder), 4, "adm", 1, skip_corrupt=True, batch_size=1).train
    assert torch.equal(Images("a.zip", batch_size=1).train.take(99), expected.take(99))
    before = contents(tmp_path)
    one_line(gan("data", folder, "-o", "a.zip", *arguments), "a.zip exists")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nowhere",), "nowhere"),
        ((".", "-o", "set.tar"), ".zip"),
        ((".", "--resolution", "4"), "-o FILE.zip"),
        ((".", "-o", "a.zip", "--resolution", "0"), "--resolution is 0"),
        ((".", "-o", "a.zip", "--recipe", "adm"), "--resolution"),
        ((".",), "no images in"),
        (("hf://nobody/nothing",), "hf://nobody/nothing"),
    ],
)
def test_what_is_refused(arguments, part, gan, one_line, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody answers
    one_line(gan("data", *arguments), part)
    assert not any(tmp_path.iterdir())
