"""The story of `earmark check`: look at the data, listen to it, compare its splits, write what was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.data.check import CheckedClip, CheckResult, Finding, take_inventory
from earmark.data.check import check as check_data
from earmark.data.statistics import OCTAVES, ClipStatistics
from earmark.evaluation.adversarial import Adversarial, adversarial_validation
from earmark.flows.progress import bar
from earmark.report.check_page import write_check_page
from earmark.tagger.tag_files import default_threads

FEATURES = (
    *("sample rate", "channels", "seconds", "level in dB", "peak in dB", "offset", "bandwidth in Hz"),
    *(f"dB from {low} Hz" for low in OCTAVES),
)


def check(
    data: str | Path,
    *,
    audio_dir: str | Path | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    names_only: bool = False,
    fraction: float = 1.0,
    html: Path | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> CheckResult:
    """Everything that is wrong, or worth knowing, about a table or folder of sounds.

    Args:
        data: a table of files and labels, a folder with a folder per class, or any folder of sounds.
        audio_dir, encoding, folder_tricks, merge: as for `read_manifest`.
        names_only: open no file: rows and labels alone.
        fraction: only this share of the clips.
        html: where to write a page to see and hear the findings.
        threads: files decoded at a time; None is one per core.
        progress: show a bar.

    Raises:
        ManifestError: there is no data; or the table as a whole is wrong.
    """
    inventory = take_inventory(
        data,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
        names_only=names_only,
        fraction=fraction,
    )
    with bar("listening", inventory.n_files, "files", progress and not names_only) as update:
        result = check_data(inventory, threads=threads or default_threads(), progress=lambda done, _: update(done))
    shift = compare_splits(result)
    if shift is not None:
        finding = Finding("", "train_test_shift", shift.sentence)
        result = replace(
            result,
            findings=result.findings + [finding] * shift.differ,
            summary={**result.summary, "train_against_test": shift.sentence},
        )
    if html is not None:
        whole = Path(data).resolve()
        write_check_page(
            result, Path(html), title=whole.name if whole.is_dir() else f"{whole.parent.name}/{whole.name}"
        )
    return result


def compare_splits(result: CheckResult) -> Adversarial | None:
    """How well the test split can be told from the other clips by simple features; None without a test split."""
    manifest = result.inventory.manifest
    if manifest is None or not result.clips or not (manifest.splits == "test").any():
        return None
    heard = np.array([clip.heard.statistics is not None for clip in result.clips[: len(manifest)]])
    features = np.array([_features(clip) for clip in result.clips[: len(manifest)] if clip.heard.statistics])
    return adversarial_validation(features, FEATURES, manifest.splits[heard] == "test", manifest.groups[heard])


def _features(clip: CheckedClip) -> list[float]:
    """A clip in the numbers of FEATURES."""
    heard: ClipStatistics = clip.heard.statistics
    levels = [20 * np.log10(max(value, 1e-6)) for value in (heard.rms, heard.peak)]
    return [
        *(heard.sample_rate, heard.n_channels, heard.seconds, *levels, heard.offset, heard.bandwidth_hz),
        *heard.octaves_db,
    ]
