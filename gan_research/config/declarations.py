"""The signatures and class constants of components, read from their source without importing them.

Importing a component imports torch, which takes seconds; a config is checked in a fraction of one.
"""

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Union, get_type_hints

from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

IMPORTED = {
    *sys.stdlib_module_names,
    "typing_extensions",
    "pydantic",
    "annotated_types",
    "gan_research.utils.paths",
    "gan_research.utils.ranges",
}
"""Packages and modules that are quick to import."""


Definition = ast.ClassDef | ast.FunctionDef


class Unreadable(Exception):
    """The source doesn't tell: import the component instead."""


@dataclass(frozen=True)
class Module:
    """A parsed source file. package: the name that relative imports start from."""

    name: str
    package: str
    names: dict[str, ast.stmt]

    def imported(self, name: str) -> str | None:
        """Return the full name of what an import binds to `name`; None if no import does."""
        statement = self.names.get(name)
        if isinstance(statement, ast.Import):
            alias = next(a for a in statement.names if (a.asname or a.name.partition(".")[0]) == name)
            return alias.name if alias.asname else name
        if not isinstance(statement, ast.ImportFrom):
            return None
        original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
        parent = self.package.split(".")[: -(statement.level - 1) or None] if statement.level else []
        return ".".join([*parent, *filter(None, [statement.module]), original])

    def find(self, name: str) -> tuple["Module", ast.stmt]:
        """Return the statement that defines a name, and its module, after following imports; Unreadable if none."""
        if (full := self.imported(name)) is not None:
            return find(full)
        if (statement := self.names.get(name)) is None:
            raise Unreadable(f"{self.name}.{name}")
        return self, statement


@cache
def module(name: str) -> Module | None:
    """Return a module's source; None if there is no such file, or it can't be parsed."""
    top, *inner = name.split(".")
    try:
        path = Path(find_spec(top).origin)  # type: ignore[union-attr, arg-type]
        if inner:
            folder = path.parent.joinpath(*inner)
            path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        body = ast.parse(path.read_bytes()).body
    except (AttributeError, TypeError, ValueError, OSError, SyntaxError):
        return None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return Module(name, package, dict(_bindings(body)))


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for statement in body:
        match statement:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, statement
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name, statement
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from ((alias.asname or alias.name.partition(".")[0], statement) for alias in aliases)
            case ast.If() | ast.Try():  # such as imports for type checkers
                yield from _bindings(statement.body)


def find(name: str) -> tuple[Module, ast.stmt]:
    """Return the module and the statement that define a dotted name, such as 'torch.optim.Adam'."""
    prefix, _, last = name.rpartition(".")
    source = module(prefix) if prefix else None
    if source is None:
        raise Unreadable(name)
    return source.find(last)


def signature(target: str) -> tuple[dict[str, Any], bool]:
    """Return the arguments of a class or function by name, and whether it takes others.

    Each is a type, or a `partial` that returns it. Both raise Unreadable if only importing the target would tell.
    """
    source, definition = find(target)
    skipped = int(isinstance(definition, ast.ClassDef))  # self
    if isinstance(definition, ast.ClassDef):
        source, definition = _constructor(source, definition)
    if not isinstance(definition, ast.FunctionDef):
        raise Unreadable(target)
    given = definition.args
    named = [*given.posonlyargs, *given.args, *filter(None, [given.vararg]), *given.kwonlyargs][skipped:]
    types: dict[str, Any] = {argument.arg: partial(evaluate, argument.annotation, source) for argument in named}
    if given.kwarg is None:
        return types, False
    if not isinstance(given.kwarg.annotation, ast.Subscript):
        return types, True
    options = evaluate(given.kwarg.annotation.slice, source)  # Unpack[Options]
    return types | get_type_hints(options), False


def defaults(target: str) -> dict[str, Any]:
    """Return the plain default values of a function's arguments, or a class's and its bases'."""
    found: dict[str, Any] = {}
    for definition in definitions(target):
        methods = definition.body if isinstance(definition, ast.ClassDef) else [definition]
        for method in methods:
            if isinstance(method, ast.FunctionDef) and method.name in ("__init__", definition.name):
                found = dict(_defaults(method.args)) | found
    return found


def _defaults(given: ast.arguments) -> Iterator[tuple[str, Any]]:
    positional = [*given.posonlyargs, *given.args]
    pairs = [*zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True)]
    for argument, default in [*pairs, *zip(given.kwonlyargs, given.kw_defaults, strict=True)]:
        with suppress(ValueError, TypeError):
            if default is not None:
                yield argument.arg, ast.literal_eval(default)


def definitions(target: str) -> Iterator[Definition]:
    """Yield the definition of a function, or of a class and its bases.

    It ends at the first base that can't be found.
    """
    with suppress(Unreadable):
        source, definition = find(target)
        if isinstance(definition, ast.FunctionDef):
            yield definition
        else:
            yield from (base for _, base in _bases(source, definition))


def bases(target: str) -> Iterator[str]:
    """Yield the names of a class and of its bases, depth first; Unreadable where only importing it would tell more."""
    yield from (base.name for _, base in _bases(*find(target)))


def constant(target: str, name: str) -> Any:
    """Return a constant that a class, or its nearest base that has one, assigns."""
    source, definition = find(target)
    for _, base in _bases(source, definition):
        match dict(_bindings(base.body)).get(name):
            case None | ast.AnnAssign(value=None):
                continue
            case ast.Assign(value=ast.Constant(value=value)) | ast.AnnAssign(value=ast.Constant(value=value)):
                return value
            case _:
                break
    raise Unreadable(f"{target}.{name}")


