"""The configs of evaluations from the command line, one for each choice of metrics."""

import inspect
from collections.abc import Sequence
from typing import Any

from omegaconf import MISSING

from gan_research.checkpoints.allowlist import require_allowed
from gan_research.cli.selection import nested
from gan_research.config.compose import choice, groups, merged
from gan_research.config.keys import parts
from gan_research.config.schema import check_nodes, missing_values
from gan_research.metrics import EXTRACTORS, METRICS
from gan_research.utils.errors import UserError, did_you_mean

Node = dict[str, Any]

OWN = "metrics"  # the name of the block of single metrics, or of a run's own metrics


def blocks(
    names: Sequence[str],
    extractor: str | None,
    options: Node,
    settings: Sequence[str],
    allow: Sequence[str],
    config: Node | None = None,
) -> dict[str, Node]:
    """Return the checked config of each evaluation by the name of its block.

    names: choices of the config group `metrics`, each a block, and names of metrics, which form one more block; none:
        the metrics of the run's `config`, else Inception's. A name that is both is a choice, unless an extractor is
        given.
    extractor: the name of an extractor for all blocks instead of their own.
    options: values for all blocks.
    settings: KEY=VALUE for all blocks, or BLOCK.KEY=VALUE for one.
    allow: modules, in addition to the project's, whose classes may be named.
    """
    choices = set(groups()["metrics"]) - (set(METRICS) if extractor else set())
    found = _chosen(names, choices, config or {})
    if config and config.get("sampler"):
        options = {"sampler": config["sampler"]} | options
    for name, node in found.items():
        if "_target_" not in node:
            raise UserError("that measures nothing: choose metrics, such as --metrics digits, inception or modes")
        own = {} if extractor is None else {"extractor": _extractor(extractor)}
        node = merged(node | own | options, _settings(settings, name, found))
        if node.get("sampler") and "_target_" not in node["sampler"]:
            raise UserError(f"sampler.{min(node['sampler'])} is a setting of a sampler: add --sampler NAME")
        require_allowed(node, allow)  # before its schema, which imports the named classes
        if missing := missing_values(node, "metrics"):
            raise UserError(f"{missing[0]} must be given: add {missing[0]}=...")
        found[name] = check_nodes(node, "metrics")
    return found


def _chosen(names: Sequence[str], choices: set[str], config: Node) -> dict[str, Node]:
    """Return the configs of the blocks from the config tree, or from the run's config."""
    own = config["metrics"] if "metrics" in config else choice("metrics", "inception")
    if not names:
        return {name or OWN: node or {} for name, node in parts("metrics", own).items()} or {OWN: {}}
    default = next(iter(parts("metrics", own).values()), None)
    if unknown := [name for name in names if name not in choices and name not in METRICS]:
        raise UserError(f"there are no metrics '{unknown[0]}': {did_you_mean(unknown[0], {*choices, *METRICS})}")
    single = [name for name in dict.fromkeys(names) if name not in choices]
    found: dict[str, Node] = {}
    for name in names:
        if name in choices:
            found[name] = choice("metrics", name, within=config)
        else:
            base = default or choice("metrics", "inception")
            settings = {metric: values for metric, values in (base.get("settings") or {}).items() if metric in single}
            found[OWN] = base | {"metrics": single, "settings": settings or None}
    return found


def _extractor(name: str) -> Node:
    """Return the config of the extractor of that name; its required arguments are missing."""
    if name not in EXTRACTORS:
        raise UserError(f"there is no extractor '{name}': {did_you_mean(name, EXTRACTORS)}")
    cls = EXTRACTORS[name]
    required = [p.name for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **dict.fromkeys(required, MISSING)}


def _settings(words: Sequence[str], block: str, blocks: dict[str, Node]) -> Node:
    """Return the KEY=VALUE words that concern a block, as one nested config."""
    mine = []
    for word in words:
        first, _, rest = word.partition(".")
        if first == OWN or first in blocks:  # metrics.KEY=VALUE, as for gan train, is for all
            word = rest
        if first in (OWN, block) or (first not in blocks and not _elsewhere(word, block, blocks)):
            mine.append(word)
    return nested(mine)


def _elsewhere(word: str, block: str, blocks: dict[str, Node]) -> bool:
    """Return whether a word is settings.METRIC.KEY=VALUE of a metric of other blocks only."""
    group, _, rest = word.partition(".")
    metric = rest.partition(".")[0]
    measuring = [name for name, node in blocks.items() if metric in (node.get("metrics") or ())]
    return group == "settings" and bool(measuring) and block not in measuring
