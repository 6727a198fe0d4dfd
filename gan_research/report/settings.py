"""In what runs differ: the settings that vary, that tell groups apart, and that matter."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_research.config.keys import keys_of
from gan_research.report.records import Record

NOISE = {"seed", *keys_of("bookkeeping", "place")}
"""Settings in which runs of one group may differ."""

FEWEST = 10
"""Runs from which on the importance of settings is told."""

REPEATS = 5
"""Shufflings of a setting."""

ABSENT = "-"

Floats = NDArray[np.float64]


def shown(value: Any) -> str:
    """A value as a config has it, on one line."""
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value, default=str)


def game_settings(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """setting -> run -> its value, of runs that have it; without noise, and what a part repeats of the whole."""
    table: dict[str, dict[str, Any]] = {}
    for record in records:
        for key, value in record.facts.items():
            if key.partition(".")[0] not in NOISE:
                table.setdefault(key, {})[record.id] = value
    whole: dict[str, dict[str, Any]] = {key: {r.id: r.facts.get(key) for r in records if r.facts} for key in NOISE}
    return {key: of for key, of in table.items() if not is_copy(key, of, whole | table)}


def is_copy(key: str, values: dict[str, Any], table: Mapping[str, dict[str, Any]]) -> bool:
    """Whether a part only repeats a setting of the whole: data.batch_size, batch_size."""
    name = key.rpartition(".")[2]
    return name != key and name in table and all(table[name].get(run) == value for run, value in values.items())


def varied_settings(records: Sequence[Record]) -> list[str]:
    """The settings that vary between runs, by choice: not those that only one of the parts chosen has."""
    known = [record for record in records if record.facts]
    table = game_settings(known)
    varied = []
    for key, of in table.items():
        values = {shown(value) for value in of.values()}
        chosen = {shown(value) for value in table.get(key.partition(".")[0], {}).values()}
        by_choice = "." in key and len(chosen) > 1
        if len(values) > 1 or (len(of) < len(known) and not by_choice):
            varied.append(key)
    return varied


def configurations(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs of the same settings but for the seed and the noise, together."""
    table = game_settings(records)
    found: dict[str, list[Record]] = {}
    for record in records:
        key = json.dumps({name: of.get(record.id) for name, of in table.items()}, sort_keys=True, default=str)
        found.setdefault(key, []).append(record)
    return found


def differing_settings(groups: Mapping[str, Sequence[Record]], by: Sequence[str]) -> dict[str, dict[str, str]]:
    """setting -> group -> its value or values; of those, besides what groups are made by, whose values differ."""
    known = {group: [record for record in records if record.facts] for group, records in groups.items()}
    known = {group: records for group, records in known.items() if records}
    table = game_settings([record for records in known.values() for record in records])
    found = {}
    for key, of in table.items():
        row = {g: told([of.get(r.id, ABSENT) for r in records]) for g, records in known.items()}
        if key not in by and len(set(row.values())) > 1:
            found[key] = row
    return found


def told(values: Sequence[Any]) -> str:
    """The values of a group, each once; of more than five, how many and how far."""
    texts = sorted({shown(value) for value in values})
    if is_numeric(values):
        numbers = sorted(set(values))
        if len(numbers) > 5:
            return f"{len(numbers)} values, {numbers[0]:g} to {numbers[-1]:g}"
        texts = [shown(number) for number in numbers]
    return ", ".join(texts) if len(texts) <= 5 else f"{', '.join(texts[:4])} and {len(texts) - 4} more"


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def column(values: Sequence[Any]) -> Floats:
    """A setting as numbers: those that it is, with what is absent below; or places in the order of the texts."""
    present = [value for value in values if value is not None]
    if present and is_numeric(present):
        below = min(present) - 1
        return np.array([below if value is None else value for value in values], dtype=np.float64)
    texts = [shown(value) for value in values]
    return np.array([sorted(set(texts)).index(text) for text in texts], dtype=np.float64)


def loss_by_shuffling(predict: Callable[[Floats], Floats], x: Floats, y: Floats) -> Floats:
    """(K,): by how much the mean squared error of y (N,) grows when a column of x (N, K) is shuffled."""
    generator = np.random.default_rng(0)
    count = x.shape[1]
    shuffled = np.tile(x, (count, REPEATS, 1, 1))
    for key in range(count):
        for repeat in range(REPEATS):
            shuffled[key, repeat, :, key] = generator.permutation(x[:, key])
    guesses = predict(shuffled.reshape(-1, count)).reshape(count, -1, len(y))  # in one call: each costs 10 ms
    grown: Floats = ((guesses - y) ** 2).mean((1, 2)) - ((predict(x) - y) ** 2).mean()
    return grown


def importance_of(records: Sequence[Record], values: Mapping[str, float], settings: Sequence[str]) -> dict[str, float]:
    """setting -> the share of a metric's variance that a forest no longer foretells when the setting is shuffled.

    Of runs that the forest hasn't seen, in five folds: what doesn't matter is near 0. {} of fewer than 10 runs or 2
    settings. Breiman 2001, Random forests, section 10.
    """
    runs = [record for record in records if record.id in values]
    y = np.array([values[record.id] for record in runs])
    if len(runs) < FEWEST or len(settings) < 2 or np.ptp(y) == 0:
        return {}
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    x = np.stack([column([record.value(key) for record in runs]) for key in settings], axis=1)
    lost = np.zeros(len(settings))
    for seen, unseen in KFold(5, shuffle=True, random_state=0).split(x):
        forest = RandomForestRegressor(50, random_state=0).fit(x[seen], y[seen])
        lost += loss_by_shuffling(forest.predict, x[unseen], y[unseen]) * len(unseen)
    shares = np.maximum(lost / len(runs) / y.var(), 0.0)
    return dict(sorted(zip(settings, shares.tolist(), strict=True), key=lambda item: -item[1]))
