"""Exports on the Hugging Face Hub, with its own client and a local server that stands in for it."""

import pytest
import torch
from hub_server import TOKEN, serving

from gan_research import load
from gan_research.utils.errors import UserError

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra hub isn't installed")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with an account, and an empty cache."""
    with serving() as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        point_to(server.url, tmp_path, monkeypatch)
        yield server


def point_to(url, tmp_path, monkeypatch):
    """Let the client, which reads its variables when it is imported, ask that server."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def test_a_push_is_loaded_by_its_name_and_by_its_commit(hub, finished, gan, tmp_path, monkeypatch, one_line):
    result = gan("export", finished, "--push", "me/digits", "--discriminator")
    assert (result.status, result.error) == (0, "")
    (commit,) = [*hub.commits("me/digits")][1:]
    assert result.output.splitlines()[-1] == f"pushed: {hub.url}/me/digits/commit/{commit}"
    names = {"README.md", "config.json", "generator.safetensors", "discriminator.safetensors"}
    assert hub.repositories["me/digits"][-1].keys() == {".gitattributes", *names}
    card = hub.repositories["me/digits"][-1]["README.md"].decode()
    assert 'load("hf://me/digits")' in card
    assert not any(str(finished) in text for text in (card, *hub.messages))
    expected = load(finished)
    assert torch.equal(load("hf://me/digits", discriminator=True).sample(9), expected.sample(9))

    assert gan("export", finished, "-o", tmp_path / "raw", "--raw").status == 0
    (tmp_path / "raw" / "README.md").write_text("my own words")
    assert gan("export", tmp_path / "raw", "--push", "hf://me/digits").status == 0
    assert hub.repositories["me/digits"][-1].keys() == {".gitattributes", *names} - {"discriminator.safetensors"}
    assert hub.repositories["me/digits"][-1]["README.md"] == b"my own words"
    assert torch.equal(load("hf://me/digits").sample(9), load(finished, raw=True).sample(9))
    assert torch.equal(load(f"hf://me/digits@{commit}").sample(9), expected.sample(9))

    point_to("http://127.0.0.1:9", tmp_path, monkeypatch)  # no network: what was downloaded before is used
    assert gan("sample", f"hf://me/digits@{commit}", "-n", 4, "-o", tmp_path / "s.npz").status == 0
    assert torch.equal(load("hf://me/digits").sample(9), load(finished, raw=True).sample(9))
    one_line(gan("train", "resume=hf://me/digits"), "it is an export, and init=hf://me/digits starts a new run")


def test_private_repositories(hub, finished, gan, tmp_path, monkeypatch):
    assert gan("export", finished, "--push", "me/secret", "--private").status == 0
    assert hub.private == {"me/secret": True}
    assert load("hf://me/secret").sample(1).shape == (1, 1, 8, 8)
    monkeypatch.delenv("HF_TOKEN")
    point_to(hub.url, tmp_path / "other", monkeypatch)  # another user's cache
    with pytest.raises(UserError, match="HF_TOKEN"):
        load("hf://me/secret")


def test_names_that_do_not_exist_and_no_network(hub, finished, gan, one_line, tmp_path, monkeypatch, contents):
    before = contents(tmp_path)
    hub.repositories["me/theirs"] = [{"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}]
    hub.private["me/theirs"] = False
    sample = ("-o", tmp_path / "s.png")
    for address, part in {
        "hf://me": "give hf://USER/NAME",
        "hf://me/a/b": "give hf://USER/NAME",
        "hf://me/nothing": "hf auth login",
        "hf://me/theirs@v2": "v2",
        "hf://me/theirs": "isn't an export of gan_research",
    }.items():
        one_line(gan("sample", address, *sample), address, part)
    one_line(gan("export", finished, "--push", "me/theirs"), "has files that aren't an export")
    one_line(gan("export", finished, "--push", "someone/else"), "no rights")
    one_line(gan("export", finished, "--push", "me/a@v2"), "leave out the revision")
    one_line(gan("export", finished), "--push USER/NAME")
    one_line(gan("export", finished, "-o", tmp_path / "x", "--private"), "add --push")
    monkeypatch.delenv("HF_TOKEN")
    one_line(gan("export", finished, "--push", "me/new", "-o", tmp_path / "x"), "hf auth login")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    one_line(gan("export", finished, "--push", "me/new", "-o", tmp_path / "x"), "hf://me/new")
    point_to("http://127.0.0.1:9", tmp_path, monkeypatch)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its five tries
    one_line(gan("export", finished, "--push", "me/new", "-o", tmp_path / "x"), "network")
    one_line(gan("sample", "hf://me/nothing", *sample), "network")
    assert hub.repositories.keys() == {"me/theirs"}
    assert {path for path in contents(tmp_path) if path.parts[0] != "hub"} == before.keys()


def test_without_the_client(finished, gan, one_line, monkeypatch):
    monkeypatch.setattr("gan_research.utils.hub.find_spec", lambda name: None)
    one_line(gan("sample", "hf://me/digits"), "pip install 'gan_research[hub]'")
    one_line(gan("export", finished, "--push", "me/digits"), "pip install 'gan_research[hub]'")
