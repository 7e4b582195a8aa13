"""Manifests with corrections applied: the source of their rows is never touched."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.data.corrections import TELLING, Correction, Verdict, read_corrections, standing, verdicts
from earmark.data.manifest import Manifest
from earmark.errors import ManifestError, summarise_rows
from earmark.lookup import did_you_mean

log = logging.getLogger("earmark")

WORDS = {"relabel": "relabelled", "drop": "left out", "unsure": "unsure", "keep": "kept", "label": "newly labelled"}


@dataclass(frozen=True)
class Corrected:
    """A manifest with corrections applied, and the sentences that a reader of scores on it must know."""

    manifest: Manifest
    remarks: list[str]


def apply_corrections(
    manifest: Manifest, path: Path, absent: Collection[str] = (), *, partial: bool = False
) -> Corrected:
    """A manifest with the decisions of a file applied; the source of its rows is not touched.

    A dropped clip is left out. Of an unsure label neither presence nor absence counts; where a clip has but one label
    nothing is left to learn from it, and it is left out. Clips that were labelled outside of a data set become rows.

    Args:
        path: a file of corrections.
        absent: names of files that the data has and that cannot be read: decisions on them wait.
        partial: the manifest is a part of the data: decisions on clips that are not there wait.

    Raises:
        ManifestError: rows name clips or labels that the data does not know; all of them are listed.
    """
    corrections = read_corrections(path)
    rows = {name: row for row, name in enumerate(manifest.clip_ids)}
    new = _new_clips(corrections, rows, path.parent)
    if not partial:
        _require_clips(manifest, corrections, {*rows, *new}, absent, path)
    _require_labels(manifest, corrections, path)
    columns = _columns(manifest)
    found = verdicts(corrections)
    left_out, changed = set(), []
    for name, verdict in found.items():
        if name in new or name not in rows:
            continue
        now = columns["labels"][rows[name]]
        if set(now) not in (set(verdict.given), set(verdict.labels or now)):
            changed.append(f"{name}: was {_words(verdict.given)} when it was decided, and is {_words(now)} now")
        if verdict.dropped or (verdict.unsure and not manifest.multi_label):
            left_out.add(rows[name])
        else:
            _correct(columns, rows[name], verdict)
    kept = [row for row in range(len(manifest)) if row not in left_out]
    columns = {column: [values[row] for row in kept] for column, values in columns.items()}
    _add(manifest, columns, _labelled(new, found))
    if not columns["labels"]:
        raise ManifestError(f"{path}: leaves no clip to train on: every one is dropped or unsure. Undo some.")
    if changed:
        log.warning("%s: %d clips have changed since. %s", path, len(changed), summarise_rows(changed))
    return Corrected(_built(manifest, columns), _remarks(path, corrections, changed))


def _correct(columns: dict[str, list[Any]], row: int, verdict: Verdict) -> None:
    """What a verdict says of a clip that stays, written into its row."""
    before = columns["labels"][row]
    labels = before if verdict.labels is None else verdict.labels
    after = tuple(label for label in labels if label not in verdict.unsure)
    if set(after) != set(before):
        # Of what was there in part and still is nobody has said more; anything new is there whole.
        parts = dict(zip(before, columns["strengths"][row], strict=False))
        strengths = tuple(parts.get(label, 1.0) for label in after)
        columns["strengths"][row] = () if set(strengths) <= {1.0} else strengths
        columns["labels"][row] = after
    for column in ("negative", "unsure"):
        columns[column][row] = tuple(label for label in columns[column][row] if label not in after)
    columns["unsure"][row] = tuple(dict.fromkeys((*columns["unsure"][row], *sorted(verdict.unsure))))


def label_table(path: Path, multi_label: bool) -> Manifest | None:
    """The clips that a file of corrections labels outside of any data set, as one; None while there are none."""
    corrections = read_corrections(path) if path.exists() else []
    new = _new_clips(corrections, {}, path.parent)
    found = verdicts(corrections)
    told = _labelled(new, found)
    return Manifest.build(path.parent, list(told), list(told.values()), multi_label=multi_label) if told else None


def _new_clips(corrections: Sequence[Correction], known: Collection[str], folder: Path) -> dict[str, str]:
    """Clips of no data set by their name: the file of each."""
    names = dict.fromkeys(each.clip_id for each in corrections if each.decision == "label")
    # Two texts of one file are one clip: the log names it relative to its folder, the data relative to theirs.
    return {name: os.path.abspath(folder / name) for name in names if name not in known}


def _labelled(new: Mapping[str, str], found: Mapping[str, Verdict]) -> dict[str, tuple[str, ...]]:
    """The labels of each new clip's file."""
    told = {file: found[name] for name, file in new.items() if name in found and not found[name].dropped}
    return {file: verdict.labels for file, verdict in told.items() if verdict.labels is not None}