def _bases(source: Module, definition: ast.stmt) -> Iterator[tuple[Module, ast.ClassDef]]:
    """Yield a class and its bases, depth first; Unreadable at one that can't be found."""
    if not isinstance(definition, ast.ClassDef):
        raise Unreadable(source.name)
    yield source, definition
    for base in definition.bases:
        expression = base.value if isinstance(base, ast.Subscript) else base
        if ast.unparse(expression).rpartition(".")[2] not in ("object", "ABC", "Protocol", "Generic"):
            yield from _bases(*_find_expression(expression, source))


def _find_expression(expression: ast.expr, source: Module) -> tuple[Module, ast.stmt]:
    """Return where `Name` or `module.Name` is defined."""
    return source.find(expression.id) if isinstance(expression, ast.Name) else find(_full_name(expression, source))


def _full_name(expression: ast.expr, source: Module) -> str:
    """Return the full name of `Name` or `module.Name`."""
    if isinstance(expression, ast.Attribute):
        return f"{_full_name(expression.value, source)}.{expression.attr}"
    if not isinstance(expression, ast.Name):
        raise Unreadable(ast.unparse(expression))
    return source.imported(expression.id) or f"{source.name}.{expression.id}"


def _constructor(source: Module, definition: ast.ClassDef) -> tuple[Module, ast.stmt]:
    """Return the method that takes a class's arguments."""
    for origin, base in _bases(source, definition):
        methods = {s.name: s for s in base.body if isinstance(s, ast.FunctionDef)}
        for name in ("__init__", "__new__"):
            if name in methods:
                return origin, methods[name]
        if [ast.unparse(decorator).partition("(")[0] for decorator in base.decorator_list] == ["dataclass"]:
            fields = [ast.unparse(statement) for statement in base.body if isinstance(statement, ast.AnnAssign)]
            return origin, ast.parse(f"def __init__(self, {', '.join(fields)}): ...").body[0]
        if base.decorator_list:  # a class that another decorator made
            raise Unreadable(source.name)
    return source, ast.parse("def __init__(self): ...").body[0]


def evaluate(expression: ast.expr | None, source: Module) -> Any:
    """Return the type that an annotation names; Any if there is none.

    A class that isn't imported is replaced by an empty one: no value of a config is an instance of either.
    """
    match expression:
        case None:
            return Any
        case ast.Constant(value=str(text)):
            return evaluate(ast.parse(text, mode="eval").body, source)
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name not in source.names:
            if not hasattr(builtins, name):
                raise Unreadable(name)
            return getattr(builtins, name)
        case ast.Name() | ast.Attribute():
            return _type(expression, source)
        case ast.Subscript(value=value, slice=inner):
            generic = evaluate(value, source)
            if generic is Literal:
                return generic[ast.literal_eval(inner)]
            return generic[evaluate(inner, source)]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[evaluate(left, source), evaluate(right, source)]  # noqa: UP007
        case ast.Call(func=function, args=arguments, keywords=keywords):  # Field(min_length=1)
            options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords if keyword.arg}
            return evaluate(function, source)(*(evaluate(argument, source) for argument in arguments), **options)
        case ast.Tuple(elts=elements):
            return tuple(evaluate(element, source) for element in elements)
        case ast.List(elts=elements):
            return [evaluate(element, source) for element in elements]
    raise Unreadable(ast.unparse(expression))


def _type(expression: ast.Name | ast.Attribute, source: Module) -> Any:
    """Return the type of `Name` or `module.Name`: itself if its package is imported, else built from its source."""
    origin, _, name = _full_name(expression, source).rpartition(".")
    if IMPORTED & {origin, origin.partition(".")[0]}:
        return getattr(importlib.import_module(origin), name)
    found, definition = _find_expression(expression, source)
    if isinstance(definition, ast.ClassDef):
        return _typed_dict(found, definition) or _stand_in(definition.name)
    if isinstance(definition, ast.Assign | ast.AnnAssign) and definition.value is not None:
        return evaluate(definition.value, found)
    raise Unreadable(name)


def _typed_dict(source: Module, definition: ast.ClassDef) -> Any:
    """Return a TypedDict of the same fields as a class; None if it isn't one. Unreadable if it is an enumeration."""
    fields: dict[str, Any] = {}
    for base in definition.bases:
        if ast.unparse(base).endswith("Enum"):
            raise Unreadable(definition.name)
        if ast.unparse(base) != "TypedDict":
            try:
                found, statement = _find_expression(base, source)
            except Unreadable:
                return None
            inner = _typed_dict(found, statement) if isinstance(statement, ast.ClassDef) else None
            if inner is None:
                return None
            fields |= inner.__annotations__
    if not definition.bases:
        return None
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            fields[statement.target.id] = evaluate(statement.annotation, source)
    create: Any = TypedDict
    made = create(definition.name, fields, total=not definition.keywords)
    for decorator in definition.decorator_list:  # such as pydantic's with_config
        made = evaluate(decorator, source)(made)
    return made


@cache
def _stand_in(name: str) -> type:
    """Return an empty class of this name, which may be subscripted."""
    return type(name, (), {"__class_getitem__": classmethod(lambda cls, _: cls)})
