"""Annotation files as training data: label tracks and selection tables beside recordings, tables of events."""

from __future__ import annotations

import codecs
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.audio import probe
from earmark.audio.decode import END_TOLERANCE_SECONDS
from earmark.data.manifest import Manifest
from earmark.data.readers import dcase, label_track, raven
from earmark.data.readers.encodings import find_encoding
from earmark.data.readers.events import Event, to_seconds
from earmark.data.readers.problems import RowProblem
from earmark.data.readers.recordings import Recordings
from earmark.errors import AudioError, ManifestError, summarise_rows

log = logging.getLogger(__name__)

RAVEN, AUDACITY, DCASE = "Raven selection table", "Audacity label track", "table of events"
SUFFIXES = (".txt", ".tsv", ".csv")
BESIDE_SUFFIX = ".txt"  # of what stands beside a recording
LOOKED_AT_BYTES = 8192
BORDER_SECONDS = 0.05  # two regions that overlap by less are neighbours: hands place borders no finer


@dataclass
class _Annotated:
    """What is annotated of one recording. seconds: its length, None if it cannot be read."""

    seconds: float | None
    labels: dict[tuple[float, float], list[str]] = field(default_factory=lambda: defaultdict(list))
    whole: bool = True  # whether all that was annotated could be read


def is_annotation(path: Path) -> bool:
    """Whether a file is a label track, a selection table or a table of events; told by its first lines."""
    return path.suffix.lower() in SUFFIXES and path.is_file() and _format(_start(path)) is not None


def find_annotations(folder: Path, audio_dir: Path | None = None) -> list[Path]:
    """Label tracks and selection tables below a folder; none unless one of them has its recording there.

    The file of `dusk.wav` is called dusk.txt, dusk.wav.txt, or dusk and anything after a full stop
    (dusk.Table.1.selections.txt); a selection table may also name its recordings.
    """
    return _find(Recordings(folder, audio_dir))


def read_annotations(
    path: str | Path,
    *,
    audio_dir: str | Path | None = None,
    background: bool = False,
    background_seconds: float = 1.0,
    encoding: str | None = None,
    problems: list[RowProblem] | None = None,
    events: bool = False,
) -> Manifest:
    """Read annotated regions as clips, each recording a group.

    Labels of one region are one clip's. Regions that overlap stay clips of their own, and what another region says
    of a part of a clip is unsure there: neither present nor absent.

    Args:
        path: an annotation file, or a folder of recordings with annotation files beside them.
        audio_dir: where the recordings lie, if not beside or below.
        background: add what is not annotated as clips without a label.
        background_seconds: the shortest such stretch.
        encoding: of the files; found unless given.
        problems: gains the faulty lines, which are left out; None to raise them.
        events: whether a region may be a point in time, and a recording without any is a clip without a label.

    Raises:
        ManifestError: there are no annotations, or lines are wrong (all of them are told at once).
    """
    path, audio_dir = Path(path), None if audio_dir is None else Path(audio_dir)
    if not path.is_dir() and not path.is_file():
        raise ManifestError(f"{path}: is neither a folder nor a file of annotations. Check the path.")
    places = Recordings(path if path.is_dir() else path.parent, audio_dir, deep=path.is_dir())
    files = _find(places) if path.is_dir() else [path]
    if not files:
        raise ManifestError(
            f"{path}: no recording has a label track or selection table beside it. Name the file of dusk.wav dusk.txt, "
            "or pass the folder of the recordings with --audio-dir."
        )
    recordings: dict[str, _Annotated] = {}
    faults: list[RowProblem] = []
    n_lines, formats = 0, Counter()
    for file in files:
        text = _text(file, encoding)
        lines, read_as = _events(text, file)
        formats[read_as] += 1
        n_lines += len(lines)
        if not lines:
            for sound in places.called_as(file):
                _note(sound.as_posix(), places, recordings)
        for line in lines:
            faults += _take(line, file, places, recordings, events)
    if faults and (problems is None or not any(recording.labels for recording in recordings.values())):
        raise ManifestError(_lines_wrong(path, faults, n_lines, places.root))
    if problems is not None:
        problems += faults
    _tell(path, formats, places, recordings)
    if events:
        for recording in recordings.values():
            if not recording.labels and recording.whole:
                recording.labels[0.0, math.nan if recording.seconds is None else round(recording.seconds, 6)] = []
    return _manifest(path, places.root, recordings, background_seconds if background else None)


