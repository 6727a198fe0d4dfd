"""`gan export`: what it writes draws the very same samples, and it overwrites nothing of somebody else's."""

import contextlib
import json
import re
import shutil
from functools import partial

import pytest
import torch
import yaml
from safetensors.torch import load_file

from gan_research import __version__, load
from gan_research.networks import (
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from gan_research.sampling.export import make_sampler, read_config, read_weights, write_export
from gan_research.training.ema import EMA
from gan_research.training.saved_state import describe_game
from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.run_folder import measured_at


@pytest.fixture
def exported(finished, gan, tmp_path):
    """The folder of an export, with the discriminator."""
    result = gan("export", finished, "-o", tmp_path / "out", "--discriminator")
    assert (result.status, result.error) == (0, "")
    assert f"generator and discriminator of round 20 ({finished}/checkpoints/last.ckpt) in" in result.output
    return tmp_path / "out"


def strict(constant):
    raise AssertionError(constant)


def test_what_is_in_it(exported, finished, state, identical):
    files = {"README.md", "config.json", "generator.safetensors", "discriminator.safetensors"}
    assert {p.name for p in exported.iterdir()} == files
    config = json.loads((exported / "config.json").read_text(), parse_constant=strict)
    saved = state(finished)
    game = saved["gan_research"]
    described = {key: config[key] for key in ("generator", "discriminator", "prior", "round", "images_seen")}
    assert described == {key: game[key] for key in described}
    assert {key: config[key] for key in ("version", "averaged", "value_range", "num_classes", "kimg")} == {
        "version": __version__,
        "averaged": True,
        "value_range": [-1.0, 1.0],
        "num_classes": 0,
        "kimg": 1.28,
    }
    for file, prefix in (("generator", "generator_ema."), ("discriminator", "discriminator.")):
        weights = {k.removeprefix(prefix): v for k, v in saved["state_dict"].items() if k.startswith(prefix)}
        found = load_file(exported / f"{file}.safetensors")
        assert identical(found, weights), file


@pytest.mark.parametrize("raw", [False, True])
def test_it_draws_the_same_samples(raw, finished, gan, tmp_path):
    option = ["--raw"] if raw else []
    assert gan("export", finished, "-o", tmp_path / "out", *option).status == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"README.md", "config.json", "generator.safetensors"}
    expected = load(finished, raw=raw)
    sampler = load(tmp_path / "out")
    assert torch.equal(sampler.sample(40, seed=3), expected.sample(40, seed=3))
    for source, output in ((finished, "a.npz"), (tmp_path / "out", "b.npz")):
        words = option if source == finished else []
        assert gan("sample", source, "-n", "9", "-o", tmp_path / output, *words).status == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_it_is_measured_as_the_run_is(finished, exported, gan, tmp_path):
    def numbers(samples, *options):
        words = ("digits", "--metrics", "digits", "--num-samples", "100", "--device", "cpu")
        result = gan("evaluate", samples, *words, "--json", tmp_path / "n.json", *options)
        assert result.status == 0, result.error
        (found,) = json.loads((tmp_path / "n.json").read_text())["evaluations"]
        return {key: value for key, value in found.items() if key not in ("checkpoint", "training_seed")}

    assert numbers(exported) == numbers(finished / "checkpoints" / "last.ckpt")


def header_and_text(card):
    _, header, text = card.split("---\n", 2)
    return yaml.safe_load(header), text


def test_its_card(finished, exported, gan, tmp_path):
    header, text = header_and_text((exported / "README.md").read_text())
    (measured,) = measured_at(finished, 20)
    (model,) = header["model-index"]
    numbers = {metric["type"]: metric["value"] for metric in model["results"][0]["metrics"]}
    assert numbers == {name: measured["metrics"][name] for name in measured["better"]}
    assert (header["library_name"], header["pipeline_tag"]) == ("gan_research", "unconditional-image-generation")
    segment = json.loads((finished / "run.json").read_text())["segments"][-1]
    for fact in (segment["commit"], segment["data"]["hash"], segment["data"]["summary"], "non_saturating", "1 x 8 x 8"):
        assert str(fact) in text, fact
    protocol = re.search(r"```json\n(.*?)```", text, re.DOTALL)[1]
    assert json.loads(protocol) == measured["protocol"]
    assert str(tmp_path.parent) not in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    with contextlib.chdir(exported.parent):
        exec(code, names := {})
    assert torch.equal(names["images"], load(finished).sample(64))


def test_the_card_has_no_numbers_of_other_weights(finished, gan, tmp_path):
    assert gan("export", finished, "-o", tmp_path / "raw", "--raw").status == 0
    (tmp_path / "alone.ckpt").write_bytes((finished / "checkpoints" / "last.ckpt").read_bytes())
    assert gan("export", tmp_path / "alone.ckpt", "-o", tmp_path / "alone").status == 0
    for name in ("raw", "alone"):
        header, text = header_and_text((tmp_path / name / "README.md").read_text())
        assert "model-index" not in header
        assert "| fid |" not in text


def test_what_an_export_cannot_say(exported, gan, one_line, tmp_path):
    one_line(gan("evaluate", exported, "--metrics", "digits"), "doesn't specify its training data", "REFERENCE")
    one_line(gan("sample", exported, "--raw", "-o", tmp_path / "s.png"), "only the generator's average", "--raw")
    one_line(gan("evaluate", exported, "digits", "--metrics", "digits", "--raw"), "only the generator's average")
    one_line(gan("evaluate", "digits", exported, "--metrics", "digits"), str(exported), "is a generator, not samples")


