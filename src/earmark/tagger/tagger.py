"""Tagger: the one file opened; from a recording to scores and tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby, islice, takewhile
from pathlib import Path

import numpy as np

from earmark import audio, predictions
from earmark.audio.cache import content_hash
from earmark.audio.sound import cut_out
from earmark.errors import EarmarkError, TaggerFileError
from earmark.lookup import load, lookup
from earmark.predictions import Predictions
from earmark.tagger.backend import BACKENDS, Backend
from earmark.tagger.events import Event, EventRule, find_events
from earmark.tagger.home import FOLDER_MANIFEST, find_tagger
from earmark.tagger.metadata import TaggerMetadata, calibrate
from earmark.tagger.tta import view_windows
from earmark.windows import Window, frame_stream

FOLDER = "earmark.tagger.tagger_folder:read_folder"  # which is made of what stands here
STEPPED = "earmark.tagger.steps:SteppedTagger"  # as well
# (path, sample rate, start, end) → blocks of float32 (samples,), as `audio.blocks`
Read = Callable[[Path, int, float, float | None], Iterator[np.ndarray]]
LONGEST_FACT = 80  # characters of one that is shown
DIGITS_OF_TAGGER = 16  # of its content hash, where it is named
WINDOWS_PER_CALL = 4  # few windows stay in the processor's cache: faster than large batches
WINDOWS_PER_PART = 2 * WINDOWS_PER_CALL  # of a recording that flows: long enough to be worth a thread's turn


@dataclass(frozen=True)
class Clip:
    """What to tag: a file, or the region from `start` to `end` seconds (None: its end) of it."""

    path: Path
    start: float = 0.0
    end: float | None = None
    clip_id: str = ""

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        if not self.clip_id:
            name = predictions.clip_id(self.path.as_posix(), self.start, self.end)
            object.__setattr__(self, "clip_id", name)


@dataclass(frozen=True)
class Tag:
    """A label that is asserted, its score in [0, 1], and from where to where in the recording, in seconds."""

    label: str
    score: float
    start: float
    end: float


class Tagger:
    """A backend and its metadata. Safe to use from several threads at once.

    labels: class names in the order of the scores' columns.
    sample_rate: Hz. window_samples, hop_samples: of a window, and from one to the next.
    """

    def __init__(
        self, backend: Backend, metadata: TaggerMetadata, path: Path | None = None, *, read: Read = audio.blocks
    ):
        self.backend = backend
        self.metadata = metadata
        self.path = path
        self.read = read
        self.n_bytes = path.stat().st_size if path else 0
        self.labels = metadata.labels
        self.sample_rate = metadata.sample_rate
        self.window_samples = metadata.window_samples
        self.hop_samples = metadata.hop_samples

    def score(self, clip: Clip | Path | str, *, stop: Callable[[], bool] = lambda: False) -> Predictions:
        """Scores of every window of a clip, in memory that does not grow with its length but for the scores.

        Args:
            clip: what to hear.
            stop: asked between windows; once true, the rest is left out.

        Returns:
            Predictions of level "window": starts and ends in seconds of the file, padding not counted.

        Raises:
            AudioError: the sound cannot be read.
            TaggerFileError: it has no labels, or the graph gives anything but one finite score per window and class.
        """
        self.require_labels()
        return self._hear(as_clip(clip), stop, embeds=False)[0]

    def score_parts(
        self, clip: Clip | Path | str, *, n_done: int = 0, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Callable[[], Predictions]]:
        """The rows of `score`, WINDOWS_PER_PART at a time: each call gives some, in any thread and any order.

        Going on reads the sound, calling hears it. Views that need the whole recording, and folders, are one part.

        Args:
            n_done: rows to leave out, those of the first parts: a window's last bits depend on those that go through
                the graph with it. stop: as for `score`.

        Raises:
            AudioError: the sound cannot be read; perhaps only after some parts.
        """
        self.require_labels()
        clip = as_clip(clip)
        if not self.flows:
            yield partial(self.score, clip, stop=stop)
            return
        windows = self._windows_from(clip, n_done // self.rows_per_window, stop)
        while some := list(islice(windows, WINDOWS_PER_PART)):
            yield partial(self._score_windows, some, clip)

    @property
    def rows_per_window(self) -> int:
        """How many rows a whole window has in what `score` gives."""
        return 1

    @property
    def flows(self) -> bool:
        """Whether its windows can be heard before the recording has ended."""
        return self.metadata.views == "sliding"

    def embed(
        self, clip: Clip | Path | str, *, stop: Callable[[], bool] = lambda: False
    ) -> tuple[Predictions, np.ndarray]:
        """Scores as from `score`, and the embedding of each window, float32 (windows, features)."""
        return self._hear(as_clip(clip), stop, embeds=True)

    def pool(self, scores: Predictions) -> Predictions:
        """Window rows to clip rows: pooled as the metadata says, then calibrated for clips."""
        return self.calibrate(scores.to_clips(self.metadata.pool))

    def calibrate(self, clips: Predictions) -> Predictions:
        """Clip rows that were only pooled, calibrated."""
        calibration = self.metadata.calibration["clip"]
        calibrated = calibrate(clips.scores, calibration, self.metadata.multi_label)
        return replace(clips, scores=calibrated.astype(np.float32))

    def tags(
        self, scores: Predictions, *, top: int | None = None, threshold: float | None = None
    ) -> list[list[Tag]]:
        """What the scores assert, for each row, highest score first; nothing where the sound is unknown.

        With several labels possible, all that reach their threshold; otherwise the highest if it does.

        Args:
            scores: of either level; each has its own thresholds.
            top: at most so many labels, whether or not they reach a threshold (unless one is given too).
            threshold: instead of the tagger's own, for every label.
        """
        if top is not None and top < 1:
            raise EarmarkError(f"tags: top is {top}. Give 1 or more.")
        limits = self.limits(scores.level, 0.0 if top is not None and threshold is None else threshold)
        count = top or (len(self.labels) if self.metadata.multi_label else 1)
        found = []
        for row, start, end in zip(scores.scores, scores.starts.tolist(), scores.ends.tolist(), strict=True):
            best = np.argsort(-row, kind="stable")[:count]
            found.append(
                [Tag(self.labels[i], float(row[i]), start, end) for i in best if row[i] >= limits[i]]
            )
        return found

    def events(
        self, scores: Predictions, rule: EventRule | None = None, *, threshold: float | None = None
    ) -> list[Event]:
        """From when to when each label sounds in one recording, by start (`events.find_events`).

        Args:
            scores: of its windows, from `score`.
            threshold: instead of the tagger's own, for every label.
        """
        limits = self.limits(scores.level, threshold)
        return find_events(scores, limits, rule or EventRule(), self.metadata.multi_label)

    def tag(
        self, clip: Clip | Path | str, top: int | None = None, threshold: float | None = None
    ) -> list[Tag]:
        """The tags of a whole clip, highest score first. Arguments as for `tags`.

        Raises:
            AudioError: the sound cannot be read.
        """
        return self.tags(self.pool(self.score(clip)), top=top, threshold=threshold)[0]

    def with_views(self, views: str, view_seconds: Sequence[float] = (), pool: str | None = None) -> Tagger:
        """The same tagger hearing other stretches of a recording: to measure which serve best.

        Args:
            views, view_seconds: as in its metadata. pool: of the scores; None = as it was.

        Raises:
            TaggerFileError: they are not known, or the graph does not take windows of their lengths.
        """
        changed = replace(self.metadata, views=views, view_seconds=tuple(view_seconds), pool=pool or self.metadata.pool)
        _require_agreement(self.backend, changed, self.path)
        return Tagger(self.backend, changed, self.path, read=self.read)

    def with_steps(self) -> Tagger:
        """The same tagger telling each step of its windows, where its head answers step by step (`SteppedTagger`).

        Raises:
            TaggerFileError: it does not.
        """
        return load(STEPPED)(self)

    def with_parts(
        self, *, backend: Callable[[Backend], Backend] | None = None, read: Read | None = None
    ) -> Tagger:
        """The same tagger on other parts: to share a graph among many callers, or to read sound within limits.

        Args:
            backend: what stands in front of its backend; of a folder, in front of each member's. None = it stays.
            read: as for `load_tagger`; None = it stays.
        """
        changed = copy(self)
        changed.backend = backend(self.backend) if backend else self.backend
        changed.read = read or self.read
        return changed

    @cached_property
    def digest(self) -> str:
        """The beginning of the content hash of its file."""
        if self.path is None:
            raise TaggerFileError("tagger: was not opened from a file that its results are known by. Use load_tagger.")
        return content_hash(self.path)[:DIGITS_OF_TAGGER]

    @property
    def identity(self) -> str:
        """Its name and digest: what stands beside what it made."""
        return f"{self.metadata.name} {self.digest}"

    def limits(self, level: str, threshold: float | None = None) -> np.ndarray:
        """The threshold of each label, float32 (classes,), inf = never; the tagger's own unless one is given.

        In float32, as the scores are: a threshold of 0.35 is reached by a score of 0.35.
        """
        own = [np.inf if limit is None else limit for limit in self.metadata.thresholds[level]]
        return np.array(own if threshold is None else [threshold] * len(own), dtype=np.float32)

    def _hear(self, clip: Clip, stop: Callable[[], bool], *, embeds: bool) -> tuple[Predictions, np.ndarray]:
        """Scores and embedding of every window until `stop`; no features where nobody asks: a day has many."""
        rows, features = [], []
        blocks = self.read(clip.path, self.sample_rate, clip.start, clip.end)
        known = self.metadata
        for some in in_batches(view_windows(blocks, known.framing, known.views, known.view_samples)):
            scores, some_features = self.run(some, clip.clip_id, clip.start)
            rows.append(scores)
            features.append(some_features if embeds else np.zeros((len(some), 0), dtype=np.float32))
            if stop():
                break
        return predictions.concatenate(rows), np.concatenate(features)

    def _windows_from(self, clip: Clip, n_done: int, stop: Callable[[], bool]) -> Iterator[Window]:
        """Sliding windows but for the first ones, which are decoded, lest a single sample become another."""
        framing = self.metadata.framing
        # With the one before: the last window of a recording may have to reach back into it.
        first = max(n_done - 1, 0) * framing.hop_samples
        blocks = self.read(clip.path, self.sample_rate, clip.start, clip.end)
        rest = cut_out(takewhile(lambda _: not stop(), blocks), first, None)
        windows = frame_stream(rest, framing.window_samples, framing.hop_samples, framing.padding)
        for window in islice(windows, min(n_done, 1), None):
            yield Window(window.samples, first + window.start, first + window.stop)

    def _score_windows(self, windows: Sequence[Window], clip: Clip) -> Predictions:
        return predictions.concatenate([self.run(some, clip.clip_id, clip.start)[0] for some in in_batches(windows)])

    def run(self, windows: Sequence[Window], clip_id: str, start: float = 0.0) -> tuple[Predictions, np.ndarray]:
        """Scores of a few windows of one length, and their embeddings, float32 (windows, features).

        Args:
            windows: at its rate. clip_id: of their recording. start: where this begins in its file, in seconds.

        Raises:
            TaggerFileError: the graph gives anything but one finite score per window and class.
        """
        scores, features = self.backend.run(np.stack([window.samples for window in windows]))
        self._check(scores, len(windows))
        starts, stops = np.array([(window.start, window.stop) for window in windows]).T / self.sample_rate
        ids = np.full(len(windows), clip_id, dtype=object)
        return Predictions(ids, start + starts, start + stops, scores, self.labels, "window"), features

    def require_labels(self) -> None:
        """Refuse to tag with what only embeds.

        Raises:
            TaggerFileError: it has no labels.
        """
        if not self.labels:
            raise TaggerFileError(
                f"{self.metadata.name}: only embeds, its file names no labels to tag with. "
                f"Use it for `earmark embed`, `earmark similar` or `earmark train --on {self.metadata.name}`."
            )

    def _check(self, scores: np.ndarray, n_windows: int) -> None:
        if scores.shape != (n_windows, len(self.labels)) or not np.isfinite(scores).all():
            raise TaggerFileError(
                f"{self.path}: its graph gives scores of shape {scores.shape} that must be "
                f"{n_windows} windows × {len(self.labels)} labels and finite. Export it again."
            )

    def __repr__(self) -> str:
        known = self.metadata
        shown = " · ".join(self.labels[:6]) + (" · …" if len(self.labels) > 6 else "")
        several = "several can hold at once" if known.multi_label else "one holds at a time"
        labels = f"{len(self.labels)} labels, {several} ({shown})" if self.labels else "no labels, only embeds"
        lines = [
            f"Tagger {known.name}: {labels}",
            f"  hears {self.sample_rate} Hz in {known.heard}; clip scores are their {known.pool}"
            + (", calibrated" if known.calibration["clip"] else ""),
        ]
        for title, facts in (("trained on", known.trained_on), ("scores", known.scores)):
            if facts:
                lines.append(f"  {title}: {_one_line(facts)}")
        if self.path is not None:
            lines.append(f"  file: {self.path}, {self.n_bytes / 1e6:.2f} MB")
        return "\n".join(lines)


def load_tagger(
    path: Path | str, *, threads: int = 1, backend: str = "onnx", read: Read = audio.blocks
) -> Tagger:
    """Open a tagger file and check that it agrees with itself.

    Args:
        path: NAME.tagger.onnx or NAME.tagger/, the name of a tagger in the home folder, or the folder of a run.
        threads: that the graph may use for one window; `tag_files` hears several recordings at once.
        backend: a name of BACKENDS.
        read: what sound is read with, `audio.blocks` or what gives the same sooner, such as `Cache.blocks`.

    Raises:
        TaggerFileError: missing, damaged, of a newer format, or its metadata contradict its graph.
    """
    path = find_tagger(path)
    if path.name == FOLDER_MANIFEST:
        return load(FOLDER)(path, partial(load_tagger, threads=threads, backend=backend, read=read))
    loaded = lookup(BACKENDS, backend, "backend")(path, threads=threads)
    try:
        metadata = TaggerMetadata.from_json(loaded.metadata_json)
    except TaggerFileError as error:
        raise TaggerFileError(f"{path}: {error}") from error
    _require_agreement(loaded, metadata, path)
    return Tagger(loaded, metadata, path, read=read)


def in_batches(windows: Iterable[Window]) -> Iterator[list[Window]]:
    """Windows a few at a time, those of one length, as one call of the graph takes them."""
    for _, alike in groupby(windows, key=lambda window: len(window.samples)):
        while some := list(islice(alike, WINDOWS_PER_CALL)):
            yield some


def _require_agreement(backend: Backend, metadata: TaggerMetadata, path: Path | None) -> None:
    """Refuse metadata that a graph contradicts."""
    if backend.n_classes not in (None, len(metadata.labels)):
        raise TaggerFileError(
            f"{path}: has {len(metadata.labels)} labels, and its graph gives {backend.n_classes} scores. "
            "Export it again."
        )
    if backend.input_samples not in (None, metadata.window_samples):
        raise TaggerFileError(
            f"{path}: windows of {metadata.window_seconds:g} s at {metadata.sample_rate} Hz are "
            f"{metadata.window_samples} samples, and its graph takes {backend.input_samples}. Export it again."
        )
    if metadata.any_length and backend.input_samples is not None:
        raise TaggerFileError(
            f"{path}: the views {metadata.views} need a graph that hears windows of any length, and this one takes "
            f"{backend.input_samples} samples. Train a network with --set window.views={metadata.views}."
        )


def as_clip(clip: Clip | Path | str) -> Clip:
    """A clip, or the whole of a file."""
    return clip if isinstance(clip, Clip) else Clip(Path(clip))


def _one_line(facts: dict) -> str:
    """Facts as "key value, key value", numbers short; without what is none for people, such as all clips' hashes."""
    parts = []
    for key, value in facts.items():
        if isinstance(value, float):
            parts.append(f"{key} {value:.3g}")
        elif isinstance(value, int) or (isinstance(value, str) and len(value) <= LONGEST_FACT):
            parts.append(f"{key} {value}")
        elif isinstance(value, dict) and isinstance(value.get("value"), float):
            parts.append(f"{key} {value['value']:.3f}")
    return ", ".join(parts)
