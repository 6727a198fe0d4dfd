"""Averages whose weights are a power function of the time (Karras et al. 2024, "EDM2").

At time T they weigh time t in proportion to t^gamma, 0 < t < T. A profile is their standard deviation relative to T:
sigma^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), below 1 / sqrt(12), that of the plain mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_research.utils.errors import UserError

LARGEST = 12**-0.5


def require_profile(sigma: float, name: str) -> None:
    """Raise a UserError unless a profile is between 0 and the plain mean's."""
    if not 0 < sigma < LARGEST:
        raise UserError(f"{name} {sigma:g}: give a relative standard deviation above 0 and below {LARGEST:.4f}")


def exponent(sigma: float) -> float:
    """Return gamma of a profile: the largest root of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / sigma^2."""
    square = sigma**-2
    roots = np.roots([1, 7, 16 - square, 12 - square])
    return float(roots.real[np.abs(roots.imag) < 1e-6 * np.abs(roots.real)].max())


def decay_at(time: int, gamma: float) -> float:
    """Return the decay of the update at a time 1, 2, ...: beta = (1 - 1 / t)^(gamma + 1)."""
    return float((1 - 1 / time) ** (gamma + 1))


def coefficients(averages: Sequence[tuple[int, float]], time: int, sigma: float) -> tuple[NDArray[np.float64], float]:
    """Return the combination of averages that is nearest to another one, and its error.

    averages: (time, sigma) of each. Least squares of the weights over time, by their inner products. The coefficients
    add up to 1. The error is the L2 norm of the difference relative to that of the other one's weights.
    """
    times = np.array([at for at, _ in averages], dtype=np.float64)
    gammas = np.array([exponent(profile) for _, profile in averages])
    target = np.array(time), np.array(exponent(sigma))
    products = inner(times[:, None], gammas[:, None], times, gammas)
    with_target, of_target = inner(times, gammas, *target), inner(*target, *target)
    scale = np.diag(products) ** -0.5  # for the condition of the system
    solution = np.linalg.lstsq(products * scale * scale[:, None], with_target * scale, rcond=1e-12)[0] * scale
    found = solution / solution.sum()
    square = of_target - 2 * found @ with_target + found @ products @ found
    return found, float(np.sqrt(max(square, 0) / of_target))


def inner(
    time_a: NDArray[Any], gamma_a: NDArray[Any], time_b: NDArray[Any], gamma_b: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the inner products of weights (gamma + 1) t^gamma / T^(gamma + 1) over time."""
    total = gamma_a + gamma_b + 1
    power = total * np.log(np.minimum(time_a, time_b)) - (gamma_a + 1) * np.log(time_a) - (gamma_b + 1) * np.log(time_b)
    return np.asarray((gamma_a + 1) * (gamma_b + 1) / total * np.exp(power))
