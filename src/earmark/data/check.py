"""Check: every clip decoded once before training, and what is wrong with it said with its remedy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earmark import audio
from earmark.data.leakage import hash_contents
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import AudioError
from earmark.tagger import Clip

# problem → what to do about it. Other programs read these names: keep them.
PROBLEMS = {
    "unreadable": "Replace or convert the file, or leave its rows out.",
    "silent": "Listen to it; leave it out if nothing is to be heard.",
    "too_short": "Leave it out, or give a longer region.",
    "duplicate_content": "Keep one of the copies, or give them one group, so that no fold splits them.",
    "few_clips": "Add recordings of the class, or leave it out.",
    "mixed_sample_rates": "All are resampled. If a rate goes with a class, the tagger may learn the rate.",
}
INFORMATION = ("mixed_sample_rates",)

SILENT_PEAK = 1e-4  # −80 dB of full scale
SHORTEST_SECONDS = 0.05
FEWEST_CLIPS = 5  # one for each of the usual folds


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing. path: a file, relative to the data, or "" for the whole."""

    path: str
    problem: str
    detail: str

    @property
    def remedy(self) -> str:
        return PROBLEMS[self.problem]

    def to_json(self) -> dict[str, str]:
        return {**asdict(self), "remedy": self.remedy}


@dataclass(frozen=True)
class CheckResult:
    """What `check` found.

    summary: n_clips, n_files, n_classes, multi_label, hours, sample_rates {rate: clips}, seconds {shortest,
        median, longest}, classes {label: clips}, n_groups, folds {fold: clips}; None where there are none.
    """

    findings: list[Finding]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_attention(self) -> bool:
        """Whether any finding is more than information."""
        return any(finding.problem not in INFORMATION for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {"summary": self.summary, "findings": [finding.to_json() for finding in self.findings]}


@dataclass(frozen=True)
class _Heard:
    """What decoding one clip gave; seconds is nan where it failed, and then `error` says why."""

    sample_rate: int = 0
    seconds: float = float("nan")
    peak: float = 0.0
    error: str = ""


def check(
    data: Manifest | str | Path,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Decode every clip of a data set and report what is wrong with it. Bad files are findings, not errors.

    Args:
        data: a manifest, or what `read_manifest` reads.
        threads: how many clips to decode at a time.
        progress: called with how many clips are done, of how many.

    Raises:
        ManifestError: the table or folder itself is wrong.
    """
    manifest = data if isinstance(data, Manifest) else read_manifest(data)
    heard = []
    with ThreadPoolExecutor(threads) as pool:
        for done, one in enumerate(pool.map(_listen, manifest.clips()), start=1):
            heard.append(one)
            if progress:
                progress(done, len(manifest))
    findings = [
        Finding(path, problem, detail)
        for path, one in zip(manifest.table["path"], heard, strict=True)
        for problem, detail in _problems(one)
    ]
    findings += _duplicates(manifest, threads) + _few_clips(manifest) + _mixed_rates(heard)
    return CheckResult(findings, _summarise(manifest, heard))


def _listen(clip: Clip) -> _Heard:
    """Decode one clip at its own rate, block by block."""
    try:
        rate = audio.probe(clip.path).sample_rate
        n_samples, peak = 0, 0.0
        for block in audio.blocks(clip.path, rate, clip.start, clip.end):
            n_samples += len(block)
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
    except AudioError as error:
        return _Heard(error=str(error))
    return _Heard(rate, n_samples / rate, peak)


def _problems(heard: _Heard) -> list[tuple[str, str]]:
    """Problem and detail of what is wrong with one clip."""
    if heard.error:
        return [("unreadable", heard.error)]
    found = []
    if heard.peak < SILENT_PEAK:
        level = f"its peak is {20 * np.log10(heard.peak):.0f} dB of full scale" if heard.peak else "all zeros"
        found.append(("silent", level))
    if heard.seconds < SHORTEST_SECONDS:
        found.append(("too_short", f"{heard.seconds:.3f} s"))
    return found


def _duplicates(manifest: Manifest, threads: int) -> list[Finding]:
    """Files with the same bytes, each after the first of its kind."""
    by_hash = defaultdict(list)
    for path, digest in hash_contents(manifest, threads).items():
        by_hash[digest].append(path)
    return [
        Finding(path, "duplicate_content", f"the same bytes as {paths[0]}")
        for paths in by_hash.values()
        for path in paths[1:]
    ]


def _few_clips(manifest: Manifest) -> list[Finding]:
    return [
        Finding("", "few_clips", f"class '{label}' has {n_clips} clips")
        for label, n_clips in _class_counts(manifest).items()
        if n_clips < FEWEST_CLIPS
    ]


def _mixed_rates(heard: list[_Heard]) -> list[Finding]:
    rates = Counter(one.sample_rate for one in heard if not one.error)
    if len(rates) < 2:
        return []
    detail = ", ".join(f"{rate} Hz ({n_clips} clips)" for rate, n_clips in sorted(rates.items()))
    return [Finding("", "mixed_sample_rates", detail)]


def _class_counts(manifest: Manifest) -> dict[str, int]:
    counts = manifest.targets().sum(axis=0).astype(int).tolist()
    return dict(zip(manifest.vocabulary, counts, strict=True))


def _summarise(manifest: Manifest, heard: list[_Heard]) -> dict[str, Any]:
    seconds = np.array([one.seconds for one in heard if not one.error])
    lengths = {}
    if len(seconds):
        lengths = {"shortest": seconds.min(), "median": np.median(seconds), "longest": seconds.max()}
    return {
        "n_clips": len(manifest),
        "n_files": int(manifest.table["path"].nunique()),
        "n_classes": len(manifest.vocabulary),
        "multi_label": manifest.multi_label,
        "hours": float(seconds.sum() / 3600),
        "sample_rates": dict(sorted(Counter(one.sample_rate for one in heard if not one.error).items())),
        "seconds": {name: float(length) for name, length in lengths.items()},
        "classes": _class_counts(manifest),
        "n_groups": len(set(manifest.groups)) if manifest.has_groups else None,
        "folds": dict(sorted(Counter(manifest.folds.tolist()).items())) if manifest.has_folds else None,
    }
