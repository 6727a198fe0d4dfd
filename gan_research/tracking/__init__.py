"""The run's folder, its record, and the loggers that mirror it.

What is in `folder` is here at once; the rest is imported when it is asked for, as it takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gan_research.tracking.folder import comparable, read_history

if TYPE_CHECKING:
    from gan_research.tracking.history import History
    from gan_research.tracking.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
    from gan_research.tracking.run import Run

__all__ = [
    "CSVLogger",
    "History",
    "MLFlowLogger",
    "Run",
    "TensorBoardLogger",
    "WandbLogger",
    "comparable",
    "read_history",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = {"History": "history", "Run": "run"}.get(name, "loggers")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
