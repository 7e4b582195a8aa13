"""Names to things: the written tables (MODELS, METRICS, …) map a name to "module:attribute", resolved when used.

A table lets a low floor load from a high one without importing it, and keeps `--help` fast.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from earmark.errors import ConfigError


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint such as " (did you mean 'se_cnn'?)", empty when nothing is near. A name cut short has all its ends.

    >>> did_you_mean("se_cn", ["tiny_cnn", "se_cnn"])
    " (did you mean 'se_cnn'?)"
    >>> did_you_mean("mixup", ["gain_db", "mixup_alpha", "mixup_share"])
    " (did you mean 'mixup_alpha' or 'mixup_share'?)"
    """
    known = list(dict.fromkeys(names))
    longer = [each for each in known if each.startswith(f"{name}_")]
    near = longer or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def load(reference: str) -> Any:
    """The object that "package.module:attribute" names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def lookup(table: Mapping[str, str], name: str, kind: str) -> Any:
    """The object behind `name` in `table`.

    Args:
        table: name → "package.module:attribute".
        name: what the user wrote.
        kind: what the table holds, in one word for the error text ("model", "metric").

    Raises:
        ConfigError: the name is not in the table.
    """
    require_name(table, name, kind)
    return load(table[name])


def require_name(table: Iterable[str], name: str, kind: str) -> None:
    """Refuse a name that a table does not hold, without loading anything; arguments and errors as in `lookup`."""
    if name not in table:
        n = "n" if kind[0] in "aeiou" else ""
        raise ConfigError(f"'{name}' is not a{n} {kind}{did_you_mean(name, table)}. Known: {', '.join(sorted(table))}.")
