"""The cells of the equality matrix: every loss with every regulariser, while all else goes round."""

from itertools import product

from companions import COMPANIONS

from gan_research.config.compose import groups

NETWORKS = {
    "mlp": ["generator=mlp", "discriminator=mlp", "generator.width=8", "discriminator.width=8"],
    "batch norm": ["generator=dcgan", "discriminator=dcgan", "generator.width=4", "discriminator.width=4"],
    "spectral norm": ["generator=resnet", "discriminator=resnet", "generator.width=4", "discriminator.width=4"],
}
OWN_HEADS = COMPANIONS.keys() - {"auxiliary_classifier"}
"""Those that need a head, or generator, of their own: tests/testing has them on two ranks."""

LOSSES = sorted(set(groups()["loss"]) - OWN_HEADS)
REGULARIZERS = sorted(set(groups()["regularizer"]) - OWN_HEADS - {"instance_noise"} | {"augment"})
"""And the augmentation."""
SETTINGS = list(product((1, 3), (1, 2), (1, 2)))
"""k, accumulation, packing."""

LOG_ODDS = ("minimax", "non_saturating")

EPSILON = [f"optimizer.{player}.eps=1e-5" for player in ("generator", "discriminator")]
"""Adam would make steps of the rounding in gradients that are 0, such as those of biases before batch norm."""

COUPLED = ("consensus", "dragan", "feature_matching", "max_gp")

IMPOSSIBLE = {
    "a relativistic average is that of a whole minibatch": lambda loss, regularizer, accumulation: (
        loss.startswith("ra_") and accumulation > 1
    ),
    "some regularizers need the whole minibatch": (
        lambda loss, regularizer, accumulation: regularizer in COUPLED and accumulation > 1
    ),
    "smoothed labels want log-odds": lambda loss, regularizer, accumulation: (
        regularizer == "label_smoothing" and loss not in LOG_ODDS
    ),
}
"""Pairs that are refused, on any number of devices; they are played with the nearest that isn't."""


def overrides(loss, regularizer, k, accumulation, packing, network):
    """The command line of a cell."""
    chosen = {
        "none": ["regularizer=none"],
        "augment": ["regularizer=none", "augment=[instance_noise]"],
    }
    packing = 1 if regularizer == "auxiliary_classifier" else packing  # packs have no class
    return [
        f"loss={loss}", *chosen.get(regularizer, [f"regularizer=[{regularizer}]", *COMPANIONS.get(regularizer, [])]),
        f"schedule.discriminator_steps={k}", f"accumulation={accumulation}", f"discriminator.packing={packing}",
        *NETWORKS[network], *EPSILON,
    ]  # fmt: skip


def matrix():
    """name -> overrides, for every pair of a loss and a regulariser that can be played."""
    found = {}
    for i, (loss, regularizer) in enumerate(product(LOSSES, REGULARIZERS)):
        (k, accumulation, packing), network = SETTINGS[i % len(SETTINGS)], list(NETWORKS)[i % len(NETWORKS)]
        reasons = [why for why, holds in IMPOSSIBLE.items() if holds(loss, regularizer, accumulation)]
        if "smoothed labels want log-odds" in reasons:
            continue
        accumulation = 1 if reasons else accumulation
        name = f"{loss}, {regularizer}, k={k}, accumulation={accumulation}, packing={packing}, {network}"
        found[name] = overrides(loss, regularizer, k, accumulation, packing, network)
    return found


def representative():
    """Those of the matrix in which each loss, and each regulariser, occurs."""
    cells = list(matrix().items())
    chosen, seen = {}, dict.fromkeys([*LOSSES, *REGULARIZERS], 0)
    for name, words in cells[::7] + cells:  # spread out first
        loss, regularizer = name.split(", ")[:2]
        if not (seen[loss] and seen[regularizer]):
            seen[loss] += 1
            seen[regularizer] += 1
            chosen[name] = words
    return chosen


OTHERS = {
    "simultaneous, two steps of G": ["schedule=simultaneous", "schedule.generator_steps=2", *NETWORKS["mlp"]],
    "classes": ["conditional=true", *NETWORKS["batch norm"]],
    "classes, projection, accumulation": ["conditional=true", "accumulation=2", *NETWORKS["spectral norm"]],
    "classes, biggan": ["conditional=true", "generator=biggan", "generator.width=4", "generator.attention=[8]",
                        "discriminator=biggan", "discriminator.width=4", "discriminator.attention=[4]", *EPSILON],
    "flips, accumulation": ["data.flip=true", "data.dequantise=true", "accumulation=2", *NETWORKS["mlp"]],
    "clipped gradients": ["max_gradient_norm=0.05", "accumulation=2", *NETWORKS["mlp"]],
    "lazy penalties": ["regularizer=[r1,r2,gradient_penalty]", "regularizer.r1.every=3", "regularizer.r2.every=2",
                       *NETWORKS["batch norm"]],
    "all that has a state": ["regularizer=[lecam,weight_clipping]", "augment=[instance_noise]", "lr_schedule=cosine",
                             "augment.instance_noise.anneal=20", "ema=half_life", *NETWORKS["mlp"]],
    "averages with statistics of their own": ["ema=power", "ema.buffers=recompute", *NETWORKS["batch norm"]],
    "twice the fakes for G": ["schedule.generator_batch_multiple=2", "schedule.generator_steps=2", "accumulation=2",
                              "discriminator.packing=2", "regularizer=[r1]", "augment=[instance_noise]",
                              *NETWORKS["mlp"]],
    "twice the fakes for G, of classes": ["schedule.generator_batch_multiple=2", "conditional=true",
                                          *NETWORKS["batch norm"]],
    "frozen blocks": ["init=its.ckpt", "freeze_discriminator=1", "discriminator.norm=batch_all",
                      *NETWORKS["spectral norm"]],
    "generator first, penalties in their own step": [
        "schedule.first=generator", "schedule.generator_reals=fresh", "schedule.discriminator_steps=2",
        "regularizer=[r1,zcr]", "regularizer.r1.every=3", "regularizer.r1.own_step=true", "regularizer.zcr.every=2",
        "regularizer.zcr.own_step=true", "accumulation=2", *NETWORKS["mlp"],
    ],
    "stylegan2, path length, style mixing": [
        "generator=stylegan2", "generator.width=4", "generator.max_width=4", "generator.w_dim=4",
        "generator.mapping_layers=2", "discriminator=stylegan2", "discriminator.width=4", "discriminator.max_width=4",
        "discriminator.minibatch_std_group=2", "conditional=true", "schedule.first=generator",
        "refinement=style_mixing", "regularizer=[r1,path_length]", "regularizer.r1.every=2",
        "regularizer.r1.own_step=true", "regularizer.path_length.own_step=true", *EPSILON,
    ],
    "points": ["data=ring", "generator=mlp", "discriminator=mlp", "discriminator.packing=2", "optimizer=sgd"],
}  # fmt: skip
