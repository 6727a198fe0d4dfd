"""FreezeD: the first blocks of D are a fixed function, and everything else learns."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from gan_research.callbacks import Checkpoints
from gan_research.checkpoints.io import MARK, read_checkpoint, weights_of
from gan_research.data import Arrays
from gan_research.networks import (
    CNNDiscriminator,
    DCGANDiscriminator,
    Discriminator,
    MLPDiscriminator,
    ResNetDiscriminator,
    TFDCGANDiscriminator,
)
from gan_research.networks.heads import LinearHead
from gan_research.regularizers import R1, Consensus, Orthogonal, WeightClipping
from gan_research.sampling.export import describe_export, write_export
from gan_research.training.first_weights import load_first_weights
from gan_research.training.unrolling import Unrolling
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

ADAM = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))

NETWORKS = {
    "mlp": (partial(MLPDiscriminator, width=4, depth=3, dropout=0.5, input_dropout=0.1), [["1"], ["4"], ["7"]]),
    "maxout": (partial(MLPDiscriminator, width=4, depth=2, activation="maxout", norm="spectral"), [["0"], ["1"]]),
    "cnn": (partial(CNNDiscriminator, width=4, max_width=4), [["0"], ["2"], ["4"]]),
    "dcgan": (partial(DCGANDiscriminator, width=4, base=2), [["0"], ["2", "3"]]),
    "dcgan, norm last": (partial(DCGANDiscriminator, width=4, base=2, norm_first=False), [["0"], ["2", "4"]]),
    "dcgan-tf": (partial(TFDCGANDiscriminator, width=4), [["0"], ["2", "3"], ["5", "6"], ["8", "9"]]),
    "resnet": (partial(ResNetDiscriminator, width=4, max_width=4, plain_blocks=10), [[str(i)] for i in range(11)]),
    "resnet, batch": (partial(ResNetDiscriminator, width=4, max_width=4, norm="batch_all"), [["0"], ["1"]]),
}  # with the layers of `body` that have parameters, block by block
networks = pytest.mark.parametrize(("make", "blocks"), NETWORKS.values(), ids=NETWORKS.keys())


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """train(rounds, play, **game): a GAN of 8x8 images after these rounds."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))

    def train(rounds, play, **game):
        data = Arrays(path, batch_size=4, seed=0)
        return play(rounds, data=data, **{"resolution": 8, "optimizer": ADAM, "regularizers": {"r1": R1(0.1)}} | game)

    return train


def of_blocks(gan, count):
    """The parameters and buffers in D's first blocks, by name."""
    layers = [layer for block in gan.discriminator.blocks_from_image()[:count] for layer in block]
    prefixes = tuple(f"{name}." for name, layer in gan.discriminator.named_modules() if any(layer is x for x in layers))
    return {name: value for name, value in gan.discriminator.state_dict().items() if name.startswith(prefixes)}


def equal(a, b):
    return {name: torch.equal(value, b[name]) for name, value in a.items()}


@networks
def test_blocks_are_counted_from_the_image(make, blocks):
    network = make(SampleSpec(8, 1))
    names = {layer: name for name, layer in network.body.named_children()}
    found = [[names[layer] for layer in block] for block in network.blocks_from_image()]
    assert [name for block in found for name in block] == list(names.values())
    assert [[name for name in block if list(network.body[int(name)].parameters())] for block in found] == blocks


@networks
def test_frozen_blocks_are_a_fixed_function_and_the_rest_learns(make, blocks, game, play, train):
    count = len(blocks) - 1
    new = game(resolution=8, discriminator=make, optimizer=ADAM)
    gan = train(4, play, discriminator=make, freeze_discriminator=count)
    before, after = new.discriminator.state_dict(), gan.discriminator.state_dict()
    frozen = of_blocks(gan, count)
    assert all(equal(frozen, before).values())  # statistics and the vectors of spectral norms too
    assert len(of_blocks(gan, len(blocks))) > len(frozen)
    learning = [name for name, p in gan.discriminator.named_parameters() if name not in frozen]
    assert not any(equal({name: after[name] for name in learning}, before).values())
    optimizer = gan.player_optimizers["discriminator"].optimizer
    assert len(optimizer.state) == len(optimizer.param_groups[0]["params"]) == len(learning)
    assert all(p.grad is None for name, p in gan.discriminator.named_parameters() if name in frozen)
    generator = dict(gan.generator.named_parameters())
    assert not any(equal(generator, new.generator.state_dict()).values())  # its gradient comes through
    images = torch.randn(3, 1, 8, 8)
    layers = nn.Sequential(*(layer for block in gan.discriminator.blocks_from_image()[:count] for layer in block))
    inputs = images.flatten(1) if isinstance(gan.discriminator, MLPDiscriminator) else images
    assert gan.discriminator.train().training
    assert torch.equal(layers(inputs), layers(inputs))  # in training too: nothing is dropped, no power iteration


