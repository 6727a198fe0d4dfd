"""The command line of the commands that take overrides: options, and KEY=VALUE words for Hydra."""

from dataclasses import dataclass, field
from pathlib import Path

from gan_research.errors import UserError


@dataclass
class Arguments:
    """Which options were given, the folder of the user's own choices, and the overrides."""

    options: set[str] = field(default_factory=set)
    config_dir: Path | None = None
    overrides: list[str] = field(default_factory=list)

    @property
    def help(self) -> bool:
        return bool(self.options & {"-h", "--help"})

    def sets(self, key: str) -> bool:
        """Whether an override sets exactly this key."""
        return any(override.lstrip("+").partition("=")[0] == key for override in self.overrides)


def parse(arguments: list[str], command: str, options: tuple[str, ...] = ()) -> Arguments:
    """The arguments of `gan COMMAND`, which knows these options besides --help and --config-dir."""
    parsed = Arguments()
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-h", "--help", *options):
            parsed.options.add(argument)
        elif argument == "--config-dir" or argument.startswith("--config-dir="):
            folder = argument.partition("=")[2] or next(rest, "")
            if not folder:
                raise UserError("--config-dir: give a folder")
            parsed.config_dir = Path(folder)
        elif "=" not in argument and not argument.startswith("~"):
            raise UserError(f"'{argument}' is neither KEY=VALUE nor an option of {command}: see {command} --help")
        else:
            parsed.overrides.append(argument)
    return parsed
