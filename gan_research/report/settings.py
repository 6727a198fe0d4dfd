"""Settings of runs: which of them vary, differ between groups, and matter."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_research.config.keys import is_interval, keys_of
from gan_research.report.records import Record, is_number

NOISE = {"seed", *keys_of("bookkeeping", "place")}  # settings in which runs of one group may differ
MIN_RUNS = 10  # the number of runs that the importance of settings needs
REPEATS = 5  # the number of shuffles of a setting
ABSENT = "-"
FLOAT32 = 3e38  # the largest number of a random forest: others count as texts
Floats = NDArray[np.float64]


def format_value(value: Any) -> str:
    """Return a value of a config on one line."""
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value, default=str)


def game_settings(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Return setting -> run -> its value, for runs that have it; without noise and copies of other settings."""
    table: dict[str, dict[str, Any]] = {}
    for record in records:
        for key, value in record.facts.items():
            if key.partition(".")[0] not in NOISE and not is_interval(key):
                table.setdefault(key, {})[record.id] = value
    top = {key: {r.id: r.facts.get(key) for r in records if r.facts} for key in NOISE} | table
    return {key: values for key, values in table.items() if not is_copy(key, values, top)}


def is_copy(key: str, values: dict[str, Any], top: Mapping[str, dict[str, Any]]) -> bool:
    """Return whether a component only repeats a top-level setting: data.batch_size, batch_size."""
    name = key.rpartition(".")[2]
    return name != key and name in top and all(top[name].get(run) == value for run, value in values.items())


def varied_settings(records: Sequence[Record]) -> list[str]:
    """Return the settings that vary between runs; not those of a single choice."""
    known = [record for record in records if record.facts]
    table = game_settings(known)
    varied = []
    for key, of in table.items():
        chosen = {format_value(value) for value in table.get(key.partition(".")[0], {}).values()}
        by_choice = "." in key and len(chosen) > 1
        if len({format_value(value) for value in of.values()}) > 1 or (len(of) < len(known) and not by_choice):
            varied.append(key)
    return varied


def configurations(records: Sequence[Record]) -> list[list[Record]]:
    """Return the runs in lists of equal settings; seed and noise may differ."""
    table = game_settings(records)
    found: dict[str, list[Record]] = {}
    for record in records:
        key = json.dumps({name: of.get(record.id) for name, of in table.items()}, sort_keys=True, default=str)
        found.setdefault(key, []).append(record)
    return list(found.values())


def differing_settings(groups: Mapping[str, Sequence[Record]], by: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return setting -> group -> its values, for settings other than `by` whose values differ."""
    known = {group: own for group, records in groups.items() if (own := [r for r in records if r.facts])}
    found = {}
    for key, of in game_settings([record for records in known.values() for record in records]).items():
        row = {group: summarize([of.get(r.id, ABSENT) for r in records]) for group, records in known.items()}
        if key not in by and len(set(row.values())) > 1:
            found[key] = row
    return found


def summarize(values: Sequence[Any]) -> str:
    """Return the distinct values of a group; for more than five, their number and range."""
    distinct = sorted({format_value(value) for value in values})
    if is_numeric(values):
        numbers = sorted(set(values))
        if len(numbers) > 5:
            return f"{len(numbers)} values, {numbers[0]:g} to {numbers[-1]:g}"
        distinct = [format_value(number) for number in numbers]
    return ", ".join(distinct) if len(distinct) <= 5 else f"{', '.join(distinct[:4])} and {len(distinct) - 4} more"


def is_numeric(values: Sequence[Any]) -> bool:
    return all(is_number(value) and abs(value) < FLOAT32 for value in values)


def as_column(values: Sequence[Any]) -> Floats:
    """Return a setting as numbers: its own, absent ones below them; or ranks of the texts."""
    present = [value for value in values if value is not None]
    if present and is_numeric(present):
        return np.array([min(present) - 1 if value is None else value for value in values], dtype=np.float64)
    return np.unique([format_value(value) for value in values], return_inverse=True)[1].astype(np.float64)


def loss_by_shuffling(predict: Callable[[Floats], Floats], x: Floats, y: Floats) -> Floats:
    """Return (K,): by how much the mean squared error of y (N,) grows when a column of x (N, K) is shuffled."""
    rng = np.random.default_rng(0)
    count = x.shape[1]
    shuffled = np.tile(x, (count, REPEATS, 1, 1))
    for key, repeat in product(range(count), range(REPEATS)):
        shuffled[key, repeat, :, key] = rng.permutation(x[:, key])
    predicted = predict(shuffled.reshape(-1, count)).reshape(count, -1, len(y))  # in one call: each costs 10 ms
    growth: Floats = ((predicted - y) ** 2).mean((1, 2)) - ((predict(x) - y) ** 2).mean()
    return growth


def importance_of(records: Sequence[Record], values: Mapping[str, float], settings: Sequence[str]) -> dict[str, float]:
    """Return setting -> the share of a metric's variance that it explains.

    It is the permutation importance of a random forest on unseen runs (Breiman 2001, Random forests, section 10), over
    five folds: near 0 for a setting that doesn't matter. {} for fewer than 10 runs or 2 settings.
    """
    runs = [record for record in records if record.id in values]
    y = np.array([values[record.id] for record in runs])
    if len(runs) < MIN_RUNS or len(settings) < 2 or np.ptp(y) == 0:
        return {}
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    x = np.stack([as_column([record.facts.get(key) for record in runs]) for key in settings], axis=1)
    lost = np.zeros(len(settings))
    for seen, unseen in KFold(5, shuffle=True, random_state=0).split(x):
        forest = RandomForestRegressor(50, random_state=0).fit(x[seen], y[seen])
        lost += loss_by_shuffling(forest.predict, x[unseen], y[unseen]) * len(unseen)
    shares = np.maximum(lost / len(runs) / y.var(), 0.0)
    return dict(sorted(zip(settings, shares.tolist(), strict=True), key=lambda item: -item[1]))
