"""Composition of Hydra overrides into one plain, checked config."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, InterpolationKeyError, OmegaConfBaseException

from gan_research.checkpoints.allowlist import require_allowed
from gan_research.config import declarations
from gan_research.config.keys import SEVERAL, parts
from gan_research.config.other_tools import suggestion
from gan_research.config.overrides import begins, concerns, merge_overrides, of_sweep, parsed, quoted, value_of
from gan_research.config.schema import NODES, PAPER, check, check_multirun, missing_values, suited_metrics
from gan_research.config.upgrade import MOVED, RENAMED_KEYS
from gan_research.config.variants import chosen_variant
from gan_research.utils.errors import UserError, did_you_mean, one_line
from gan_research.utils.renamed import renamed, renamed_argument, renamed_targets
from gan_research.utils.run_folder import leaves

log = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True)
class Composition:
    """A checked config of plain containers, and the choice made in each group."""

    config: dict[str, Any]
    choices: dict[str, Any]
    auto_metrics: bool  # the metrics, a single choice, were chosen by the data
    published: dict[str, Any] | None = None  # the claim of a paper, as a config node
    given: list[str] = field(default_factory=list)  # the overrides, without those of a variant
    overrides: list[str] = field(default_factory=list)  # with those of the variant and of the budget

    @property
    def chosen(self) -> dict[str, str]:
        """The name of the choice in each group: "hinge", "r1+gradient_penalty", "none"."""
        single = {g: c for g, c in self.choices.items() if isinstance(c, str) and "/" not in g and g not in SEVERAL}
        return single | {group: "+".join(self.config[group] or {}) or "none" for group in SEVERAL}


def conf_folder() -> Path:
    """Return the config tree: in the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"the config tree is missing: no conf/train.yaml in or above {package}")


def groups(config_dir: Path | None = None) -> dict[str, dict[str, str]]:
    """Return group -> choice -> description, of the project's tree and the user's folder.

    The user's folder may hold anything else, such as runs: only its own folders, and groups of the project, are read.
    """
    found = {group: dict(choices) for group, choices in _projects_groups().items()}
    if config_dir is not None:
        files = {path for group in {*found, "*"} for path in config_dir.glob(f"{group}/*.yaml")}
        for group, choices in _described(config_dir, files).items():
            found.setdefault(group, {}).update(choices)
    return found


@cache
def _projects_groups() -> dict[str, dict[str, str]]:
    root = conf_folder()
    return _described(root, root.rglob("*/*.yaml"))


