"""Distillation: an ensemble's nested scores as soft labels, from which one small network learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earmark.data.manifest import Manifest

LEAST = 0.005  # a strength below it is none


def write_soft_labels(manifest: Manifest, scores: np.ndarray, path: Path) -> None:
    """A table that `train` reads: each label's strength half the truth, half the score of the ensemble.

    A label that is there keeps a strength of at least 0.5 and one that is not stays below, so that folds are still
    scored against the truth. Unknown labels stay unknown.

    Args:
        scores: (clips, classes) of the manifest's clips, nested.
    """
    present = manifest.present()
    known = manifest.label_weights() > 0
    # A score of 1 for what is not there would make it present.
    strengths = np.where(present > 0, (1 + scores) / 2, np.minimum(scores / 2, 0.499))
    strengths = np.where(known, strengths, 0.0).round(4)
    names = np.array(manifest.vocabulary.labels, dtype=object)
    taken = strengths >= LEAST
    table = manifest.table
    Manifest.build(
        manifest.root,
        table["path"].tolist(),
        [tuple(names[row]) for row in taken],
        starts=table["start"],
        ends=table["end"],
        folds=manifest.folds,
        groups=manifest.groups.tolist(),
        weights=manifest.weights.tolist(),
        clip_ids=manifest.clip_ids.tolist(),
        strengths=[tuple(values[row].tolist()) for values, row in zip(strengths, taken, strict=True)],
        unsure=[tuple(names[~row]) for row in known],
        multi_label=True,
    ).write(path)
