"""The schema of a config: the constructors of its components, and the signature of `train`."""

import builtins
import inspect
import json
from collections.abc import Callable
from functools import partial
from math import isfinite
from types import UnionType
from typing import Annotated, Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import MISSING
from pydantic import ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from gan_research.checkpoints.rebuild import SPEC, SPEC_FIELDS
from gan_research.config import declarations
from gan_research.config.keys import KEYS, parts
from gan_research.config.other_tools import OURS, suggestion
from gan_research.utils.errors import UserError, import_problem
from gan_research.utils.precisions import Precision
from gan_research.utils.renamed import renamed
from gan_research.utils.run_folder import leaves

Node = dict[str, Any]
INSTRUCTIONS = {"_target_", "_partial_"}

TRAINER = {
    "accelerator", "benchmark", "callbacks", "default_root_dir", "detect_anomaly", "deterministic", "devices",
    "inference_mode", "num_nodes", "precision", "profiler", "strategy",
}  # fmt: skip
"""The settings of Lightning's Trainer that neither end nor change training; `build_trainer` checks precision."""

PLAYERS = ("generator", "discriminator")  # those of gan_research.losses, which imports torch

PAPER = "paper"  # the name of the budget in an experiment's file itself


def train(  # the signature is the schema
    rounds: PositiveInt,
    batch_size: PositiveInt,
    accumulation: PositiveInt,
    conditional: bool,
    precision: Precision,
    compile: bool,
    max_gradient_norm: PositiveFloat | None,
    sync_batch_norm: bool,
    seed: int,
    log_every: PositiveInt,
    sample_every: PositiveInt,
    evaluate_every: PositiveInt,
    checkpoint_every: PositiveInt,
    keep_every: PositiveInt | None,
    best: str | None,
    output: str,
    name: str | None,
    tags: list[str],
    data: Node,
    generator: Node,
    discriminator: Node,
    loss: Node,
    regularizer: dict[str, Node] | None,
    schedule: Node,
    prior: Node,
    optimizer: dict[str, Node],
    lr_schedule: dict[str, Node | None] | None,
    logger: dict[str, Node] | None,
    analysis: dict[str, Node] | None,
    health: Node,
    trainer: Node,
    ema: Node | None = None,
    metrics: Node | None = None,
    launcher: Node | None = None,
    head: Node | None = None,
    augment: dict[str, Node] | None = None,
    reduction: Node | None = None,
    refinement: Node | None = None,
    unrolling: Node | None = None,
    sampler: Node | None = None,
    channels_last: bool = False,
    cuda_graphs: bool = False,
    variant: str | None = None,
    progress_seconds: PositiveFloat | None = 10.0,
    init: str | None = None,
    freeze_discriminator: NonNegativeInt = 0,
    budget: str = PAPER,
    budgets: dict[str, list[str]] | None = None,
    published: Node | None = None,
) -> None:
    """The top level of the config."""


NODES = [
    name for name, p in inspect.signature(train).parameters.items() if p.annotation is Node and p.default is p.empty
]
"""The keys that are one component each."""


def multirun(sweep: Node, objective: str, pool: Node) -> None:
    """The keys of a sweep."""


def check_multirun(config: Node) -> Node:
    """Check the config of a sweep as `check` does."""
    return _check_keys(_check_arguments(config, *arguments_of(multirun), ""))


