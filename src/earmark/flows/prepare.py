"""From a data set's path to rows that can be trained on: read, decoded, held against leaks, in folds."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.audio.cache import Cache
from earmark.audio.decode import region_samples
from earmark.audio.probe import probe
from earmark.config import change
from earmark.data.activity import SEGMENTATIONS
from earmark.data.corpora.official import recognise
from earmark.data.fingerprint import RATE as FINGERPRINT_RATE
from earmark.data.fraction import take_fraction
from earmark.data.leakage import Leak, find_leaks, refuse_leaks
from earmark.data.lock import verify
from earmark.data.manifest import Manifest
from earmark.data.matches import LIKELY, find_matches
from earmark.data.readers import table_of
from earmark.errors import AudioError, ConfigError, ManifestError, summarise_rows
from earmark.evaluation.scorecard import LEAK
from earmark.flows.backbones import find_backbone, head_of, patched
from earmark.flows.first_look import require_backbone
from earmark.flows.progress import bar
from earmark.flows.reading import Failures, read_rows
from earmark.flows.run_config import (
    FINETUNED,
    FINETUNING,
    FINETUNING_PUBLISHED,
    DataConfig,
    RunConfig,
    defaults_for,
    frontend_for,
    resolve,
)
from earmark.flows.sides import ASIDE, hold_out, require_inner_splits, require_subsets, take_subset
from earmark.flows.source_audit import audit_source, refuse_seen
from earmark.flows.split import group_duplicates, listen
from earmark.flows.starting_weights import FILE_OPTION, find_start, starting_net
from earmark.lookup import lookup
from earmark.models.pretrained.networks import PRETRAINED
from earmark.models.tagging_net import MODELS
from earmark.run import Run, write_atomically
from earmark.tagger.home import converted
from earmark.tagger.tag_files import default_threads

log = logging.getLogger("earmark")

SHOWN_LEAKS = 5  # in card and report


@dataclass(frozen=True)
class Prepared:
    """What can be trained on.

    manifest: readable clips in folds, without those that are set aside. config: the resolved settings.
    share: of all the data's clips. leaks: certain ones, which were allowed. remarks: what a reader of the scores must
    know. failures: what was left out.
    """

    manifest: Manifest
    config: RunConfig
    cache: Cache
    share: float
    leaks: list[Leak]
    remarks: list[str]
    failures: Failures


def prepare(given: DataConfig, recipe: Path | None, settings: Sequence[str], run: Run, progress: bool) -> Prepared:
    """Everything before the first model. What is left out is written to the run's failures.csv if it stops here.

    Raises:
        EarmarkError: the data or the settings are at fault.
    """
    failures: Failures = []
    manifest, share, remarks = read(given, failures)
    try:
        manifest = segment(manifest, given.segment, failures, run.failures, progress)
        n_clips = len(manifest)
        manifest, defaults, longest = survey(manifest, failures, run.failures)
        config = resolve(defaults, given, recipe, settings, longest)
        if config.backbone.on:
            config = heard_by_backbone(config, defaults, recipe, settings, longest)
        elif config.model in MODELS:
            config = rehearsed(config)
        cache = Cache()
        manifest = decode(manifest, cache, config.frontend.sample_rate, failures, run.failures, n_clips, progress)
    except ManifestError:
        write_failures(run, failures)
        raise
    manifest, hashes, leaks, found = deal(manifest, config, cache, progress)
    config = replace(config, data=replace(config.data, content_hash=manifest.content_hash(hashes)))
    require_inner_splits(config, manifest)
    require_subsets(config, manifest)
    return Prepared(manifest, config, cache, share, leaks, [*remarks, *found], failures)


def rehearsed(config: RunConfig) -> RunConfig:
    """The settings of a network that could be built, with the whole path of a file of starting weights.

    Raises:
        ConfigError: an option has a wrong value, or the weights are not those of the network.
        FetchError: there is no such file, or it cannot be read.
    """
    if file := config.model_options.get(FILE_OPTION):
        config = replace(config, model_options={**config.model_options, FILE_OPTION: str(Path(file).resolve())})
    starting_net(config, ("any",))
    return config


def heard_by_backbone(
    config: RunConfig, defaults: RunConfig, recipe: Path | None, settings: Sequence[str], longest_seconds: float
) -> RunConfig:
    """The settings once more, with defaults for the sample rate and, if it is trained on, the front end of a backbone.

    Raises:
        ConfigError: the settings ask for another rate or front end.
        TaggerFileError: the backbone is not on this machine.
    """
    require_backbone(config.backbone.on, finetuned=config.model == FINETUNED)
    backbone = find_backbone(patched(config.backbone, head_of(config)))
    frontend = frontend_for(backbone.sample_rate)
    if config.model == FINETUNED:
        start = find_start(config.backbone.on, config.model_options)
        start.locate()  # weights that are not here are said before anything is decoded
        frontend = start.frontend
        defaults = change(defaults, FINETUNING, "--finetune")
        if config.backbone.on in PRETRAINED:
            defaults = change(defaults, FINETUNING_PUBLISHED, "--finetune")
    on = config.backbone.on
    config = resolve(replace(defaults, frontend=frontend), config.data, recipe, settings, longest_seconds)
    same_rate = config.frontend.sample_rate == frontend.sample_rate
    if not same_rate or (config.model == FINETUNED and config.frontend != frontend):
        raise ConfigError(
            f"frontend: {on} hears through its own, at {frontend.sample_rate} Hz. Leave the settings of frontend away."
        )
    backbone.graph(config.framing.window_samples)  # so are patches and outputs that it does not have
    found = {"content_hash": backbone.config.content_hash}
    if on not in PRETRAINED and not converted(on).is_file():  # a path, which has to hold wherever the run goes on
        found["on"] = str(Path(on).resolve())
    return replace(config, backbone=replace(config.backbone, **found))


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
    rate = config.frontend.sample_rate

    def decoded(path: Path, start: float) -> tuple[int, Iterator[np.ndarray]]:
        return rate, cache.blocks(path, rate, start)

    with bar("listening for copies", len(manifest), "clips", progress) as update:
        read = decoded if rate >= FINGERPRINT_RATE else None
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
    if not config.data.allow_leak and recognise(manifest) is None:
        refuse_leaks(leaks)
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
    """The table of files that could not be read, (path, reason); no file where there is none."""
    if not failures:
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
