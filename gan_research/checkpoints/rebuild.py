"""Objects that know the arguments they were built with, so that a checkpoint can say how to rebuild them."""

import contextlib
import dataclasses
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from gan_research.checkpoints.allowlist import allowed
from gan_research.utils.sample_spec import SampleSpec

SPEC, SPEC_FIELDS = "samples", tuple(field.name for field in dataclasses.fields(SampleSpec))
"""The constructor argument that is a `SampleSpec`, and what it is recorded as."""


class Rebuildable:
    """Records every constructor argument, defaults filled in, as plain JSON values in `init_args`.

    Recorded in `__new__`, so that a subclass has nothing to call; a copy or an unpickled object takes it over with its
    other attributes.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        with contextlib.suppress(TypeError):  # wrong arguments: __init__ is about to say so, and says it better
            bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = {name: plain(value) for name, value in list(bound.arguments.items())[1:]}
            spec = arguments.pop(SPEC, {})  # its fields, as if they were arguments
            self.__dict__["init_args"] = arguments | spec
        return self


def describe(thing: Rebuildable) -> dict[str, Any]:
    """Return the description that rebuilds `thing` without weights: its class as `_target_`, and its arguments."""
    return {"_target_": path_of(type(thing)), **thing.init_args}


def rebuild(description: dict[str, Any], allow: Sequence[str] = ()) -> Any:
    """Build the object of a description, if its class is of an allowed module, or of one in `allow`."""
    arguments = dict(description)
    kind = allowed(arguments.pop("_target_", None), allow)
    if SPEC in inspect.signature(kind).parameters:
        arguments[SPEC] = SampleSpec(**{name: arguments.pop(name) for name in SPEC_FIELDS if name in arguments})
    return kind(**arguments)


def completed(description: dict[str, Any], thing: Rebuildable) -> dict[str, Any]:
    """Return an older description, if it is of the class of `thing`, with arguments added since at their defaults."""
    if description.get("_target_") != path_of(type(thing)):
        return description
    parameters = inspect.signature(type(thing)).parameters.values()
    defaults = {p.name: plain(p.default) for p in parameters if p.default is not p.empty}
    spec = {name: thing.init_args[name] for name in SPEC_FIELDS if name in thing.init_args}
    return spec | defaults | description


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: tuples as lists, classes and partial calls of them by their names."""
    if isinstance(value, partial):
        return {"_target_": path_of(value.func), "_partial_": True, **value.keywords}
    if isinstance(value, SampleSpec):
        return {name: plain(field) for name, field in vars(value).items()}
    if isinstance(value, type):
        return {"_target_": path_of(value), "_partial_": True}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def path_of(kind: Any) -> str:
    """Return the dotted path of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"
