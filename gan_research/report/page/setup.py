"""The setup that all runs of a comparison share."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gan_research.config.keys import keys_of
from gan_research.report.comparison import Comparison
from gan_research.report.page.text import count, shortened
from gan_research.report.protocols import protocols_of
from gan_research.report.records import Record
from gan_research.report.settings import format_value, game_settings, varied_settings

FIRST = ("data", "rounds", "batch_size", "optimizer", "regularizer", "schedule")
ORDER = [key for key in dict.fromkeys([*FIRST, *keys_of("game")]) if key != "seed"]
OTHER = {"generator": "discriminator", "discriminator": "generator"}
HEAD = ("extractor", "num_fake", "num_real")
Fact = dict[str, Any]


def setup(comparison: Comparison) -> list[Fact]:
    """Return {"label", "text", "below"} of each fact that all runs share.

    A device, commit or version of torch isn't a setting: if runs differ in it, all values are listed, with a mark.
    """
    records = [record for record in comparison.records if record.rows and record.config]
    if not records:
        return []
    seeds = sorted({record.seed for record in records if record.seed is not None})
    below = f"seeds {', '.join(map(str, seeds))}" if seeds else ""
    varied = {"label": "varied", "text": ", ".join(comparison.varied) or "only the seed", "below": below}
    return [*settings(records), *protocols(records, list(comparison.metrics)), *origins(records), varied]


def settings(records: list[Record]) -> Iterator[Fact]:
    """Yield the choices and settings of the game in which all runs agree; minor ones together."""
    varied, table = set(varied_settings(records)), game_settings(records)
    fixed = {key: next(iter(of.values())) for key, of in table.items() if key not in varied and len(of) == len(records)}
    minor: dict[str, list[str]] = {"also": [], "none": []}
    for key in (key for key in ORDER if key in fixed):
        text = format_value(fixed[key])
        below = {name.removeprefix(f"{key}."): value for name, value in fixed.items() if name.startswith(f"{key}.")}
        if text in ("none", "false"):
            minor["none"].append(plain(key))
        elif not below and key not in FIRST:
            minor["also"].append(f"{plain(key)} {text}")
        else:
            described = {record.origin.get("data") for record in records} if key == "data" else {text}
            yield fact(plain(key), described.pop() or text if len(described) == 1 else text, on_one_line(below))
    yield from (fact(label, ", ".join(texts)) for label, texts in minor.items() if texts)


def fact(label: str, text: str, below: str = "", **more: str) -> Fact:
    return {"label": label, "text": text, "below": below, **more}


def plain(key: str) -> str:
    return key.replace("_", " ")


def on_one_line(values: Mapping[str, Any]) -> str:
    """Return settings on one line; those that both players share once."""
    shared: dict[str, Any] = {}
    for name, value in values.items():
        player, _, rest = name.partition(".")
        other = values.get(f"{OTHER.get(player)}.{rest}")
        shared[rest if player in OTHER and other == value else name] = value
    return " · ".join(f"{name} {format_value(value)}" for name, value in shared.items() if value is not None)


def protocols(records: list[Record], metrics: list[str]) -> Iterator[Fact]:
    """Yield each protocol with its metrics, without the fields in which runs differ."""
    measured: dict[str, list[str]] = {}
    for metric in metrics:
        found = [protocol for record in records for protocol in protocols_of(record, metric)]
        if common := {k: v for k, v in found[0].items() if all(p.get(k) == v for p in found)} if found else {}:
            measured.setdefault(json.dumps(common, sort_keys=True), []).append(metric)
    for text, names in measured.items():
        own = json.loads(text)
        sizes = (("num_fake", "generated"), ("num_real", "real"))
        samples = " against ".join(f"{own[key]:,} {kind}" for key, kind in sizes if own.get(key))
        head = ", ".join(filter(None, (own.get("extractor"), samples)))
        rest = [(k, v) for k, v in own.items() if k not in (*HEAD, "settings") and v not in ("", 0, None)]
        label = "protocol" if len(measured) == 1 else f"protocol of {', '.join(names)}"
        yield fact(label, head, " · ".join(f"{plain(k)} {brief(k, v)}" for k, v in rest))


def brief(key: str, value: Any) -> str:
    """Return a value on one line; of a hash, the beginning."""
    return shortened(format_value(value), 9 if key.endswith("hash") else 80)


def origins(records: list[Record]) -> Iterator[Fact]:
    """Yield device, commit and version of torch, as far as they are recorded."""
    for key in ("device", "commit", "torch"):
        values = (record.origin.get(key, "not recorded") for record in records)
        found = Counter(value[:12] if key == "commit" else value for value in values)
        if len(found) > 1:
            yield fact(key, "; ".join(f"{text}: {count(n, 'run')}" for text, n in found.items()), mark="differs")
        elif "not recorded" not in found:
            yield fact(key, *found)
