"""`earmark tag`: a tagger file and recordings in, tags out. Never needs torch."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from earmark.cli.options import JoinSeconds, KeepShare, MinSeconds, OwnThreshold, Steps, TaggerName, Threads

if TYPE_CHECKING:
    from earmark.tagger.embed import EmbeddedClip
    from earmark.tagger.events import EventRule
    from earmark.tagger.ledger import Ledger
    from earmark.tagger.rows import Selection
    from earmark.tagger.tag_files import TaggedClip
    from earmark.tagger.tagger import Tagger
    from earmark.tagger.unfinished import Unfinished

    Heard = TaggedClip | EmbeddedClip
    Warnings = list[tuple[Path, str]]  # recording, what is said of it


def tag(
    tagger: TaggerName,
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders, quoted patterns; - reads a list from stdin.", show_default=False),
    ],
    timeline: Annotated[bool, typer.Option("--timeline", help="Tags of every window instead of every file.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="From when to when each label sounds, instead of windows.")
    ] = False,
    steps: Steps = False,
    keep_share: KeepShare = None,
    min_seconds: MinSeconds = None,
    join_seconds: JoinSeconds = None,
    format: Annotated[str, typer.Option(help="csv, jsonl, audacity, raven or parquet.")] = "csv",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    top: Annotated[
        int | None, typer.Option(min=1, help="The N best labels, whatever their threshold.", metavar="N")
    ] = None,
    threshold: OwnThreshold = None,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="The score of every label, too.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File, or folder for a file per recording, instead of stdout.", show_default=False),
    ] = None,
    skip_done: Annotated[
        bool, typer.Option("--skip-done", help="Only what is new or changed since the last run, into the same --out.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Tag recordings: what can be heard in each file, with --timeline in each window, with --events from when to when.

    Files that cannot be read become rows of NAME.failures.csv beside --out (failures.csv in a folder, or where nothing
    is named), and the exit code is 1.

    Examples:

      earmark tag birds.tagger.onnx dawn.wav

      earmark tag mn04_as street.wav --timeline

      earmark tag birds.tagger.onnx 'field/**/*.flac' --format jsonl --all-scores --out tags.jsonl

      earmark tag birds.tagger.onnx field/ --events --min-seconds 1 --join-seconds 3 --out events.csv

      earmark tag birds.tagger.onnx field/ --events --out events.csv --skip-done

      earmark tag birds-crnn.tagger.onnx field/ --events --steps --out events.csv

      find . -name '*.wav' | earmark tag birds.tagger.onnx - --top 3

      earmark tag birds.tagger.onnx field/ --timeline --format raven --out tables/
    """
    from earmark.errors import ConfigError
    from earmark.tagger import load_tagger
    from earmark.tagger.recordings import find_recordings
    from earmark.tagger.rows import Selection

    format = "jsonl" if as_json else format
    rule = event_rule(events, timeline, keep_share, min_seconds, join_seconds)
    selection = Selection(top, threshold, all_scores, rule)
    if steps and not (timeline or events):
        raise ConfigError("--steps: a whole file has one row. Add --timeline or --events.")
    opened = load_tagger(tagger).with_steps() if steps else load_tagger(tagger)
    names = names_of(paths)
    recordings = find_recordings(names)
    target = _target(out, format, names, len(recordings), skip_done)
    level = "step" if steps else "window" if timeline or events else "clip"
    with _kept_ledger(target, opened, selection, level) if skip_done else nullcontext() as ledger:
        pending, unfinished = _pending(ledger, recordings, opened) if ledger else (recordings, None)
        # Closed even after Ctrl-C: first the half-written file goes, then the threads.
        with (
            _said_how_to_go_on(out, skip_done),
            closing(_hear(opened, pending, level, threads, unfinished, visible=out is not None)) as heard,
            closing(_write(heard, opened, target, selection, ledger)) as written,
        ):
            failures, warnings = follow(tagged for tagged in written if not tagged.more)
    tell(failures, warnings, len(pending), target.out or target.folder)
    if failures:
        raise typer.Exit(1)


def names_of(paths: Iterable[str]) -> list[str]:
    """The arguments, with the lines of stdin in the place of "-"."""
    names = []
    for path in paths:
        if path == "-":
            names += [os.fsdecode(line) for line in sys.stdin.buffer.read().splitlines() if line.strip()]
        else:
            names.append(path)
    return names


