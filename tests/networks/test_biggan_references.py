"""Residual networks against StudioGAN's and BigGAN-PyTorch's own, with the same weights.

Weights are drawn by NumPy's frozen generator, running statistics too, and u and v of spectral norms are the singular
vectors: theirs iterate in other passes than ours (BigGAN-PyTorch's in evaluation mode too), and so must have converged.
`golden_biggan.json` holds outputs of the references on them, in float64:

    GAN_RESEARCH_REFERENCES=FOLDER python tests/networks/test_biggan_references.py

writes it, where FOLDER contains PyTorch-StudioGAN and BigGAN-PyTorch, and PYTHONPATH the repository.
"""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from references import imported, reference
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gan_research.networks import (
    BigGANDeepDiscriminator,
    BigGANDeepGenerator,
    BigGANDiscriminator,
    BigGANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from gan_research.utils.sample_spec import SampleSpec

GOLDEN = Path(__file__).with_name("golden_biggan.json")
CLASSES, SHARED, N = 3, 5, 2


# --- the references, at tiny widths ------------------------------------------------------------------------------


def studiogan(backbone, player, latent_dim=12, width=4, depth=2, attention=True, resolution=32, places=(2, 1)):
    folder = reference("PyTorch-StudioGAN") / "src"
    misc = SimpleNamespace(dummy_context_mgr=contextlib.nullcontext)
    module, ops = imported(folder, f"models.{backbone}", "utils.ops", stubs={"utils.misc": misc})
    relu = nn.ReLU(inplace=True)
    modules = SimpleNamespace(
        g_conv2d=ops.snconv2d, g_linear=ops.snlinear, g_bn=ops.ConditionalBatchNorm2d, g_act_fn=relu,
        d_conv2d=ops.snconv2d, d_linear=ops.snlinear, d_embedding=ops.sn_embedding, d_act_fn=relu,
    )  # fmt: skip
    shared = {"img_size": resolution, "apply_attn": attention, "num_classes": CLASSES, "mixed_precision": False}
    shared |= {"MODULES": modules, "MODEL": SimpleNamespace(info_type="N/A", g_info_injection="N/A")}
    if player == "generator":
        own = {"z_dim": latent_dim, "g_shared_dim": SHARED, "g_conv_dim": width, "g_depth": depth, "g_init": "ortho"}
        network = module.Generator(**own, attn_g_loc=[places[0]], g_cond_mtd="cBN", **shared)
    else:
        own = {"d_conv_dim": width, "d_depth": depth, "d_init": "ortho", "apply_d_sn": True, "d_cond_mtd": "PD"}
        own |= {"aux_cls_type": "N/A", "d_embed_dim": None, "normalize_d_embed": False}
        network = module.Discriminator(**own, attn_d_loc=[places[1]], **shared)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):  # one-hot labels are float32
            layer.register_forward_pre_hook(lambda layer, inputs: tuple(x.to(layer.weight_orig) for x in inputs))
    return network


def brock(module, player, width, attention, resolution, **own):
    (code,) = imported(reference("BigGAN-PyTorch"), module)
    shared = {"resolution": resolution, "n_classes": CLASSES, "SN_eps": 1e-6}
    with contextlib.redirect_stdout(io.StringIO()):
        if player == "generator":
            names = {"G_ch": width, "G_attn": attention, "dim_z": 20, "shared_dim": SHARED, "hier": True}
            return code.Generator(**shared, **names, no_optim=True, **own)
        return code.Discriminator(**shared, D_ch=width, D_attn=attention, **own)


# --- the same weights on both sides ------------------------------------------------------------------------------

LAYERS = {
    "conv2d0": "shortcut", "conv_sc": "shortcut",
    **{f"conv2d{i}": f"conv{i}" for i in (1, 2, 3, 4)}, **{f"conv{i}": f"conv{i}" for i in (1, 2, 3, 4)},
    **{f"bn{i}": f"norm{i}" for i in (1, 2, 3, 4)}, "bn": "normalize", "gain": "gain", "bias": "bias",
    "conv1x1_theta": "query", "conv1x1_phi": "key", "conv1x1_g": "value", "conv1x1_attn": "out",
    "theta": "query", "phi": "key", "g": "value", "o": "out",
}  # fmt: skip
"""Layers of blocks, norms and attention: theirs -> ours."""

GENERATOR = {
    "linear0": "linear", "linear": "linear", "shared": "shared", "bn4": "norm.normalize", "conv2d5": "to_image",
    "output_layer.0": "norm.normalize", "output_layer.2": "to_image",
}  # fmt: skip
DISCRIMINATOR = {
    "input_conv": "body.0", "linear1": "head.linear", "linear": "head.linear", "embedding": "head.embed",
    "embed": "head.embed",
}  # fmt: skip
"""Layers outside blocks: theirs -> ours."""


