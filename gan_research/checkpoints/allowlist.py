"""The classes that an untrusted checkpoint or run folder may instantiate."""

import pkgutil
from collections.abc import Sequence
from typing import Any

from gan_research.utils.errors import UserError, import_problem
from gan_research.utils.renamed import renamed

OWN = (
    "augmentations", "callbacks", "data", "distributed", "losses", "metrics", "networks", "regularizers",
    "runs.loggers", "sampling.priors", "sampling.selection", "theory", "training.ema", "training.lr_schedules",
    "training.reduction", "training.refinement", "training.schedule", "training.unrolling", "utils.ramps",
)  # fmt: skip

ALLOWED = (*(f"gan_research.{part}" for part in OWN), "torch.optim")
"""Modules whose classes, but not functions, may be instantiated."""

SINGLE = (
    "pytorch_lightning.Trainer", "pytorch_lightning.strategies.DDPStrategy", "gan_research.launchers.Local",
    "gan_research.launchers.Slurm", "gan_research.launchers.Ray", "gan_research.reproduction.Published",
)  # fmt: skip
"""Single allowed classes of other modules."""


def require_allowed(part: Any, allow: Sequence[str] = ()) -> None:
    """Raise a UserError unless every `_target_` of a nested config may be built.

    allow: further modules, of the user, whose classes and functions may be called.
    """
    if isinstance(part, str) and "${" in part:  # Hydra would resolve it, to any component
        raise UserError(f"the checkpoint's config has '{part}', which isn't allowed: a run's config is fully resolved")
    if isinstance(part, dict) and "_target_" in part:
        resolve_allowed(part["_target_"], allow)
    if isinstance(part, dict | list | tuple):
        for inner in part.values() if isinstance(part, dict) else part:
            require_allowed(inner, allow)


def resolve_allowed(target: Any, allow: Sequence[str] = ()) -> Any:
    """Return the class that `target` names; it is imported only if it may be built."""
    target = renamed(target) if isinstance(target, str) else target
    if target not in SINGLE and not _within(target, (*ALLOWED, *allow)):
        raise not_allowed(target)
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # importing a module can raise anything
        raise UserError(f"{target}, which the checkpoint names, can't be imported: {import_problem(error)}") from error
    origin = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}"
    ours = isinstance(found, type) and (target in SINGLE or _within(origin, ALLOWED))
    if not ours and not _within(origin, allow):  # it may be imported there from another module
        raise not_allowed(origin)
    return found


def not_allowed(target: Any) -> UserError:
    module = str(target).rpartition(".")[0]
    advice = f": add --allow {module} (in Python allow=['{module}']) if you trust it" if module else ""
    return UserError(f"the checkpoint names {target}, which isn't allowed{advice}")


def _within(target: Any, modules: Sequence[str]) -> bool:
    return any(str(target).startswith(f"{module}.") for module in modules)
