"""An upload and a tagger in, the answer out: the server's verb. Runs in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from itertools import chain
from pathlib import Path

from earmark import audio
from earmark.errors import AudioError, TaggerFileError
from earmark.predictions import Predictions
from earmark.server.meter import Meter
from earmark.server.refusals import Refusal
from earmark.server.schemas import TagAnswer, TagFound, TagQuery, WindowTags
from earmark.tagger import Clip, Tag, Tagger
from earmark.tagger.formats import microseconds, short_score
from earmark.tagger.tag_files import length_warnings, sound_warnings

NO_WINDOWS = '"windows":[]'
ROWS_AT_ONCE = 16


def tag_upload(tagger: Tagger, path: Path, asked: TagQuery, meter: Meter) -> Iterator[bytes]:
    """Tag a file: the same tags and scores as `earmark tag` gives it.

    Returns:
        The answer as JSON (TagAnswer), in pieces that are made as they are taken: every score of an hour would not fit
        into memory many times over.

    Raises:
        Refusal: it is no sound, damaged, too much, or the tagger gives no scores of it.
        GoneError: nobody waits for the answer.
    """
    clip = Clip(path, asked.start, asked.end, clip_id="upload")
    try:
        info = audio.read_header(path, watch=lambda n_decoded: meter.require())
    except AudioError as error:
        raise _refusal("not_a_sound", error, path) from error
    meter.require_length(info, asked.start, asked.end)
    try:
        warnings = sound_warnings(tagger, clip)
        windows = tagger.with_parts(read=meter.read).score(clip, stop=meter.spent)
        meter.require()
    except AudioError as error:
        raise _refusal("unreadable", error, path) from error
    except TaggerFileError as error:
        raise unscorable(tagger) from error
    return _answer(tagger, windows, asked, warnings)


def unscorable(tagger: Tagger) -> Refusal:
    """Where a graph gives anything but finite scores. What is wrong with it is the server's to know."""
    return Refusal(
        "unscorable",
        f"upload: {tagger.metadata.name} gives no finite scores of it. Look for samples far beyond full scale.",
    )


def found_tags(tags: Sequence[Tag]) -> list[TagFound]:
    """Tags as they are answered."""
    return [
        TagFound(label=label, score=short_score(score), start=microseconds(start), end=microseconds(end))
        for label, score, start, end in map(astuple, tags)
    ]


def named_scores(scores: Predictions, row: int) -> dict[str, float]:
    """The score of every label in one row."""
    return dict(zip(scores.labels, map(short_score, scores.scores[row].tolist()), strict=True))


def found_windows(tagger: Tagger, scores: Predictions, asked) -> list[WindowTags]:
    """Windows as they are answered.

    Args:
        asked: a TagQuery or StreamQuery.
    """
    tags = tagger.tags(scores, top=asked.top, threshold=asked.threshold)
    return [
        WindowTags(
            start=microseconds(scores.starts[row]),
            end=microseconds(scores.ends[row]),
            tags=found_tags(tags[row]),
            scores=named_scores(scores, row) if asked.scores else None,
        )
        for row in range(len(scores))
    ]


def _answer(tagger: Tagger, windows: Predictions, asked: TagQuery, warnings: tuple[str, ...]) -> Iterator[bytes]:
    whole = tagger.pool(windows)
    [summary] = found_windows(tagger, whole, asked)
    answer = TagAnswer(
        tagger=tagger.identity,
        outcome="tags" if summary.tags else "no_tag",
        **{name: getattr(summary, name) for name in ("start", "end", "tags", "scores")},
        windows=[] if asked.timeline else None,
        warnings=[*warnings, *length_warnings(tagger, whole.ends.max() - whole.starts.min())],
    ).model_dump_json(exclude_none=True)
    before, mark, after = answer.rpartition(NO_WINDOWS) if asked.timeline else (answer, "", "")
    return map(str.encode, chain([before], _timeline(tagger, windows, asked) if mark else (), [after]))


def _timeline(tagger: Tagger, windows: Predictions, asked: TagQuery) -> Iterator[str]:
    """The windows as JSON, a few at a time."""
    yield NO_WINDOWS[:-1]
    for first in range(0, len(windows), ROWS_AT_ONCE):
        rows = found_windows(tagger, windows.rows(slice(first, first + ROWS_AT_ONCE)), asked)
        yield ("," if first else "") + ",".join(row.model_dump_json(exclude_none=True) for row in rows)
    yield NO_WINDOWS[-1]


def _refusal(reason: str, error: AudioError, path: Path) -> Refusal:
    """An error of the sound, which names the upload in place of the file it was written to."""
    if isinstance(error, audio.CutOffError):
        reason = "cut_off"
    return Refusal(reason, str(error).replace(str(path), "upload"))