def test_a_folder_that_holds_something_else_is_refused(finished, exported, gan, one_line, tmp_path, contents):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "generator.safetensors").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text('{"model_type": "theirs"}')
    before = contents(tmp_path)
    one_line(gan("export", finished, "-o", tmp_path / "file"), "is a file: give a folder")
    for folder in ("full", "theirs"):
        one_line(gan("export", finished, "-o", tmp_path / folder), "neither empty nor an export")
    one_line(gan("export", finished, "-o", finished), "neither empty nor an export")
    assert contents(tmp_path) == before
    (tmp_path / "empty").mkdir()
    assert gan("export", finished, "-o", tmp_path / "empty").status == 0
    assert gan("export", finished, "-o", exported, "--raw").status == 0  # one of ours is replaced, all of it
    assert {p.name for p in exported.iterdir()} == {"README.md", "config.json", "generator.safetensors"}
    assert torch.equal(load(exported).sample(3), load(finished, raw=True).sample(3))


def test_an_export_that_is_not_whole_is_known_not_to_be(exported, finished, gan, one_line, tmp_path, monkeypatch):
    weights = exported / "generator.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-1], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], b""):
        weights.write_bytes(damaged)
        one_line(gan("sample", exported, "-o", tmp_path / "s.png"), str(weights), "export it again")
    weights.unlink()
    one_line(gan("sample", exported, "-o", tmp_path / "s.png"), str(weights), "is missing")

    def killed_at(number):
        def write(path, content):
            written.append(path)
            if len(written) == number:
                raise KeyboardInterrupt
            write_atomically(path, content)

        return write

    for number in (1, 2):
        written = []
        with monkeypatch.context() as patch:
            patch.setattr("gan_research.sampling.export.write_atomically", killed_at(number))
            assert gan("export", finished, "-o", exported, "--raw").status == 130
        with pytest.raises(UserError, match="export it again"):
            load(exported)
    assert gan("export", finished, "-o", exported).status == 0
    assert torch.equal(load(exported).sample(3), load(finished).sample(3))


def test_an_export_of_a_later_version_is_refused(exported):
    config = json.loads((exported / "config.json").read_text())
    (exported / "config.json").write_text(json.dumps(config | {"gan_research_export": 99, "version": "9.9"}))
    with pytest.raises(UserError, match=r"exported by a newer gan_research \(9.9\): update"):
        load(exported)


@pytest.mark.parametrize("part", ["generator", "prior"])
def test_nothing_outside_the_allow_list_is_built_from_it(part, exported, gan, one_line, tmp_path):
    config = json.loads((exported / "config.json").read_text())
    config[part] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    (exported / "config.json").write_text(json.dumps(config))
    one_line(gan("sample", exported, "-o", tmp_path / "s.png"), "os.mkdir, which isn't allowed")
    assert not (tmp_path / "made").exists()


def test_a_conditional_generator_and_points(conditional, gan, train, the_run, tmp_path):
    points = ("data=ring", "generator.width=16", "discriminator.width=16")
    assert train(tmp_path / "runs", *points, "metrics=none", "rounds=3").status == 0
    for run, labels in ((conditional, 3), (the_run(tmp_path / "runs"), None)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert gan("export", run, "-o", tmp_path / "out", "--discriminator").status == 0
        json.loads((tmp_path / "out" / "config.json").read_text(), parse_constant=strict)
        sampler, expected = load(tmp_path / "out"), load(run)
        assert sampler.value_range == tuple(expected.value_range)
        assert sampler.generates_points is expected.generates_points is (labels is None)
        assert torch.equal(sampler.sample(9, labels=labels), expected.sample(9, labels=labels))


class Tied(MLPGenerator):
    """Two names of one tensor, and a buffer that is a view of another."""

    def __init__(self, latent_dim, samples, width=8):
        super().__init__(latent_dim, samples, width)
        self.again = self.body
        self.register_buffer("table", torch.arange(6.0))
        self.register_buffer("part", self.table[2:4])


NETWORKS = {
    "spectral norm": (partial(ResNetGenerator, width=4), partial(ResNetDiscriminator, width=4)),
    "unbounded": (
        partial(R3GANGenerator, width=8, max_width=8, group_width=8),
        partial(R3GANDiscriminator, width=8, max_width=8, group_width=8),
    ),
    "shared tensors": (partial(Tied, width=8), None),
}


@pytest.mark.parametrize(("generator", "discriminator"), NETWORKS.values(), ids=NETWORKS.keys())
def test_all_of_a_networks_state_goes_in(generator, discriminator, game, tmp_path):
    gan = game(resolution=8, generator=generator, discriminator=discriminator, ema=EMA(decay=0.5))
    networks = {"generator": gan.generator.state_dict(), "discriminator": gan.discriminator.state_dict()}
    sizes = {"value_range": [-1, 1], "num_classes": 0, "round": 0, "images_seen": 0, "kimg": 0.0}
    write_export(tmp_path / "out", {**describe_game(gan), "averaged": False, **sizes}, networks)
    config = read_config(tmp_path / "out")
    for name, state in networks.items():
        found = read_weights(tmp_path / "out", name, config)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    if discriminator is NETWORKS["spectral norm"][1]:
        assert any("parametrizations" in key for key in networks["discriminator"])
    sampler = make_sampler(config, read_weights(tmp_path / "out", "generator", config), [__name__])
    raw = make_sampler(describe_game(gan), gan.generator.state_dict(), [__name__])
    assert torch.equal(sampler.sample(4), raw.sample(4))
