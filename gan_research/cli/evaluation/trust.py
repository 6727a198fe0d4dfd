"""What a checkpoint's config may name: it is built only where it is trusted."""

from collections.abc import Sequence
from typing import Any

from gan_research.checkpoints import require_trusted
from gan_research.cli.schema import target_of
from gan_research.errors import UserError

TRUSTED = ("gan_research.data", "gan_research.metrics")


def require_trusted_parts(part: Any, trust: Sequence[str]) -> None:
    """Raise unless all that a checkpoint's config names, however deep, is of our data, our metrics or `trust`."""
    _require(part, (*TRUSTED, *trust))


def _require(part: Any, trust: Sequence[str]) -> None:
    if isinstance(part, str) and "${" in part:  # Hydra would resolve it, to any component
        raise UserError(f"the checkpoint's config holds '{part}', which isn't trusted: a run's config is all resolved")
    if isinstance(part, dict) and "_target_" in part:
        require_trusted(part["_target_"], trust)
        found = target_of(part, "the checkpoint's config")  # of a trusted module, which may have it from another
        require_trusted(f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}", trust)
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            _require(inner, trust)