def _find(recordings: Recordings) -> list[Path]:
    """The annotation files of a folder, those without a line too, if one of them is of use."""
    found, empty, used = [], [], False
    for file in recordings.others:
        if file.suffix.lower() != BESIDE_SUFFIX:
            continue
        start = _start(file)
        name = _format(start)
        if name in (RAVEN, AUDACITY):
            found.append(file)
            used = used or bool(recordings.called_as(file)) or (name == RAVEN and raven.names_recordings(start))
        elif not start.strip() and recordings.called_as(file):
            empty.append(file)
    return sorted(found + empty) if used else []


def _start(path: Path) -> str:
    """The first lines of a file, good enough to tell its format by; "" where it cannot be opened."""
    try:
        with open(path, "rb") as file:
            data = file.read(LOOKED_AT_BYTES)
    except OSError:
        return ""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def _format(start: str) -> str | None:
    """What a text is, by its first lines; None if no annotation."""
    if raven.is_selection_table(start):
        return RAVEN
    if dcase.is_event_table(start):
        return DCASE
    return AUDACITY if label_track.is_label_track(start) else None


def _text(file: Path, encoding: str | None) -> str:
    """All of a file.

    Raises:
        ManifestError: it cannot be read, or not as text.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read ({error.strerror}). Check its permissions.") from error
    if not data.strip():
        return ""
    found = find_encoding(data, file, encoding, list)
    if found.remark:
        log.log(logging.INFO if found.certain else logging.WARNING, "%s: %s", file, found.remark)
    return data.decode(found.name).removeprefix("\ufeff")


def _events(text: str, file: Path) -> tuple[list[Event], str]:
    """The lines of an annotation file, and what it was read as.

    Raises:
        ManifestError: it is none, or lacks labels.
    """
    name = _format(text)
    if name is None and text.strip():
        raise ManifestError(
            f"{file}: is no annotation file. Pass an Audacity label track (start, end, label), a Raven selection table "
            "or a table of filename, onset, offset, event_label, separated by tabs."
        )
    if name == RAVEN:
        events, column = raven.read_selection_table(text, file)
        return events, f"{name} with labels from '{column}'" if column else name
    if name == DCASE:
        return dcase.read_event_table(text, file), name
    return label_track.read_label_track(text), AUDACITY


def _take(
    event: Event, file: Path, places: Recordings, recordings: dict[str, _Annotated], may_be_point: bool
) -> list[RowProblem]:
    """Add one line's region to its recording, or say what is wrong with it."""
    where = f"{file} row {event.line}"
    try:
        path = places.named(event.recording, file) if event.recording else places.beside(file)
    except ManifestError as error:
        return [RowProblem(where, event.recording, "missing_file", str(error))]
    recording = _note(path, places, recordings)
    if event.recording and not (event.start or event.end or event.label):
        return []  # a recording in which nothing happens
    region, wrong = _region(event, recording.seconds, may_be_point)
    faults = [RowProblem(where, path, "bad_row", wrong)] if wrong else []
    if not event.label:
        faults.append(RowProblem(where, path, "no_label", "the region has no label"))
    if faults:
        recording.whole = False
    elif event.label not in recording.labels[region]:
        recording.labels[region].append(event.label)
    return faults


def _note(path: str, places: Recordings, recordings: dict[str, _Annotated]) -> _Annotated:
    """What is known of a recording, its length measured the first time."""
    if path not in recordings:
        try:
            seconds = probe(places.root / path).seconds
        except AudioError as error:
            log.warning("%s Its regions are taken as written.", error)
            seconds = None
        recordings[path] = _Annotated(seconds)
    return recordings[path]


