"""What a checkpoint or a run's folder, which may be somebody else's, may name to be built from."""

import pkgutil
from collections.abc import Sequence
from typing import Any

from gan_research.utils.errors import UserError

OWN = (
    "augmentations", "callbacks", "data", "distributed", "losses", "metrics", "networks", "regularizers",
    "runs.loggers", "sampling.priors", "theory", "training.ema", "training.lr_schedules", "training.reduction",
    "training.schedule",
)  # fmt: skip

ALLOWED = (*(f"gan_research.{part}" for part in OWN), "torch.optim")
"""The modules whose classes are built; of their functions none is called."""

SINGLE = (
    "pytorch_lightning.Trainer", "pytorch_lightning.strategies.DDPStrategy", "gan_research.launchers.Local",
    "gan_research.launchers.Slurm", "gan_research.reproduction.Published",
)  # fmt: skip
"""Classes of modules from which nothing else is built."""


def require_allowed(part: Any, allow: Sequence[str] = ()) -> None:
    """Raise unless all that a config names, however deep, may be built.

    allow: modules, besides those of the list, whose classes and functions are the user's own.
    """
    if isinstance(part, str) and "${" in part:  # Hydra would resolve it, to any component
        raise UserError(f"the checkpoint's config holds '{part}', which isn't allowed: a run's config is all resolved")
    if isinstance(part, dict) and "_target_" in part:
        allowed(part["_target_"], allow)
    if isinstance(part, dict | list | tuple):
        for inner in part.values() if isinstance(part, dict) else part:
            require_allowed(inner, allow)


def allowed(target: Any, allow: Sequence[str] = ()) -> Any:
    """The class that `target` names, imported only if it may be built."""
    if target not in SINGLE and not _within(target, (*ALLOWED, *allow)):
        raise refusal(target)
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # a module that is imported can raise anything
        raise UserError(f"{target}, which the checkpoint names, can't be imported: {error}") from error
    origin = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}"
    ours = isinstance(found, type) and (target in SINGLE or _within(origin, ALLOWED))
    if not ours and not _within(origin, allow):  # an allowed module may have it from another
        raise refusal(origin)
    return found


def refusal(target: Any) -> UserError:
    """What to say of a class or function that may not be built."""
    module = str(target).rpartition(".")[0]
    advice = f": add --allow {module} (in Python allow=['{module}']) if you trust it" if module else ""
    return UserError(f"the checkpoint wants {target}, which isn't allowed{advice}")


def _within(target: Any, modules: Sequence[str]) -> bool:
    """Whether what `target` names is of one of the modules, or of a module in one of them."""
    return any(str(target).startswith(f"{module}.") for module in modules)
