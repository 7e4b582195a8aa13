"""The story of `earmark evaluate`: a tagger file, labelled sounds it never saw, an honest score."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.data.fraction import take_fraction
from earmark.data.leakage import hash_contents
from earmark.data.lock import add_look, count_look, verify
from earmark.data.manifest import Manifest
from earmark.data.readers import table_of
from earmark.data.seen import seen
from earmark.errors import ConfigError, EarmarkError, ManifestError, summarise_rows
from earmark.evaluation.scorecard import Scorecard, make_scorecard
from earmark.flows.reading import Failures, read_rows
from earmark.predictions import Predictions, concatenate
from earmark.report.card import card_text
from earmark.report.report import write_report
from earmark.run import Run, write_text
from earmark.tagger.tag_files import default_threads, gather_warnings, tag_files
from earmark.tagger.tagger import Tagger, load_tagger
from earmark.tagger.tta import VIEWS
from earmark.windows import POOLS

log = logging.getLogger("earmark")


@dataclass(frozen=True)
class Evaluated:
    """Scores of one tagger file: the scorecard, the clip scores, and (path, reason) of files that cannot be read."""

    scorecard: Scorecard
    predictions: Predictions
    failures: list[tuple[str, str]]


def evaluate(
    tagger: Path | str,
    data: Path | str,
    *,
    split: str | None = None,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    views: str | None = None,
    view_seconds: Sequence[float] = (),
    pool: str | None = None,
) -> Evaluated:
    """Score a tagger file on labelled data. A look at a locked test split is counted, beside it and in the run.

    Args:
        tagger: the file, or a name of a pretrained one.
        data: a table or folder, its labels among the tagger's.
        split: "train", "validation" or "test": only those clips; by default the test clips if there are some.
        audio_dir, encoding, folder_tricks, merge: how the data is read, see `read_manifest`.
        fraction: share of the clips to use, in whole groups of every class.
        views, view_seconds, pool: what the tagger is to hear of a clip and how its scores are pooled, to measure other
            ways than its own (`Tagger.with_views`).

    Raises:
        ConfigError: the views or the pool are not known.
        ManifestError: the data has labels that the tagger does not know, no clips of the split, or a test split that
            was changed after it was locked.
        EarmarkError: the data is what it was trained on, or no clip can be read.
    """
    opened, data = load_tagger(tagger), Path(data)
    if views or view_seconds or pool:
        opened = hearing(opened, views, view_seconds, pool)
    failures: Failures = []
    manifest = read_rows(
        data,
        failures,
        all_labels=False,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
    ).with_vocabulary(opened.labels)
    table = table_of(data, encoding)
    lock = verify(table, manifest, default_threads()) if table else None
    manifest, remarks = choose_split(manifest, split)
    if views or view_seconds or pool:
        remarks.append(f"Heard otherwise than the tagger is set: {opened.metadata.heard}, {opened.metadata.pool}.")
    if fraction < 1:
        remarks.append(f"A part of the data: --fraction {fraction:g} of {len(manifest):,} clips.")
        manifest = take_fraction(manifest, fraction)
    hashes = hash_contents(manifest, default_threads())
    require_unseen(opened, manifest, hashes, data)
    heard = list(tag_files(opened, manifest.clips()))
    for warning in gather_warnings((tagged.clip.path, warning) for tagged in heard for warning in tagged.warnings):
        log.warning("%s", warning)
    parts = [tagged.predictions for tagged in heard if tagged.predictions is not None]
    failures += [(str(tagged.clip.path), str(tagged.error)) for tagged in heard if tagged.predictions is None]
    if not parts:
        raise EarmarkError(f"{data}: no clip can be read.\n{summarise_rows([reason for _, reason in failures])}")
    predictions = concatenate(parts)
    scored = set(predictions.clip_ids)
    manifest = manifest.select(np.array([name in scored for name in manifest.clip_ids]))
    predictions = predictions.align(manifest.clip_ids)
    scorecard = make_scorecard(
        manifest.present(),
        {opened.metadata.name: predictions.scores},
        labels=manifest.vocabulary.labels,
        groups=manifest.groups,
        multi_label=opened.metadata.multi_label,
        weights=manifest.label_weights(),
        remarks=remarks,
    )
    if lock and (manifest.splits == "test").any():
        scorecard = counted(scorecard, table, opened.path, opened.metadata.name)
    return Evaluated(scorecard, predictions, failures)


def hearing(tagger: Tagger, views: str | None, view_seconds: Sequence[float], pool: str | None) -> Tagger:
    """The tagger with other views or another pool than its own.

    Raises:
        ConfigError: there are no such views or pool, or lengths are wanted and none given.
        TaggerFileError: its graph does not take windows of these lengths.
    """
    its = tagger.metadata
    chosen = views or ("lengths" if view_seconds else its.views)
    for option, value, known in (("--views", chosen, VIEWS), ("--pool", pool or its.pool, POOLS)):
        if value not in known:
            raise ConfigError(f"{option}: '{value}' is none of {', '.join(known)}. Choose one of them.")
    seconds = view_seconds or (its.view_seconds if chosen == its.views else ())
    if chosen == "lengths" and not seconds:
        raise ConfigError("--views: lengths of what? Give --view-seconds, such as 1,2.5,5.")
    return tagger.with_views(chosen, seconds, pool)


def choose_split(manifest: Manifest, split: str | None) -> tuple[Manifest, list[str]]:
    """The clips of a split, and the remark on it; all of them if none is asked for and there is no test split.

    Raises:
        ManifestError: there is no clip of that split.
    """
    inside = manifest.splits == (split or "test")
    if split is None and not inside.any():
        return manifest, []
    if not inside.any():
        found = ", ".join(sorted({name for name in manifest.splits if name})) or "none"
        raise ManifestError(f"{manifest.root}: there is no clip of split '{split}' (found: {found}). Correct --split.")
    return manifest.select(inside), [f"The {split or 'test'} split: {inside.sum():,} of {len(manifest):,} clips."]


def counted(scorecard: Scorecard, table: Path, tagger: Path, name: str) -> Scorecard:
    """Count a look at a locked test split, beside its table and in the tagger's run; the scorecard says how many."""
    metric = scorecard.primary_metric
    look, n_looks = count_look(table, tagger, metric, scorecard.models[name].metrics[metric].value)
    run = Run(tagger.resolve().parent)
    if run.scorecard.exists():
        add_look(run.test_looks, look)
        write_text(run.card, card_text(run))
        write_report(run.folder)
    remark = f"Look {n_looks} at this locked test split. Choosing by what is seen there uses it up."
    return replace(scorecard, remarks=(*scorecard.remarks, remark))


def require_unseen(tagger: Tagger, manifest: Manifest, hashes: Mapping[str, str], data: Path) -> None:
    """Refuse clips that a tagger was trained on.

    Raises:
        EarmarkError: there are some; the text lists them.
    """
    known = manifest.clip_ids[seen(tagger.metadata.trained_on.get("clips", ""), manifest, hashes)]
    if len(known):
        raise EarmarkError(
            f"{data}: tagger {tagger.metadata.name} was trained on {len(known)} of these {len(manifest)} clips, so a "
            "score on them would say nothing. Its honest score is in its card; bring clips it never saw.\n"
            f"{summarise_rows(list(known))}"
        )
