"""Files of published weights: where they are looked for, and what is refused."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gan_research.metrics.extractors.weights import Published, fill, find, load, sha256_of
from gan_research.utils.errors import UserError

TENSORS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


class Harmful:
    """Whoever unpickles it touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def test_the_first_published_file_that_is_there_is_found(hub, tmp_path):
    one = Published("one.pth", "https://one.org/one.pth")
    two = Published("two.pth", "https://two.org/two.pth", folder=str(tmp_path / "elsewhere"))
    with pytest.raises(UserError) as error:
        find(None, [one, two], "Some")
    assert str(error.value) == (
        f"there are no Some weights at {hub / 'one.pth'}: download one.pth from https://one.org/one.pth and put it "
        "there, or specify another path with metrics.extractor.weights=PATH"
    )
    two.path.parent.mkdir()
    two.path.touch()
    assert find(None, [one, two], "Some") == tmp_path / "elsewhere" / "two.pth"
    one.path.touch()
    assert find(None, [one, two], "Some") == hub / "one.pth"


def test_a_file_that_is_named_is_the_one_that_is_taken(hub, tmp_path, monkeypatch):
    published = [Published("one.pth", "https://one.org/one.pth")]
    published[0].path.touch()
    (tmp_path / "mine.pth").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("~/mine.pth", published, "Some") == tmp_path / "mine.pth"
    with pytest.raises(UserError, match=r"there are no Some weights at .*yours\.pth: download one\.pth .* there$"):
        find(str(tmp_path / "yours.pth"), published, "Some")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_tensors_are_read_by_name(tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    (torch.save if suffix == "pth" else save_file)(TENSORS, path)
    tensors = load(path, "Some")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        name: tensor.tolist() for name, tensor in TENSORS.items()
    }


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_other_files_are_refused_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.\w+ isn't a file of Some weights; fetch it again \(.+\)$") as error:
        load(path, "Some")
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)  # torch's advice to trust the file


def test_a_file_that_was_cut_short_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="isn't a file of Some weights; fetch it again"):
        load(path, "Some")


@pytest.mark.parametrize("content", [torch.zeros(2), {"weight": [1.0, 2.0]}, ["weight"]])
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"isn't a file of Some weights; fetch it again \(it isn't a dict of tensors\)"):
        load(tmp_path / "weights.pth", "Some")


def test_code_in_a_file_is_not_executed(tmp_path):
    torch.save({"weight": Harmful(tmp_path / "executed")}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="isn't a file of Some weights"):
        load(tmp_path / "weights.pth", "Some")
    assert not (tmp_path / "executed").exists()
    torch.load(tmp_path / "weights.pth", weights_only=False)  # the harm is real
    assert (tmp_path / "executed").exists()


def test_the_hash_is_checked(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(TENSORS, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256_of(path) == digest
    for expected in (digest, digest[:8], digest[:8].upper()):
        assert load(path, "Some", expected).keys() == TENSORS.keys()
    other = f"{(int(digest[:8], 16) + 1) % 2**32:08x}"
    with pytest.raises(UserError, match=rf"isn't the expected file of Some weights; .* {digest}, not {other}\)"):
        load(path, "Some", other)


def test_tensors_become_the_weights_of_a_network(tmp_path):
    with torch.device("meta"):
        network = nn.Linear(3, 2)
    fill(network, TENSORS, tmp_path / "weights.pth", "Some")
    assert network(torch.ones(3)).tolist() == [4, 13]
    with pytest.raises(UserError, match=r"isn't a file of Some weights; fetch it again \(Error.* Linear\)"):
        fill(nn.Linear(3, 3), TENSORS, tmp_path / "weights.pth", "Some")