def check(config: Node) -> Node:
    """Return the config with every value of its declared type; raise a UserError that names the first misfit."""
    required = [name for name, p in inspect.signature(train).parameters.items() if p.default is p.empty]
    if absent := [name for name in required if name not in config]:
        raise UserError(f"{absent[0]} must be given: add {absent[0]}=...")
    checked = _check_arguments(config, *arguments_of(train), "")
    keep, every = checked["keep_every"], checked["checkpoint_every"]
    if keep is not None and keep % every:
        raise UserError(f"keep_every={keep}: give a multiple of checkpoint_every={every}")
    if (frozen := checked.get("freeze_discriminator")) and checked.get("init") is None:
        raise UserError(f"freeze_discriminator={frozen} would freeze random weights: set init= to a run or checkpoint")
    checked = _check_keys(checked)
    for key in ("batch_size", "seed"):  # the data's are interpolations of these
        if (own := checked["data"].get(key, checked[key])) != checked[key]:
            raise UserError(f"data.{key}={own} and {key}={checked[key]} are one value: set {key}, and not data.{key}")
    for name, value in leaves(checked["optimizer"], "optimizer."):
        if isinstance(value, int | float) and value < 0:
            raise UserError(f"{name}={value}: give 0 or more")
    for name in sorted(checked["trainer"].keys() - TRAINER - INSTRUCTIONS):
        advice = f"set {OURS[name]}" if name in OURS else f"there are {', '.join(sorted(TRAINER))}"
        raise UserError(f"trainer.{name} would end or change training: {advice}")
    return checked


def _check_keys(config: Node) -> Node:
    """Return the values of all keys after a check of their components' roles and arguments."""
    _check_numbers(config)
    for name, key in KEYS.items():
        nodes = parts(name, config.get(name))
        if key.players and nodes and (odd := nodes.keys() ^ PLAYERS):
            raise UserError(f"{name}.{min(odd)}: {name} has settings of the {' and the '.join(PLAYERS)}, no others")
        for inner, node in nodes.items():
            if key.named and not (isinstance(node, dict) and node):
                raise UserError(f"{name} has no _target_: name the class that it configures")
            if key.base and isinstance(node, dict) and node:
                _check_role(node, f"{name}.{inner}".rstrip("."), {key.base}, key.partial)
    return {key: check_nodes(value, key) for key, value in config.items()}


def _check_role(node: Node, name: str, roles: set[str], factory: bool = False) -> None:
    """Raise a UserError unless a component's class has one of these bases.

    factory: whether it has to be partial.
    """
    short = {role.rpartition(".")[2] for role in roles}
    try:
        suits = any(base in short for base in declarations.bases(renamed(str(node.get("_target_")))))
    except declarations.Unreadable:
        suits = False
    if not suits:  # or its source doesn't tell; a function may return anything
        kind = target_of(node, name)
        if inspect.isclass(kind) and not short & {base.__name__ for base in kind.__mro__}:
            advice = f"give a subclass of {' or '.join(sorted(roles))}"
            raise UserError(f"{name}._target_={node['_target_']} has another role: {advice}")
    if bool(node.get("_partial_")) != factory:
        raise UserError(f"{name}._partial_={node.get('_partial_')}: it has to be {str(factory).lower()}")


def _check_numbers(config: Node) -> None:
    """Raise a UserError for a number that is infinite, NaN or larger than 64 bits."""
    for name, value in sorted(leaves(config), key=lambda leaf: leaf[0].count(".")):  # seed before data.seed
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not isfinite(number):
                raise UserError(f"{name}={value}: give a finite number")
            if isinstance(number, int) and abs(number) >= 2**63:
                raise UserError(f"{name}={value}: give an integer of less than 64 bits")


def first_of_ramps(value: Any) -> Any:
    """Return a value or list with the first number of each `Ramp`."""
    if isinstance(value, list):
        return [first_of_ramps(item) for item in value]
    is_ramp = isinstance(value, dict) and str(value.get("_target_")).endswith(".Ramp")
    return float(value.get("base", 0)) if is_ramp else value


def missing_values(config: Any, name: str = "") -> list[str]:
    """Return the full names of the values that are still '???'."""
    if isinstance(config, dict):
        return [m for key, value in config.items() for m in missing_values(value, f"{name}.{key}" if name else key)]
    return [name] if config == MISSING else []