class Several(Discriminator):
    """Parts in a list and in a sequence, and a head."""

    def __init__(self, samples):
        super().__init__(samples)
        self.stem = nn.Conv2d(1, 2, 1)
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU()), nn.GroupNorm(1, 2)])
        self.last = nn.Linear(2 * 8 * 8, 3)
        self.head = LinearHead(3)

    def features(self, images):
        images = self.stem(images)
        for stage in self.stages:
            images = stage(images)
        return self.last(images.flatten(1))


def test_containers_are_replaced_by_their_contents():
    network = Several(SampleSpec(8, 1))
    (inner, activation), norm = network.stages
    assert network.blocks_from_image() == [[network.stem], [inner, activation, norm], [network.last]]
    network.freeze(2)
    learning = [name for name, p in network.named_parameters() if p.requires_grad]
    assert {name.partition(".")[0] for name in learning} == {"last", "head"}


def test_a_network_of_a_head_alone_has_no_blocks(game):
    with pytest.raises(UserError, match="give 0 to 0, the number of blocks of MLPDiscriminator"):
        game(discriminator=partial(MLPDiscriminator, depth=0), freeze_discriminator=1)


@pytest.mark.parametrize("count", [3, -1])
def test_more_blocks_than_there_are_are_refused(count, game):
    two = partial(MLPDiscriminator, width=4, depth=2)
    assert game(discriminator=two, freeze_discriminator=2).discriminator.frozen == 2
    with pytest.raises(UserError, match=f"freeze_discriminator={count}: give 0 to 2"):
        game(discriminator=two, freeze_discriminator=count)


COMPONENTS = {
    "clipping": {"regularizers": {"clipping": WeightClipping(0.01)}},
    "orthogonal, consensus": {"regularizers": {"orthogonal": Orthogonal(0.1), "consensus": Consensus(0.1)}},
    "unrolled": {"unrolling": Unrolling(steps=2, descends="loss")},
    "clipped gradients": {"max_gradient_norm": 0.1, "accumulation": 2},
}


@pytest.mark.parametrize("components", COMPONENTS.values(), ids=COMPONENTS.keys())
def test_no_component_changes_frozen_blocks(components, game, play, train):
    arguments = {"discriminator": partial(DCGANDiscriminator, width=4, base=2), "freeze_discriminator": 1}
    before = game(resolution=8, **arguments).discriminator.state_dict()
    gan = train(3, play, **arguments | copy.deepcopy(components))
    assert all(equal(of_blocks(gan, 1), before).values())
    assert not torch.equal(gan.discriminator.head.linear.weight, before["head.linear.weight"])


def test_a_resumed_run_is_the_uninterrupted_one_and_first_weights_are_kept(game, play, train, tmp_path):
    arguments = {"discriminator": partial(DCGANDiscriminator, width=4, base=2)}
    train(2, play, **arguments, callbacks=[Checkpoints(tmp_path / "first", 2)])
    source = tmp_path / "first" / "last.ckpt"

    def run(rounds, folder, **options):
        gan = game(resolution=8, optimizer=ADAM, rounds=rounds, seed=1, freeze_discriminator=2, **arguments)
        if "checkpoint" not in options:
            load_first_weights(gan, str(source))
        return train(rounds, play, gan=gan, callbacks=[Checkpoints(tmp_path / folder, rounds)], **options)

    whole = run(4, "whole")
    run(2, "half")
    resumed = run(4, "half", checkpoint=tmp_path / "half" / "last.ckpt")
    assert all(equal(whole.state_dict(), resumed.state_dict()).values())
    assert resumed.discriminator.frozen == 2
    weights = read_checkpoint(source)["state_dict"]
    initial = {name.removeprefix("discriminator."): value for name, value in weights.items()}
    assert all(equal(of_blocks(whole, 2), initial).values())


def test_frozen_blocks_need_the_discriminators_weights(game, play, tmp_path):
    play(rounds=1, callbacks=[Checkpoints(tmp_path / "checkpoints", 1)])
    content = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    described = describe_export(content[MARK], False, 0, (-1.0, 1.0))
    write_export(tmp_path / "export", described, {"generator": weights_of(content, "generator")})
    with pytest.raises(UserError, match="export has no discriminator"):
        load_first_weights(game(freeze_discriminator=1), str(tmp_path / "export"))
