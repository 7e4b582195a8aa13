"""From a data set's path to rows that can be trained on: read, decoded, held against leaks, in folds."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.audio.cache import Cache
from earmark.audio.decode import region_samples
from earmark.audio.probe import probe
from earmark.data.activity import SEGMENTATIONS
from earmark.data.corpora.official import own_leaks
from earmark.data.fraction import take_fraction
from earmark.data.leakage import Leak, find_leaks, refuse_leaks
from earmark.data.lock import verify
from earmark.data.manifest import Manifest
from earmark.data.matches import LIKELY, find_matches
from earmark.data.readers import table_of
from earmark.errors import AudioError, ManifestError, summarise_rows
from earmark.evaluation.scorecard import LEAK
from earmark.flows.progress import bar
from earmark.flows.reading import Failures, correct, read_rows
from earmark.flows.run_config import DataConfig, RunConfig, defaults_for
from earmark.flows.settings import decide
from earmark.flows.sides import ASIDE, hold_out, require_inner_splits, require_subsets, take_subset
from earmark.flows.source_audit import audit_source, refuse_seen
from earmark.flows.split import group_duplicates, kept, listen
from earmark.flows.teaching import find_teacher
from earmark.lookup import lookup
from earmark.run import Run, require_writable, write_atomically
from earmark.tagger.tag_files import default_threads

log = logging.getLogger("earmark")

SHOWN_LEAKS = 5  # in card and report


@dataclass(frozen=True)
class Prepared:
    """What can be trained on.

    manifest: readable clips in folds, without those that are set aside. config: the resolved settings.
    share: of all the data's clips. leaks: certain ones, which were allowed. remarks: what a reader of the scores must
    know. failures: what was left out. defaults, longest_seconds: what follows from all clips' headers, before settings.
    """

    manifest: Manifest
    config: RunConfig
    cache: Cache
    share: float
    leaks: list[Leak]
    remarks: list[str]
    failures: Failures
    defaults: RunConfig
    longest_seconds: float


def prepare(given: DataConfig, recipe: Path | None, settings: Sequence[str], run: Run, progress: bool) -> Prepared:
    """Everything before the first model. What is left out is written to the run's failures.csv if it stops here.

    Raises:
        EarmarkError: the data or the settings are at fault.
    """
    require_writable(run.folder)
    failures: Failures = []
    manifest, share, remarks = read(given, failures)
    try:
        manifest = segment(manifest, given.segment, failures, run.failures, progress)
        manifest, told, given = correct(manifest, given, failures)
        n_clips = len(manifest)
        manifest, defaults, longest = survey(manifest, failures, run.failures)
        config = decide(defaults, given, recipe, settings, longest)
        require_subsets(config, manifest)  # and once more below, of what `data.subset` leaves
        cache = Cache()
        manifest = decode(manifest, cache, config.frontend.sample_rate, failures, run.failures, n_clips, progress)
    except ManifestError:
        write_failures(run, failures)
        raise
    readable = manifest
    manifest, hashes, leaks, found = deal(manifest, config, cache, progress)
    config, taught = find_teacher(config, manifest, readable)
    config = replace(config, data=replace(config.data, content_hash=manifest.content_hash(hashes)))
    require_inner_splits(config, manifest)
    require_subsets(config, manifest)
    remarks = [*remarks, *told, *found, *taught]
    return Prepared(manifest, config, cache, share, leaks, remarks, failures, defaults, longest)


def read(given: DataConfig, failures: Failures) -> tuple[Manifest, float, list[str]]:
    """The rows that are asked for, their share of all, and what to remark on the choice.

    Raises:
        ManifestError: the data is wrong, or its test split was changed after it was locked.
    """
    data = Path(given.path)
    manifest = read_rows(
        data,
        failures,
        audio_dir=given.audio_dir,
        encoding=given.encoding,
        folder_tricks=given.folder_tricks,
        merge=given.merge,
    )
    if table := table_of(data, given.encoding):
        verify(table, manifest, default_threads())
    if given.fraction == 1:
        return manifest, 1.0, []
    n_clips = len(manifest)
    manifest = take_fraction(manifest, given.fraction)
    remark = f"A part of the data: {len(manifest):,} of {n_clips:,} clips (--fraction {given.fraction:g})."
    return manifest, len(manifest) / n_clips, [remark]


def survey(manifest: Manifest, failures: Failures, report: Path) -> tuple[Manifest, RunConfig, float]:
    """Read every file's header: the readable rows, the defaults that follow from them, the longest clip's seconds."""
    rates, seconds, readable = [], [], []
    headers: dict[Path, tuple[int, float] | None] = {}
    for row, clip in enumerate(manifest.clips()):
        if clip.path not in headers:
            try:
                info = probe(clip.path)
                headers[clip.path] = (info.sample_rate, info.seconds)
            except AudioError as error:
                headers[clip.path] = None
                failures.append((str(clip.path), str(error)))
        header = headers[clip.path]
        if header is None:
            continue
        rate, length = header
        try:
            first, stop = region_samples(clip.path, clip.start, clip.end, round(length * rate), rate)
        except AudioError as error:
            failures.append((clip.clip_id, str(error)))
            continue
        readable.append(row)
        rates.append(rate)
        seconds.append((stop - first) / rate)
    require_some(manifest, readable, failures, report)
    return manifest.keep(np.array(readable)), defaults_for(rates, seconds), max(seconds)


def segment(manifest: Manifest, how: str | None, failures: Failures, report: Path, progress: bool) -> Manifest:
    """Recordings cut into stretches, if that is asked for."""
    if how is None:
        return manifest
    cut = lookup(SEGMENTATIONS, how, "segmentation")
    with bar("segmenting", len(manifest), "clips", progress) as update:
        stretches, empty = cut(manifest, threads=default_threads(), progress=lambda done, _: update(done))
    failures += empty
    left_out = {name for name, _ in empty}
    require_some(
        manifest, [row for row, name in enumerate(manifest.clip_ids) if name not in left_out], failures, report
    )
    log.info("%d clips hold %d sounding stretches", len(manifest), len(stretches))
    return stretches


def decode(
    manifest: Manifest,
    cache: Cache,
    sample_rate: int,
    failures: Failures,
    report: Path,
    n_clips: int,
    progress: bool,
) -> Manifest:
    """Decode every file into the cache: the rows whose file is whole; `n_clips` there were before any was left out."""
    log.info("decoding %d clips to %d Hz (cache: %s)", len(manifest), sample_rate, cache.folder)
    files = list(dict.fromkeys(manifest.files))
    with bar("decoding", len(files), "files", progress) as update:
        unread = cache.prepare(files, sample_rate, default_threads(), lambda done, _: update(done))
    failures += [(str(path), reason) for path, reason in unread]
    broken = {path for path, _ in unread}
    whole = [row for row, path in enumerate(manifest.files) if path not in broken]
    require_some(manifest, whole, failures, report, n_clips)
    return manifest.keep(np.array(whole))


def require_some(
    manifest: Manifest, rows: Sequence[int], failures: Failures, report: Path, n_clips: int | None = None
) -> None:
    """Stop when hardly anything can be read, or nothing of some class; `report` will hold all failures."""
    reasons = summarise_rows([reason for _, reason in failures], report=report)
    if len(rows) < (n_clips or len(manifest)) / 2:
        raise ManifestError(
            f"{len(failures)} files cannot be read, more than half of the clips. Repair them or leave them out.\n"
            f"{reasons}"
        )
    heard = {label for row in rows for label in manifest.table["labels"].iloc[row]}
    lost = [label for label in manifest.vocabulary if label not in heard]
    if lost:
        raise ManifestError(
            f"{manifest.root}: no clip with these labels can be read: {', '.join(lost)}. Repair them, or leave the "
            f"labels out.\n{reasons}"
        )


def deal(
    manifest: Manifest, config: RunConfig, cache: Cache, progress: bool
) -> tuple[Manifest, dict[str, str], list[Leak], list[str]]:
    """The clips to train on in folds, the files' content hashes, the certain leaks, and remarks on folds and leaks.

    Copies are kept together by folds that are drawn, inner ones too. Where sound straddles folds or splits that were
    given the run stops, but for those of a public data set: its folds are kept for comparison's sake, and their leaks
    said.

    Raises:
        ManifestError: there are leaks, or no folds can be made.
    """
    with bar("listening for copies", len(manifest), "clips", progress) as update:
        read = kept(cache, config.frontend.sample_rate)
        heard = listen(manifest, default_threads(), lambda done, _: update(done), cache.content_hash, read)
    for path, reason in heard.unread:
        log.warning("%s: not compared with others (%s)", path, reason)
    matches = find_matches(heard.fingerprints, LIKELY, threads=default_threads())
    named = manifest.table["group"]
    manifest = group_duplicates(manifest, heard.hashes, matches)  # also of given folds: inner ones are drawn by it
    manifest, how = hold_out(manifest, config.data)
    log.info("%d clips, %d classes; %s", len(manifest), len(manifest.vocabulary), how)
    leaks = find_leaks(manifest.with_groups(named), heard.hashes, matches)
    manifest, heard_rows = take_subset(manifest, config.data.subset)
    if not config.data.allow_leak:
        refuse_leaks(own_leaks(manifest, leaks))
    if on := config.backbone.on:
        prints = [heard.fingerprints[row] for row in heard_rows]
        learnt = audit_source(
            on, manifest, heard.hashes, prints, threads=default_threads(), hash_file=cache.content_hash
        )
        if not config.data.allow_leak:
            refuse_seen(learnt, on)
        leaks += learnt
    for leak in leaks:
        log.warning("%s: %s", "leak" if leak.certain else "likeness", leak)
    leaks = [leak for leak in leaks if leak.certain]
    remarks = [how, *leak_remarks(leaks)]
    aside = np.isin(manifest.splits, ASIDE) & (manifest.folds < 0)
    if aside.any():
        splits = " and ".join(sorted(set(manifest.splits[aside])))
        remarks.append(f"{aside.sum():,} clips of the {splits} split were set aside and not looked at.")
        log.info(remarks[-1])
        manifest = manifest.keep(~aside)
    return manifest, heard.hashes, leaks, remarks


def leak_remarks(leaks: Sequence[Leak]) -> list[str]:
    """What a reader of the scores must know of certain leaks: the first few, and how many more there are."""
    remarks = [f"{LEAK}{leak}." for leak in leaks[:SHOWN_LEAKS]]
    if len(leaks) > SHOWN_LEAKS:
        remarks.append(f"{LEAK}{len(leaks) - SHOWN_LEAKS} more, all in leaks.csv.")
    return remarks


def write_failures(run: Run, failures: Failures) -> None:
    """The table of files that could not be read, (path, reason); no file where there is none, nor one of before."""
    if not failures:
        run.failures.unlink(missing_ok=True)
        return
    with write_atomically(run.failures) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "reason"), *failures])


def write_leaks(run: Run, leaks: Sequence[Leak]) -> None:
    """The table of certain leaks, a row per clip; no file where there is none."""
    if not leaks:
        return
    rows = [
        (number, leak.kind, leak.what, name, side)
        for number, leak in enumerate(leaks, start=1)
        for name, side in zip(leak.clip_ids, leak.sides, strict=True)
    ]
    with write_atomically(run.leaks) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("leak", "kind", "what", "clip_id", "side"), *rows])
