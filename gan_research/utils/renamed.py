"""Old names of modules, classes and metrics in checkpoints, exports, configs and records."""

import logging
import re
from typing import Any

log = logging.getLogger(__name__)

RENAMED = {
    "gan_research.cli.build": "gan_research.config.build",
    "gan_research.crash": "gan_research.callbacks.crash_report",
    "gan_research.data.folder.PictureData": "gan_research.data.folder.ImageFileData",
    "gan_research.data.pictures": "gan_research.data.image_files",
    "gan_research.description": "gan_research.checkpoints.rebuild",
    "gan_research.distributed.slurm": "gan_research.utils.slurm",
    "gan_research.divergences": "gan_research.losses.divergences",
    "gan_research.ema": "gan_research.training.ema",
    "gan_research.errors": "gan_research.utils.errors",
    "gan_research.exports": "gan_research.sampling.export",
    "gan_research.figures": "gan_research.utils.plotting",
    "gan_research.files": "gan_research.utils.files",
    "gan_research.float32": "gan_research.utils.tf32",
    "gan_research.gan": "gan_research.training.gan",
    "gan_research.graphs": "gan_research.training.cuda_graphs",
    "gan_research.light_loop": "gan_research.training.fast_loop",
    "gan_research.lr_schedules": "gan_research.training.lr_schedules",
    "gan_research.minibatch": "gan_research.training.minibatch",
    "gan_research.passes": "gan_research.training.precision",
    "gan_research.pixels": "gan_research.utils.images",
    "gan_research.priors": "gan_research.sampling.priors",
    "gan_research.ranks": "gan_research.utils.slurm",
    "gan_research.recorder": "gan_research.training.loss_log",
    "gan_research.regularizers.InstanceNoise": "gan_research.augmentations.InstanceNoise",
    "gan_research.regularizers.instance_noise": "gan_research.augmentations.instance_noise",
    "gan_research.regularizers.classification": "gan_research.regularizers.conditioning",
    "gan_research.regularizers.logits.AuxiliaryClassifier": (
        "gan_research.regularizers.conditioning.AuxiliaryClassifier"
    ),
    "gan_research.regularizers.orthogonal": "gan_research.regularizers.weights",
    "gan_research.regularizers.weight_clipping": "gan_research.regularizers.weights",
    "gan_research.sampling.Drawing": "gan_research.sampling.sampler.SampleSource",
    "gan_research.sampling.Sampler": "gan_research.sampling.sampler.Sampler",
    "gan_research.schedule": "gan_research.training.schedule",
    "gan_research.signals": "gan_research.utils.signals",
    "gan_research.steps": "gan_research.training.optimization",
    "gan_research.streams": "gan_research.utils.rng",
    "gan_research.sweeps.search.Listed": "gan_research.sweeps.search.FixedPoints",
    "gan_research.tracking.CSVLogger": "gan_research.runs.loggers.CSVLogger",
    "gan_research.tracking.History": "gan_research.runs.history.History",
    "gan_research.tracking.MLFlowLogger": "gan_research.runs.loggers.MLFlowLogger",
    "gan_research.tracking.Run": "gan_research.runs.run.Run",
    "gan_research.tracking.TensorBoardLogger": "gan_research.runs.loggers.TensorBoardLogger",
    "gan_research.tracking.WandbLogger": "gan_research.runs.loggers.WandbLogger",
    "gan_research.tracking.folder": "gan_research.utils.run_folder",
    "gan_research.tracking.history": "gan_research.runs.history",
    "gan_research.tracking.loggers": "gan_research.runs.loggers",
    "gan_research.tracking.run": "gan_research.runs.run",
    "gan_research.watchdog": "gan_research.callbacks.watchdog",
}  # old name -> today's, of modules and of classes; a module's name stands for all that is in it
OLD_METRICS = {
    f"{prefix}is{suffix}": f"{prefix}inception_score{suffix}"
    for prefix in ("", "metrics/")
    for suffix in ("", "_std", "_perfect")
}  # old name -> today's, of metrics, of their columns and of a history's columns
NAME_METRICS = ("best", "objective", "metric", "metrics", "column")  # keys whose values are names of metrics


def renamed(name: str) -> str:
    """Return today's name of a class or module."""
    start = name
    while start:
        if start in RENAMED:
            return RENAMED[start] + name[len(start) :]
        start = start.rpartition(".")[0]
    return name


def renamed_metric(name: str) -> str:
    """Return today's name of a metric, or of one of its columns: "metrics/is_std" -> "metrics/inception_score_std"."""
    return OLD_METRICS.get(name, name)


def renamed_argument(word: str) -> str:
    """Return a metric's name, or KEY=VALUE with one in it, with today's name; an old one is a warning."""
    key, equals, _ = word.partition("=")
    if equals and not re.search(r"\b(best|objective|metrics|settings)$|\bsettings\.", key):
        return word
    new = re.sub(r"(?<![\w/])is(?=(_std|_perfect)?\b)(?!/)", "inception_score", word)
    if new != word:
        log.warning("metric 'is' is deprecated: use 'inception_score'")
    return new


def renamed_targets(node: Any, key: str = "") -> Any:
    """Return plain containers with today's names of classes (`_target_`) and metrics, however deep."""
    if isinstance(node, dict):
        return {renamed_metric(k): renamed_targets(value, k) for k, value in node.items()}
    if isinstance(node, str):
        return renamed(node) if key == "_target_" else renamed_metric(node) if key in NAME_METRICS else node
    return type(node)(renamed_targets(part, key) for part in node) if type(node) in (list, tuple) else node
