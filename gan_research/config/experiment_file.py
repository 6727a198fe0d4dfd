"""The file of an experiment made of overrides: a choice of experiment=."""

from typing import Any

import yaml

from gan_research.config.compose import Composition, groups
from gan_research.config.keys import PLACES
from gan_research.config.overrides import concerns, parsed
from gan_research.utils.errors import UserError

LEFT_OUT = (*PLACES, "seed", "budget")  # an experiment is trained anywhere; its budget's overrides are in it


def experiment_file(composition: Composition, title: str) -> str:
    """Return the YAML of an experiment with the settings of a composition."""
    choices, settings = list[Any](), dict[str, Any]()
    known = groups()
    for text in composition.overrides:
        override = parsed(text)
        if override is None or override.is_delete():
            raise UserError(f"{text} can't be written to the file of an experiment")
        key, value = override.get_key_element().lstrip("+"), override.value()
        if any(concerns(text, left_out) for left_out in LEFT_OUT):
            continue
        if key == "experiment":
            choices.insert(0, value)
        elif key in known:
            choices.append({f"override /{key}": value})
        else:
            *parents, name = key.split(".")
            node = settings
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = value
    content = {"defaults": [*choices, "_self_"], **settings}
    return f"# @package _global_\n# {title}\n{yaml.safe_dump(content, sort_keys=False)}"
