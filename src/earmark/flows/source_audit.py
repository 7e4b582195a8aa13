"""Did the network that a run starts from train on what is held out here? Leaks that span two data sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.audio.cache import Cache, content_hash
from earmark.config import change, read_yaml
from earmark.data.fingerprint import Fingerprint
from earmark.data.leakage import Leak, find_leaks, hash_contents
from earmark.data.manifest import Manifest
from earmark.data.matches import LIKELY, find_matches
from earmark.data.readers import read_manifest
from earmark.data.seen import seen
from earmark.errors import ManifestError, TaggerFileError, summarise_rows
from earmark.flows.experiment import learnt_clips
from earmark.flows.run_config import RunConfig
from earmark.flows.split import group_duplicates, listen
from earmark.models.huggingface.source import PREFIX
from earmark.models.pretrained.weights import WEIGHTS
from earmark.run import Run
from earmark.tagger.home import find_tagger
from earmark.tagger.tag_files import default_threads
from earmark.tagger.tagger import load_tagger

log = logging.getLogger("earmark")

UNNAMED = "a clip it learnt from"  # where only digests are known
BEFORE = "train"  # what `Manifest.sides` calls clips without fold and split


def audit_source(
    source: str,
    manifest: Manifest,
    hashes: Mapping[str, str],
    fingerprints: Sequence[Fingerprint | None] | None = None,
    *,
    threads: int = 1,
    hash_file: Callable[[Path], str] = content_hash,
) -> list[Leak]:
    """Clips that a network was trained on and that are held out here, with what it was itself started from.

    Of a run its table is known: its clips are held against ours by name of the group (where files of both lie in one
    folder), by content, by overlap and by fingerprint, as those of one data set are; and what is in a group with such
    a clip counts too. Of a tagger file, and of clips whose files are gone, only the content is known (data/seen.py).
    Published networks tell nothing of their clips, nor does what is gone; the latter is said. Held out are the clips in
    folds and those of a test split.

    Args:
        source: as `find_tagger` takes it, or the folder of a run that has not made its tagger yet.
        manifest: the new data, in folds.
        hashes: content hashes of its files by path. fingerprints: of its clips; None = they are made here.
        threads: how many files to read at a time.
        hash_file: `Cache.content_hash` spares reading what the cache has hashed before.

    Returns:
        Leaks whose sides are `source` and those of the new data.
    """
    if source in WEIGHTS or source.startswith(PREFIX):
        return []
    held_out = np.flatnonzero((manifest.folds >= 0) | (manifest.splits == "test"))
    ours = manifest.select(held_out)
    run = _run_of(source)
    if run is None:
        return _seen(source, find_tagger(source), ours, hashes)
    config = change(RunConfig(), read_yaml(run.config), str(run.config))
    theirs = learnt_clips(read_manifest(run.manifest, look_for_files=False), config)
    heard = listen(theirs, threads, hash_file=hash_file)
    if fingerprints is None:
        prints = listen(ours, threads, hash_file=hash_file).fingerprints
    else:
        prints = [fingerprints[row] for row in held_out]
    known = {str(theirs.root / path): digest for path, digest in heard.hashes.items()}
    known |= {str(ours.root / path): digest for path, digest in hashes.items()}
    leaks = _straddling(source, theirs, ours, known, [*heard.fingerprints, *prints])
    if heard.unread and run.tagger.is_file():
        leaks += _unlisted(_seen(source, run.tagger, ours, hashes), leaks)
    if before := config.backbone.on:
        try:
            older = audit_source(before, manifest, hashes, fingerprints, threads=threads, hash_file=hash_file)
            leaks += _unlisted(older, leaks)
        except TaggerFileError as error:
            log.warning("%s: what it was started from is gone and cannot be compared (%s)", source, error)
    return leaks


def audit_all(
    sources: Iterable[str], manifest: Manifest, cache: Cache, *, allow_leak: bool, audited: str = ""
) -> list[Leak]:
    """Clips held out here that one of several networks has learnt from, where they are allowed.

    Args:
        sources: each as for `audit_source`.
        manifest: the data, in folds.
        allow_leak: go on in spite of them.
        audited: the one of the sources whose leaks are known already.

    Returns:
        The certain leaks.

    Raises:
        ManifestError: there are some.
    """
    known = {Path(audited).resolve()} if audited else set()
    sources = [each for each in dict.fromkeys(sources) if Path(each).resolve() not in known]
    threads = default_threads()
    hashes = hash_contents(manifest, threads, cache.content_hash) if sources else {}
    found: list[Leak] = []
    for source in sources:
        leaks = audit_source(source, manifest, hashes, threads=threads, hash_file=cache.content_hash)
        if not allow_leak:
            refuse_seen(leaks, source)
        found += [leak for leak in leaks if leak.certain]
    return found


def refuse_seen(leaks: Iterable[Leak], source: str) -> None:
    """Stop where the scores would surely be too good, because the network has learnt what is held out.

    Raises:
        ManifestError: there are certain leaks; the text lists them.
    """
    leaks = [leak for leak in leaks if leak.certain]
    if leaks:
        raise ManifestError(
            f"{source}: was trained on sounds that are held out here "
            f"({len(leaks)} leak{'s' if len(leaks) > 1 else ''}), and the score would be too "
            "good. Leave these clips out or start from another network, or pass --allow-leak to go on and have the "
            f"score marked.\n{summarise_rows([str(leak) for leak in leaks])}"
        )


def _run_of(source: str) -> Run | None:
    """The run that ships what `find_tagger` finds, or the folder of one that ships nothing yet; None of other files.

    Raises:
        TaggerFileError: there is nothing of that name.
    """
    try:
        tagger = find_tagger(source).resolve()
    except TaggerFileError:
        if not _is_whole(run := Run(Path(source))):
            raise
        return run
    run = Run(tagger.parent)
    return run if run.tagger.resolve() == tagger and _is_whole(run) else None


def _is_whole(run: Run) -> bool:
    """Whether it tells what it was trained on and how."""
    return run.config.is_file() and run.manifest.is_file()


def _seen(source: str, tagger: Path, ours: Manifest, hashes: Mapping[str, str]) -> list[Leak]:
    """Clips whose content stands in a tagger's list of what it was trained on."""
    known = seen(load_tagger(tagger).metadata.trained_on.get("clips", ""), ours, hashes)
    ids, sides = ours.clip_ids, ours.sides
    return [
        Leak("content", ours.table["path"].iloc[row], (UNNAMED, ids[row]), (source, sides[row]))
        for row in np.flatnonzero(known)
    ]


