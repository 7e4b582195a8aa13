"""Every error that the source raises on purpose is expected, by its words, in some test.

That is, a test has three of its words in a row, or two that no other error has.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise

ERRORS = {
    "EarmarkError",
    "AudioError",
    "ManifestError",
    "ConfigError",
    "TaggerFileError",
    "RunError",
    "FetchError",
    "CutOffError",
}
FILLED = "\0"  # stands for whatever is filled into a text
LONGEST_FILL = 4  # words


def pieces(node: ast.AST, texts: Mapping[str, ast.AST]) -> str:
    """The text that an expression makes, with FILLED for what only running it would tell.

    Args:
        texts: what the names of the function were set to.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(pieces(value, texts) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return pieces(node.value, texts)
    if isinstance(node, ast.BinOp):
        return pieces(node.left, texts) + pieces(node.right, texts)
    if isinstance(node, ast.Name) and node.id in texts:
        return pieces(texts[node.id], {})
    return f" {FILLED} "


def words(text: str) -> list[str]:
    """The words of a text in lower case, regular expressions being read without their escapes."""
    found = re.findall(rf"[\w'-]+|{FILLED}", re.sub(r"\\(?=\W)", "", text).lower())
    return [word for word in (word.strip("'-") for word in found) if word]


def pairs(text: str) -> set[tuple[str, str]]:
    """Every two words of a text that stand in a row."""
    return set(pairwise(words(text)))


def raised(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of each error of ours that is raised with words of its own."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        texts = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = pieces(node.exc.args[0], texts)
                if ast.unparse(node.exc.func) in ERRORS and re.search(r"\w", text):
                    yield node.lineno, text


def written(tree: ast.Module) -> Iterator[str]:
    """The texts in a test's code, without its docstrings."""
    spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in spoken:
            yield pieces(node, {})


def shares_words(own: list[str], test: list[str]) -> bool:
    """Whether a test has three of an error's words in a row, the middle one perhaps filled in."""
    for first, middle, last in zip(own, own[1:], own[2:], strict=False):
        if FILLED in (first, last):
            continue
        for position in (position for position, word in enumerate(test) if word == first):
            if middle == FILLED and last in test[position + 2 : position + 2 + LONGEST_FILL]:
                return True
            if test[position + 1 : position + 3] == [middle, last]:
                return True
    return False


def test_every_error_is_expected_by_a_test(modules, root):
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (root / "tests").rglob("test_*.py")]
    tests = [text for tree in trees for text in written(tree)]
    errors = {(name, line): text for name, tree in modules.items() for line, text in raised(tree)}
    assert len(errors) > 50
    common = Counter(pair for text in errors.values() for pair in pairs(text))
    expected_pairs = set().union(*map(pairs, tests))
    expected_words = [found for found in map(words, tests) if len(found) > 2]
    unexpected = [
        f"{name}:{line} {text.replace(FILLED, '…')}"
        for (name, line), text in errors.items()
        if not any(FILLED not in pair and common[pair] == 1 for pair in pairs(text) & expected_pairs)
        and not any(shares_words(words(text), found) for found in expected_words)
    ]
    assert not unexpected, "\n".join(unexpected)
