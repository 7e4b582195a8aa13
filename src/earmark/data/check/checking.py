"""The check itself: rows, sounds, labels and copies, in one pass over the files."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.check.clips import CheckedClip, hear_clips
from earmark.data.check.copies import alike, identical, is_merged, match_clips
from earmark.data.check.inventory import Inventory, take_inventory
from earmark.data.check.labels import class_counts, cooccurrence, label_findings
from earmark.data.check.problems import ATTENTION, PROBLEMS, Finding
from earmark.data.check.sounds import band_limited, clip_problems, mixed, odd_durations
from earmark.data.grouping import offer_patterns
from earmark.data.leakage import find_leaks
from earmark.data.manifest import Manifest
from earmark.data.matches import SURE, Match

log = logging.getLogger(__name__)

NAMES_LOOKED_AT = 20_000  # for what they tell of groups: more tell no more
PAIRS_TOLD = 10


@dataclass(frozen=True)
class CheckResult:
    """What `check` found.

    findings: of rows, then of sounds, then of the whole set.
    summary: n_clips, n_files, n_classes, multi_label, hours, sample_rates {rate: clips}, channels {count: clips},
        formats {name: clips}, seconds {shortest, median, longest}, classes {label: clips}, pairs of labels
        {"a + b": clips}, n_groups, group_patterns (what file names offer), folds {fold: clips}, splits, n_hidden,
        n_others, copies_within_groups; None or empty where there are none.
    inventory: what was checked. clips: what was heard, row by row; none with names only.
    """

    findings: list[Finding]
    summary: dict[str, Any]
    inventory: Inventory
    clips: list[CheckedClip] = field(default_factory=list)

    @property
    def attention(self) -> list[Finding]:
        """The findings that are more than information: not those about files alone that no row of a table names."""
        return [
            finding
            for finding in self.findings
            if finding.problem in ATTENTION
            and (not len(finding.clips) or min(finding.clips) < self.inventory.n_data)
        ]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each problem, in the order of PROBLEMS."""
        found = Counter(finding.problem for finding in self.findings)
        return {problem: found[problem] for problem in PROBLEMS if problem in found}


