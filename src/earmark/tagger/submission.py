"""Submissions: a competition's sample filled with a tagger's scores; its columns, ids and rows stay as they are."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earmark.durations import duration
from earmark.errors import AudioError, ConfigError, ManifestError, TaggerFileError, summarise_rows
from earmark.lookup import did_you_mean
from earmark.tagger.formats import open_output
from earmark.tagger.recordings import find_recordings
from earmark.tagger.tag_files import TaggedClip, default_threads, tag_files
from earmark.tagger.tagger import Clip, Tagger

log = logging.getLogger(__name__)

LABEL_COLUMNS = ("label", "labels")  # an only column of this name takes labels, not scores
TOP = 3  # labels in a cell where the sample's cells name none: as many as MAP@3 looks at
TRIAL_FILES = 20  # by which the time of all is told, and for each thread:
TRIAL_PER_THREAD = 4  # the last of them end while some threads have nothing left to do
MEND = "Give more time or more --threads, or take a quicker tagger."
ROUNDING = 1e-6  # a score this far outside [0, 1] is one of its ends

Cells = Callable[[np.ndarray], list[str]]  # scores (classes,) → the cells after a row's id


@dataclass(frozen=True)
class Sample:
    """What a competition wants filled.

    header: the columns, that of the ids first. ids: of the rows. first_cells: what stands after each id.
    """

    path: Path
    header: tuple[str, ...]
    ids: tuple[str, ...]
    first_cells: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The columns after the ids."""
        return self.header[1:]


