"""Everything Earmark raises on purpose.

Texts say *where: what is wrong (found, expected). What to do.* Only the doors (the command line, a server) catch
these; any other exception that reaches a user is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

OURS = re.compile(r"^earmark\.[\w.]+Error: ", re.MULTILINE)  # where the text of a traceback comes to one of our errors


class EarmarkError(Exception):
    """The user's input or installation is at fault; the text says how to put it right."""


class AudioError(EarmarkError):
    """A sound cannot be read."""


class ManifestError(EarmarkError):
    """A table or folder of labelled clips is wrong."""


class ConfigError(EarmarkError):
    """A setting is unknown, of the wrong type or contradicts another."""


class TaggerFileError(EarmarkError):
    """A tagger file is damaged, of a newer format, or does not agree with itself."""


class NotHereError(TaggerFileError):
    """A published tagger has not been brought to this machine yet."""


class RunError(EarmarkError):
    """A run folder is missing, incomplete, or belongs to other data or settings."""


class FetchError(EarmarkError):
    """A file cannot be downloaded or unpacked, or is not the one that was expected."""


class MissingExtraError(EarmarkError):
    """A package that this command needs is not installed. also: what pip cannot install."""

    def __init__(self, package: str, purpose: str, extra: str, also: str = ""):
        super().__init__(f"{package} is needed to {purpose}. pip install 'earmark[{extra}]'{also}")


def summarise_rows(messages: Sequence[str], shown: int = 5, report: Path | None = None) -> str:
    """Join row errors: the first `shown`, then the count of the rest and where they are written in full.

    >>> print(summarise_rows(["row 1: a", "row 2: b", "row 3: c"], shown=2))
    row 1: a
    row 2: b
    … and 1 more
    """
    lines = list(messages[:shown])
    if len(messages) > shown:
        lines.append(f"… and {len(messages) - shown} more" + (f", all in {report}" if report else ""))
    return "\n".join(lines)


def own_words(text: str) -> str:
    """What one of our errors says, though another process (of a device, of the loader) hands it over with a traceback.

    >>> own_words("Traceback: …\\nearmark.errors.AudioError: a.wav: is empty. Leave it out.\\n")
    'a.wav: is empty. Leave it out.'
    >>> own_words("a.wav: is empty. Leave it out.")
    'a.wav: is empty. Leave it out.'
    """
    return OURS.split(text)[-1].strip()