def pairs_inside(theirs, ours):
    """Yield the pairs of modules of a block, a norm or attention."""
    yield theirs, ours.normalize if hasattr(theirs, "stored_mean") else ours
    for name, child in theirs.named_children():
        if name in LAYERS:
            layer = getattr(ours, LAYERS[name])
            yield from pairs_inside(child, getattr(layer, "conv", layer))  # of `MoreChannels`


def pairs(theirs, ours):
    """Yield the pairs of modules of two networks: (theirs, ours)."""
    is_generator = hasattr(ours, "to_image")
    modules = dict(theirs.named_modules())
    for name, our_name in (GENERATOR if is_generator else DISCRIMINATOR).items():
        if name in modules:
            yield modules[name], ours.get_submodule(our_name)
    blocks = iter(ours.blocks if is_generator else ours.body["input_conv" in modules : -1])
    mine = None
    for block in (block for stage in theirs.blocks for block in stage):
        mine = mine.attention if "Attention" in type(block).__name__ else next(blocks)
        yield from pairs_inside(block, mine)
    assert next(blocks, None) is None


def copy(ours, theirs):
    """Copy the tensors of one of our modules to theirs, under their names; return how many parameters."""
    mine = dict(ours.named_parameters(recurse=False))
    if is_parametrized(ours):
        norm = ours.parametrizations.weight[0]
        mine |= {"weight": ours.parametrizations.weight.original, "u": norm._u, "v": norm._v}
    mine |= {name: b for name, b in ours.named_buffers(recurse=False) if name != "num_batches_tracked"}
    if "gain" in mine and not hasattr(theirs, "gain"):
        mine["sigma" if hasattr(theirs, "sigma") else "gamma"] = mine.pop("gain")  # of attention
    own = {name: t for group in (theirs._parameters, theirs._buffers) for name, t in group.items() if t is not None}
    renamed = {"weight": "weight_orig", "u": "weight_u", "v": "weight_v"} if "weight_orig" in own else {"u": "u0"}
    if "gain" in own:  # of a plain batch norm of BigGAN-PyTorch
        renamed |= {"weight": "gain"}
    if "stored_mean" in own:
        renamed |= {"running_mean": "stored_mean", "running_var": "stored_var"}
    for name, value in mine.items():
        if (target := own.get(renamed.get(name, name))) is not None:
            target.data.copy_(value.reshape(target.shape))
        else:
            assert name == "v", (name, type(theirs))  # BigGAN-PyTorch doesn't store it
    return sum(p.numel() for p in theirs.parameters(recurse=False))


def fill(network):
    """Draw all weights and running statistics; let spectral norms converge."""
    draws = np.random.RandomState(0)
    with torch.no_grad():
        for name, tensor in sorted(network.state_dict().items()):
            if not tensor.is_floating_point() or name.endswith(("_u", "_v")):
                continue
            normal = torch.from_numpy(draws.standard_normal(tuple(tensor.shape)))
            if name.endswith("running_var"):
                normal = 4 + normal.square()  # no output is saturated
            elif tensor.dim() > 1:
                normal *= tensor[0].numel() ** -0.5
            elif name.endswith("attention.gain"):
                normal = 0.5 + 0 * normal
            tensor.copy_(normal)
        for layer in network.modules():
            if is_parametrized(layer):
                norm = layer.parametrizations.weight[0]
                u, _, v = torch.linalg.svd(layer.parametrizations.weight.original.flatten(1), full_matrices=False)
                norm._u.copy_(u[:, 0])
                norm._v.copy_(v[0])
    return network.eval()


def transplant(ours, theirs):
    """Give theirs our weights, all of them."""
    theirs = theirs.to(next(ours.parameters()).dtype)
    copied = sum(copy(mine, other) for other, mine in pairs(theirs, ours))
    assert copied == sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    return theirs.eval()


# --- cases -------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    ours: Any  # () -> our network
    theirs: Any  # () -> the reference