def check_nodes(value: Any, name: str) -> Any:
    """Return `value`; check the arguments of each component in it against its constructor."""
    if isinstance(value, list):
        return [check_nodes(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    value = {key: check_nodes(item, f"{name}.{key}") for key, item in value.items()}
    if "_target_" not in value:
        return value or None
    arguments = {key: item for key, item in value.items() if key not in INSTRUCTIONS}

    def imported() -> tuple[dict[str, Any], bool]:
        return arguments_of(target_of(value, name))

    try:
        declared = declarations.signature(renamed(str(value["_target_"])))
    except declarations.Unreadable:
        declared = imported()
    return value | _check_arguments(arguments, *declared, name, imported)


def suited_metrics(data: Node) -> str:
    """Return the choice of `metrics` that the class of the data or density declares."""
    name, node = ("data.density", data["density"]) if data.get("density") else ("data", data)
    try:
        return str(declarations.constant(renamed(str(node.get("_target_"))), "metrics"))
    except declarations.Unreadable:
        suited = getattr(target_of(node, name), "metrics", None)
    if suited is None:
        raise UserError(f"{name}._target_={node['_target_']} has no attribute metrics: set metrics=...")
    return str(suited)


def target_of(node: Node, name: str) -> Any:
    """Import and return the class or function that a component names."""
    target = node.get("_target_")
    if not isinstance(target, str) or not target:
        raise UserError(f"{name} has no _target_: name the class that it configures")
    try:
        found = get_object(renamed(target))
    except Exception as error:
        raise UserError(f"{name}._target_={target} can't be imported: {import_problem(error)}") from error
    if not callable(found):
        raise UserError(f"{name}._target_={target} is not a class: give the full name of one")
    return found


def arguments_of(target: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """Return a class's or function's arguments, name -> type, and whether it takes others.

    Those of a `TypedDict` that is unpacked into it (`**options: Unpack[Options]`) are among them.
    """
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except Exception:  # annotations that can't be evaluated at run time: names are checked, types are not
        hints = {}
    found: dict[str, Any] = {}
    others = False
    for name, parameter in inspect.signature(target).parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind is not parameter.VAR_KEYWORD:
            found[name] = hint
        elif get_origin(hint) is Unpack:
            found |= get_type_hints(get_args(hint)[0])
        else:
            others = True
    return found, others


def _check_arguments(
    arguments: Node, types: dict[str, Any], others: bool, name: str, imported: Callable[[], Any] | None = None
) -> Node:
    """Return `arguments` with the types that a signature declares.

    others: whether it takes further ones, of any type. imported: returns the types that the source doesn't tell.
    """
    checked = {}
    for key, value in arguments.items():
        full = f"{name}.{key}" if name else key
        if key in SPEC_FIELDS and SPEC in types:
            raise UserError(f"{full} is set by the data: don't set it")
        if key not in types and not others:
            names = [f"{name}.{p}" if name else p for p in types]
            raise UserError(f"there is no {full}: {suggestion(full, names)}")
        annotation = types.get(key, Any)
        if isinstance(annotation, partial):
            try:
                annotation = annotation()
            except declarations.Unreadable:
                assert imported is not None
                annotation = imported()[0].get(key, Any)
        checked[key] = value if annotation is Any else _coerce(value, annotation, full)
    return checked


def _coerce(value: Any, annotation: Any, name: str) -> Any:
    """Return `value` in the type of the annotation: an int becomes a float, nothing else is converted.

    In the settings of an optimizer, which is torch's, a `Ramp` may replace any number.
    """
    if name.startswith("optimizer.") and (first := first_of_ramps(value)) != value:
        _coerce(first, annotation, name)
        return value
    if isinstance(value, dict) and "_target_" in value:  # a component: checked against its own constructor
        kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
        kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
        names = {kind.__name__ for kind in kinds if inspect.isclass(kind)} - {"NoneType", *dir(builtins)}
        others = any(not inspect.isclass(kind) for kind in kinds)  # such as a Callable
        if names and not others:
            _check_role(value, name, names)
        if names or others:
            return value
    if get_origin(annotation) is Literal and type(value) is int and str(value) in get_args(annotation):
        return str(value)  # precision=32
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticUserError, TypeError, NameError):
        return value  # not a type of plain values
    try:
        coerced = adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ").replace("array", "list")
        if "valid string" in message:
            message += f"; if it is text, quote it: \"{name}='...'\""
        if "valid list" in message:
            message += f": \"{name}=[a,'R&D']\""
        raise UserError(f"{name}={value!r}: {message}") from error
    return list(coerced) if isinstance(coerced, tuple) else coerced
