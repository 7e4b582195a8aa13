"""A sound to look at and to listen to: its spectrogram above its player, with a playhead."""

from __future__ import annotations

import numpy as np

from earmark.page.player import player
from earmark.page.spectrogram import spectrogram

LISTENED = '<label class="listened"><input type="checkbox" checked> show where it listened</label>'


def sound(waveform: np.ndarray, sample_rate: int, *, name: str, over: str = "", is_played: bool = True) -> str:
    """HTML of one sound.

    Args:
        waveform: (samples,) float, mono.
        sample_rate: Hz.
        name: what the sound is called in the texts for those who cannot see it.
        over: HTML that lies over the picture (`highlight`); a box to take it away comes with it.
        is_played: whether there is a player; without, the picture alone.
    """
    return (
        '<div class="sound">'
        + spectrogram(waveform, sample_rate, alt=f"Spectrogram of {name}", over=over)
        + (player(waveform, sample_rate, name=name) if is_played else "")
        + (LISTENED if over else "")
        + "</div>"
    )
