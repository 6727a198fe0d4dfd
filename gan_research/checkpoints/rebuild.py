"""Objects that record their constructor arguments, so that a checkpoint can rebuild them."""

import contextlib
import dataclasses
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from gan_research.checkpoints.allowlist import resolve_allowed
from gan_research.utils.sample_spec import SampleSpec

SPEC, SPEC_FIELDS = "samples", tuple(field.name for field in dataclasses.fields(SampleSpec))
"""The constructor argument of type `SampleSpec`, and its fields, which are recorded in its place."""


class Rebuildable:
    """A component that records its constructor arguments in `init_args`.

    They are plain JSON values, including defaults. `__new__` records them, so that subclasses need no call; copies and
    unpickled objects keep them.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        with contextlib.suppress(TypeError):  # wrong arguments: __init__ reports them better
            bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = {name: plain(value) for name, value in list(bound.arguments.items())[1:]}
            spec = arguments.pop(SPEC, {})  # its fields, as if they were arguments
            self.__dict__["init_args"] = arguments | spec
        return self


def describe(component: Rebuildable) -> dict[str, Any]:
    """Return the description that rebuilds a component, without weights: `_target_` and its arguments."""
    return {"_target_": class_path(own_class(component)), **component.init_args}


def own_class(component: Rebuildable) -> type:
    """Return the class of a component; torch's `fully_shard` makes it an instance of a subclass."""
    return next(cls for cls in type(component).__mro__ if all(b.__name__ != "FSDPModule" for b in cls.__mro__))


def rebuild(description: dict[str, Any], allow: Sequence[str] = ()) -> Any:
    """Build the object of a description if its class is allowed or in `allow`."""
    arguments = {name: _factory(value, allow) for name, value in description.items()}
    cls = resolve_allowed(arguments.pop("_target_", None), allow)
    if SPEC in inspect.signature(cls).parameters:
        arguments[SPEC] = SampleSpec(**{name: arguments.pop(name) for name in SPEC_FIELDS if name in arguments})
    return cls(**arguments)


def _factory(value: Any, allow: Sequence[str]) -> Any:
    """Return the factory that `plain` described, such as a head, or the value itself."""
    if not (isinstance(value, dict) and value.get("_partial_")):
        return value
    arguments = {name: inner for name, inner in value.items() if name not in ("_target_", "_partial_")}
    return partial(resolve_allowed(value.get("_target_"), allow), **arguments)


def with_defaults(description: dict[str, Any], component: Rebuildable) -> dict[str, Any]:
    """Return an older description with defaults for arguments that the class got since."""
    if description.get("_target_") != class_path(own_class(component)):
        return description
    parameters = inspect.signature(own_class(component)).parameters.values()
    defaults = {p.name: plain(p.default) for p in parameters if p.default is not p.empty}
    spec = {name: component.init_args[name] for name in SPEC_FIELDS if name in component.init_args}
    return spec | defaults | description


def plain(value: Any) -> Any:
    """Return `value` as plain JSON: lists for tuples, names for classes and partial calls of them."""
    if isinstance(value, partial):
        return {"_target_": class_path(value.func), "_partial_": True, **value.keywords}
    if isinstance(value, SampleSpec):
        return {name: plain(field) for name, field in vars(value).items()}
    if isinstance(value, type):
        return {"_target_": class_path(value), "_partial_": True}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def class_path(cls: Any) -> str:
    """Return the dotted path of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"