def check(
    data: Manifest | Inventory | str | Path,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Decode every file of a data set and report what is wrong. Bad files and rows are findings, not errors.

    Args:
        data: a manifest; or a table or a folder; or what `take_inventory` found there, which takes more options.
        threads: how many files to decode at a time.
        progress: called with how many files are done, of how many.

    Raises:
        ManifestError: there is no data; or the table as a whole is wrong.
    """
    if isinstance(data, Manifest):
        inventory = Inventory(data.root, data, data)
    else:
        inventory = data if isinstance(data, Inventory) else take_inventory(data)
    findings = list(_of_rows(inventory))
    clips: list[CheckedClip] = []
    matches: list[Match] = []
    sure: list[Match] = []
    if not inventory.names_only:
        clips = hear_clips(inventory, threads, progress)
        log.info("looking for copies among %d clips", len(clips))
        matches = match_clips(clips)
        sure = [match for match in matches if match.score >= SURE]
        findings += [*_of_sounds(clips), *identical(clips), *alike(clips, sure)]
        if inventory.manifest is not None:
            findings += _unlisted(clips)
    if inventory.manifest is not None:
        findings += [*label_findings(inventory.every_row), *_leaks(inventory.manifest, clips, matches)]
    findings += _of_the_set(clips[: inventory.n_data])
    return CheckResult(findings, _summarise(inventory, clips, sure), inventory, clips)


def _of_rows(inventory: Inventory) -> Iterator[Finding]:
    """What is wrong with rows, or that there are none."""
    for problem in inventory.row_problems:
        yield Finding(problem.path, problem.problem, f"{problem.where}: {problem.detail}")
    if inventory.manifest is None:
        yield Finding("", "unlabelled", inventory.no_labels)


def _of_sounds(clips: Sequence[CheckedClip]) -> Iterator[Finding]:
    """What is wrong with each sound, in the order of the clips."""
    seconds = np.array([clip.heard.statistics.seconds if clip.heard.statistics else np.nan for clip in clips])
    odd = dict(odd_durations(seconds))
    by_file = defaultdict(list)
    for position, clip in enumerate(clips):
        by_file[clip.file].append(position)
    for position, clip in enumerate(clips):
        if clip.whole.problem and position == by_file[clip.file][0]:
            yield Finding(clip.path, clip.whole.problem, clip.whole.detail, by_file[clip.file])
        if clip.heard.error:
            yield Finding(clip.path, "bad_row", clip.heard.error, [position])
        if clip.heard.statistics:
            for problem, detail in clip_problems(clip.heard.statistics):
                yield Finding(clip.path, problem, clip.region + detail, [position])
        if position in odd:
            yield Finding(clip.path, "odd_duration", clip.region + odd[position], [position])


def _unlisted(clips: Sequence[CheckedClip]) -> Iterator[Finding]:
    """Files that no row names, but copies that readers have taken for what they are."""
    by_digest = {clip.whole.digest: clip for clip in reversed(clips) if clip.whole.digest}
    for position, clip in enumerate(clips):
        if clip.labels is None and not is_merged(clip, by_digest.get(clip.whole.digest, clip)):
            yield Finding(clip.path, "unlisted_file", "no row names it", [position])


def _of_the_set(clips: Sequence[CheckedClip]) -> Iterator[Finding]:
    heard = [clip.heard.statistics for clip in clips if clip.heard.statistics]
    yield from mixed(heard, [clip.labels or () for clip in clips if clip.heard.statistics])
    yield from band_limited(heard)


def _leaks(manifest: Manifest, clips: Sequence[CheckedClip], matches: Sequence[Match]) -> Iterator[Finding]:
    """Sound on both sides of the given folds or splits."""
    if len(set(manifest.sides)) < 2:
        return
    digests = {clip.path: clip.whole.digest for clip in clips if clip.whole.digest}
    leaks = find_leaks(manifest, digests, [match for match in matches if match.second < len(manifest)])
    rows = {name: row for row, name in enumerate(manifest.clip_ids)} if leaks else {}
    for leak in leaks:
        first, *others = (rows[name] for name in leak.clip_ids)
        path = manifest.table["path"].iloc[first]
        yield Finding(path, "leak" if leak.certain else "possible_leak", str(leak), [first], others)


def _summarise(inventory: Inventory, clips: Sequence[CheckedClip], matches: Sequence[Match]) -> dict[str, Any]:
    manifest = inventory.manifest
    heard = [clip for clip in clips[: inventory.n_data] if clip.heard.statistics]
    seconds = np.array([clip.heard.statistics.seconds for clip in heard])
    lengths = {}
    if len(seconds):
        lengths = {"shortest": seconds.min(), "median": np.median(seconds), "longest": seconds.max()}
    of_files = {
        "hours": float(seconds.sum() / 3600),
        "sample_rates": _counted(clip.heard.statistics.sample_rate for clip in heard),
        "channels": _counted(clip.heard.statistics.n_channels for clip in heard),
        "formats": _counted(clip.whole.format for clip in heard),
        "seconds": {name: float(length) for name, length in lengths.items()},
        "copies_within_groups": sum(clips[match.first].group == clips[match.second].group for match in matches),
        "n_hidden": inventory.n_hidden,
        "n_others": inventory.n_others,
    }
    if manifest is None:
        return {"n_clips": len(inventory.unlisted), "n_files": len(inventory.unlisted), **of_files}
    paths = manifest.table["path"].unique().tolist()
    pairs = list(cooccurrence(inventory.every_row).items())[:PAIRS_TOLD]
    offers = [] if manifest.has_groups else offer_patterns(paths[:NAMES_LOOKED_AT])
    of_rows = {
        "n_clips": len(manifest),
        "n_files": len(paths),
        "n_classes": len(manifest.vocabulary),
        "multi_label": manifest.multi_label,
        "classes": class_counts(inventory.every_row),
        "pairs": {" + ".join(pair): n_clips for pair, n_clips in pairs},
        "n_groups": len(set(manifest.groups)) if manifest.has_groups else None,
        "group_patterns": [str(offer) for offer in offers],
        "folds": _counted(manifest.folds.tolist()) if manifest.has_folds else None,
        "splits": _counted(split for split in manifest.splits.tolist() if split),
    }
    return of_rows if inventory.names_only else {**of_rows, **of_files}


def _counted(values: Iterable) -> dict:
    """How often each value is there, in their order."""
    return dict(sorted(Counter(values).items()))
