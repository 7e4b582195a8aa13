"""The house's rules that a machine can check: sizes, names, what may not stand in the source, docstrings."""

from __future__ import annotations

import ast
import io
import re
import tokenize

import pytest

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80
FORBIDDEN_COMMENTS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|type:\s*ignore|noqa|pragma")
FORBIDDEN_NAMES = re.compile(r"(Manager|Handler|Helpers?|Utils?|Misc)$|^(Base|Abstract)[A-Z]")
FORBIDDEN_MODULES = {"utils", "helpers", "misc", "common", "base", "manager"}
CATCH_ALL = {"Exception", "BaseException"}
# Where a process of ours begins: there our errors become a text and an exit code.
DOORS = ("earmark.__main__", "earmark.flows.workers")
TALKATIVE_ROOMS = ("earmark.cli", *DOORS)  # the library logs; only the doors print


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_has_400_lines(root):
    files = [path for folder in ("src", "tests", "benchmarks", "docs") for path in (root / folder).rglob("*.py")]
    assert len(files) > 30
    long = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: lines for path, lines in long.items() if lines >= MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_80_lines(modules):
    long = [
        f"{name}.{function.name}: {function.end_lineno - function.lineno + 1}"
        for name, tree in modules.items()
        for function in functions(tree)
        if function.end_lineno - function.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def caught(node: ast.AST) -> set[str]:
    """Names of the exceptions that an `except` or a `suppress(...)` swallows; "" for a bare except."""
    if isinstance(node, ast.ExceptHandler):
        if node.type is None:
            return {""}
        return {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return {name.id for name in node.args if isinstance(name, ast.Name)}
    return set()


def test_nothing_catches_everything(modules):
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if caught(node) & (CATCH_ALL | {""})
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_doors_catch_every_error_of_ours(modules):
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if "EarmarkError" in caught(node) and name not in DOORS
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_to_do_and_no_checker_is_silenced(root):
    wrong = []
    for folder in ("src", "tests", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                if token.type == tokenize.COMMENT and FORBIDDEN_COMMENTS.search(token.string):
                    wrong.append(f"{path.relative_to(root)}:{token.start[0]} {token.string}")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_not_implemented(modules):
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    assert not wrong, "\n".join(wrong)


def test_names_say_what_a_thing_is(modules):
    wrong = [name for name in modules if name.rpartition(".")[2] in FORBIDDEN_MODULES]
    wrong += [
        f"{name}.{node.name}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and FORBIDDEN_NAMES.search(node.name)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_library_never_prints(modules):
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if not name.startswith(TALKATIVE_ROOMS)
        and isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", ["modules", "functions", "classes"])
def test_everything_public_has_a_docstring(modules, kind):
    missing = []
    for name, tree in modules.items():
        if kind == "modules" and ast.get_docstring(tree) is None:
            missing.append(name)
        for node in tree.body:
            wanted = ast.ClassDef if kind == "classes" else ast.FunctionDef
            if kind == "modules" or not isinstance(node, wanted) or node.name.startswith("_"):
                continue
            if ast.get_docstring(node) is None:
                missing.append(f"{name}.{node.name}")
    assert not missing, "\n".join(missing)


def test_a_public_method_with_arguments_has_a_docstring(modules):
    """Properties and the like may speak by their names alone."""
    missing = [
        f"{name}.{node.name}.{method.name}"
        for name, tree in modules.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        and not method.name.startswith("_")
        and len(method.args.args) > 1
        and ast.get_docstring(method) is None
    ]
    assert not missing, "\n".join(missing)
