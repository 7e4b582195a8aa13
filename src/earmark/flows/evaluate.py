"""The story of `earmark evaluate`: a tagger file, labelled sounds it never saw, an honest score."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.data.leakage import hash_contents
from earmark.data.readers import read_manifest
from earmark.errors import EarmarkError, summarise_rows
from earmark.evaluation.scorecard import Scorecard, make_scorecard
from earmark.predictions import Predictions
from earmark.tagger.tag_files import default_threads, score_files
from earmark.tagger.tagger import Tagger, load_tagger

log = logging.getLogger("earmark")


@dataclass(frozen=True)
class Evaluated:
    """Scores of one tagger file: the scorecard, the clip scores, and (path, reason) of files that cannot be read."""

    scorecard: Scorecard
    predictions: Predictions
    failures: list[tuple[str, str]]


def evaluate(tagger: Path | str, data: Path | str, *, audio_dir: Path | str | None = None) -> Evaluated:
    """Score a tagger file on labelled data.

    Args:
        tagger: the file.
        data: a table or folder, its labels among the tagger's.
        audio_dir: where the table's files are, if not beside it.

    Raises:
        ManifestError: the data has labels that the tagger does not know.
        EarmarkError: the data is what it was trained on, or no clip can be read.
    """
    data, audio_dir = Path(data), Path(audio_dir) if audio_dir else None
    opened = load_tagger(tagger)
    manifest = read_manifest(data, audio_dir=audio_dir).with_vocabulary(opened.labels)
    hashes = hash_contents(manifest, default_threads())
    require_unseen(opened, manifest.content_hash(hashes), data)
    predictions, failed = score_files(opened, manifest.clips())
    failures = [(str(failure.clip.path), str(failure.error)) for failure in failed]
    if not len(predictions):
        raise EarmarkError(f"{data}: no clip can be read.\n{summarise_rows([reason for _, reason in failures])}")
    scored = set(predictions.clip_ids)
    manifest = manifest.select(np.array([name in scored for name in manifest.clip_ids]))
    require_unseen(opened, manifest.content_hash(hashes), data)  # training, too, left out what cannot be read
    predictions = predictions.align(manifest.clip_ids)
    scorecard = make_scorecard(
        manifest.targets(),
        {opened.metadata.name: predictions.scores},
        labels=manifest.vocabulary.labels,
        groups=manifest.groups,
        multi_label=opened.metadata.multi_label,
    )
    return Evaluated(scorecard, predictions, failures)


def require_unseen(tagger: Tagger, content_hash: str, data: Path) -> None:
    """Refuse the very clips that a tagger was trained on."""
    if content_hash == tagger.metadata.trained_on.get("content_hash"):
        raise EarmarkError(
            f"{data}: is what tagger {tagger.metadata.name} was trained on, so a score on it would say nothing. "
            "Its honest score is in its card; bring clips it never saw."
        )
