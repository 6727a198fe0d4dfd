"""The run's folder, its record, and the loggers that mirror it."""

from gan_research.tracking.history import History, comparable, read_history
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
