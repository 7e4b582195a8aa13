"""A clip for a page: its spectrogram and player, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.errors import AudioError
from earmark.page import highlight, sound

PLAYED_RATES = (8_000, 16_000, 22_050, 32_000, 44_100)


@dataclass(frozen=True)
class ClipSound:
    """html: of spectrogram and player, empty where the sound cannot be read; `trouble` then says why.

    cut_seconds: length of the clip where only its beginning is played, else None.
    """

    html: str = ""
    trouble: str = ""
    cut_seconds: float | None = None


def clip_sound(
    file: Path,
    start: float,
    end: float | None,
    name: str,
    longest: float,
    *,
    lit: tuple[np.ndarray, float] | None = None,
    is_played: bool = True,
) -> ClipSound:
    """A region of a file to look at and to listen to.

    Args:
        start, end: seconds; end None is the file's end.
        name: what the clip is called for those who cannot see it.
        longest: seconds that are played at most.
        lit: what of it is lit up, shares (bands, times) in [0, 1] and the frequency in Hz where the bands end.
        is_played: whether there is a player; without, the picture alone.
    """
    try:
        info = audio.probe(file)
        sample_rate = next((rate for rate in PLAYED_RATES if rate >= info.sample_rate), PLAYED_RATES[-1])
        seconds = (info.seconds if end is None else end) - start
        cut = seconds > longest
        waveform = audio.load(file, sample_rate, start, start + longest if cut else end)
    except AudioError as error:
        return ClipSound(trouble=str(error))
    over = highlight(*lit, sample_rate / 2) if lit else ""
    html = sound(waveform, sample_rate, name=name, over=over, is_played=is_played)
    return ClipSound(html, cut_seconds=seconds if cut else None)