def _straddling(
    source: str,
    theirs: Manifest,
    ours: Manifest,
    hashes: Mapping[str, str],
    fingerprints: Sequence[Fingerprint | None],
) -> list[Leak]:
    """Everything that stands on both sides, in one table of both.

    Args:
        hashes: of all files by their whole path. fingerprints: of their clips, then of ours.
    """
    joined = _joined(source, theirs, ours)
    matches = find_matches(fingerprints, LIKELY)
    leaks = find_leaks(joined, hashes, matches)
    grouped = find_leaks(group_duplicates(joined, hashes, matches), hashes)
    listed = {name for leak in leaks if leak.certain for name in leak.clip_ids}
    for leak in grouped:  # what is of one recording with a clip that stands on both sides
        both = list(zip(leak.clip_ids, leak.sides, strict=True))
        more = [(name, side) for name, side in both if side != BEFORE and name not in listed]
        if more:
            first = next((name, side) for name, side in both if side == BEFORE)
            names, sides = zip(first, *more, strict=True)
            leaks.append(replace(leak, clip_ids=names, sides=sides))
    side_of, prefix = dict(zip(ours.clip_ids, ours.sides, strict=True)), f"{source}: "
    return [
        replace(
            leak,
            what=leak.what.removeprefix(prefix),
            clip_ids=tuple(name.removeprefix(prefix) for name in leak.clip_ids),  # the side says whose it is
            sides=tuple(side_of.get(name, source) for name in leak.clip_ids),
        )
        for leak in leaks
    ]


def _joined(source: str, theirs: Manifest, ours: Manifest) -> Manifest:
    """Both tables as one: theirs without a fold, ours all in fold 0, so that only what straddles the two is a leak."""
    one_place = not {path.parent for path in theirs.files}.isdisjoint(path.parent for path in ours.files)
    columns: dict[str, list] = {name: [] for name in ("paths", "labels", "starts", "ends", "groups", "clip_ids")}
    for manifest, prefix in ((theirs, f"{source}: "), (ours, "")):
        table = manifest.table
        columns["paths"] += map(str, manifest.files)
        columns["clip_ids"] += [f"{prefix}{name}" for name in manifest.clip_ids]
        groups = table["group"].tolist()
        columns["groups"] += groups if one_place else [f"{prefix}{name}" if name else "" for name in groups]
        for name, column in (("labels", "labels"), ("starts", "start"), ("ends", "end")):
            columns[name] += table[column].tolist()
    folds = [-1] * len(theirs) + [0] * len(ours)
    return Manifest.build(Path(), columns.pop("paths"), columns.pop("labels"), folds=folds, **columns)


def _unlisted(found: Iterable[Leak], known: Iterable[Leak]) -> list[Leak]:
    """The leaks with a clip of ours that no certain one of the known names."""
    listed = {name for leak in known if leak.certain for name in _ours(leak)}
    return [leak for leak in found if not listed.issuperset(_ours(leak))]


def _ours(leak: Leak) -> list[str]:
    """The clips of the new data: the first of a leak is the network's."""
    return [name for name, side in zip(leak.clip_ids, leak.sides, strict=True) if side != leak.sides[0]]
