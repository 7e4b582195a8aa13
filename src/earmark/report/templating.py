"""How the pages of this room are filled in."""

from __future__ import annotations

from functools import cache

import jinja2
import numpy as np


@cache
def environment() -> jinja2.Environment:
    """The templates of this room: text is escaped, and a name that a template misses is an error.

    One for all pages, so that each template is read once.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("earmark.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["number"] = number
    return templates


def number(value: float, digits: int = 3) -> str:
    """A number with fixed digits; a dash for nan.

    >>> number(0.5), number(float("nan"))
    ('0.500', '–')
    """
    return "–" if np.isnan(value) else f"{value:.{digits}f}"
