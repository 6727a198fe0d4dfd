"""Conversion of configs and protocols of earlier versions."""

from collections.abc import Mapping
from typing import Any

from gan_research.utils.renamed import renamed_targets

RENAMED_KEYS = {"watch": "analysis"}  # top-level keys of older configs -> today's

MOVED = {("regularizer", "instance_noise"): ("augment", "instance_noise")}
"""(group, name) of a component in older configs -> today's."""

ADDED = {
    "head": None,
    "augment": None,
    "reduction": {"_target_": "gan_research.training.reduction.Mean"},
    "refinement": None,
    "unrolling": None,
    "progress_seconds": 10.0,
    "channels_last": False,
}  # keys that older configs lack -> the value with the same meaning

ADDED_TO: dict[str, dict[str, Any]] = {
    "gan_research.networks.mlp.MLPDiscriminator": {"norm": "none", "head_bias": True},
    "gan_research.regularizers.Orthogonal": {"embeddings": False},
    "gan_research.regularizers.LeCam": {"clip": False, "start": 0, "debias": False},
    "gan_research.networks.heads.ClassifierHead": {"class_bias": True},
    "gan_research.networks.resnet.ResNetGenerator": {
        "norm_eps": 1e-5,
        "condition_last_norm": True,
        "attention": [],
        "spectral_norm": "none",
        "spectral_eps": 1e-12,
    },
    "gan_research.networks.resnet.ResNetDiscriminator": {"norm_eps": None, "attention": [], "wide_blocks": False},
    **{
        f"gan_research.data.{name}": {"train_size": None}
        for name in ("Arrays", "CIFAR10", "CIFAR100", "Digits", "STL10", "StackedMNIST")
    },
    **{f"gan_research.data.{name}": {"train_size": None, "cache": False} for name in ("CelebA", "ImageFolder")},
    "gan_research.training.ema.EMA": {"start": 0, "buffers": "copy"},
    "gan_research.training.schedule.Schedule": {
        "fake_labels": "paired",
        "generator_reals": "same",
        "first": "discriminator",
    },
}
"""Component -> arguments that its older configs lack, with the value of the same meaning."""

SETTINGS_ADDED: dict[str, dict[str, Any]] = {"ppl": {"space": "z", "sampling": "end"}}
"""Metric -> settings that older protocols lack, with the value of the same meaning."""

FILE_FIELDS = ("real_files", "fake_files")  # fields of a protocol that aren't compared: hashes identify the content


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved config with today's names and keys; a config of today is unchanged."""
    config = ADDED | upgraded_choices(renamed_targets(config))
    for (old_group, old_name), (group, name) in MOVED.items():
        if old_name in (nodes := config.get(old_group) or {}):
            config[group] = (config[group] or {}) | {name: nodes[old_name]}
            config[old_group] = {key: node for key, node in nodes.items() if key != old_name}
    return with_added(config)


def with_added(node: Any) -> Any:
    """Return a node, or nodes by name, with the arguments added since."""
    if not isinstance(node, dict):
        return node
    if "_target_" in node:
        return ADDED_TO.get(str(node["_target_"]), {}) | node
    return {name: with_added(inner) for name, inner in node.items()}


def upgraded_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping by top-level keys, such as a run's choices, with today's keys."""
    return {RENAMED_KEYS.get(key, key): value for key, value in choices.items()}


def upgraded_protocol(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation's protocol with today's fields; an empty one is unchanged."""
    if not protocol:
        return {}
    settings = {name: SETTINGS_ADDED.get(name, {}) | own for name, own in (protocol.get("settings") or {}).items()}
    return {"sampling": "prior", **protocol} | ({"settings": settings} if settings else {})
