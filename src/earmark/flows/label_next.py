"""The story of `earmark review --unlabelled`: which clips to label next, until a data set is built from nothing."""

from __future__ import annotations

import csv
import logging
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.baselines.classifier import Examples
from earmark.baselines.linear import fit_logistic
from earmark.config import read_yaml
from earmark.data.corrected import label_table
from earmark.data.corrections import Verdict, read_corrections, verdicts
from earmark.errors import AudioError, ConfigError, summarise_rows
from earmark.flows.classifier_folds import one_thread
from earmark.flows.progress import bar
from earmark.flows.review import Review, shown_scores, train_command, user
from earmark.review.queue import queue, rarity, uncertainty
from earmark.review.session import LABEL, Question, Session
from earmark.run import Run, write_atomically
from earmark.tagger import Clip, load_tagger, score_files
from earmark.tagger.embed import Embeddings, collect, embed_files
from earmark.tagger.home import present
from earmark.tagger.recordings import find_recordings
from earmark.tagger.tagger import Tagger

log = logging.getLogger("earmark")

TABLE = "labels.csv"


@dataclass(frozen=True)
class Guess:
    """What is believed of clips: scores (clips, classes) of labels; None where nothing is known yet."""

    labels: tuple[str, ...]
    scores: np.ndarray | None


def label_next(
    folder: Path | str,
    on: str,
    out: Path | str | None = None,
    *,
    labels: Sequence[str] = (),
    several: bool = False,
    most: int = 50,
    who: str | None = None,
    progress: bool = True,
) -> Review:
    """The questions what clips of a folder are, those first whose answers teach most.

    At first they are the typical ones by their embeddings; once there are labels, typical ones of the half that a head
    on the embeddings (or the run's own tagger) is least sure of, rare labels before frequent ones.

    Args:
        folder: of sounds without labels.
        on: a pretrained network, by name, whose embeddings are taken; or the tagger file or run of an own data set,
            whose labels and scores are taken too.
        out: folder for corrections.csv, labels.csv and queue.csv; default runs/NAME-labels.
        labels: some that will be needed; more may be typed in.
        several: a clip may have none or several labels; of an own tagger that is known.
        most: clips at a time.
        who: the name that decisions bear; default the user's.

    Raises:
        AudioError: there is nothing to hear.
        ConfigError: everything has its label.
    """
    folder = Path(folder)
    place = Run(Path(out) if out else Path("runs") / f"{folder.resolve().name}-labels")
    tagger = load_tagger(on)
    own = on not in present()
    several = tagger.metadata.multi_label if own else several
    embedded = embed(tagger, find_recordings([str(folder)]), place.folder, progress)
    decided = verdicts(read_corrections(place.corrections)) if place.corrections.exists() else {}
    clips = [Clip(clip.path, clip_id=name_of(clip.path, place.folder)) for clip in embedded.clips]
    new = np.array([clip.clip_id not in decided for clip in clips])
    if not new.any():
        raise ConfigError(f"{folder}: all {len(clips)} clips are decided. Train on {place.folder / TABLE}.")
    guess = own_scores(tagger, clips, progress) if own else head_scores(embedded.vectors, clips, decided, several)
    chosen = choose(embedded.vectors, np.flatnonzero(new), guess, decided, several, most)
    names = list(dict.fromkeys((*labels, *(tagger.labels if own else ()), *guess.labels)))
    questions = [question_of(clips[row], folder, guess, row) for row in chosen]
    write_queue(questions, place.folder / "queue.csv")
    # Those of earlier sittings stand behind them, decided: to be looked at again, or taken back.
    questions += [question_of(clips[row], folder, guess, row) for row in np.flatnonzero(~new)]

    def write_table() -> None:
        table = label_table(place.corrections, several)
        if table is not None:
            table.write(place.folder / TABLE)
        else:
            (place.folder / TABLE).unlink(missing_ok=True)

    session = Session(questions, names, place.corrections, who or user(), several, grows=True, decided=write_table)
    return Review(session, f"{folder.resolve().name}: what is this?", command_for(on, place, own))


