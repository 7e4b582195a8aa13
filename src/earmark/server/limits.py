"""What one client may cost, and how many are served at once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from earmark.errors import ConfigError
from earmark.tagger.tag_files import default_threads

AT_WORK_PER_CORE = 2  # while one request is decoded, another is scored


@dataclass(frozen=True)
class Limits:
    """Limits of the server; each is answered with a reason of its own (docs/serve.md).

    bytes: of an uploaded file. seconds: of the sound, or the region of it, that is tagged.
    decoded_bytes: of a file's float32 samples over all channels, at its own rate, as far as they must be decoded.
    work_seconds: from when decoding begins until the last score.
    receive_seconds: a body has so long to come, and longer by what it brings at receive_bytes_per_second.
    receiving, waiting, at_work: uploads that are received, that wait, that are decoded and scored at once.
    streams: at once. frame_bytes: of one message of a stream.
    idle_seconds: that a stream may be silent, or an answer unread. stop_seconds: that a stop waits for what was taken.

    >>> Limits().bytes, Limits().seconds
    (100000000, 3600.0)
    """

    bytes: int = 100_000_000
    seconds: float = 3600.0
    decoded_bytes: int = 4_000_000_000
    work_seconds: float = 60.0
    receive_seconds: float = 20.0
    receive_bytes_per_second: int = 16_000
    receiving: int = 64
    waiting: int = 32
    at_work: int = field(default_factory=lambda: AT_WORK_PER_CORE * default_threads())
    streams: int = 8
    frame_bytes: int = 1 << 20
    idle_seconds: float = 30.0
    stop_seconds: float = 60.0

    def __post_init__(self):
        for known in fields(self):
            value, least = getattr(self, known.name), 0 if known.name in MAY_BE_NONE else 1e-9
            if not least <= value < float("inf"):
                raise ConfigError(f"limits: {known.name} is {value} (expected more than 0). Give a number.")

    @property
    def open(self) -> int:
        """Requests and streams of all kinds at once, those whose answers are being read too."""
        return self.receiving + self.waiting + self.at_work + self.streams


MAY_BE_NONE = ("waiting", "streams")