SPEC, LARGE = SampleSpec(32, 3, CLASSES), SampleSpec(64, 3, CLASSES)
RECTIFIED = {"rectified_shortcuts": True}
DEEP = {"width": 8, "attention": (16,)}
SAGAN = {"init": "orthogonal", "norm_eps": 1e-4, "attention": (16,)}
BROCK = {"norm_eps": 1e-5, "torch_biases": True, "shared_dim": SHARED, "width": 4}
CASES = {
    "studiogan resnet G": Case(
        lambda: ResNetGenerator(12, SPEC, 16, 16, spectral_norm="all", condition_last_norm=False, **SAGAN),
        lambda: studiogan("resnet", "generator"),
    ),
    "studiogan resnet D": Case(
        lambda: ResNetDiscriminator(SPEC, 8, 8, 2, 2, attention=(16,), **RECTIFIED),
        lambda: studiogan("resnet", "discriminator"),
    ),
    "studiogan biggan G": Case(
        lambda: BigGANGenerator(12, SPEC, 4, shared_dim=SHARED), lambda: studiogan("big_resnet", "generator")
    ),
    "studiogan biggan D": Case(
        lambda: BigGANDiscriminator(SPEC, 4, **RECTIFIED), lambda: studiogan("big_resnet", "discriminator")
    ),
    "studiogan biggan G at 64": Case(
        lambda: BigGANGenerator(10, LARGE, 4, shared_dim=SHARED),
        lambda: studiogan("big_resnet", "generator", 10, resolution=64, places=(3, 1)),
    ),
    "studiogan biggan D at 64": Case(
        lambda: BigGANDiscriminator(LARGE, 8, **RECTIFIED),
        lambda: studiogan("big_resnet", "discriminator", width=8, resolution=64),
    ),
    "studiogan deep G, legacy": Case(
        lambda: BigGANDeepGenerator(12, SPEC, 4, shared_dim=SHARED),
        lambda: studiogan("big_resnet_deep_legacy", "generator"),
    ),
    "studiogan deep D, legacy": Case(
        lambda: BigGANDeepDiscriminator(SPEC, 4, **RECTIFIED),
        lambda: studiogan("big_resnet_deep_legacy", "discriminator"),
    ),
    "studiogan deep G": Case(
        lambda: BigGANDeepGenerator(12, SPEC, 4, shared_dim=SHARED, shortcuts="convolutions"),
        lambda: studiogan("big_resnet_deep_studiogan", "generator"),
    ),
    "studiogan deep D": Case(
        lambda: BigGANDeepDiscriminator(SPEC, 4, (1, 4, 4, 4), shortcuts="convolutions", **RECTIFIED),
        lambda: studiogan("big_resnet_deep_studiogan", "discriminator"),
    ),
    "brock biggan G": Case(
        lambda: BigGANGenerator(20, LARGE, multipliers=(16, 16, 8, 4, 2), **BROCK),
        lambda: brock("BigGAN", "generator", 4, "32", 64, G_shared=True),
    ),
    "brock biggan D": Case(
        lambda: BigGANDiscriminator(LARGE, 8), lambda: brock("BigGAN", "discriminator", 8, "32", 64)
    ),
    "brock deep G": Case(
        lambda: BigGANDeepGenerator(20, LARGE, multipliers=(16, 16, 8, 4, 2), **BROCK),
        lambda: brock("BigGANdeep", "generator", 4, "32", 64, G_shared=True),
    ),
    "brock deep D": Case(
        lambda: BigGANDeepDiscriminator(LARGE, 4), lambda: brock("BigGANdeep", "discriminator", 4, "32", 64)
    ),
}


def inputs(network):
    draws = np.random.RandomState(1)
    shape = (network.latent_dim,) if hasattr(network, "latent_dim") else network.samples.shape
    return torch.from_numpy(draws.standard_normal((N, *shape))), torch.arange(N) + 1


def of_ours(network, dtype=torch.float64):
    values, labels = inputs(network)
    output = network(values.to(dtype), labels)
    return output if isinstance(output, torch.Tensor) else output.logits


def of_theirs(network, ours):
    values, labels = inputs(ours)
    values = values.to(next(ours.parameters()).dtype)
    if hasattr(network, "shared") and hasattr(network, "output_layer"):
        return network(values, network.shared(labels))
    output = network(values, labels)
    output = output["adv_output"] if isinstance(output, dict) else output
    return output.squeeze(1) if output.dim() == 2 else output


def excerpt(output):
    """Twenty-four numbers of an output, from all over it."""
    flat = output.detach().flatten()
    return flat[:: max(1, len(flat) // 24)][:24]


def references_outputs(case, dtype=torch.float64):
    ours = fill(case.ours().to(dtype))
    return of_theirs(transplant(ours, case.theirs()), ours), of_ours(ours, dtype)


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_that_the_references_had(name):
    ours = fill(CASES[name].ours().double())
    golden = torch.tensor(json.loads(GOLDEN.read_text())[name], dtype=torch.float64)
    assert golden.std() > 1e-3
    torch.testing.assert_close(excerpt(of_ours(ours)), golden, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_references(name, dtype, tolerance):
    theirs, ours = references_outputs(CASES[name], dtype)
    assert theirs.shape == ours.shape
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    if dtype is torch.float64:
        golden = torch.tensor(json.loads(GOLDEN.read_text())[name], dtype=dtype)
        torch.testing.assert_close(excerpt(theirs), golden, rtol=1e-10, atol=1e-10)


if __name__ == "__main__":
    golden = {name: excerpt(references_outputs(case)[0]).tolist() for name, case in CASES.items()}
    GOLDEN.write_text(json.dumps(golden, indent=0) + "\n")
