"""How fast a tagger file is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark import audio
from earmark.tagger.tagger import WINDOWS_PER_CALL, Clip, Tagger
from earmark.windows import Framing

MEASURED_SECONDS = 30.0  # of sound, at least one clip
MEASURED_CLIPS = 20
PASSES = 3  # the quickest counts: whatever else the machine does only slows


@dataclass(frozen=True)
class Speed:
    """Seconds of sound tagged in a second of one core, from memory and from files."""

    realtime: float
    realtime_from_files: float


def measure_speed(tagger: Tagger, clips: Sequence[Clip]) -> Speed:
    """How fast a tagger file is on one core, on the quickest of a few passes.

    Args:
        tagger: opened for one thread.
        clips: what it hears; some spread over them are taken.
    """
    chosen = [clips[number] for number in np.unique(np.linspace(0, len(clips) - 1, MEASURED_CLIPS).astype(int))]
    framing = Framing(tagger.sample_rate, tagger.window_samples, tagger.hop_samples, tagger.metadata.padding)
    heard: list[tuple[Clip, list[np.ndarray]]] = []
    seconds = 0.0
    for clip in chosen:
        waveform = audio.load(clip.path, tagger.sample_rate, clip.start, clip.end)
        heard.append((clip, list(framing.pieces([waveform], WINDOWS_PER_CALL))))
        seconds += len(waveform) / tagger.sample_rate
        if seconds >= MEASURED_SECONDS:
            break
    from_memory, from_files = [], []
    for _ in range(PASSES):
        started = time.process_time()  # of the cores used, not on the wall: others may share the machine
        for _, pieces in heard:
            for windows in pieces:
                tagger.backend.run(windows)
        from_memory.append(time.process_time() - started)
        started = time.process_time()
        for clip, _ in heard:
            tagger.score(clip)
        from_files.append(time.process_time() - started)
    return Speed(*(seconds / max(min(taken), 1e-6) for taken in (from_memory, from_files)))
