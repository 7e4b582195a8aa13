"""A module imports only from a lower floor, or from its own folder; and nothing imports in circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator

FLOORS = {
    "errors": 0,
    "lookup": 0,
    "config": 0,
    "durations": 0,
    "vocabulary": 0,
    "predictions": 0,
    "windows": 0,
    "run": 0,
    "fetch": 0,
    "audio": 1,
    "tagger": 2,
    "data": 3,
    "evaluation": 4,
    "augment": 5,
    "models": 6,
    "export": 7,
    "page": 7,
    "training": 8,
    "baselines": 8,
    "ensemble": 8,
    "review": 8,
    "report": 9,
    "server": 9,
    "flows": 10,
    "cli": 11,
    "__main__": 12,
}

# The way from a recording to tags, and what it may not know.
LIGHT = 2
HEAVY = {"torch", "lightning", "pandas", "sklearn", "scipy", "matplotlib", "onnx", "skl2onnx", "librosa"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a tree imports anywhere; of `from a import b`, both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def room(module: str) -> str:
    """The room of a dotted name: "earmark.audio.decode" is in "audio"; "" for the package itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == "earmark" and len(parts) > 1 and parts[1] in FLOORS else ""


def test_every_room_stands_on_a_floor(modules):
    rooms = {name.split(".")[1] for name in modules if "." in name}
    assert rooms - set(FLOORS) == set()


def test_a_module_imports_only_from_lower_floors_or_its_own_folder(modules):
    wrong = []
    for name, tree in modules.items():
        for target in imported(tree):
            here, there = room(name), room(target)
            own_folder = here == there or (FLOORS.get(here, 0) == FLOORS.get(there, 0) == 0)
            if there and not own_folder and FLOORS[there] >= FLOORS.get(here, 0):
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_the_floors_that_tag_import_nothing_heavy(modules):
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules.items()
        for target in imported(tree)
        if FLOORS.get(room(name), 0) <= LIGHT and target.partition(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def imported_at_once(tree: ast.Module, modules: set[str]) -> set[str]:
    """Modules of ours that importing this one imports, without those in functions or for type checkers."""
    found = set()
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {target for target in imported(ast.Module([node], [])) if target in modules}
        pending += ast.iter_child_nodes(node)
    return found


def test_no_module_imports_itself_in_a_circle(modules):
    graph = {name: imported_at_once(tree, set(modules)) - {name} for name, tree in modules.items()}
    # A package's own front imports its modules, which name the package in their path: that is no circle.
    for name, targets in graph.items():
        targets -= {package for package in targets if name.startswith(f"{package}.")}
    done: set[str] = set()
    circles = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circles.append(" → ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert not circles, "\n".join(circles)
