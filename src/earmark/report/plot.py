"""A recording as a tagger hears it, in one picture: waveform, spectrogram, and the strongest labels over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from earmark import audio
from earmark.errors import ConfigError
from earmark.page.spectrogram import FAINT_DB, RANGE_DB, mel, mel_decibels
from earmark.predictions import Predictions
from earmark.run import write_atomically
from earmark.tagger.tagger import Clip, Tagger

N_COLUMNS = 2000  # of the waveform: more than a picture shows
WIDTH_INCHES = 11.0
SOUND_INCHES = 1.4  # waveform, and twice that for the spectrogram
LABEL_INCHES = 0.26
KILOHERTZ = (0.5, 1, 2, 4, 8, 16)
SUFFIXES = (".png", ".svg", ".pdf")


def plot(tagger: Tagger, path: Path | str, out: Path, *, top: int = 10) -> list[str]:
    """Draw a recording above its scores over time.

    Args:
        path: the sound file.
        out: the picture, by its suffix PNG, SVG or PDF.
        top: labels to show: those that reach the highest scores in any window.

    Returns:
        The labels shown, the strongest first.

    Raises:
        AudioError: the sound cannot be read.
        ConfigError: no such picture can be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{out}: is not a picture that can be drawn (expected {', '.join(SUFFIXES)}). Change --out.")
    scores = tagger.score(Clip(Path(path)))
    strongest = np.argsort(-scores.scores.max(axis=0), kind="stable")[:top]
    waveform = audio.load(path, tagger.sample_rate)
    heights = [SOUND_INCHES, 2 * SOUND_INCHES, LABEL_INCHES * len(strongest) + 0.3]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 1), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    above.set_title(_plain(f"{Path(path).name}  ·  {tagger.metadata.name}"), loc="left")
    _draw_waveform(above, waveform, tagger.sample_rate)
    _draw_spectrogram(middle, waveform, tagger.sample_rate)
    bar = figure.colorbar(_draw_scores(below, scores, strongest), ax=below, pad=0.01)
    bar.set_label("score")
    below.set_xlabel("s")
    with write_atomically(out) as temporary:
        figure.savefig(temporary, format=out.suffix.lower().removeprefix("."), dpi=110)
    return [scores.labels[index] for index in strongest]


def window_edges(scores: Predictions) -> np.ndarray:
    """Where each window's column begins and the last one ends, in seconds, (windows + 1,).

    Windows may overlap: a column reaches halfway to the centres of its neighbours.
    """
    centres = (scores.starts + scores.ends) / 2
    return np.concatenate([scores.starts[:1], (centres[1:] + centres[:-1]) / 2, scores.ends[-1:]])


def _draw_waveform(axes: Axes, waveform: np.ndarray, sample_rate: int) -> None:
    """The lowest and highest sample of each column, so that no click is lost."""
    starts = np.unique(np.linspace(0, len(waveform), N_COLUMNS, endpoint=False).astype(int))
    low, high = np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)
    axes.fill_between(starts / sample_rate, low, high, linewidth=0.5, color="0.25")
    axes.set_xlim(0, len(waveform) / sample_rate)
    axes.set_ylabel("waveform")


def _draw_spectrogram(axes: Axes, waveform: np.ndarray, sample_rate: int) -> None:
    """Power in dB below the peak; frequency in kHz, spaced as on the mel scale."""
    decibels = mel_decibels(waveform, sample_rate)
    peak = max(float(decibels.max()), FAINT_DB)
    extent = (0, len(waveform) / sample_rate, 0, float(mel(sample_rate / 2)))
    axes.imshow(decibels, extent=extent, origin="lower", aspect="auto", cmap="magma", vmin=peak - RANGE_DB, vmax=peak)
    shown = [kilohertz for kilohertz in KILOHERTZ if 1000 * kilohertz < 0.95 * sample_rate / 2]
    axes.set_yticks([float(mel(1000 * kilohertz)) for kilohertz in shown], [f"{kilohertz:g}" for kilohertz in shown])
    axes.set_ylabel("kHz")


def _draw_scores(axes: Axes, scores: Predictions, strongest: np.ndarray) -> QuadMesh:
    """A row per label, a column per window."""
    rows = np.arange(len(strongest) + 1) - 0.5
    cells = axes.pcolormesh(window_edges(scores), rows, scores.scores[:, strongest].T, cmap="Greys", vmin=0, vmax=1)
    axes.set_yticks(range(len(strongest)), [_plain(scores.labels[index]) for index in strongest])
    axes.invert_yaxis()
    return cells


def _plain(text: str) -> str:
    """Text in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")
