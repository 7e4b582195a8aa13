"""Sound as it is made: from a microphone or a pipe to events, in memory that stays the same for days."""

from earmark.tagger.live.clips import ClipKeeper
from earmark.tagger.live.lines import LineFile, Origin
from earmark.tagger.live.listening import Listening, LiveEvent, Loss, Moment, longest_delay
from earmark.tagger.live.microphone import Microphone, list_microphones
from earmark.tagger.live.pipe import Pipe
from earmark.tagger.live.source import Block, Source
from earmark.tagger.live.watch import Watch

__all__ = [
    "Block",
    "ClipKeeper",
    "LineFile",
    "Listening",
    "LiveEvent",
    "Loss",
    "Microphone",
    "Moment",
    "Origin",
    "Pipe",
    "Source",
    "Watch",
    "list_microphones",
    "longest_delay",
]
