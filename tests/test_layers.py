"""The rooms of the package lie in layers: imports go down, and there are no circles."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gan_research"

LAYERS = (
    ("utils",),
    ("checkpoints", "distributed"),
    ("losses", "networks", "data"),
    ("sampling",),
    ("regularizers", "metrics"),
    ("augmentations",),
    ("training",),
    ("callbacks", "config", "testing"),
    ("runs", "theory"),
    ("launchers",),
    ("sweeps", "report", "cost", "explore"),
    ("reproduction",),
    ("cli",),
)
"""From the ground up: a room imports from rooms below its layer, and of its own layer from itself alone."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

IN_THE_ROOT = {"__init__", "__main__", "_version"}
"""`_version` may be imported by all, and imports nothing; the others import whatever they like, and nobody them."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(module, module that it imports) -> why it may."""


def module_of(path):
    """gan_research/losses/hinge.py -> losses.hinge; the __init__ of a package -> the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if "conf" not in path.parts}


def room_of(module):
    return module.partition(".")[0]


def imports_of(path):
    """The package's modules that a source imports, wherever in it, for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("gan_research.") in MODULES else node.module for name in inner]
        else:
            continue
        for name in names:
            if name.startswith("gan_research."):
                yield name.removeprefix("gan_research.")
            elif name == "gan_research":
                yield "__init__"


GRAPH = {module: sorted(set(imports_of(path)) - {module}) for module, path in MODULES.items()}


def circle_in(graph):
    """The nodes of a circle, in order, or None."""
    done, way = set(), []

    def visit(node):
        if node in way:
            return way[way.index(node) :]
        if node in done:
            return None
        way.append(node)
        found = next((circle for after in graph.get(node, ()) if (circle := visit(after))), None)
        way.pop()
        done.add(node)
        return found

    return next((circle for node in graph if (circle := visit(node))), None)


def test_nothing_but_these_modules_lies_in_the_root():
    assert {module for module in MODULES if "." not in module and MODULES[module].name != "__init__.py"} <= IN_THE_ROOT
    assert {room_of(module) for module in MODULES} - IN_THE_ROOT <= set(LEVEL)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    room = room_of(module)
    for imported in GRAPH[module]:
        below = room_of(imported)
        if below == room or below == "_version" or room in ("__init__", "__main__", "testing"):
            continue
        assert module != "_version"
        assert below in LEVEL, f"{module} imports {imported}, of the root"
        allowed = LEVEL[below] < LEVEL[room] or (module, imported) in EXCEPTIONS
        assert allowed, f"{module} imports {imported}, which isn't below it"


def test_the_table_of_layers_is_as_the_code_has_it():
    rows = re.findall(r"^\| (\d*) ?\| `(\w+)` \|", (PACKAGE.parent / "docs" / "design.md").read_text(), re.MULTILINE)
    table, layer = [], 0
    for number, room in rows:
        layer = int(number or layer)
        table.append((layer, room))
    assert sorted(table) == sorted((level + 1, room) for room, level in LEVEL.items())


def test_exceptions_are_needed():
    assert all(imported in GRAPH[module] and reason for (module, imported), reason in EXCEPTIONS.items())


def test_no_circle_between_rooms():
    rooms = {}
    for module, imported in GRAPH.items():
        if room_of(module) in LEVEL:
            rooms.setdefault(room_of(module), set()).update(room_of(m) for m in imported)
    assert circle_in({room: sorted(others - {room}) for room, others in rooms.items()}) is None


def test_no_circle_between_modules():
    assert circle_in(GRAPH) is None


@pytest.mark.parametrize(
    ("graph", "circle"),
    [({"a": ["b"], "b": ["c"], "c": []}, None), ({"a": ["b", "c"], "b": [], "c": ["d"], "d": ["c"]}, ["c", "d"])],
)
def test_a_circle_is_found(graph, circle):
    assert circle_in(graph) == circle
