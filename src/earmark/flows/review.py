"""The story of `earmark review RUN`: labels that are probably wrong, one after the other, to hear and to decide."""

from __future__ import annotations

import getpass
import logging
import shlex
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.cache import Cache
from earmark.data.manifest import Manifest
from earmark.data.matches import SURE, Match, find_matches
from earmark.errors import RunError
from earmark.flows.progress import bar
from earmark.flows.run_config import FINETUNED
from earmark.flows.split import kept, listen
from earmark.report.reading import RunContents, read_run
from earmark.report.review_page import question_sound, review_page
from earmark.review.session import Question, Session
from earmark.review.suspects import Suspect, find_suspects, read_suspects, whole_copies, write_suspects
from earmark.run import Run
from earmark.server.review_server import ReviewApp, ReviewServer
from earmark.tagger.tag_files import default_threads

log = logging.getLogger("earmark")

N_SCORES = 5  # shown with a question
# How a run read its data: option of `train`, its key in config.yaml and the value there that goes without saying.
READING = (
    ("--audio-dir", "audio_dir", "null"),
    ("--encoding", "encoding", "null"),
    ("--segment", "segment", "null"),
    ("--fraction", "fraction", "1.0"),
)
FLAGS = (
    ("--folder-tricks", "folder_tricks", "false"),
    ("--no-merge", "merge", "true"),
    ("--allow-leak", "allow_leak", "false"),
)


@dataclass(frozen=True)
class Review:
    """What is to be decided. command: what trains with the decisions."""

    session: Session
    title: str
    command: str


def review(
    run: Path | str,
    *,
    model: str | None = None,
    most: int | None = None,
    anew: bool = False,
    who: str | None = None,
    progress: bool = True,
) -> Review:
    """The questions about a run's labels; its suspects.csv is written unless it is there.

    Args:
        run: a finished run's folder.
        model: whose out-of-fold scores are believed; default the best of the run.
        most: at most so many by quality, whatever is suspicious; default all that are.
        anew: find the suspects again although there are some.
        who: the name that decisions bear; default the user's.

    Raises:
        RunError: the run is not finished, or has no such model.
    """
    run, contents = Run(Path(run)), read_run(Path(run))
    if anew or model or most is not None or not run.suspects.exists():
        suspects = run_suspects(contents, model, most, progress)
        write_suspects(suspects, run.suspects)
    else:
        suspects = read_suspects(run.suspects)
        log.info("%s: %d suspects were found before; --anew finds them again", run.suspects, len(suspects))
    questions = questions_of(contents, suspects, model_of(contents, model))
    labels = contents.manifest.vocabulary.labels
    session = Session(questions, labels, run.corrections, who or user(), several=contents.manifest.multi_label)
    command = train_command(contents.config, [run.corrections], f"{run.folder}-corrected")
    return Review(session, f"{contents.name}: labels that look wrong", command)


def train_command(config: Mapping[str, Any], corrections: Sequence[Path], out: str) -> str:
    """The command that trains the model of a run on its data, read as it was, with more corrections; further settings
    are not told.

    Args:
        config: of the run, as its file has it.
    """
    data, backbone = config.get("data", {}), config.get("backbone", {})
    words = ["earmark", "train", data.get("path") or "DATA"]
    for option, key, usual in READING:
        words += [option, data[key]] if data.get(key, usual) != usual else []
    words += [option for option, key, usual in FLAGS if data.get(key, usual) != usual]
    words += ["--on", backbone["on"]] if backbone.get("on") else []
    model = config.get("model", "")
    words += (["--finetune"] if model == FINETUNED else ["--head", model]) if backbone.get("on") else ["--model", model]
    for file in (*(data.get("corrections") or ()), *map(str, corrections)):
        words += ["--corrections", file]
    return shlex.join([*words, "--out", out])


def run_suspects(contents: RunContents, model: str | None, most: int | None, progress: bool) -> list[Suspect]:
    """Suspects by the scores of one model of a run, and by copies that contradict each other."""
    chosen = model_of(contents, model)
    rate = int(contents.config.get("frontend", {}).get("sample_rate", 0))
    matches = run_copies(contents.manifest, rate, progress)
    suspects = find_suspects(contents.manifest, contents.scores[chosen], matches, most)
    n_clips = len(contents.manifest)
    log.info("%s: %d suspects among %d clips, by %s out of fold", contents.name, len(suspects), n_clips, chosen)
    return suspects


def model_of(contents: RunContents, model: str | None) -> str:
    """The model that is asked for, else the best.

    Raises:
        RunError: the run has no such model.
    """
    if model is not None and model not in contents.scores:
        raise RunError(f"{contents.name}: has no model '{model}'. Take one of: {', '.join(contents.scores)}.")
    return model or contents.scorecard.best


def run_copies(manifest: Manifest, sample_rate: int, progress: bool) -> list[Match]:
    """Clips that are whole copies of one another, by their fingerprints.

    Args:
        sample_rate: at which training has decoded them into the cache; 0 = it is not known.
    """
    cache = Cache()
    with bar("listening for copies", len(manifest), "clips", progress) as update:
        read = kept(cache, sample_rate)
        heard = listen(manifest, default_threads(), lambda done, _: update(done), cache.content_hash, read)
    for path, reason in heard.unread:
        log.warning("%s: not compared with others (%s)", path, reason)
    matches = find_matches(heard.fingerprints, SURE, threads=default_threads())
    return whole_copies(matches, heard.fingerprints, manifest.multi_label)


def questions_of(contents: RunContents, suspects: Sequence[Suspect], model: str) -> list[Question]:
    """A question for each suspect whose clip is still there."""
    manifest = contents.manifest
    rows = {name: row for row, name in enumerate(manifest.clip_ids)}
    clips, labels = manifest.clips(), manifest.table["labels"].tolist()
    found = []
    for suspect in suspects:
        if suspect.clip_id not in rows or suspect.label not in manifest.vocabulary:
            raise RunError(
                f"{contents.name}: suspects.csv is about other clips than the run ('{suspect.clip_id}'). Pass --anew."
            )
        row, other = rows[suspect.clip_id], rows.get(suspect.like)
        found.append(
            Question(
                clips[row],
                suspect.clip_id,
                suspect.kind,
                suspect.label,
                labels[row],
                suspect.suggested,
                shown_scores(contents.scores[model][row], manifest.vocabulary.labels, (*labels[row], suspect.label)),
                None if other is None else clips[other],
                () if other is None else labels[other],
            )
        )
    return found


def shown_scores(
    scores: np.ndarray, labels: Sequence[str], always: Sequence[str] = ()
) -> tuple[tuple[str, float], ...]:
    """(label, score) of the highest scores, and of what is always shown, highest first."""
    order = np.argsort(-scores, kind="stable").tolist()
    return tuple(
        (labels[column], round(float(scores[column]), 4))
        for rank, column in enumerate(order)
        if rank < N_SCORES or labels[column] in always
    )


def user() -> str:
    """Who is at the machine, as far as it knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def serve(found: Review, *, port: int = 0, open_browser: bool = False) -> None:
    """Serve the page until Ctrl-C; each decision is on the disk when the page shows it."""
    session = found.session
    app = ReviewApp(
        session,
        lambda nonce: review_page(session, title=found.title, command=found.command, nonce=nonce),
        lambda number: question_sound(session.questions[number]),
    )
    server = ReviewServer(app, port)
    n_questions = len(session.questions)
    log.info("%d questions. Open this address on this machine; Ctrl-C ends:\n\n  %s\n", n_questions, server.url)
    if open_browser:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        log.info("ended")
    finally:
        server.server_close()
