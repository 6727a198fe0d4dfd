"""The family of networks: shapes, ranges, gradients, recorded arguments, and the sizes of the papers' architectures."""

import copy
import inspect
import json
import math
import pickle
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gan_research.checkpoints.rebuild import describe, rebuild
from gan_research.networks import (
    BigGANDeepDiscriminator,
    BigGANDeepGenerator,
    BigGANDiscriminator,
    BigGANGenerator,
    CNNDiscriminator,
    CNNGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    MLPDiscriminator,
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    TFDCGANDiscriminator,
    TFDCGANGenerator,
    base_and_doublings,
)
from gan_research.networks.attention import SelfAttention
from gan_research.networks.layers import ConditionalBatchNorm2d, Maxout, output_range
from gan_research.networks.residual import DownBlock, UpBlock
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

GREY = SampleSpec(8, 1)

N, LATENT_DIM, CLASSES = 4, 12, 3
CONF = Path(__file__).parents[2] / "conf"

FULL, HALF = "full", "half"  # stand for the attention at the resolution, and at half of it

# One row a network: the class, and knobs that make it tiny.
GENERATORS = {
    "mlp": (MLPGenerator, {"width": 8}),
    "cnn": (CNNGenerator, {"width": 4, "max_width": 8}),
    "dcgan": (DCGANGenerator, {"width": 4, "max_width": 8}),
    "dcgan-torch": (DCGANGenerator, {"width": 4, "max_width": 8, "last_bias": False, "init": "torch"}),
    "resnet": (ResNetGenerator, {"width": 4, "max_width": 8}),
    "dcgan-tf": (TFDCGANGenerator, {"width": 4}),
    "r3gan": (R3GANGenerator, {"width": 4, "max_width": 8, "group_width": 8, "class_dim": 3}),
    "stylegan2": (StyleGAN2Generator, {"width": 4, "max_width": 8, "w_dim": 6, "mapping_layers": 2}),
    "stylegan2-fused": (
        StyleGAN2Generator,
        {"width": 4, "max_width": 8, "w_dim": 6, "mapping_layers": 1, "fused": True, "layer_noise": False},
    ),
    "resnet-bilinear": (
        ResNetGenerator,
        {"width": 4, "max_width": 8, "upsampling": "bilinear", "init": "torch_shortcuts"},
    ),
    "resnet-sagan": (
        ResNetGenerator,
        {"width": 8, "max_width": 8, "spectral_norm": "all", "attention": FULL, "init": "orthogonal"},
    ),
    "biggan": (BigGANGenerator, {"width": 4, "shared_dim": 5}),
    "biggan-deep": (BigGANDeepGenerator, {"width": 4, "shared_dim": 5}),
    "biggan-deep-convolutions": (
        BigGANDeepGenerator,
        {"width": 4, "shared_dim": 5, "depth": 1, "shortcuts": "convolutions", "torch_biases": True},
    ),
}
DISCRIMINATORS = {
    "mlp": (MLPDiscriminator, {"width": 8}),
    "mlp-relu": (MLPDiscriminator, {"width": 8, "activation": "relu"}),
    "mlp-maxout": (MLPDiscriminator, {"width": 8, "activation": "maxout", "maxout_pieces": 2, "dropout": 0.25}),
    "cnn": (CNNDiscriminator, {"width": 4, "max_width": 8}),
    "cnn-none": (CNNDiscriminator, {"width": 4, "max_width": 8, "norm": "none"}),
    "dcgan": (DCGANDiscriminator, {"width": 4, "max_width": 8}),
    "dcgan-torch": (
        DCGANDiscriminator,
        {"width": 4, "max_width": 8, "kernel": 5, "norm_first": False, "bias": False, "init": "torch"},
    ),
    "dcgan-spectral": (DCGANDiscriminator, {"width": 4, "max_width": 8, "norm": "spectral"}),
    "dcgan-none": (DCGANDiscriminator, {"width": 4, "max_width": 8, "norm": "none"}),
    "dcgan-tf": (TFDCGANDiscriminator, {"width": 4}),
    "resnet": (ResNetDiscriminator, {"width": 4, "max_width": 8}),
    "r3gan": (R3GANDiscriminator, {"width": 4, "max_width": 8, "group_width": 8}),
    "stylegan2": (StyleGAN2Discriminator, {"width": 4, "max_width": 8}),
    "stylegan2-orig": (
        StyleGAN2Discriminator,
        {"width": 4, "max_width": 8, "architecture": "orig", "minibatch_std_group": 2, "minibatch_std_channels": 2},
    ),
    "stylegan2-skip": (
        StyleGAN2Discriminator,
        {"width": 4, "max_width": 8, "architecture": "skip", "minibatch_std_channels": 0, "conv_clamp": 256.0},
    ),
    "resnet-batch": (ResNetDiscriminator, {"width": 4, "max_width": 8, "norm": "batch", "plain_blocks": 2}),
    "resnet-none": (ResNetDiscriminator, {"width": 4, "max_width": 8, "norm": "none", "downsamples": 1}),
    "resnet-rectified": (
        ResNetDiscriminator,
        {"width": 4, "max_width": 8, "pooling": "mean", "rectified_shortcuts": True, "head_bias": False},
    ),
    "resnet-sagan": (ResNetDiscriminator, {"width": 8, "max_width": 16, "wide_blocks": True, "attention": HALF}),
    "biggan": (BigGANDiscriminator, {"width": 4}),
    "biggan-deep": (BigGANDeepDiscriminator, {"width": 4, "rectified_shortcuts": True}),
    "biggan-deep-convolutions": (
        BigGANDeepDiscriminator,
        {"width": 4, "depth": 1, "shortcuts": "convolutions", "init": "normal"},
    ),
}
BY_VECTORS = [name for name in GENERATORS if name.startswith("biggan") or name == "resnet-sagan"]
"""The generators whose conditional batch norms take vectors; in the others each has a gain for each class."""
SPECTRAL = ["cnn", "dcgan-spectral", "resnet", "resnet-rectified", "resnet-sagan", "biggan", "biggan-deep"]
UNBOUNDED = {"r3gan", "stylegan2", "stylegan2-fused"}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def attending(cls, *arguments, attention=None, **knobs):
    """The network, with attention that isn't the identity, as it is at first."""
    if attention is not None:
        knobs["attention"] = (arguments[-1].resolution // {FULL: 1, HALF: 2}[attention],)
    network = cls(*arguments, **knobs)
    for layer in network.modules():
        if isinstance(layer, SelfAttention):
            nn.init.constant_(layer.gain, 0.5)
    return network


def generator(name, resolution=8, channels=1, num_classes=0, value_range=(-1.0, 1.0)):
    cls, knobs = GENERATORS[name]
    return attending(cls, LATENT_DIM, SampleSpec(resolution, channels, num_classes, value_range), **knobs)


def discriminator(name, resolution=8, channels=1, num_classes=0):
    cls, knobs = DISCRIMINATORS[name]
    return attending(cls, SampleSpec(resolution, channels, num_classes), **knobs)


def both(num_classes=0):
    makers = [(generator, name) for name in GENERATORS] + [(discriminator, name) for name in DISCRIMINATORS]
    return [pytest.param(make, name, id=f"{make.__name__}-{name}") for make, name in makers]


def perturbed(network):
    """Move all weights a little: classes start alike in conditional batch norms, and blocks of R3GAN with zeros."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def labels_for(num_classes, n=N):
    return torch.arange(n) % num_classes if num_classes else None


def inputs_for(network, n=N):
    if isinstance(network, Discriminator):
        return torch.randn(n, *network.samples.shape)
    return torch.randn(n, network.latent_dim)


def output(network, *inputs):
    """Images of a generator, logits of a discriminator."""
    outputs = network(*inputs)
    return outputs if isinstance(outputs, torch.Tensor) else outputs.logits


def count(network):
    return sum(p.numel() for p in network.parameters())


def shapes(network):
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("num_classes", [0, CLASSES])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [8, 28, 32, 48])
class TestShapes:
    @pytest.mark.parametrize("name", GENERATORS)
    def test_generator_makes_images_in_range(self, name, resolution, channels, num_classes):
        network = generator(name, resolution, channels, num_classes)
        images = network(torch.randn(N, LATENT_DIM), labels_for(num_classes))
        assert images.shape == (N, channels, resolution, resolution)
        assert images.dtype == torch.float32
        assert images.min() < 0 < images.max()
        assert name in UNBOUNDED or images.abs().max() <= 1

    @pytest.mark.parametrize("name", DISCRIMINATORS)
    def test_discriminator_gives_a_logit_an_image(self, name, resolution, channels, num_classes):
        network = discriminator(name, resolution, channels, num_classes).eval()
        images = torch.randn(N, channels, resolution, resolution)
        labels = labels_for(num_classes)
        logits, features, extras = network(images, labels)
        assert logits.shape == (N,)
        assert features.shape == (N, network.head.num_features)
        assert torch.equal(features, network.features(images))
        assert torch.equal(logits, network.head(features, labels))
        assert extras == {}


@pytest.mark.parametrize("name", sorted(GENERATORS.keys() - UNBOUNDED))
def test_generator_in_the_range_of_goodfellows_mnist(name):
    images = generator(name, 28, value_range=(0, 1))(torch.randn(N, LATENT_DIM))
    assert 0 <= images.min() < 0.5 < images.max() <= 1


@pytest.mark.parametrize(
    ("value_range", "at_zero"), [((-1, 1), 0.0), ((0, 1), 0.5), ((-2, 2), 0.0), ((0, 255), 127.5), ((-1, 3), 1.0)]
)
def test_output_range_reaches_both_ends_and_no_further(value_range, at_zero):
    layer = output_range(value_range)
    assert layer(torch.tensor([-100.0, 0.0, 100.0])).tolist() == [value_range[0], at_zero, value_range[1]]


def test_output_range_without_bounds_and_with_senseless_ones():
    assert output_range((-math.inf, math.inf))(torch.tensor([-1e6, 7.0])).tolist() == [-1e6, 7.0]
    for wrong in [(1, -1), (0, 0), (0, math.inf), (math.nan, 1)]:
        with pytest.raises(UserError, match="take low < high, both finite, or"):
            output_range(wrong)


def test_an_mlp_generates_points_and_vectors():
    network = MLPGenerator(2, SampleSpec(1, 2, value_range=(-math.inf, math.inf)), depth=0)
    latents = torch.randn(7, 2)
    expected = latents @ network.body[0].weight.T + network.body[0].bias
    assert torch.equal(network(latents).flatten(1), network.body(latents))
    torch.testing.assert_close(network(latents), expected[:, :, None, None])
    assert MLPDiscriminator(SampleSpec(1, 2))(latents).logits.shape == (7,)  # (N, dim) will do


@pytest.mark.parametrize("num_classes", [0, CLASSES])
@pytest.mark.parametrize(("make", "name"), both())
def test_gradient_reaches_every_parameter(make, name, num_classes):
    network = perturbed(make(name, 16, 3, num_classes))
    noise = [torch.randn(12, network.noise_dim)] if getattr(network, "noise_dim", 0) else []
    outputs = output(network, inputs_for(network, 12), labels_for(num_classes, 12), *noise)
    (outputs * torch.randn_like(outputs)).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        # the gradient of a bias ahead of a batch norm is 0 in exact arithmetic
        assert key.endswith("bias") or parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_gradient_penalty_reaches_the_weights(name):
    network = perturbed(discriminator(name))
    images = inputs_for(network).requires_grad_()
    (slope,) = torch.autograd.grad(network(images).logits.sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for k, p in network.named_parameters() if p.ndim > 1), name


@pytest.mark.parametrize(("make", "name"), both())
def test_different_labels_give_different_outputs(make, name):
    network = perturbed(make(name, num_classes=CLASSES)).eval()
    inputs = inputs_for(network)
    one, same, other = (output(network, inputs, torch.full((N,), label)) for label in (0, 0, 2))
    assert torch.equal(one, same)
    assert (one - other).abs().reshape(N, -1).amax(1).min() > 1e-5


@pytest.mark.parametrize("name", GENERATORS)
def test_mixtures_of_classes(name):
    network = generator(name, num_classes=CLASSES).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    latents, labels = torch.randn(N, LATENT_DIM), labels_for(CLASSES)
    plain, other = network(latents, labels), network(latents, (labels + 1) % CLASSES)
    pure, rolled = (torch.nn.functional.one_hot(one % CLASSES, CLASSES) for one in (labels, labels + 1))
    torch.testing.assert_close(network(latents, pure.float()), plain, rtol=0, atol=0)
    between = network(latents, 0.5 * pure + 0.5 * rolled)
    assert all(not torch.allclose(between, end, atol=1e-5) for end in (plain, other))


def normalizations(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]


def test_every_generators_batch_norm_has_a_gain_for_each_class():
    cls, knobs = MLPGenerator, {"width": 8, "norm": "conditional_batch"}
    tables = [name for name in GENERATORS if name not in (*BY_VECTORS, *UNBOUNDED)]
    made = [generator(name, num_classes=CLASSES) for name in tables]
    made.append(cls(LATENT_DIM, SampleSpec(8, 1, CLASSES), **knobs))
    assert {type(network) for network in made if normalizations(network)} == {GENERATORS[name][0] for name in tables}
    for network in made:
        assert not any(layer.affine for layer in normalizations(network))
        gains = [p for key, p in network.named_parameters() if key.endswith(".gain")]
        assert [tuple(gain.shape) for gain in gains] == [(CLASSES, n.num_features) for n in normalizations(network)]


def test_conditional_batch_norm_of_an_mlp_by_hand():
    network = MLPGenerator(LATENT_DIM, SampleSpec(8, 1, CLASSES), width=8, depth=1, norm="conditional_batch")
    linear, norm = network.body[0], network.body[1]
    assert (linear.in_features, linear.bias) == (LATENT_DIM, None)  # no labels among the latents
    torch.nn.init.normal_(norm.gain)
    torch.nn.init.normal_(norm.bias)
    latents, labels = torch.randn(12, LATENT_DIM), torch.arange(12) % CLASSES
    hidden = linear(latents)
    normal = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    activated = (normal * norm.gain[labels] + norm.bias[labels]).relu()
    torch.testing.assert_close(network(latents, labels), network.body[3:](activated).view(12, 1, 8, 8))
    with pytest.raises(UserError, match="norm=conditional_batch needs classes"):
        MLPGenerator(LATENT_DIM, GREY, norm="conditional_batch")


def test_projection_head_is_the_papers_formula():
    head = discriminator("mlp", num_classes=CLASSES).head
    features, labels = torch.randn(N, head.num_features), labels_for(CLASSES)
    by_hand = features @ head.linear.weight[0] + head.linear.bias + (head.embed.weight[labels] * features).sum(1)
    torch.testing.assert_close(head(features, labels), by_hand)


@pytest.mark.parametrize(("make", "name"), both())
def test_missing_and_unwanted_labels_are_user_errors(make, name):
    conditional, unconditional = make(name, num_classes=CLASSES), make(name)
    with pytest.raises(UserError, match=r"is conditional \(num_classes=3\) and got no labels: pass int64 labels"):
        conditional(inputs_for(conditional))
    with pytest.raises(UserError, match="is unconditional and got labels: pass none, or build it with num_classes"):
        unconditional(inputs_for(unconditional), labels_for(CLASSES))


@pytest.mark.parametrize(("make", "name"), both())
def test_describe_rebuilds_the_network(make, name):
    network = make(name, 28, 3, CLASSES)
    description = json.loads(json.dumps(describe(network)))
    given = {name for name in inspect.signature(type(network)).parameters if name != "samples"}
    assert network.init_args.keys() == given | {"resolution", "channels", "num_classes", "value_range"}
    rebuilt = rebuild(description)
    assert type(rebuilt) is type(network)
    assert rebuilt.init_args == network.init_args
    assert shapes(rebuilt) == shapes(network)
    rebuilt.load_state_dict(network.state_dict())
    arguments = inputs_for(network), labels_for(CLASSES)
    assert torch.equal(output(rebuilt.eval(), *arguments), output(network.eval(), *arguments))


@pytest.mark.parametrize(("make", "name"), both())
def test_copies_keep_arguments_and_weights(make, name):
    network = make(name, 28, 3)
    copies = [copy.deepcopy(network)]
    if not any(map(is_parametrized, network.modules())):  # torch doesn't pickle parametrised layers
        copies.append(pickle.loads(pickle.dumps(network)))
    for other in copies:
        assert describe(other) == describe(network)
        assert other.init_args is not network.init_args
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


def test_arguments_are_complete_and_plain():
    network = ResNetGenerator(8, SampleSpec(32, 1, value_range=(0, 1)), max_width=8, width=4)
    assert describe(network) == {
        "_target_": "gan_research.networks.resnet.ResNetGenerator",
        "latent_dim": 8,
        "resolution": 32,
        "channels": 1,
        "num_classes": 0,
        "value_range": [0, 1],
        "width": 4,
        "max_width": 8,
        "upsampling": "nearest",
        "init": "xavier",
        "norm": "batch",
        "norm_eps": 1e-5,
        "condition_last_norm": True,
        "attention": [],
        "spectral_norm": "none",
        "spectral_eps": 1e-12,
    }
    with pytest.raises(TypeError, match=r"ResNetGenerator.__init__\(\) got an unexpected keyword argument 'widht'"):
        ResNetGenerator(8, SampleSpec(32, 1), widht=4)


@pytest.mark.parametrize("path", sorted(CONF.glob("generator/*.yaml")) + sorted(CONF.glob("discriminator/*.yaml")))
def test_config_states_the_default_of_every_own_knob(path):
    assert path.read_text().startswith("# ")
    config = OmegaConf.load(path)
    shared = {"head": None} if path.parent.name == "discriminator" else {"latent_dim": 8}
    shared |= {"samples": SampleSpec(32, 3)}
    network = instantiate(config, _partial_=True)(**shared)
    assert path.parent.name in type(network).__name__.lower()
    defaults = {k: p.default for k, p in inspect.signature(type(network)).parameters.items() if k not in shared}
    assert {k: v for k, v in config.items() if k != "_target_"} == defaults


def test_base_and_doublings():
    makeable = [8, 12, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128]
    answers = {}
    for resolution in range(-1, 130):
        try:
            answers[resolution] = base_and_doublings(resolution)
        except UserError:
            continue
    assert list(answers) == makeable
    assert all(base * 2**doublings == resolution for resolution, (base, doublings) in answers.items())
    assert (answers[32], answers[48], answers[28]) == ((4, 3), (6, 3), (7, 2))


@pytest.mark.parametrize(("resolution", "near"), [(4, "8"), (30, "28 or 32"), (65, "64 or 96"), (1000, "896 or 1024")])
@pytest.mark.parametrize(("make", "name"), [(generator, "dcgan"), (discriminator, "dcgan"), (generator, "resnet")])
def test_a_resolution_out_of_reach_names_the_nearest(make, name, resolution, near):
    with pytest.raises(UserError) as error:
        make(name, resolution)
    expected = f"resolution {resolution} is not 4, 6 or 7 doubled at least once: take {near}, or an MLP"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MLPGenerator(2, SampleSpec(8, 0)), "channels is 0: it has to be at least 1"),
        (lambda: MLPGenerator(0, GREY), "latent_dim is 0: it has to be at least 1"),
        (lambda: MLPDiscriminator(SampleSpec(0, 1)), "resolution is 0: it has to be at least 1"),
        (lambda: MLPDiscriminator(SampleSpec(8, 1, num_classes=-1)), "num_classes is -1: it has to be at least 0"),
        (
            lambda: MLPDiscriminator(GREY, dropout=1.0),
            "dropout is 1.0: it has to be at least 0 and below 1",
        ),
        (
            lambda: MLPDiscriminator(GREY, activation="rely"),
            "activation 'rely' is unknown: did you mean 'relu'?",
        ),
        (
            lambda: DCGANGenerator(2, GREY, width=8, max_width=4),
            "max_width 4 is below width 8: raise max_width, or",
        ),
        (
            lambda: DCGANDiscriminator(GREY, norm="spectre"),
            "norm 'spectre' is unknown: did you mean 'spectral'?",
        ),
        (lambda: DCGANDiscriminator(GREY, kernel=3), "kernel is 3: take 4 or 5"),
        (
            lambda: DCGANGenerator(2, SampleSpec(48, 1), base=2),
            "resolution 48 is not 2 doubled at least once: take 32 or 64, or",
        ),
        (lambda: DCGANGenerator(2, GREY, base=0), "base is 0: it has to be at least 1"),
        (lambda: ResNetGenerator(2, GREY, init="torch"), "init 'torch' is unknown: did you mean"),
        (
            lambda: ResNetDiscriminator(SampleSpec(28, 1), downsamples=3),
            "cannot be halved 3 times: take downsamples <= 2",
        ),
        (lambda: ResNetDiscriminator(SampleSpec(28, 1), downsamples=0), "downsamples is 0: it has to be at least 1"),
    ],
)
def test_senseless_arguments_are_user_errors(build, message):
    with pytest.raises(UserError) as error:
        build()
    assert message in str(error.value)


def test_dcgan_at_64_has_the_papers_layers():
    network = DCGANGenerator(100, SampleSpec(64, 3))
    convs = [*network.convs, network.to_image]
    assert [(c.in_channels, c.out_channels) for c in convs] == [
        (100, 512), (512, 256), (256, 128), (128, 64), (64, 3)
    ]  # fmt: skip
    # Weights 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) = 3 574 784, the last bias 3,
    # and batch norm 2 * (512 + 256 + 128 + 64) = 1 920.
    assert count(network) == 3_576_707
    # Weights 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) = 2 755 584, the first bias 64,
    # batch norm 2 * (128 + 256 + 512) = 1 792, head 512 * 16 + 1 = 8 193.
    assert count(DCGANDiscriminator(SampleSpec(64, 3))) == 2_765_633
    wide = DCGANGenerator(100, SampleSpec(64, 3), width=128, max_width=1024)  # figure 1 of the paper
    assert [c.out_channels for c in wide.convs] == [1024, 512, 256, 128]


def test_dcgan_starts_as_in_the_paper():
    for network in (
        DCGANGenerator(32, SampleSpec(32, 3, num_classes=CLASSES)),
        DCGANDiscriminator(SampleSpec(32, 3, num_classes=CLASSES)),
    ):
        weights = torch.cat([p.flatten() for k, p in network.named_parameters() if k.endswith("weight") and p.ndim > 1])
        assert weights.mean().item() == pytest.approx(0, abs=1e-4)
        assert weights.std().item() == pytest.approx(0.02, rel=0.01)
        gains = [m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.affine]
        gains += [p for k, p in network.named_parameters() if "gain" in k]
        assert torch.cat([g.flatten() for g in gains]).mean().item() == pytest.approx(1, abs=5e-3)
        assert torch.cat([g.flatten() for g in gains]).std().item() == pytest.approx(0.02, rel=0.2)
        assert all((p == 0).all() for k, p in network.named_parameters() if k.endswith("bias"))


def test_sngan_for_cifar10_has_the_papers_size():
    # linear 128 -> 4 * 4 * 256: 128 * 4096 + 4096 = 528 384
    # three up-blocks of: two batch norms 2 * 512, two conv3 2 * (9 * 256^2 + 256), conv1 256^2 + 256: 1 246 976
    # batch norm 512, conv3 to RGB 9 * 256 * 3 + 3 = 6 915
    assert count(ResNetGenerator(128, SampleSpec(32, 3))) == 528_384 + 3 * 1_246_976 + 512 + 6_915 == 4_276_739
    # first block: conv3 9 * 3 * 128 + 128 = 3 584, conv3 9 * 128^2 + 128 = 147 584, conv1 3 * 128 + 128 = 512
    # second: two conv3, conv1 128^2 + 128 = 16 512; two plain ones: two conv3 each; head 128 + 1
    network = ResNetDiscriminator(SampleSpec(32, 3), downsamples=2, plain_blocks=2)
    assert count(network) == (3_584 + 147_584 + 512) + (2 * 147_584 + 16_512) + 2 * (2 * 147_584) + 129 == 1_053_825


def test_resnet_widths_are_those_of_sngans_tables():
    with torch.device("meta"):
        for_stl = ResNetGenerator(128, SampleSpec(48, 3), width=64, max_width=512)
        d_stl = ResNetDiscriminator(SampleSpec(48, 3), width=64, max_width=1024, downsamples=4, norm="none")
        for_imagenet = ResNetGenerator(128, SampleSpec(128, 3), width=64, max_width=1024)
        d_imagenet = ResNetDiscriminator(SampleSpec(128, 3), width=64, max_width=1024, downsamples=5, norm="none")
    assert [b.conv1.in_channels for b in for_stl.blocks] + [for_stl.to_image.in_channels] == [512, 256, 128, 64]
    assert [b.conv2.out_channels for b in d_stl.body[:-1]] == [64, 128, 256, 512, 1024]
    assert [b.conv2.out_channels for b in for_imagenet.blocks] == [1024, 512, 256, 128, 64]
    assert [b.conv2.out_channels for b in d_imagenet.body[:-1]] == [64, 128, 256, 512, 1024, 1024]
    assert [b.downsample for b in d_imagenet.body[1:-1]] == [True] * 4 + [False]


def test_resnet_starts_xavier_uniform():
    network = ResNetGenerator(16, SampleSpec(8, 3), width=32, max_width=32)
    block = network.blocks[0]
    for weight, gain in [(block.conv2.weight, 2**0.5), (block.shortcut.weight, 1), (network.to_image.weight, 1)]:
        fans = weight[0].numel() + weight.shape[0] * weight[0, 0].numel()
        bound = gain * (6 / fans) ** 0.5
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.02)
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert all((p == 0).all() for k, p in network.named_parameters() if k.endswith("bias"))


@pytest.mark.parametrize("resample", [nn.Upsample(scale_factor=2), nn.AvgPool2d(2)], ids=["up", "down"])
def test_the_cheap_order_of_the_shortcut_is_the_papers(resample):
    """A block whose residual branch is silenced is its shortcut: conv1 and resampling in the order of SNGAN."""
    up = isinstance(resample, nn.Upsample)
    block = (
        UpBlock(3, 5, ConditionalBatchNorm2d) if up else DownBlock(3, 5, downsample=True, batch_norm=False)
    ).double()
    nn.init.zeros_(block.conv2.weight)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    outputs = block(images, None) if up else block(images)
    in_order = block.shortcut(resample(images)) if up else resample(block.shortcut(images))
    torch.testing.assert_close(outputs, in_order, rtol=0, atol=1e-12)


def test_no_bias_before_a_batch_norm_in_dcgan():
    assert all(conv.bias is None for conv in DCGANGenerator(2, SampleSpec(16, 1), width=4).convs)
    convs = [m for m in DCGANDiscriminator(SampleSpec(16, 1), width=4).modules() if isinstance(m, nn.Conv2d)]
    assert [conv.bias is None for conv in convs] == [False, True]
    convs = [
        m for m in DCGANDiscriminator(SampleSpec(16, 1), width=4, norm="none").modules() if isinstance(m, nn.Conv2d)
    ]
    assert [conv.bias is None for conv in convs] == [False, False]


def test_maxout_is_the_largest_of_its_pieces():
    layer, inputs = Maxout(3, 4, pieces=2), torch.randn(N, 3)
    pieces = layer.affine(inputs)
    by_hand = torch.stack([torch.maximum(pieces[:, 2 * j], pieces[:, 2 * j + 1]) for j in range(4)], dim=1)
    assert torch.equal(layer(inputs), by_hand)


@pytest.mark.parametrize("name", SPECTRAL)
class TestSpectralNorm:
    def test_every_weight_has_spectral_norm_one(self, name):
        network = discriminator(name, 16, 3, CLASSES)
        images, labels = inputs_for(network), labels_for(CLASSES)
        with torch.no_grad():
            for _ in range(200):
                network(images, labels)
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
        assert len(layers) == sum("original" in key for key, _ in network.named_parameters()) >= 4
        for layer in layers:
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
            assert largest.item() == pytest.approx(1, abs=1e-3)

    def test_evaluation_changes_nothing_and_training_does(self, name):
        network = discriminator(name, 16, 3)
        images = inputs_for(network)
        before = copy.deepcopy(network.state_dict())
        network.eval()
        assert torch.equal(network(images).logits, network(images).logits)
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
        network.train()(images)
        assert any(not torch.equal(value, before[key]) for key, value in network.state_dict().items())