@dataclass
class Budget:
    """How long all may take, in seconds from when this is made. clock: tells seconds."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self):
        self.started = self.clock()

    def spent(self) -> float:
        """Seconds gone."""
        return self.clock() - self.started


def read_sample(path: Path) -> Sample:
    """A sample submission: a CSV of ids and columns to fill.

    Raises:
        ManifestError: it cannot be read, has no rows, nothing to fill, columns or ids twice, or rows that do not fit.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next((row for row in reader if row), [])
            rows = [(reader.line_num, len(row), *row[:2]) for row in reader if row]
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}). Give the competition's sample submission with --sample."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: is no CSV in UTF-8 ({error}). Fetch it again, or save it so.") from error
    if not rows:
        raise ManifestError(
            f"{path}: {'names no files below its header' if header else 'is empty'} "
            "(expected a row for each file). Fetch it again."
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if len(header) < 2 or repeated:
        found = f"these twice: {', '.join(repeated)}" if repeated else f"only '{header[0]}'"
        raise ManifestError(
            f"{path}: its columns are to be the file and then each class once (found {found}). Fetch it again."
        )
    _require_rows(path, rows, len(header))
    return Sample(path, tuple(header), tuple(row[2] for row in rows), tuple(row[3] for row in rows))


def _require_rows(path: Path, rows: Sequence[tuple], n_columns: int) -> None:
    """Refuse rows (line, number of cells, id, …) that cannot be filled."""
    wrong, lines = [], {}
    for line, n_cells, name, *_ in rows:
        if n_cells != n_columns:
            wrong.append(f"row {line}: {n_cells} cells (expected {n_columns})")
        elif not name.strip():
            wrong.append(f"row {line}: names no file")
        elif name in lines:
            wrong.append(f"row {line}: '{name}' stands in row {lines[name]}, too")
        lines.setdefault(name, line)
    if wrong:
        raise ManifestError(
            f"{path}: {len(wrong)} of {len(rows)} rows cannot be filled. Each names a file of its own and has all "
            f"cells.\n{summarise_rows(wrong)}"
        )


def find_clips(sample: Sample, folder: Path) -> tuple[list[Clip], list[Path]]:
    """The file of each id, in their order, and the sounds in the folder that no id names.

    An id is a file's name as seen from the folder, with its suffix or without. One that is not there is the path where
    it should be, which then fails as any file that cannot be read.

    Raises:
        ConfigError: it is no folder, holds none of the files, or several of one id.
        AudioError: it holds no sounds.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is not a folder. Give the one with the files that {sample.path} names.")
    present = find_recordings([str(folder)])
    by_stem: dict[str, list[Path]] = {}
    for path in present:
        by_stem.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    paths, unclear, n_found = [], [], 0
    for name in sample.ids:
        exact = folder / name
        likely = [exact] if os.path.isfile(exact) else by_stem.get(name, [])
        if len(likely) > 1:
            unclear.append(f"'{name}' is {' or '.join(path.name for path in likely)}")
        n_found += bool(likely)
        paths.append(likely[0] if likely else exact)
    if unclear:
        raise ConfigError(f"{folder}: several files go by one id. Leave one of each.\n{summarise_rows(unclear)}")
    if not n_found:
        raise ConfigError(
            f"{folder}: holds none of the {len(paths)} files that {sample.path} names, such as '{sample.ids[0]}' "
            f"(found '{present[0].relative_to(folder).as_posix()}'). Give the folder that they are named from."
        )
    named = set(paths)
    return [Clip(path) for path in paths], [path for path in present if path not in named]


def make_cells(sample: Sample, tagger: Tagger, top: int | None = None) -> Cells:
    """What turns the scores of a file into the cells of its row.

    A column for each class takes scores, with all the digits that float32 has. A single column named `label` takes the
    best labels, joined by blanks.

    Args:
        top: how many labels; None = as many as in the sample's own cells, 3 where those name none.

    Raises:
        ConfigError: a class is no label of the tagger, labels hold blanks, or `top` is given where scores are wanted.
    """
    labels = tagger.labels
    if len(sample.header) == 2 and sample.header[1].casefold() in LABEL_COLUMNS and sample.header[1] not in labels:
        return _best_labels(sample, labels, top)
    if top is not None:
        raise ConfigError(f"--top: is for a column of labels, and {sample.path} wants scores. Leave it out.")
    unused = [label for label in labels if label not in sample.classes]
    missing = [f"'{name}' is no label{did_you_mean(name, unused)}" for name in sample.classes if name not in labels]
    if missing:
        also = f"\nLabels that the sample does not have: {' · '.join(unused[:10])}" if unused else ""
        also += f" · … and {len(unused) - 10} more" if len(unused) > 10 else ""
        raise ConfigError(
            f"{sample.path}: {len(missing)} of its {len(sample.classes)} classes are unknown to "
            f"{tagger.metadata.name}. Take a tagger that was trained on them, spelt alike.\n"
            f"{summarise_rows(missing)}{also}"
        )
    if unused:
        shown = " · ".join(unused[:5]) + (" · …" if len(unused) > 5 else "")
        log.warning("%d labels of the tagger are no classes of the sample and left out: %s", len(unused), shown)
    columns = [labels.index(name) for name in sample.classes]
    return lambda scores: [f"{score:.9g}" for score in scores[columns].tolist()]


def _best_labels(sample: Sample, labels: Sequence[str], top: int | None) -> Cells:
    """Cells of the best labels."""
    named = [[cell] if cell in labels else cell.split() for cell in sample.first_cells]
    top = top or max((len(names) for names in named if not set(names).isdisjoint(labels)), default=TOP)
    blanks = [label for label in labels if len(label.split()) > 1]
    if blanks and top > 1:
        raise ConfigError(
            f"{sample.path}: takes {top} labels a cell, with blanks between, and labels hold blanks themselves, "
            f"such as '{blanks[0]}'. Train with names without blanks, or ask for one label with --top 1."
        )
    unknown = sorted({name for names in named for name in names} - set(labels))
    if unknown:
        hints = [f"'{name}'{did_you_mean(name, labels)}" for name in unknown[:5]]
        log.warning("the sample's cells name what is no label of the tagger: %s", ", ".join(hints))
    return lambda scores: [" ".join(labels[i] for i in np.argsort(-scores, kind="stable")[:top])]


def write_submission(
    tagger: Tagger,
    folder: Path,
    sample: Sample,
    out: Path,
    *,
    top: int | None = None,
    budget: Budget | None = None,
    threads: int | None = None,
) -> Iterator[TaggedClip]:
    """Fill a sample submission. What is at fault is said at once; files are heard as the result is iterated over.

    A file that cannot be read gets the mean of the others' scores: what is known of it without hearing it.

    Args:
        folder: holds the files. out: the CSV to write; it takes its place when the last file has been passed on.
        top: as for `make_cells`. threads: as for `tag_files`.
        budget: how long it may take. The first files tell whether that will do; at its end nothing is written.

    Returns:
        What became of each file, in the order of the rows.

    Raises:
        ConfigError: from `find_clips` and `make_cells`; `out` is a folder or the sample; the budget will not do.
        AudioError: no file can be read.
        TaggerFileError: scores are not in [0, 1].
    """
    if out.is_dir() or out.resolve() == sample.path.resolve():
        what = "a folder" if out.is_dir() else "the sample itself"
        raise ConfigError(f"--out {out}: is {what}. Give the file to write the submission to.")
    tagger.require_labels()
    cells = make_cells(sample, tagger, top)
    clips, others = find_clips(sample, folder)
    if others:
        names = f"{others[0].relative_to(folder).as_posix()}{', …' if len(others) > 1 else ''}"
        log.warning("%d files of %s are not in the sample and left out: %s", len(others), folder, names)
    return _fill(sample, cells, tagger, _hear(tagger, clips, threads or default_threads(), budget), out)


def _fill(sample: Sample, cells: Cells, tagger: Tagger, heard: Iterator[TaggedClip], out: Path) -> Iterator[TaggedClip]:
    """Pass all clips on, then write."""
    scores = np.zeros((len(sample.ids), len(tagger.labels)), dtype=np.float32)
    failures: dict[int, str] = {}
    # Left early: first the half-written file goes, then the threads.
    with closing(heard), open_output(out, "csv") as file:
        for row, tagged in enumerate(heard):
            if tagged.predictions is None:
                failures[row] = str(tagged.error)
            else:
                scores[row] = _in_range(tagged.predictions.scores[0], tagger)
            yield tagged
        if len(failures) == len(scores):
            raise AudioError(
                f"{out}: is not written, for none of {len(scores)} files can be read. Look at the first of them.\n"
                f"{summarise_rows(list(failures.values()))}"
            )
        if failures:
            scores[list(failures)] = np.delete(scores, list(failures), axis=0).mean(axis=0)
            log.warning(
                "%d of %d rows are GUESSES, the mean of all other rows' scores: their files cannot be read",
                len(failures),
                len(scores),
            )
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(sample.header)
        writer.writerows([name, *cells(row)] for name, row in zip(sample.ids, scores, strict=True))


def _in_range(scores: np.ndarray, tagger: Tagger) -> np.ndarray:
    """Scores (classes,) without what rounding put outside [0, 1]."""
    if scores.min() < -ROUNDING or scores.max() > 1 + ROUNDING:
        raise TaggerFileError(
            f"{tagger.metadata.name}: gives scores from {scores.min():.3g} to {scores.max():.3g} that must lie between "
            "0 and 1. Export it again."
        )
    return scores.clip(0.0, 1.0)


def _hear(tagger: Tagger, clips: Sequence[Clip], threads: int, budget: Budget | None) -> Iterator[TaggedClip]:
    """As `tag_files`; with a budget the first are heard by themselves, to tell how long all will take.

    Raises:
        ConfigError: longer than the budget.
    """
    if budget is None:
        yield from tag_files(tagger, clips, threads=threads)
        return
    n_bytes = [clip.path.stat().st_size if clip.path.is_file() else 0 for clip in clips]  # go with the length of sound
    trial = max(TRIAL_FILES, TRIAL_PER_THREAD * threads)
    n_done, before = 0, budget.spent()
    for part in (clips[:trial], clips[trial:]):
        with closing(tag_files(tagger, part, threads=threads)) as heard:
            for tagged in heard:
                yield tagged
                n_done += 1
                spent = budget.spent()
                if spent > budget.seconds and n_done < len(clips):
                    raise ConfigError(
                        f"--budget: {duration(budget.seconds)} are over, with {n_done} of {len(clips)} files heard, "
                        f"and nothing is written. {MEND}"
                    )
        if n_done == trial < len(clips):
            forecast = before + (spent - before) * sum(n_bytes) / max(sum(n_bytes[:trial]), 1)
            told = f"by the first {trial} of {len(clips)} files, all take about {duration(forecast)}"
            if forecast > budget.seconds:
                raise ConfigError(f"--budget: {duration(budget.seconds)} will not do: {told}. {MEND}")
            log.info("%s", told)
