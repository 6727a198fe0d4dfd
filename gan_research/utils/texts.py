"""Short texts."""

from collections.abc import Iterable


def short_names(keys: Iterable[str]) -> list[str]:
    """Return the shortest ends of dotted keys that tell them apart: optimizer.generator.lr is lr."""
    parts = [key.split(".") for key in keys]
    ends = [[".".join(own[-n:]) for n in range(1, len(own) + 1)] for own in parts]
    return [next((end for end in own if sum(end in other for other in ends) == 1), own[-1]) for own in ends]
