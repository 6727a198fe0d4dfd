"""The loggers that mirror a run's history, against `round` and with `kimg`."""

from gan_research.runs.loggers.file_loggers import CSVLogger, TensorBoardLogger
from gan_research.runs.loggers.mlflow_logger import MLFlowLogger
from gan_research.runs.loggers.wandb_logger import WandbLogger

__all__ = ["CSVLogger", "MLFlowLogger", "TensorBoardLogger", "WandbLogger"]
