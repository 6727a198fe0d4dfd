"""A run that is played elsewhere: what its launcher is given."""

from pathlib import Path

from gan_research.cli.arguments import Arguments
from gan_research.config.build import make
from gan_research.config.compose import Composition, compose_train, concerns, quoted
from gan_research.launchers import Job
from gan_research.runs.fit import names, run_at, trainer_of


def submitted(given: Arguments, composition: Composition) -> bool:
    """Whether a run is played elsewhere, as its config says; if so it was submitted."""
    config = composition.config
    return make(config["launcher"]).submit(Job(names(composition)[0], words(given), config["trainer"]))


def resubmitted(given: Arguments, path: Path) -> bool:
    """The same for an old run. Who launched it before is not asked: it may be somebody else's."""
    own = [override for override in given.overrides if concerns(override, "launcher")]
    if not own:
        return False
    run = run_at(path)
    rest = [o for o in given.overrides if o not in own and not o.startswith("resume=")]
    launcher = make(compose_train([f"output={quoted(run.folder.parent)}", *own], given.config_dir).config["launcher"])
    return launcher.submit(Job(run.name, words(given), trainer_of(path, rest, given.config_dir, given.allow)))


def words(given: Arguments) -> list[str]:
    """Those of `gan` in each process of the job; started again, it goes on with its run."""
    options = [f"--config-dir={given.config_dir.resolve()}"] if given.config_dir is not None else []
    options += [f"--allow={package}" for package in given.allow]
    kept = [override for override in given.overrides if not concerns(override, "launcher")]
    resumed = [] if any(override.startswith("resume=") for override in kept) else ["resume=auto"]
    return ["train", *options, *kept, "launcher=local", *resumed]
