"""Clips to see and to hear, with what a model said about them and where it found it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.errors import AudioError
from earmark.report.clip_sound import clip_sound
from earmark.report.held_out import HeldOut
from earmark.report.occlusion import Listening
from earmark.report.reading import RunContents
from earmark.tagger.tagger import Clip

PLAYED_SECONDS = 12.0
N_TAGS = 4
AUDIBLE_FALL = 0.2  # of the log odds: what moves a score less says nothing of where


@dataclass(frozen=True)
class ShownClip:
    """One clip.

    position: in the manifest. where: its file and region.
    given: the labels it was given; heard: the tags that it should not have got.
    tags: (label, score, given?) of the highest scores and of the given labels, highest first; never a label that
        nobody knows the clip to have or not.
    sound: HTML of spectrogram and player, empty where the sound cannot be read; `trouble` then says why.
    stretch: which part of the clip is shown, empty where it is all.
    listening: a sentence on where the model found the label, empty where it was not asked.
    """

    position: int
    where: str
    given: tuple[str, ...]
    heard: tuple[str, ...]
    tags: tuple[tuple[str, float, bool], ...]
    sound: str = ""
    trouble: str = ""
    stretch: str = ""
    listening: str = ""

    @property
    def asked(self) -> str:
        """The label whose place is looked for: what was falsely heard, else the given one with the highest score."""
        return self.heard[0] if self.heard else next((label for label, _, given in self.tags if given), "")


def show_clips(
    contents: RunContents,
    positions: Sequence[int],
    held_out: HeldOut,
    *,
    is_played: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[ShownClip]:
    """Clips of the manifest with their sound; `progress` is called with 1 after each.

    Args:
        positions: of the clips.
        held_out: the report's model, to say where it listened.
        is_played: whether there is a player.
    """
    targets, weights = contents.manifest.present(), contents.manifest.label_weights()
    for position in positions:
        known = weights[position] > 0
        told = _told(contents, int(position), known & (targets[position] > 0), known)
        yield _with_sound(contents, told, held_out, is_played)
        progress(1)


def _told(contents: RunContents, position: int, given: np.ndarray, known: np.ndarray) -> ShownClip:
    """A clip without its sound; given, known: (classes,) bool."""
    labels, scores = list(contents.manifest.vocabulary), contents.scores[contents.main][position]
    order = [column for column in np.argsort(-scores, kind="stable") if known[column]]
    # Heard are as many of the highest scores as labels were given, and whatever is more likely than not.
    n_heard = min(max(int(given.sum()), int((scores[known] > 0.5).sum()), 1), N_TAGS)
    shown = [column for rank, column in enumerate(order) if rank < N_TAGS or given[column]]
    return ShownClip(
        position=position,
        where=str(contents.manifest.clip_ids[position]),
        given=tuple(labels[column] for column in np.flatnonzero(given)),
        heard=tuple(labels[column] for column in order[:n_heard] if not given[column]),
        tags=tuple((labels[column], float(scores[column]), bool(given[column])) for column in shown),
    )


def _with_sound(contents: RunContents, told: ShownClip, held_out: HeldOut, is_played: bool) -> ShownClip:
    """The clip with spectrogram, player and the place of the label that it is asked for."""
    manifest = contents.manifest
    clip = manifest.select(np.array([told.position])).clips()[0]
    fold, seconds = int(manifest.folds[told.position]), float(contents.lengths[told.position])
    clip, stretch = excerpt(clip, seconds, held_out.loudest(fold, clip.clip_id, told.asked) if told.asked else None)
    try:
        found = held_out.listen(fold, clip, told.asked) if told.asked else None
    except AudioError as error:
        return replace(told, trouble=str(error))
    is_placed = found is not None and found.influence.max() >= AUDIBLE_FALL
    lit = (found.shares, float(found.edges_hz[-1])) if is_placed else None
    longest = PLAYED_SECONDS + 1e-3  # an excerpt is that long but for rounding
    shown = clip_sound(clip.path, clip.start, clip.end, told.where, longest, lit=lit, is_played=is_played)
    if shown.cut_seconds:  # the file is longer than its scores say
        stretch = f"the first {PLAYED_SECONDS:g} of {shown.cut_seconds:.3g} s"
    sentence = "" if found is None else listening_text(told.asked, found)
    return replace(told, sound=shown.html, trouble=shown.trouble, stretch=stretch, listening=sentence)


def excerpt(clip: Clip, seconds: float, centre: float | None) -> tuple[Clip, str]:
    """At most PLAYED_SECONDS of a clip around a place in its file, and which part that is in words.

    >>> excerpt(Clip("a.wav", 10.0), 60.0, 40.0)[1]
    '24 to 36 of 60 s'
    """
    if seconds <= PLAYED_SECONDS:
        return clip, ""
    middle = (centre if centre is not None else clip.start) - clip.start
    first = float(np.clip(middle - PLAYED_SECONDS / 2, 0.0, seconds - PLAYED_SECONDS))
    start = clip.start + first
    part = Clip(clip.path, start, start + PLAYED_SECONDS, clip.clip_id)
    return part, f"{first:.3g} to {first + PLAYED_SECONDS:.3g} of {seconds:.3g} s"


def listening_text(label: str, found: Listening) -> str:
    """Where a label was found, in words."""
    start, end, low, high = found.strongest
    if found.influence.max() < AUDIBLE_FALL:
        return f"No single patch decides on {label}: the score of {found.score:.2f} stays without any one of them."
    before, after = told_apart(found.score, found.without)
    return (
        f"Strongest for {label}: {start:.1f} to {end:.1f} s, {_kilohertz(low)} to {_kilohertz(high)} kHz. "
        f"Turned down, its score goes from {before} to {after}."
    )


def told_apart(first: float, second: float) -> tuple[str, str]:
    """Two scores with as many digits as tell them apart, two to four.

    >>> told_apart(0.93, 0.41), told_apart(0.9991, 0.9985)
    (('0.93', '0.41'), ('0.9991', '0.9985'))
    """
    texts = [(f"{first:.{digits}f}", f"{second:.{digits}f}") for digits in (2, 3, 4)]
    return next((pair for pair in texts if pair[0] != pair[1]), texts[-1])


def _kilohertz(frequency_hz: float) -> str:
    """Two digits of it.

    >>> _kilohertz(456.0), _kilohertz(16000.0)
    ('0.46', '16')
    """
    return f"{frequency_hz / 1000:.2g}"
