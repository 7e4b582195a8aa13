"""Lengths of time: as people write them, and in words."""

from __future__ import annotations

import re

from earmark.errors import ConfigError

TIME = re.compile(r"(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s)?")
UNITS = {"h": 3600, "m": 60, "s": 1}


def parse_time(text: str) -> float:
    """A length of time in seconds.

    Raises:
        ConfigError: it is none.

    >>> parse_time("10m"), parse_time("1h30m"), parse_time("90"), parse_time("1.5h")
    (600.0, 5400.0, 90.0, 5400.0)
    """
    written = text.strip().lower()
    match = TIME.fullmatch(f"{written}s" if written.isdigit() else written)
    try:
        seconds = sum(float(match[unit] or 0) * n_seconds for unit, n_seconds in UNITS.items()) if match else 0.0
    except ValueError:  # 1.2.3h
        seconds = 0.0
    if not seconds:
        raise ConfigError(f"--budget: '{text}' is no length of time. Give one such as 90s, 10m or 1h30m.")
    return seconds


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(0.04), duration(8.4), duration(150), duration(7300)
    ('under 0.1 s', '8.4 s', '2.5 min', '2.0 h')
    """
    if seconds < 0.1:
        return "under 0.1 s"
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
