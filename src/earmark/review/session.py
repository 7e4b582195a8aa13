"""The desk of a review: questions, and the one file of decisions that is the truth about them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from earmark.data.corrections import (
    Correction,
    Verdict,
    append_correction,
    labels_cell,
    read_corrections,
    standing,
    verdicts,
)
from earmark.errors import ManifestError
from earmark.tagger.tagger import Clip

LABEL = "label"  # the kind of a question about a clip of no data set: what is this?
LONGEST_WHY = 500  # letters


class StaleError(Exception):
    """What was decided on is no longer as it was seen."""


class RefusedError(Exception):
    """A decision that makes no sense; the text says why."""


@dataclass(frozen=True)
class Question:
    """One thing to decide.

    kind: a key of `suspects.KINDS`, or LABEL. label: the one in question, "" = the whole clip.
    given: the clip's labels in the data. suggested: those it would have instead.
    scores: (label, score) of the likeliest and of the given labels, highest first.
    like: a copy of the clip, with like_labels.
    """

    clip: Clip
    name: str
    kind: str
    label: str
    given: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()
    like: Clip | None = None
    like_labels: tuple[str, ...] = ()


@dataclass
class Session:
    """Questions and the decisions on them, which stand in a file; every tab and every process sees that file.

    several: whether a clip may have none or several labels. grows: whether a decision may bring a new label.
    decided: called after each change of the file.
    """

    questions: Sequence[Question]
    labels: Sequence[str]
    path: Path
    who: str
    several: bool
    grows: bool = False
    decided: Callable[[], None] = lambda: None
    _rows: list[Correction] = field(default_factory=list)
    _size: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self):
        self._reload()

    def facts(self) -> dict[str, Any]:
        """What does not change while the page is open, as JSON knows it."""
        return {
            "several": self.several,
            "grows": self.grows,
            "questions": [
                {
                    "name": each.name,
                    "kind": each.kind,
                    "label": each.label,
                    "given": each.given,
                    "suggested": each.suggested,
                    "scores": each.scores,
                    "like": each.like.path.name if each.like else "",
                    "like_labels": each.like_labels,
                }
                for each in self.questions
            ],
        }

    def state(self) -> dict[str, Any]:
        """The decisions as they stand: of each question its decision, labels and version; the labels that there are."""
        with self._lock:
            self._reload()
            return self._state()

    def decide(self, number: int, version: int, decision: str, labels: Sequence[str] = (), why: str = "") -> dict:
        """Write one decision down, on the disk when this returns; the new state.

        Args:
            number: of the question. version: of the clip, as it was seen.
            labels: with relabel and label, all that the clip has from now on.

        Raises:
            StaleError: something else was decided on that clip meanwhile.
            RefusedError: there is no such question or decision, or the labels do not go with it.
        """
        with self._lock:
            self._reload()
            if not 0 <= number < len(self.questions):
                raise RefusedError(f"there is no question {number}")
            question = self.questions[number]
            if version != self._versions()[question.clip.clip_id]:
                raise StaleError
            before = self._now(question, self._verdicts())
            after = self._after(question, before, decision, tuple(dict.fromkeys(map(str.strip, labels))))
            self._append(question, decision, after, why[:LONGEST_WHY])
            return self._state()

    def undo(self, revision: int) -> dict:
        """Take the last decision back that stands; the new state, its `at` the question it was about.

        Raises:
            StaleError: something was decided since the `revision` that was seen.
            RefusedError: nothing is left to take back.
        """
        with self._lock:
            self._reload()
            if revision != len(self._rows):
                raise StaleError
            about = {(each.clip.clip_id, each.label): number for number, each in enumerate(self.questions)}
            mine = [each for each in standing(self._rows) if (each.clip_id, each.label) in about]
            if not mine:
                raise RefusedError("there is nothing to undo")
            number = about[mine[-1].clip_id, mine[-1].label]
            self._append(self.questions[number], "undo", (), "")
            return self._state() | {"at": number}

    def counts(self) -> Counter[str]:
        """How many questions each decision stands on; "" = undecided."""
        return Counter(each["decision"] for each in self.state()["questions"])

    def _reload(self) -> None:
        """Read the file again where somebody else has written to it."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size != self._size:
            self._rows = read_corrections(self.path) if size else []
            self._size = size

    def _append(self, question: Question, decision: str, labels: tuple[str, ...], why: str) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        about = question.clip.clip_id, question.given, question.label
        append_correction(self.path, Correction(when, self.who, *about, decision, labels, why))
        self._reload()
        self.decided()

    def _versions(self) -> Counter[str]:
        """How many rows each clip has."""
        return Counter(row.clip_id for row in self._rows)

    def _verdicts(self) -> dict[str, Verdict]:
        return verdicts(self._rows)

    def _now(self, question: Question, found: dict[str, Verdict]) -> tuple[str, ...]:
        """The labels of a question's clip after all decisions on it."""
        verdict = found.get(question.clip.clip_id, Verdict())
        labels = question.given if verdict.labels is None else verdict.labels
        return tuple(label for label in labels if label not in verdict.unsure)

    def _after(
        self, question: Question, before: tuple[str, ...], decision: str, labels: tuple[str, ...]
    ) -> tuple[str, ...]:
        """All labels of the clip after a decision."""
        telling = LABEL if question.kind == LABEL else "relabel"
        known = {telling, "unsure", "drop", "skip"} | ({"keep"} if question.kind != LABEL else set())
        if decision not in known:
            raise RefusedError(f"'{decision}' is no decision here")
        if decision == "keep":
            return self._kept(question, before)
        if decision != telling:
            return ()
        strange = [label for label in labels if label not in self._all_labels()]
        if strange and not self.grows:
            raise RefusedError(f"'{strange[0]}' is none of the labels")
        if not all(labels):
            raise RefusedError("a label has a name")
        if not self.several and len(labels) != 1:
            raise RefusedError("a clip has one label here")
        try:
            labels_cell(labels)
        except ManifestError as error:
            raise RefusedError(str(error)) from error
        return labels

    def _kept(self, question: Question, before: tuple[str, ...]) -> tuple[str, ...]:
        """The labels where the one in question is right as the data has it: there, or not there."""
        if not self.several:
            return question.given
        rest = tuple(label for label in before if label != question.label)
        return (*rest, question.label) if question.label in question.given else rest

    def _all_labels(self) -> list[str]:
        """Those of the data, and those that decisions brought."""
        brought = (label for row in self._rows for label in row.new_labels)
        return list(dict.fromkeys((*self.labels, *brought)))

    def _state(self) -> dict[str, Any]:
        last = {(row.clip_id, row.label): row.decision for row in standing(self._rows)}
        versions, found = self._versions(), self._verdicts()
        return {
            "revision": len(self._rows),
            "labels": self._all_labels(),
            "questions": [
                {
                    "decision": self._decision(each, last, found),
                    "labels": self._now(each, found),
                    "version": versions[each.clip.clip_id],
                }
                for each in self.questions
            ],
        }

    def _decision(
        self, question: Question, last: dict[tuple[str, str], str], found: dict[str, Verdict]
    ) -> str:
        """What stands on a question; a decision on another label of the clip may have settled it too."""
        own = last.get((question.clip.clip_id, question.label), "")
        verdict = found.get(question.clip.clip_id)
        if own not in ("", "skip") or verdict is None:
            return own
        if verdict.dropped:
            return "drop"
        given = question.label in question.given
        settled = verdict.labels is not None and (question.label in verdict.labels) != given
        return "relabel" if settled else own
