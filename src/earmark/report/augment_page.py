"""The page of `earmark augment preview`: clips as they are, and after each augmentation. That of a batch of training is
one of these too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import page
from earmark.report.templating import environment
from earmark.run import write_text

VERDICT = "What training does to a clip, drawn anew for each clip and epoch. Evaluation and tagging never do."


@dataclass(frozen=True)
class Original:
    """A clip before anything is done to it: its path, its labels in words, its waveform (samples,)."""

    path: str
    labels: str
    waveform: np.ndarray


@dataclass(frozen=True)
class Changed:
    """All clips after one augmentation.

    words: what it does. setting: how it is set. is_on: whether training uses it.
    labels: of each clip, in words.
    waveforms: (clips, samples), or None where only what the network sees is changed.
    spectrograms: (clips, mels, frames) in dB, or None where the picture is that of the waveform.
    """

    name: str
    words: str
    setting: str
    is_on: bool
    labels: tuple[str, ...]
    waveforms: np.ndarray | None
    spectrograms: np.ndarray | None = None


@dataclass(frozen=True)
class Shown:
    """One clip after one augmentation: HTML of pictures and players, and the labels if they are others than before."""

    html: str
    labels: str


def write_augment_page(
    path: Path,
    title: str,
    sample_rate: int,
    originals: Sequence[Original],
    changes: Sequence[Changed],
    *,
    kind: str = "augmentation",
    verdict: str = VERDICT,
) -> None:
    """Write one HTML file that needs no other and no network.

    Args:
        title: what the data are called.
        sample_rate: of the waveforms, Hz.
        originals: the clips as they are.
        changes: what was done to them.
        kind, verdict: what the page is of, and what it says in a sentence.
    """
    clips = [[_shown(change, row, clip, sample_rate) for row, clip in enumerate(originals)] for change in changes]
    template = environment().get_template("augment.html")
    text = template.render(
        title=title,
        kind=kind,
        verdict=verdict,
        originals=[(clip, page.sound(clip.waveform, sample_rate, name=clip.path)) for clip in originals],
        changes=list(zip(changes, clips, strict=True)),
        sound_style=page.STYLE,
        sound_script=page.SCRIPT,
    )
    write_text(path, text)


def _shown(change: Changed, row: int, clip: Original, sample_rate: int) -> Shown:
    """A clip after an augmentation."""
    name, html = f"{clip.path} after {change.name}", ""
    if change.waveforms is not None:
        html += page.sound(change.waveforms[row], sample_rate, name=name)
    if change.spectrograms is not None:
        html += page.log_mel(change.spectrograms[row], alt=f"What the network sees of {name}")
    return Shown(html, change.labels[row] if change.labels[row] != clip.labels else "")