def event_rule(events: bool, timeline: bool, *wishes: float | None) -> EventRule | None:
    """How windows become events; None if they do not.

    Args:
        wishes: for the fields of EventRule, None where it was left out.

    Raises:
        ConfigError: the options do not fit.
    """
    from earmark.errors import ConfigError
    from earmark.tagger.events import EventRule

    names = [field.name for field in fields(EventRule)]
    given = {name: wish for name, wish in zip(names, wishes, strict=True) if wish is not None}
    if events and timeline:
        raise ConfigError("--timeline, --events: windows and events are not written together. Leave out one.")
    if given and not events:
        raise ConfigError(f"--{next(iter(given)).replace('_', '-')}: tells how events are found. Add --events.")
    return EventRule(**given) if events else None


class Target(NamedTuple):
    """Where tags go.

    out: one file for all; None = stdout, or `folder`, for a file per recording, which lie there as those in `root`.
    """

    format: str
    out: Path | None
    folder: Path | None
    root: Path

    @property
    def beside(self) -> Path:
        """The folder for what else is written."""
        return self.folder or (self.out.parent if self.out else Path())


def _target(out: Path | None, format: str, names: list[str], n_recordings: int, skip_done: bool) -> Target:
    """Where the tags of what was named go.

    Raises:
        ConfigError: the format and --out do not fit, or the format is unknown.
    """
    from earmark.errors import ConfigError
    from earmark.lookup import lookup
    from earmark.tagger.formats import BINARY, FORMATS, SUFFIXES
    from earmark.tagger.recordings import root_of

    lookup(FORMATS, format, "format")
    root = root_of(names)
    if skip_done and out is None:
        raise ConfigError("--skip-done: what is done is kept beside the output. Add --out.")
    if format in BINARY:
        if out is None:
            raise ConfigError(f"--format {format}: is no text to print. Name a file or a folder with --out.")
        if out.suffix == SUFFIXES[format] and not out.is_dir():
            if skip_done:
                raise ConfigError(f"--skip-done: nothing is added to one file of {format}. Give a folder with --out.")
            return Target(format, out, None, root)
        n_recordings = max(n_recordings, 2)  # a folder, even for one
    if format not in SUFFIXES:
        if out and out.is_dir():
            raise ConfigError(f"--out {out}: is a folder, and {format} is one file. Give the name of a file.")
        return Target(format, out, None, root)
    if out and (out.is_dir() or n_recordings > 1 or skip_done or not out.suffix):
        if out.exists() and not out.is_dir():
            raise ConfigError(f"--out {out}: is a file, and {format} makes one per recording. Give a folder.")
        return Target(format, None, out, root)
    if n_recordings > 1:
        raise ConfigError(f"--format {format}: makes one file per recording. Give a folder for them with --out.")
    return Target(format, out, None, root)


def _kept_ledger(target: Target, tagger: Tagger, selection: Selection, level: str) -> AbstractContextManager[Ledger]:
    """The ledger beside the output, closed at the end.

    Raises:
        RunError: it is of another tagger or other settings, or not there though the output is.
    """
    from earmark.errors import RunError
    from earmark.tagger.ledger import LEDGER_NAME, LEDGER_SUFFIX, Ledger

    origin = {"tagger": tagger.identity, "format": target.format, "level": level, **asdict(selection)}
    if target.folder is not None:
        return closing(Ledger(target.folder / LEDGER_NAME, origin | {"root": str(target.root)}))
    path = Path(f"{target.out}{LEDGER_SUFFIX}")
    if target.out.exists() and not path.exists():
        raise RunError(
            f"--skip-done: {target.out} is there, but not {path.name}, which tells what is done. "
            "Name another --out, or delete it."
        )
    return closing(Ledger(path, origin))


def _pending(ledger: Ledger, recordings: list[Path], tagger: Tagger) -> tuple[list[Path], Unfinished]:
    """The recordings that are not done, and what is known of the one that was in work, now the first; both are said."""
    from earmark.durations import duration
    from earmark.tagger.unfinished import Unfinished

    pending = ledger.pending(recordings)
    unfinished = Unfinished(ledger, tagger)
    if n_done := len(recordings) - len(pending):
        print(f"{n_done} of {len(recordings)} recordings are done already ({ledger.path}).", file=sys.stderr)
    for recording in filter(unfinished.is_of, pending):
        print(f"{recording}: goes on at {duration(unfinished.seconds)}.", file=sys.stderr)
    return sorted(pending, key=unfinished.is_of, reverse=True), unfinished


