"""The manifest without the rows that cannot be trained on, and the table of those."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from earmark.data.check.checking import CheckResult
from earmark.data.check.problems import BROKEN
from earmark.errors import ManifestError
from earmark.run import write_atomically

LEFT_OUT_SUFFIX = ".left-out.csv"


def write_clean(result: CheckResult, path: Path) -> tuple[int, Path]:
    """Write a manifest of the clips that are not broken, and beside it `NAME.left-out.csv` with the others.

    Args:
        result: of a check of labelled data.
        path: of the table (.csv, .tsv or .parquet), from which `read_manifest` reads the clips again.

    Returns:
        how many rows were written, and the path of the table of the others.

    Raises:
        ManifestError: the data have no labels, or nothing is left.
        MissingExtraError: Parquet needs pyarrow.
    """
    manifest = result.inventory.manifest
    if manifest is None:
        raise ManifestError(f"{result.inventory.root}: has no labels to write. {result.inventory.no_labels}")
    broken = [finding for finding in result.findings if finding.problem in BROKEN]
    kept = np.ones(len(manifest), dtype=bool)
    for finding in broken:
        kept[[position for position in finding.clips if position < len(kept)]] = False
    if not kept.any():
        raise ManifestError(f"{manifest.root}: no row is left that can be used. Look at what the check found.")
    manifest.keep(kept).write(path)
    left_out = path.with_name(path.stem + LEFT_OUT_SUFFIX)
    with write_atomically(left_out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "problem", "detail"])
        writer.writerows([finding.path, finding.problem, finding.detail] for finding in broken)
    return int(kept.sum()), left_out
