"""A teacher: what another model says of the training clips, mixed into what a network learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from earmark.data.manifest import Manifest
from earmark.errors import ConfigError, summarise_rows

CLIP = "clip_id"
SPAN = [CLIP, "start", "end"]  # what a table of predictions begins with


@dataclass(frozen=True)
class Teacher:
    """Scores of clips.

    clip_ids: distinct. labels: of the columns. scores: (clips, labels) float32 in [0, 1].
    """

    clip_ids: tuple[str, ...]
    labels: tuple[str, ...]
    scores: np.ndarray

    def mixed(self, manifest: Manifest, share: float) -> np.ndarray:
        """What clips have of each label (clips, classes), float32: `share` as the teacher says, the rest as labelled.

        A clip that the teacher says nothing of keeps its labels. Where each clip has one label, the scores of a clip
        are brought to a sum of 1.
        """
        targets = manifest.targets()
        row_of = {name: row for row, name in enumerate(self.clip_ids)}
        rows = np.array([row_of.get(name, -1) for name in manifest.clip_ids], dtype=np.int64)
        said = self.scores[rows][:, [self.labels.index(label) for label in manifest.vocabulary]]
        total = np.ones((len(rows), 1)) if manifest.multi_label else said.sum(axis=1, keepdims=True)
        known = (rows >= 0)[:, None] & (total > 0)
        said = said / np.where(total > 0, total, 1)
        return np.where(known, share * said + (1 - share) * targets, targets).astype(np.float32)


def read_teacher(path: Path) -> Teacher:
    """A table with clip_id and a column per label, as `Predictions.save` writes it or without start and end.

    Raises:
        ConfigError: it cannot be read, is no such table, has a clip twice, or a score that is none.
    """
    where = f"optim.teacher: {path}"
    try:
        table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{where} cannot be read ({why}). Give a table of scores, or a finished run.") from error
    header, rows = table.iloc[0].tolist(), table.iloc[1:]
    if CLIP not in header or rows.empty:
        raise ConfigError(
            f"{where} holds no scores of clips (columns found: {', '.join(header)}; expected {CLIP} and one per label, "
            "and rows). Give a table such as the predictions.NAME.csv of a run."
        )
    names = rows[header.index(CLIP)]
    if twice := sorted(set(names[names.duplicated()])):
        raise ConfigError(
            f"{where} has several rows of {len(twice)} clips. Give one row a clip, its windows pooled.\n"
            f"{summarise_rows(twice)}"
        )
    first = len(SPAN) if header[: len(SPAN)] == SPAN else 0
    columns = [place for place in range(first, len(header)) if header[place] != CLIP]
    scores = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float32)
    wrong = names[~((scores >= 0) & (scores <= 1)).all(axis=1)].tolist()
    if wrong:
        raise ConfigError(
            f"{where} has {len(wrong)} rows that are not all scores of 0 to 1. Mend them or leave them out.\n"
            f"{summarise_rows(wrong)}"
        )
    return Teacher(tuple(names), tuple(header[place] for place in columns), scores)
