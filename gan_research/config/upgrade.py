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
    "progress_seconds": 10.0,
}  # keys that older configs lack -> the value with the same meaning

ADDED_TO = {
    "gan_research.networks.mlp.MLPDiscriminator": {"norm": "none"},
    "gan_research.training.schedule.Schedule": {"fake_labels": "paired", "generator_reals": "same"},
}
"""Component -> arguments that its older configs lack, with the value of the same meaning."""

FILE_FIELDS = ("real_files", "fake_files")  # fields of a protocol that aren't compared: hashes identify the content


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved config with today's names and keys; a config of today is unchanged."""
    config = ADDED | upgraded_choices(renamed_targets(config))
    for (old_group, old_name), (group, name) in MOVED.items():
        if old_name in (nodes := config.get(old_group) or {}):
            config[group] = (config[group] or {}) | {name: nodes[old_name]}
            config[old_group] = {key: node for key, node in nodes.items() if key != old_name}
    for key, node in config.items():
        if isinstance(node, dict) and (added := ADDED_TO.get(str(node.get("_target_")))):
            config[key] = added | node
    return config


def upgraded_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping by top-level keys, such as a run's choices, with today's keys."""
    return {RENAMED_KEYS.get(key, key): value for key, value in choices.items()}


def upgraded_protocol(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation's protocol with today's fields; an empty one is unchanged."""
    return {"sampling": "prior", **protocol} if protocol else {}
