"""Where in a sound a tagger finds a label: how far its score falls when a patch of time and frequency is turned down.

It needs nothing but scores, so every tagger file can be asked, a forest or a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.fft import next_fast_len

from earmark.page.spectrogram import hertz, mel
from earmark.tagger.tag_files import default_threads
from earmark.tagger.tagger import Clip, Tagger

PATCH_SECONDS = 0.5
N_TIMES = (4, 12)  # fewest, most patches over a sound
N_BANDS = 5
TURNED_DOWN = 1.0 - 10.0 ** (-24 / 20)  # by 24 dB: silence would be a sound that no recording has
MARGIN = 1e-4  # scores nearer to 0 or 1 say no more


@dataclass(frozen=True)
class Listening:
    """What a label's score owes to each patch of a sound.

    influence: (bands, times), low bands first: how far the log odds of the score fall.
    score: of the whole sound. without: of the sound without its strongest patch.
    edges_seconds: (times + 1,). edges_hz: (bands + 1,).
    """

    influence: np.ndarray
    score: float
    without: float
    edges_seconds: np.ndarray
    edges_hz: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(bands, times) in [0, 1]: of the strongest patch's influence; what speaks against the label is 0."""
        strongest = float(self.influence.max())
        return np.maximum(self.influence, 0.0) / strongest if strongest > 0 else np.zeros_like(self.influence)

    @property
    def strongest(self) -> tuple[float, float, float, float]:
        """The strongest patch: from, to in seconds; from, to in Hz."""
        band, time = np.unravel_index(int(self.influence.argmax()), self.influence.shape)
        seconds, frequencies = self.edges_seconds.tolist(), self.edges_hz.tolist()
        return seconds[time], seconds[time + 1], frequencies[band], frequencies[band + 1]


def listen(tagger: Tagger, waveform: np.ndarray, label: str, top_hz: float | None = None) -> Listening:
    """Turn down one patch of a sound after the other, and see what a label's score does.

    Args:
        tagger: best one that was not trained on the sound.
        waveform: (samples,) float32 at the tagger's sample rate.
        label: one of the tagger's.
        top_hz: the highest frequency of the patches, at most half the sample rate; None is that.
    """
    column = tagger.labels.index(label)
    seconds = len(waveform) / tagger.sample_rate
    n_times = int(np.clip(round(seconds / PATCH_SECONDS), *N_TIMES))
    edges_seconds = np.linspace(0.0, seconds, n_times + 1)
    edges_hz = hertz(np.linspace(0.0, mel(min(top_hz or np.inf, tagger.sample_rate / 2)), N_BANDS + 1))
    gain = np.float32(TURNED_DOWN)
    changed = (waveform - gain * patch for patch in patches(waveform, tagger.sample_rate, edges_seconds, edges_hz))
    with ThreadPoolExecutor(default_threads()) as pool:
        score, *scores = pool.map(lambda sound: _score(tagger, sound, column), chain([waveform], changed))
    scores = np.array(scores).reshape(N_BANDS, n_times)
    return Listening(
        influence=_log_odds(np.float64(score)) - _log_odds(scores),
        score=score,
        without=float(scores.min()),
        edges_seconds=edges_seconds,
        edges_hz=edges_hz,
    )


def patches(
    waveform: np.ndarray, sample_rate: int, edges_seconds: np.ndarray, edges_hz: np.ndarray
) -> Iterator[np.ndarray]:
    """What sounds in each patch, (samples,): band by band, low ones first, and in each from beginning to end.

    Patches overlap: each reaches half way into its neighbours, and fades.

    Args:
        waveform: (samples,) float.
        sample_rate: Hz.
        edges_seconds: (times + 1,), evenly spaced.
        edges_hz: (bands + 1,), evenly spaced on the mel scale.
    """
    n_fft = next_fast_len(len(waveform), real=True)
    spectrum = np.fft.rfft(waveform, n_fft)
    frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    in_times = swells(np.arange(len(waveform)) / sample_rate, edges_seconds).astype(np.float32)
    for gain in swells(mel(frequencies), mel(edges_hz)):
        sound = np.fft.irfft(spectrum * gain, n_fft)[: len(waveform)].astype(np.float32)
        for swell in in_times:
            yield sound * swell


def swells(positions: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Gains (stretches, positions) in [0, 1]: 1 within a stretch, falling to 0 over the length of one beside it.

    >>> swells(np.array([0.5, 1.5, 2.5]), np.array([0.0, 1.0, 2.0])).round(6).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5]]
    """
    step = edges[1] - edges[0]
    centres = (edges[1:] + edges[:-1]) / 2
    beside = np.abs(positions[None] - centres[:, None]) / step - 0.5
    return np.cos(np.pi / 2 * np.clip(beside, 0.0, 1.0)) ** 2


def _score(tagger: Tagger, waveform: np.ndarray, column: int) -> float:
    """The clip score of a label, as the tagger gives it for a recording that holds just this waveform."""
    hears = Tagger(tagger.backend, tagger.metadata, read=lambda *where: iter([waveform]))
    return float(hears.pool(hears.score(Clip("waveform"))).scores[0, column])


def _log_odds(scores: np.ndarray) -> np.ndarray:
    """The natural logarithm of what is for over what is against."""
    likely = np.clip(scores, MARGIN, 1 - MARGIN)
    return np.log(likely / (1 - likely))
