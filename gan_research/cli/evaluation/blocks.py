"""From the words of the command line to the configs of evaluations: one for each choice of metrics."""

import inspect
from collections.abc import Sequence
from typing import Any

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_research.checkpoints.allowlist import require_allowed
from gan_research.config.compose import choice, groups
from gan_research.config.schema import check_nodes, missing_values
from gan_research.metrics import EXTRACTORS, METRICS
from gan_research.utils.errors import UserError, did_you_mean

Node = dict[str, Any]

OWN = "metrics"
"""The name of the block of single metrics, and of what a run was measured by."""


def blocks(
    words: Sequence[str],
    extractor: str | None,
    given: Node,
    settings: Sequence[str],
    allow: Sequence[str],
    config: Node | None = None,
) -> dict[str, Node]:
    """The config of each evaluation, checked, by the name of its block.

    words: choices of the config group `metrics`, each a block, and names of metrics, together one more; none: the
        metrics of the run's `config`, else Inception's. What is both is a choice, unless an extractor is given.
    extractor: the name of one, for all blocks instead of their own.
    given: values of the options, for all blocks.
    settings: KEY=VALUE for all blocks, or BLOCK.KEY=VALUE for one.
    allow: modules, besides the project's own, of which parts may be named.
    """
    choices = set(groups()["metrics"]) - (set(METRICS) if extractor else set())
    found = _chosen(words, choices, config or {})
    for name, node in found.items():
        if "_target_" not in node:
            raise UserError("that measures nothing: say what to measure, such as --metrics digits, inception or modes")
        own = {} if extractor is None else {"extractor": _extractor(extractor)}
        node = _merged(node | own | given, _settings(settings, name, found))
        require_allowed(node, allow)  # before its schema, which imports what is named
        if missing := missing_values(node, "metrics"):
            raise UserError(f"{missing[0]} must be given: add {missing[0]}=...")
        found[name] = check_nodes(node, "metrics")
    return found


def _chosen(words: Sequence[str], choices: set[str], config: Node) -> dict[str, Node]:
    """The configs of the blocks as they are in the config tree, or in the run's config."""
    default = config["metrics"] if "metrics" in config else choice("metrics", "inception")
    if not words:
        return {OWN: default or {}}
    if unknown := [word for word in words if word not in choices and word not in METRICS]:
        raise UserError(f"there are no metrics '{unknown[0]}': {did_you_mean(unknown[0], {*choices, *METRICS})}")
    single = [word for word in dict.fromkeys(words) if word not in choices]
    found: dict[str, Node] = {}
    for word in words:
        if word in choices:
            found[word] = choice("metrics", word, within=config)
        else:
            base = default or choice("metrics", "inception")
            settings = {name: value for name, value in (base.get("settings") or {}).items() if name in single}
            found[OWN] = base | {"metrics": single, "settings": settings or None}
    return found


def _extractor(name: str) -> Node:
    """The config of the extractor of that name, which lacks what must be given."""
    if name not in EXTRACTORS:
        raise UserError(f"there is no extractor '{name}': {did_you_mean(name, EXTRACTORS)}")
    cls = EXTRACTORS[name]
    parameters = inspect.signature(cls).parameters.values()
    needed = {p.name: MISSING for p in parameters if p.default is p.empty}
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **needed}


def _settings(words: Sequence[str], block: str, blocks: dict[str, Node]) -> Node:
    """Those of the KEY=VALUE words that concern a block, as one nested config."""
    mine = []
    for word in words:
        first, _, rest = word.partition(".")
        if first == OWN or first in blocks:  # metrics.KEY=VALUE, as gan train has it, is for all
            word = rest
        if first in (OWN, block) or (first not in blocks and not _elsewhere(word, block, blocks)):
            mine.append(word)
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(mine), resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{' '.join(mine)} can't be read: {' '.join(str(error).split())}") from error
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _elsewhere(word: str, block: str, blocks: dict[str, Node]) -> bool:
    """Whether a word is settings.METRIC.KEY=VALUE of a metric that other blocks measure, and this one doesn't."""
    group, _, rest = word.partition(".")
    metric = rest.partition(".")[0]
    measure = [name for name, node in blocks.items() if metric in (node.get("metrics") or ())]
    return group == "settings" and bool(measure) and block not in measure


def _merged(node: Any, changes: Any) -> Any:
    """`node` with the changes made in it, however deep; what they name anew is added."""
    if not isinstance(node, dict) or not isinstance(changes, dict):
        return changes
    return node | {key: _merged(node.get(key), value) for key, value in changes.items()}
