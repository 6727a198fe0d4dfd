"""Numbers rounded to their uncertainty."""

import math

from gan_research.report.statistics import Interval


def rounded(value: float, uncertainty: Interval | float | None) -> str:
    """Return a number with as many decimals as two significant digits of its uncertainty have.

    uncertainty: an interval, whose half width counts, or a standard deviation; None, 0: four significant digits.
    If the interval excludes 0, the number has at least two significant digits: an end near 0 isn't shown as 0.
    """
    low, high = uncertainty if isinstance(uncertainty, tuple) else spread(value, uncertainty or 0.0)
    half = (high - low) / 2
    if not math.isfinite(value + half):
        return f"{value:.4g}"
    place = exponent(half, 2) - 1 if half > 0 else exponent(value, 4) - 3  # the power of ten of the last digit
    if low * high > 0:
        place = min(place, exponent(value, 2) - 1)
    size = max(abs(value), half)
    if size and not 1e-3 <= size < 1e6:
        return f"{value:.{max(0, exponent(value, 1) - place)}e}"
    decimals = max(0, -place)
    text = f"{round(value, -place) + 0.0:,.{decimals}f}"  # + 0.0: no -0
    return text if half > 0 or not decimals else text.rstrip("0").rstrip(".")


def spread(value: float, std: float) -> Interval:
    return value - std, value + std


def exponent(value: float, digits: int) -> int:
    """Return the power of ten of a number's first digit, once rounded."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])
