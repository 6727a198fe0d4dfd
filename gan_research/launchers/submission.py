"""Jobs for launchers, from a composed config or from an old run."""

from collections.abc import Sequence
from pathlib import Path

from gan_research.config.build import make
from gan_research.config.compose import Composition, compose_train
from gan_research.config.overrides import concerns, quoted
from gan_research.launchers import Job
from gan_research.runs.fit import run_at, trainer_of
from gan_research.runs.naming import names


def submit_run(
    composition: Composition, overrides: list[str], config_dir: Path | None, allow: Sequence[str] = ()
) -> int | None:
    """Submit a new run by the launcher of its config; return the exit status, None if it is to be trained here."""
    config = composition.config
    job = Job(names(composition)[0], train_argv(overrides, config_dir, allow), config["trainer"])
    return make(config["launcher"]).submit([job], watch=lambda: None)


def submit_resume(path: Path, overrides: list[str], config_dir: Path | None, allow: Sequence[str] = ()) -> int | None:
    """Submit an old run by the launcher in `overrides`, if any; that of its config may be somebody else's."""
    own = [override for override in overrides if concerns(override, "launcher")]
    if not own:
        return None
    run = run_at(path)
    rest = [o for o in overrides if o not in own and not o.startswith("resume=")]
    launcher = make(compose_train([f"output={quoted(run.folder.parent)}", *own], config_dir).config["launcher"])
    job = Job(run.name, train_argv(overrides, config_dir, allow), trainer_of(path, rest, config_dir, allow))
    return launcher.submit([job], watch=lambda: None)


def train_argv(overrides: list[str], config_dir: Path | None, allow: Sequence[str] = ()) -> list[str]:
    """Return the arguments of `gan` for a process of the job; when requeued, it resumes its run."""
    options = [f"--config-dir={config_dir.resolve()}"] if config_dir is not None else []
    options += [f"--allow={package}" for package in allow]
    kept = [override for override in overrides if not concerns(override, "launcher")]
    resumed = [] if any(override.startswith("resume=") for override in kept) else ["resume=auto"]
    return ["train", *options, *kept, "launcher=local", *resumed]
