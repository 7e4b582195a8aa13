"""A sound to look at and to listen to: its spectrogram above its player, with a playhead."""

from __future__ import annotations

import numpy as np

from earmark.page.player import player
from earmark.page.spectrogram import spectrogram


def sound(waveform: np.ndarray, sample_rate: int, *, name: str) -> str:
    """HTML of one sound.

    Args:
        waveform: (samples,) float, mono.
        sample_rate: Hz.
        name: what the sound is called in the texts for those who cannot see it.
    """
    return (
        '<div class="sound">'
        + spectrogram(waveform, sample_rate, alt=f"Spectrogram of {name}")
        + player(waveform, sample_rate, name=name)
        + "</div>"
    )
