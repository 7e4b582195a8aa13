"""How the pages of this room are filled in."""

from __future__ import annotations

import jinja2


def environment() -> jinja2.Environment:
    """The templates of this room: text is escaped, and a name that a template misses is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("earmark.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