def _region(event: Event, seconds: float | None, may_be_point: bool) -> tuple[tuple[float, float], str]:
    """Start and end in the recording, to the microsecond; and what is wrong with them, "" if nothing."""
    times = {"start": event.start, "end": event.end, "file offset": event.offset or "0"}
    values = {name: to_seconds(cell) for name, cell in times.items()}
    for name, value in values.items():
        if value is None:
            return (0.0, 0.0), f"{name} '{times[name]}' is no time in seconds"
    start, end = values["start"], values["end"]
    if event.offset:
        start, end = values["file offset"], values["file offset"] + end - start
    region = round(start, 6), round(end, 6)
    if start < 0:
        return region, f"start {start:g} s is negative"
    if start == end and not may_be_point:
        return region, f"marks a point at {start:g} s, not a region. Give it an end"
    if start > end:
        return region, f"start {start:g} s is not before end {end:g} s"
    if seconds is not None and end > seconds + END_TOLERANCE_SECONDS:
        return region, f"end {end:g} s is beyond the recording's length of {seconds:.3f} s"
    return region, ""


def _lines_wrong(path: Path, faults: Sequence[RowProblem], n_lines: int, root: Path) -> str:
    """The text for all faulty lines at once."""
    n_wrong = len({fault.where for fault in faults})
    advice = "Correct or remove them."
    if sum(fault.problem == "missing_file" for fault in faults) == n_lines:
        advice = f"No recording was found below {root}: pass the folder of the recordings with --audio-dir."
    messages = [f"{fault.where}: {fault.detail}" for fault in faults]
    return f"{path}: {n_wrong} of {n_lines} annotated regions are wrong. {advice}\n{summarise_rows(messages)}"


def _tell(path: Path, formats: Counter[str], places: Recordings, recordings: dict[str, _Annotated]) -> None:
    """Say what was read as what, and which sounds nobody annotated."""
    log.info("%s: %s", path, "; ".join(f"{count} × {name}" for name, count in formats.items()))
    left_out = [str(sound) for sound in places.sounds if str(sound) not in recordings]
    if path.is_dir() and left_out:
        log.warning("%s: %d sounds without annotations are left out (%s, …)", path, len(left_out), left_out[0])


def _manifest(path: Path, root: Path, recordings: dict[str, _Annotated], background_seconds: float | None) -> Manifest:
    """The clips of all recordings, by file and time.

    Raises:
        ManifestError: there are none.
    """
    paths, regions, labels, unsure = [], [], [], []
    for name in sorted(recordings):
        recording = recordings[name]
        rows = {region: (tuple(names), also) for region, names, also in _overlapping(recording.labels)}
        if background_seconds is not None and recording.seconds is not None and recording.whole:
            rows |= dict.fromkeys(_unannotated(rows, recording.seconds, background_seconds), ((), ()))
        for region in sorted(rows):
            paths.append(name)
            regions.append(region)
            labels.append(rows[region][0])
            unsure.append(rows[region][1])
    if not any(labels):
        raise ManifestError(f"{path}: no region is annotated. Label what sounds from when to when.")
    starts, ends = zip(*regions, strict=True)
    return Manifest.build(root, paths, labels, starts=starts, ends=ends, groups=paths, unsure=unsure)


def _overlapping(
    labels: dict[tuple[float, float], list[str]],
) -> list[tuple[tuple[float, float], list[str], tuple[str, ...]]]:
    """Each region in order, its labels, and those of regions that it overlaps and that it lacks itself, sorted."""
    regions = sorted(labels)
    also: list[set[str]] = [set() for _ in regions]
    open_rows: list[int] = []
    for row, (start, end) in enumerate(regions):
        open_rows = [other for other in open_rows if regions[other][1] > start]
        for other in open_rows:
            if min(end, regions[other][1]) - start >= BORDER_SECONDS:
                also[row].update(labels[regions[other]])
                also[other].update(labels[regions[row]])
        open_rows.append(row)
    return [
        (region, labels[region], tuple(sorted(names.difference(labels[region]))))
        for region, names in zip(regions, also, strict=True)
    ]


def _unannotated(regions: Sequence[tuple[float, float]], seconds: float, least: float) -> list[tuple[float, float]]:
    """The stretches of a recording that no region touches and that last at least so long.

    >>> _unannotated([(2.0, 3.0), (2.5, 4.0)], seconds=10.0, least=1.0)
    [(0.0, 2.0), (4.0, 10.0)]
    """
    gaps, reached = [], 0.0
    for start, end in [*sorted(regions), (round(seconds, 6), seconds)]:
        if start - reached >= least:
            gaps.append((reached, start))
        reached = max(reached, end)
    return gaps
