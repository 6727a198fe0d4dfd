"""The schema of a config: the constructors of its components, and the signature of `train`."""

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Unpack, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import MISSING
from pydantic import ConfigDict, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from gan_research.checkpoints.rebuild import SPEC, SPEC_FIELDS
from gan_research.config import declarations
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.precisions import Precision
from gan_research.utils.renamed import renamed

Node = dict[str, Any]
INSTRUCTIONS = {"_target_", "_partial_"}

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
    cuda_graphs: bool = False,
    budget: str = PAPER,
    budgets: dict[str, list[str]] | None = None,
    published: Node | None = None,
) -> None:
    """The top level of the config."""


def multirun(sweep: Node, objective: str, pool: Node) -> None:
    """The keys of a sweep."""


def check_multirun(config: Node) -> Node:
    """Check the config of a sweep as `check` does."""
    checked = _check_arguments(config, *arguments_of(multirun), "")
    return {key: check_nodes(value, key) for key, value in checked.items()}


def check(config: Node) -> Node:
    """Return the config with every value of its declared type; raise a UserError that names the first misfit."""
    required = [name for name, p in inspect.signature(train).parameters.items() if p.default is p.empty]
    if absent := [name for name in required if name not in config]:
        raise UserError(f"{absent[0]} must be given: add {absent[0]}=...")
    checked = _check_arguments(config, *arguments_of(train), "")
    keep, every = checked["keep_every"], checked["checkpoint_every"]
    if keep is not None and keep % every:
        raise UserError(f"keep_every={keep}: give a multiple of checkpoint_every={every}")
    return {key: check_nodes(value, key) for key, value in checked.items()}


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
    try:
        return get_object(renamed(node["_target_"]))
    except KeyError:
        raise UserError(f"{name} has no _target_: name the class that it configures") from None
    except Exception as error:
        raise UserError(f"{name}._target_={node['_target_']} can't be imported: {error}") from error


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
            raise UserError(f"there is no {full}: {did_you_mean(full, names)}")
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
    """Return `value` in the type of the annotation: an int becomes a float, nothing else is converted."""
    if isinstance(value, dict) and "_target_" in value:
        return value  # a component: checked against its own constructor
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
        raise UserError(f"{name}={value!r}: {message}") from error
    return list(coerced) if isinstance(coerced, tuple) else coerced
