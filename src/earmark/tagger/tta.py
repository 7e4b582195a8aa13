"""Views: which stretches of a recording a tagger hears at once. docs/tagger-file.md specifies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from earmark.windows import Framing, Window, frame_stream, pad

VIEWS = ("sliding", "ends", "full", "lengths")
ANY_LENGTH = ("full", "lengths")  # those that need a graph of no fixed window


def view_windows(
    blocks: Iterable[np.ndarray], framing: Framing, views: str = "sliding", lengths: Iterable[int] = ()
) -> Iterator[Window]:
    """What a tagger hears of a recording, in order.

    All but the sliding windows need its end before they begin, so they hold the whole recording.

    Args:
        blocks: the recording in pieces, float32 (samples,) each, at the framing's rate.
        framing: window, hop and padding.
        views: one of VIEWS: "sliding" windows; its "ends", the windows at start, middle and end; "full", all of it at
            once; sliding windows of several "lengths".
        lengths: of those, in samples.
    """
    if views == "sliding":
        yield from frame_stream(blocks, framing.window_samples, framing.hop_samples, framing.padding)
        return
    waveform = np.concatenate([np.zeros(0, dtype=np.float32), *blocks])
    if views == "lengths":
        for length in lengths:
            yield from frame_stream([waveform], length, framing.hop_samples, framing.padding)
    elif len(waveform):
        yield from _ends(waveform, framing) if views == "ends" else [_full(waveform, framing)]


def _full(waveform: np.ndarray, framing: Framing) -> Window:
    """The whole recording, as long as a window at least."""
    return Window(pad(waveform, framing.window_samples, framing.padding), 0, len(waveform))


def _ends(waveform: np.ndarray, framing: Framing) -> Iterator[Window]:
    """The windows at start, middle and end; of a shorter recording, itself at start, middle and end of the zeros."""
    length, over = framing.window_samples, len(waveform) - framing.window_samples
    if over < 0 and framing.padding == "repeat":
        yield _full(waveform, framing)
        return
    for offset in sorted({0, abs(over) // 2, abs(over)}):
        if over < 0:
            yield Window(pad(waveform, length, "zeros", before=offset), 0, len(waveform))
        else:
            yield Window(waveform[offset : offset + length], offset, offset + length)