def command_for(on: str, place: Run, own: bool) -> str:
    """What trains on the labels: beside the data of an own run, else alone."""
    if own and Run(Path(on)).config.exists():
        run = Run(Path(on))
        return train_command(read_yaml(run.config), [place.corrections], f"{run.folder}-more")
    stands = "" if own else f" --on {shlex.quote(on)}"
    return f"earmark train {place.folder / TABLE}{stands} --out {place.folder}-run"


def embed(tagger: Tagger, files: Sequence[Path], out: Path, progress: bool) -> Embeddings:
    """A vector per clip that can be heard; the others are rows of failures.csv.

    Raises:
        AudioError: none can.
    """
    heard = []
    with bar("listening", len(files), "clips", progress) as update:
        for done, one in enumerate(embed_files(tagger, files), start=1):
            heard.append(one)
            update(done)
    failures = [(str(one.clip.path), one.error) for one in heard if one.error is not None]
    if len(failures) == len(heard):
        raise AudioError(f"no clip can be heard.\n{summarise_rows([reason for _, reason in failures])}")
    if failures:
        log.warning("%d files cannot be read: %s", len(failures), Run(out).failures)
        write_rows(Run(out).failures, [("path", "reason"), *failures])
    return collect(heard)


def name_of(file: Path, folder: Path) -> str:
    """A file as a row of corrections names it: from their folder where it is below, else whole."""
    file, folder = Path(os.path.abspath(file)), Path(os.path.abspath(folder))
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def own_scores(tagger: Tagger, clips: Sequence[Clip], progress: bool) -> Guess:
    """What a tagger of the own labels says."""
    with bar("tagging", len(clips), "clips", progress):
        scores, failures = score_files(tagger, clips)
    if failures:
        raise AudioError(f"{failures[0].clip.path}: could be heard before, but not now. {failures[0].error}")
    return Guess(tagger.labels, scores.align([clip.clip_id for clip in clips]).scores)


def head_scores(
    vectors: np.ndarray, clips: Sequence[Clip], decided: dict[str, Verdict], several: bool
) -> Guess:
    """What a logistic regression on the embeddings of the clips that have labels says of all; nothing of one label."""
    told = {row: decided[clip.clip_id].labels for row, clip in enumerate(clips) if clip.clip_id in decided}
    dropped = {row for row in told if decided[clips[row].clip_id].dropped}
    told = {row: labels for row, labels in told.items() if labels is not None and row not in dropped}
    labels = tuple(sorted({label for names in told.values() for label in names}))
    if len(labels) < 2:
        return Guess(labels, None)
    rows = np.array(list(told))
    targets = np.array([[float(label in told[row]) for label in labels] for row in rows], dtype=np.float32)
    unheld = np.full(len(rows), -1)
    examples = Examples(vectors[rows], targets, np.ones_like(targets), rows, unheld, several)
    with one_thread():
        return Guess(labels, fit_logistic(examples, seed=0, balanced=False).predict(vectors))


def choose(
    vectors: np.ndarray, free: np.ndarray, guess: Guess, decided: dict[str, Verdict], several: bool, most: int
) -> np.ndarray:
    """Rows to label next, of those that are free, in their order."""
    if guess.scores is None:
        return free[queue(vectors[free], most)]
    said = Counter(label for verdict in decided.values() for label in verdict.labels or ())
    counts = np.array([said[label] for label in guess.labels])
    worth = uncertainty(guess.scores[free], several) * rarity(guess.scores[free], counts)
    return free[queue(vectors[free], most, worth)]


def question_of(clip: Clip, folder: Path, guess: Guess, row: int) -> Question:
    """What is this clip?"""
    whole, root = Path(os.path.abspath(clip.path)), Path(os.path.abspath(folder))
    name = whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.as_posix()
    scores = () if guess.scores is None else shown_scores(guess.scores[row], guess.labels)
    return Question(clip, name, LABEL, "", scores=scores)


def write_queue(questions: Sequence[Question], path: Path) -> None:
    """The queue as a table: rank, clip, the likeliest label and its score, where something is known."""
    rows = [
        (rank, question.clip.clip_id, *(question.scores[0] if question.scores else ("", "")))
        for rank, question in enumerate(questions, start=1)
    ]
    write_rows(path, [("rank", "clip_id", "likeliest", "score"), *rows])


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV, whole or not at all."""
    with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