def _hear(
    tagger: Tagger,
    recordings: list[Path],
    level: str,
    threads: int | None,
    unfinished: Unfinished | None,
    *,
    visible: bool,
) -> Iterator[TaggedClip]:
    """The scores of recordings as they come, in parts where they are of windows, with a bar if one can be seen."""
    from earmark.cli.progress import watch
    from earmark.tagger.tag_files import pool_parts, tag_parts

    known = {} if unfinished is None else {"known": unfinished.known}
    with closing(tag_parts(tagger, recordings, threads=threads, **known)) as parts:
        kept = parts if unfinished is None else unfinished.keep(parts)
        shown = watch(kept, recordings, "tagging") if visible else kept
        yield from pool_parts(tagger, shown) if level == "clip" else shown


@contextmanager
def _said_how_to_go_on(out: Path | None, skip_done: bool) -> Iterator[None]:
    """Of a run that is interrupted, what to do to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if skip_done:
            print("Interrupted. The same command goes on where it was.", file=sys.stderr)
        elif out is not None:
            print("Interrupted. With --skip-done the same command could go on where it was.", file=sys.stderr)
        raise


def _write(
    tagged: Iterator[TaggedClip], tagger: Tagger, target: Target, selection: Selection, ledger: Ledger | None
) -> Iterator[TaggedClip]:
    """The clips as they are written, to wherever they belong."""
    from earmark.tagger.formats import write_origin, write_tags, write_tags_each
    from earmark.tagger.ledger import write_tags_each_on, write_tags_on

    format, out, folder, root = target
    if format == "audacity" and selection.events is not None and (out or folder):
        write_origin(folder / "tagger.json" if folder else Path(f"{out}.tagger.json"), tagger, selection.events)
    if folder is None and ledger is None:
        return write_tags(tagged, tagger, format, out, selection)
    if folder is None:
        return write_tags_on(tagged, tagger, format, out, selection, ledger)
    if ledger is None:
        return write_tags_each(tagged, tagger, format, folder, selection, root)
    return write_tags_each_on(tagged, tagger, format, folder, selection, root, ledger)


@contextmanager
def nobody_may_read() -> Iterator[None]:
    """Ends in silence where the reader of our stdout has gone (`| head`): nothing more to say, not even at exit."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def follow(written: Iterator[Heard]) -> tuple[list[Heard], Warnings]:
    """Let all clips be heard; the failures, the warnings."""
    failures, warnings = [], []
    with nobody_may_read():
        for clip in written:
            warnings += [(clip.clip.path, warning) for warning in clip.warnings]
            if clip.error is not None:
                failures.append(clip)
    return failures, warnings


def tell(failures: list[Heard], warnings: Warnings, total: int, out: Path | None) -> None:
    """What the user should know, on stderr; failures in full in a table beside `out` (None = stdout)."""
    from earmark.errors import summarise_rows
    from earmark.run import write_atomically
    from earmark.tagger.tag_files import gather_warnings

    if warnings:
        print(summarise_rows(gather_warnings(warnings)), file=sys.stderr)
    report = _failures_beside(out)
    if not failures:
        if out and not out.is_dir():  # what failed before does not any more; of a folder others may have failed
            report.unlink(missing_ok=True)
        return
    with (
        write_atomically(report) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "reason"])
        writer.writerows([clip.clip.path, clip.error] for clip in failures)
    shown = summarise_rows([str(clip.error) for clip in failures], report=report)
    print(f"{len(failures)} of {total} recordings failed (all in {report}):\n{shown}", file=sys.stderr)


def _failures_beside(out: Path | None) -> Path:
    """The table of failures: of a file one of its own, so that of two in a folder neither replaces the other's.

    >>> _failures_beside(Path("made/tags.csv")).as_posix(), _failures_beside(None).as_posix()
    ('made/tags.failures.csv', 'failures.csv')
    """
    if out is None:
        return Path("failures.csv")
    return out / "failures.csv" if out.is_dir() else out.with_suffix(".failures.csv")
