"""Short texts."""

from collections.abc import Iterable, Sequence


def short_names(keys: Iterable[str]) -> list[str]:
    """Return the shortest ends of dotted keys that tell them apart: optimizer.generator.lr is lr."""
    parts = [key.split(".") for key in keys]
    ends = [[".".join(own[-n:]) for n in range(1, len(own) + 1)] for own in parts]
    return [next((end for end in own if sum(end in other for other in ends) == 1), own[-1]) for own in ends]


def duration(seconds: float) -> str:
    """Return a duration with three digits: "12.3 ms", "12.3 s", "4.08 min", "6.12 h" or "8.4 days"."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1e3 * seconds:.3g} ms"


def scaled(amount: float, base: int, units: Sequence[str]) -> str:
    """Return an amount with three digits and its largest unit."""
    exponent = 0
    while amount >= base * 0.9995 and exponent < len(units) - 1:
        amount, exponent = amount / base, exponent + 1
    return f"{amount:.3g}{units[exponent]}" if amount < 1000 else f"{amount:.0f}{units[exponent]}"


def bytes_text(amount: float) -> str:
    """Return an amount of bytes with three digits: "12.3 MiB"."""
    return scaled(amount, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))
