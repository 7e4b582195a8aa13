"""Every error that the source raises on purpose is expected, by its words, in some test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

ERRORS = {"EarmarkError", "AudioError", "ManifestError", "ConfigError", "TaggerFileError", "RunError"}
WORDS_IN_A_ROW = (3, 2)  # of an error's own words; two only where no three stand together


def fragments(node: ast.AST) -> Iterator[str]:
    """The constant pieces of a text, in order; what is filled in separates them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from (piece.value for piece in node.values if isinstance(piece, ast.Constant))
    elif isinstance(node, ast.BinOp):
        yield from fragments(node.left)
        yield from fragments(node.right)


def phrases(texts: list[str], size: int) -> set[tuple[str, ...]]:
    """Every run of `size` words in each text, regular expressions being read without their escapes."""
    found = set()
    for text in texts:
        words = [word.strip("'-") for word in re.findall(r"[\w'-]+", re.sub(r"\\(?=\W)", "", text).lower())]
        words = [word for word in words if word]
        found |= {tuple(words[first : first + size]) for first in range(len(words) - size + 1)}
    return found


def raised(tree: ast.Module) -> Iterator[tuple[int, set[tuple[str, ...]]]]:
    """(line, phrases) of each error of ours that is raised with a text of its own."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
            continue
        if ast.unparse(node.exc.func) in ERRORS:
            own = list(fragments(node.exc.args[0]))
            longest = next((found for size in WORDS_IN_A_ROW if (found := phrases(own, size))), set())
            if longest:
                yield node.lineno, longest


def test_every_error_is_expected_by_a_test(modules, root):
    texts = []
    for path in (root / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts += [text for node in ast.walk(tree) for text in fragments(node)]
    expected = set().union(*(phrases(texts, size) for size in WORDS_IN_A_ROW))
    n_raised = 0
    unexpected = []
    for name, tree in modules.items():
        for line, own in raised(tree):
            n_raised += 1
            if not own & expected:
                unexpected.append(f"{name}:{line} {' '.join(sorted(own)[0])} …")
    assert n_raised > 50
    assert not unexpected, "\n".join(unexpected)