def _require_clips(
    manifest: Manifest, corrections: Sequence[Correction], clips: Collection[str], absent: Collection[str], path: Path
) -> None:
    """Refuse rows about clips that the data does not know.

    Raises:
        ManifestError: there are some.
    """
    strange = [each for each in standing(corrections) if each.clip_id not in clips]
    strange = [each for each in strange if Path(each.clip_id.partition("#")[0]).name not in absent]
    if strange:
        wrong = [f"row {each.row}: '{each.clip_id}'" for each in strange]
        raise ManifestError(
            f"{path}: {len(wrong)} corrections are about clips that are not in {manifest.root}. Pass the data that was "
            f"reviewed, or remove the rows.\n{summarise_rows(wrong)}"
        )


def _require_labels(manifest: Manifest, corrections: Sequence[Correction], path: Path) -> None:
    """Refuse rows with labels that the data does not know, or with several where a clip has one.

    Raises:
        ManifestError: there are some.
    """
    wrong = []
    known = set(manifest.vocabulary)
    for each in standing(corrections):
        if each.decision not in TELLING:
            continue
        if not manifest.multi_label and len(each.new_labels) != 1:
            wrong.append(f"row {each.row}: {_words(each.new_labels)}, but a clip of this data has one label")
        if each.decision == "label":  # which may bring a new one
            known |= set(each.new_labels)
        for label in each.new_labels:
            if label not in known:
                hint = did_you_mean(label, manifest.vocabulary)
                wrong.append(f"row {each.row}: '{label}' is no label of the data{hint}")
    if wrong:
        raise ManifestError(
            f"{path}: {len(wrong)} corrections have labels that do not go with {manifest.root}. Correct the rows.\n"
            f"{summarise_rows(wrong)}"
        )


def _columns(manifest: Manifest) -> dict[str, list[Any]]:
    """The columns of a manifest as lists, by the names of the table."""
    names = ("clip_id", "path", "start", "end", "labels", "fold", "group", "strengths", "negative", "unsure")
    names += ("split", "subset", "weight", *manifest.extras)
    return {name: manifest.column(name).tolist() for name in names}


def _built(manifest: Manifest, columns: dict[str, list[Any]]) -> Manifest:
    """A manifest of these columns, with the root and the kind of another."""
    return Manifest.build(
        manifest.root,
        columns["path"],
        columns["labels"],
        starts=columns["start"],
        ends=columns["end"],
        folds=columns["fold"],
        groups=columns["group"],
        clip_ids=columns["clip_id"],
        strengths=columns["strengths"],
        negative=columns["negative"],
        unsure=columns["unsure"],
        splits=columns["split"],
        subsets=columns["subset"],
        weights=columns["weight"],
        extras={name: columns[name] for name in manifest.extras},
        multi_label=manifest.multi_label,
    )


def _add(manifest: Manifest, columns: dict[str, list[Any]], clips: dict[str, tuple[str, ...]]) -> None:
    """Rows for labelled files: of no fold where folds are given, so that they are learnt from and never scored.

    A file that has a row of its own is relabelled there.
    """
    root = os.path.abspath(manifest.root)
    known = {os.path.abspath(manifest.root / path): row for row, path in enumerate(columns["path"])}
    blank = {"start": 0.0, "end": float("nan"), "fold": -1, "weight": 1.0}
    blank |= {"strengths": (), "negative": (), "unsure": ()}
    blank["split"] = "train" if (manifest.splits != "").any() else ""
    for file, labels in clips.items():
        if file in known:
            columns["labels"][known[file]], columns["strengths"][known[file]] = labels, ()
            continue
        below = Path(file).is_relative_to(root)
        name = Path(file).relative_to(root).as_posix() if below else Path(file).as_posix()
        row = blank | {"clip_id": name, "path": name, "labels": labels}
        for column, values in columns.items():
            values.append(row.get(column, ""))


def _remarks(path: Path, corrections: Sequence[Correction], changed: Sequence[str]) -> list[str]:
    """What a reader of the scores must know."""
    counts = Counter(WORDS[each.decision] for each in standing(corrections) if each.decision in WORDS)
    told = ", ".join(f"{counts[word]} {word}" for word in WORDS.values() if counts[word]) or "none"
    remarks = [
        f"Labels are corrected by {path.name} of {path.parent.name} (decisions: {told}). Scores with and without are "
        "of other labels, and clips on which a model and a wrong label agree were not looked at."
    ]
    if changed:
        remarks.append(f"{len(changed)} clips have other labels in the data than when they were corrected.")
    return remarks


def _words(labels: Sequence[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels) or "nothing"