def _described(root: Path, files: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Return group -> choice -> description of config files below a folder."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(files):
        if path.is_file():
            found.setdefault(path.parent.relative_to(root).as_posix(), {})[path.stem] = description(path)
    return found


def groups_of_runs() -> dict[str, dict[str, str]]:
    """Return the project's groups whose choices a run takes."""
    return {group: choices for group, choices in groups().items() if not of_sweep(f"{group}=") and group != "variants"}


def current_choices(group: str, config_dir: Path | None = None) -> list[str]:
    """Return the choices of a group that aren't deprecated."""
    return [name for name, text in groups(config_dir)[group].items() if not text.startswith("deprecated")]


def description(path: Path) -> str:
    """Return the first comment of a config file that isn't an instruction to Hydra."""
    text = path.read_text("utf-8", errors="replace")
    lines = (line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    return next((line for line in lines if not line.startswith("@")), "")


def compose_train(
    overrides: list[str], config_dir: Path | None = None, allow: Sequence[str] | None = None
) -> Composition:
    """Return the config of `gan train` with these overrides, every value resolved and checked.

    allow: if the overrides may be someone else's, the modules that they may name in addition to the project's own.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise UserError(f"--config-dir {config_dir} is not a folder")
    if any(begins(o, "hydra") for o in overrides):
        raise UserError("hydra.* has no effect: gan train makes its own run folder and logs (output=, name=, logger=)")
    load = partial(choice, "variants", config_dir=config_dir)
    variant, of_variant, given = chosen_variant(renamed_keys(overrides), load)
    if own := [o for o in [*of_variant, *given] if of_sweep(o)]:
        raise UserError(f"{own[0]} is a setting of a sweep: add -m")
    overrides = whole = _within_budget(merge_overrides(of_variant, given), config_dir, allow)
    held_back = [o for o in overrides if begins(o, "metrics.")]  # the metrics may be chosen by the data
    config, choices = _compose([o for o in overrides if o not in held_back], config_dir, allow)
    for group in groups_of_runs():
        if group not in SEVERAL and group not in choices:
            raise UserError(f"{group} takes exactly one choice: add {group}=...")
    for group in NODES:
        if "_target_" not in (config[group] or {}):
            file = file_of(group, choices[group], config_dir)
            raise UserError(f"{group}={choices[group]} has no _target_: name the class that it configures in {file}")
    auto = choices["metrics"] == AUTO
    if auto or held_back or isinstance(choices["metrics"], list):
        config, choices = _with_metrics(overrides, config, choices, config_dir, allow)
    if missing := missing_values(config):
        raise UserError(f"{missing[0]} must be given: add {missing[0]}=...")
    config = check(_selected(config, overrides))
    published = config.pop("published", None)
    unset = [key for key in ("init", "freeze_discriminator", "sampler") if config[key] in (None, 0)]
    for key in ("budget", "budgets", "variant", *unset):
        config.pop(key, None)
    config |= {"variant": variant} if variant else {}
    return Composition(config, choices, auto, published, given, whole)


def _with_metrics(
    overrides: list[str],
    config: dict[str, Any],
    choices: dict[str, Any],
    config_dir: Path | None,
    allow: Sequence[str] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the composition with its metrics: one choice, or several by name; auto is the one that suits the data."""
    chosen = choices["metrics"]
    names = chosen if isinstance(chosen, list) else [chosen]
    suited = suited_metrics(config["data"]) if AUTO in names else AUTO
    rest = [o for o in overrides if not begins(o, "metrics=")]
    if not isinstance(chosen, list):
        if any(begins(o, "metrics.") for o in rest):  # Hydra checks their keys
            return _compose([*rest, f"metrics={suited}"] if chosen == AUTO else overrides, config_dir, allow)
        node = merged(choice("metrics", suited, config_dir, within=config), config["metrics"])
        if allow is not None:
            require_allowed(node, allow)
        return config | {"metrics": node}, choices | {"metrics": suited}
    names = list(dict.fromkeys(suited if name == AUTO else name for name in names))
    held = [f"++{o.lstrip('+')}" if begins(o, "metrics.") else o for o in rest]  # their files aren't composed
    config, choices = _compose([*held, "metrics=none"], config_dir, allow)
    given = config["metrics"]
    for key in given:
        if not isinstance(given[key], dict) and any(o.startswith(f"++metrics.{key}=") for o in held):
            raise UserError(f"metrics.{key} is set, and there are several metrics: set metrics.{names[0]}.{key}")
    nodes = {name: merged(choice("metrics", name, config_dir, within=config), given.get(name, {})) for name in names}
    if allow is not None:
        require_allowed(nodes, allow)
    others = {name: node for name, node in given.items() if name not in nodes}
    return config | {"metrics": nodes | others}, choices | {"metrics": "+".join(names) or "none"}


def _within_budget(overrides: list[str], config_dir: Path | None, allow: Sequence[str] | None) -> list[str]:
    """Return overrides preceded by those of the budget that they name; given ones take precedence."""
    chosen = [o for o in overrides if concerns(o, "budget")]
    name = value_of(chosen[-1]) if chosen else PAPER
    if name == PAPER:
        return overrides
    experiments = [o for o in overrides if concerns(o, "experiment")]
    config, choices = _compose(experiments, config_dir, allow)
    budgets = {PAPER: [], **(check(_selected(config, experiments))["budgets"] or {})}
    if name not in budgets:
        if not choices["experiment"]:
            raise UserError(f"budget={name} is defined by experiments: add experiment=...")
        raise UserError(f"experiment={choices['experiment']} has no budget {name}: it has {', '.join(budgets)}")
    return merge_overrides(budgets[name], overrides)


def renamed_keys(overrides: list[str]) -> list[str]:
    """Return overrides with the keys of earlier versions renamed, each with a warning."""
    components = {f"{old}.{name}": f"{new}.{new_name}" for (old, name), (new, new_name) in MOVED.items()}
    found = []
    for override in overrides:
        for old, new in (RENAMED_KEYS | components).items():
            group, _, name = old.partition(".")
            if concerns(override, old):
                log.warning("%s is deprecated: use %s", old, new)
                override = override.replace(old, new, 1)
            elif name and concerns(override, group) and name in override:
                log.warning("%s=[%s] is deprecated: use %s=[%s]", group, name, *new.split("."))
        found.append(renamed_argument(override))
    return found


def compose_multirun(overrides: list[str], config_dir: Path | None = None) -> dict[str, Any]:
    """Return the config of a sweep, without those of its runs; the `variants` of its search become a key."""
    config = _compose(renamed_keys(overrides), config_dir, None, "multirun")[0]
    variants = config["sweep"].pop("variants", None)
    return check_multirun(config) | {"variants": variants}


def choice(
    group: str, name: str, config_dir: Path | None = None, within: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return one choice of a group, from the user's folder or the project's tree.

    Interpolations, such as the density of the data, are resolved in the config `within`.
    """
    if (path := file_of(group, name, config_dir)) is None:
        raise UserError(f"there is no {group}={name}: {did_you_mean(name, groups(config_dir)[group])}")
    whole = OmegaConf.create({**(within or {}), group: read(path)})
    try:
        node = OmegaConf.to_container(whole[group], resolve=True)
    except InterpolationKeyError as error:
        raise UserError(f"{group}={name} doesn't suit these data: {str(error).splitlines()[0]}") from error
    assert isinstance(node, dict)
    return {str(key): value for key, value in renamed_targets(node).items()}


def merged(node: Any, changes: Any) -> Any:
    """Return a config node with nested changes; new keys are added."""
    if not isinstance(node, dict) or not isinstance(changes, dict):
        return changes
    return node | {key: merged(node.get(key), value) for key, value in changes.items()}


def file_of(group: str, name: str, config_dir: Path | None = None) -> Path | None:
    """Return the file of a choice, in the user's folder or the project's tree; None if there is none."""
    files = [root / group / f"{name}.yaml" for root in (config_dir, conf_folder()) if root is not None]
    return next((path for path in files if path.is_file()), None)


def read(path: Path) -> DictConfig:
    """Return the content of a config file; a UserError names the file if it can't be read."""
    try:
        content = OmegaConf.load(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"the config file {path} can't be read: not valid YAML: {one_line(error)}") from error
    if not isinstance(content, DictConfig):
        raise UserError(f"the config file {path} is a list: give lines of KEY: VALUE")
    if not path.read_bytes().strip():
        raise UserError(f"the config file {path} is empty: give lines of KEY: VALUE")
    return content


class UsersFolder(ConfigSource):
    """The user's config folder as a source of Hydra: a chosen file that can't be read is named."""

    @staticmethod
    def scheme() -> str:
        return "gan"

    def _file(self, config_path: str) -> Path:
        return Path(self.path, self._normalize_file_name(config_path))

    def load_config(self, config_path: str) -> ConfigResult:
        file = self._file(config_path)
        config, header = read(file), self._get_header_dict(file.read_text("utf-8"))
        return ConfigResult(self.provider, self.full_path(), config, header)

    def available(self) -> bool:
        return self.is_group("")

    def is_group(self, config_path: str) -> bool:
        return Path(self.path, config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        return self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: Any) -> list[str]:
        return sorted(path.stem for path in Path(self.path, config_path).glob("*.yaml"))


def experiment(name: str, config_dir: Path | None = None) -> dict[str, Any]:
    """Return the settings of an experiment and its bases, neither composed nor checked."""
    if (path := file_of("experiment", name, config_dir)) is None:
        raise UserError(f"there is no experiment={name}")
    file = read(path)
    bases = [base for base in file.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
    merged = OmegaConf.to_container(OmegaConf.merge(*(experiment(base, config_dir) for base in bases), file))
    assert isinstance(merged, dict)
    return {str(key): value for key, value in renamed_targets(merged).items()}


def _compose(
    overrides: list[str], config_dir: Path | None, allow: Sequence[str] | None, primary: str = "train"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return Hydra's composition as plain containers, and the choices; errors have one line."""
    given = overrides
    if config_dir is not None:
        Plugins.instance().register(UsersFolder)
        overrides = [*overrides, f"hydra.searchpath=[{quoted(f'gan://{config_dir.resolve()}')}]"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            composed = compose(primary, overrides=overrides, return_hydra_config=True)
            choices = dict(composed.hydra.runtime.choices)
            if primary == "train" and "metrics" not in choices:
                choices["metrics"] = _list_of_choices("metrics", overrides)
        OmegaConf.set_struct(composed, False)
        del composed["hydra"]
        config = OmegaConf.to_container(composed, resolve=True)
    except MissingConfigException as error:
        raise UserError(_unknown_choice(error, config_dir)) from error
    except InterpolationKeyError as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        for cause in (error, error.__cause__):
            if isinstance(cause, ConfigKeyError | ConfigAttributeError):
                if (added := _with_argument(cause, given)) is not None:
                    return _compose(added, config_dir, allow, primary)
                raise UserError(_unknown_key(cause, overrides)) from error
        for override in overrides:
            if (sweep := parsed(override)) is not None and sweep.is_sweep_override():
                key, _, value = override.partition("=")
                one = f'or if it is one value, quote it: "{key}={quoted(value)}"'
                raise UserError(f"{override} gives several values: add -m to train a run for each, {one}") from error
        raise UserError(one_line(error)) from error
    assert isinstance(config, dict)
    config = renamed_targets(config)  # overrides, and choices of the user's own, may be older
    if allow is not None:
        require_allowed(config, allow)
    return {str(key): value for key, value in config.items()}, choices


def _list_of_choices(group: str, overrides: list[str]) -> list[str]:
    """Return the choices of a group that an override or experiment gives as a list."""
    defaults = GlobalHydra.instance().config_loader().compute_defaults_list("train", overrides, RunMode.RUN).defaults
    paths = [default.config_path or "" for default in defaults]
    return [path.removeprefix(f"{group}/") for path in paths if path.startswith(f"{group}/")]


def _with_argument(error: ConfigKeyError | ConfigAttributeError, overrides: list[str]) -> list[str] | None:
    """Return overrides that add an unknown setting, if its component takes it; None otherwise.

    A file of the config tree doesn't repeat all arguments of its component.
    """
    full, node = str(error.full_key or error.key), error.parent_node
    target = node.get("_target_") if node is not None and OmegaConf.is_dict(node) else None
    try:
        declared, _ = declarations.signature(renamed(str(target)))
    except declarations.Unreadable:
        return None
    if full.rpartition(".")[2] not in declared:
        return None
    added = [f"+{o}" if o.partition("=")[0] == full else o for o in overrides]
    return added if added != overrides else None


def _unknown_choice(error: MissingConfigException, config_dir: Path | None) -> str:
    """Return the message of an unknown choice: there is no loss=hing: did you mean 'hinge'?"""
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    known = groups(config_dir)
    if group not in known:
        return f"there is no group '{group or choice}': {did_you_mean(group or choice, known)}"
    return f"there is no {group}={choice}: {did_you_mean(choice, known[group])}"


def _unknown_key(error: ConfigKeyError | ConfigAttributeError, overrides: list[str]) -> str:
    """Return the message of an unknown key: there is no generator.widht: did you mean 'generator.width'?"""
    full = str(error.full_key or error.key)
    parent, _, _ = full.rpartition(".")
    node = error.parent_node
    root: Any = OmegaConf.to_container(node._get_root()) if node is not None else {}
    everywhere = [name for name, _ in leaves(root)]
    siblings = [str(name) for name in node] if node is not None and OmegaConf.is_dict(node) else []
    if not parent:
        siblings = sorted({*siblings, *groups()} - {"hydra"})
    names = [f"{parent}.{name}" if parent else name for name in siblings if not name.startswith("_")]
    full = next((key for o in overrides if (key := o.lstrip("+").partition("=")[0]).startswith(f"{full}.")), full)
    return f"there is no {full}: {suggestion(full, names, everywhere)}"


def _selected(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Return `config` without the settings of components that aren't chosen (an experiment may have some)."""
    for group in (*SEVERAL, "metrics"):
        nodes = parts(group, config.get(group))
        if (single := nodes.get("")) is not None:  # an experiment may have settings of several
            others = [name for name, value in single.items() if isinstance(value, dict) and "_target_" not in value]
            others = others and [name for name in others if name in groups()[group]]
            config[group] = {name: value for name, value in single.items() if name not in others}
            continue
        chosen = {name: node for name, node in nodes.items() if isinstance(node, dict) and "_target_" in node}
        for name in set(nodes) - set(chosen):
            if any(begins(o, f"{group}.{name}") for o in overrides):
                raise UserError(f"{group}.{name} is set but not chosen: add {group}=[{','.join([*chosen, name])}]")
        config[group] = chosen
    for group in ("ema", "head", "refinement", "unrolling", "sampler"):  # groups that may be none
        if "_target_" not in (config.get(group) or {}):
            config[group] = None
    config["metrics"] = config["metrics"] or None
    return config
