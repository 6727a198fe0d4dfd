"""The names of runs, and of the groups that they share with other seeds."""

import hashlib
import json
from collections.abc import Sequence

from gan_research.config.compose import Composition
from gan_research.config.keys import DATA_PLACES, GROUPED, KEYS, without_intervals
from gan_research.utils.texts import short_names

CHOSEN = ("data", "generator", "discriminator", "loss", "regularizer", "augment")  # the choices in every name
LONGEST = 80  # characters of the settings in a name


def names(composition: Composition) -> tuple[str, str]:
    """Return a run's name and its group's: its choices or variant, and the settings that were given."""
    config, choices = composition.config, composition.choices
    networks = "-".join(dict.fromkeys([choices["generator"], choices["discriminator"]]))
    loss = "+".join([choices["loss"], *(config["regularizer"] or {}), *(config["augment"] or {})])
    trained = [config["variant"]] if "variant" in config else [networks, loss]
    stem = config["name"] or "-".join(
        [choices["experiment"] or choices["data"], *trained, *settings_of(composition.given)]
    )
    grouped = {key: config[key] for key in GROUPED if key in config}
    grouped["data"] = {key: value for key, value in config["data"].items() if key != "seed"}
    grouped["metrics"] = without_intervals(config["metrics"])
    digest = hashlib.blake2b(json.dumps(grouped, sort_keys=True).encode(), digest_size=3).hexdigest()
    return f"{stem}-s{config['seed']}", f"{stem}-{digest}"


def settings_of(overrides: Sequence[str]) -> list[str]:
    """Return the settings of overrides that a name shows, by short keys; the last ones if they are too many."""
    values = {}
    for override in overrides:
        key, equals, value = override.lstrip("+").partition("=")
        key_of_config = KEYS.get(key.partition(".")[0])
        place = key in (*CHOSEN, "seed", *(f"data.{name}" for name in DATA_PLACES))
        if equals and key_of_config is not None and key_of_config.role == "game" and not place:
            values[key] = value.strip("'\"")
    settings = [f"{name}={value}" for name, value in zip(short_names(values), values.values(), strict=True)]
    while len("-".join(settings)) > LONGEST:
        settings.pop(0)
    return settings
