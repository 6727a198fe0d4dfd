"""Divergences, in nats, of masses p and q (S,), each summing to 1; a state that neither has doesn't count."""

from torch import Tensor


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler: sum p log(p / q); infinite where q = 0 < p."""
    p, q = p[p > 0], q[p > 0]
    return (p * (p.log() - q.log())).sum()


def jsd(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon: (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2; at most log 2."""
    return (kl(2 * p, p + q) + kl(2 * q, p + q)) / 4  # doubled, not halved: no mass rounds to 0


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """sum |p - q| / 2, at most 1."""
    return (p - q).abs().sum() / 2


def pearson_chi2(p: Tensor, q: Tensor) -> Tensor:
    """sum (p - q)^2 / q; infinite where q = 0 < p."""
    p, q = _present(p, q)
    return ((p - q) * ((p - q) / q)).sum()


def squared_hellinger(p: Tensor, q: Tensor) -> Tensor:
    """sum (sqrt p - sqrt q)^2, at most 2."""
    p, q = _present(p, q)
    return (p.sqrt() - q.sqrt()).square().sum()


def triangular(p: Tensor, q: Tensor) -> Tensor:
    """The triangular discrimination: sum (p - q)^2 / (p + q), at most 2."""
    p, q = _present(p, q)
    return ((p - q) * ((p - q) / (p + q))).sum()


def alpha_divergence(p: Tensor, q: Tensor, alpha: float) -> Tensor:
    """(sum p^alpha q^(1 - alpha) - 1) / (alpha (alpha - 1)); in the limit KL(p || q) at alpha = 1, KL(q || p) at 0."""
    if alpha in (0, 1):
        return kl(p, q) if alpha else kl(q, p)
    vanishes = ((p == 0) & (alpha > 0)) | ((q == 0) & (alpha < 1))
    log_p, log_q = p[~vanishes].log(), q[~vanishes].log()
    moment = (alpha * log_p + (1 - alpha) * log_q).exp().sum()
    return (moment - alpha * p.sum() - (1 - alpha) * q.sum()) / (alpha * (alpha - 1))


def wasserstein_1d(p: Tensor, q: Tensor, spacing: float = 1.0) -> Tensor:
    """The earth mover's distance W1 between masses on an even grid: spacing * sum |F_p - F_q|."""
    return spacing * (p - q).cumsum(0)[:-1].abs().sum()  # at the last state both F are 1


def _present(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the masses of the states that p or q has."""
    present = (p > 0) | (q > 0)
    return p[present], q[present]
