"""Reading labelled clips for a command: it goes on without the files that are not there, and with corrected labels."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.data.corrected import apply_corrections
from earmark.data.corrections import hash_corrections
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.data.readers.problems import RowProblem
from earmark.errors import ManifestError, summarise_rows

if TYPE_CHECKING:  # with torch, which reading a table for `embed` does without
    from earmark.flows.run_config import DataConfig

log = logging.getLogger("earmark")

Failures = list[tuple[str, str]]  # (path or clip, reason)


def read_rows(path: Path, failures: Failures, *, all_labels: bool = True, **reading: Any) -> Manifest:
    """Labelled clips; rows whose file is not there become failures, if they are the lesser part.

    Args:
        path: a table or folder. failures: gains (row's file, reason). all_labels: whether each must have a file.
        reading: options of `read_manifest`.

    Raises:
        ManifestError: rows are wrong in another way, most files are not there, or all of some label.
    """
    problems: list[RowProblem] = []
    manifest = read_manifest(path, **reading, problems=problems)
    missing = [problem for problem in problems if problem.problem == "missing_file"]
    damaged = [problem for problem in problems if problem.problem == "mojibake_label"]
    if len(missing) + len(damaged) < len(problems) or len(missing) > len(manifest):
        return read_manifest(path, **reading)  # which says everything at once
    for problem in damaged:
        log.warning(
            "%s: %s. Mend it in the table, or read that with its true --encoding.", problem.where, problem.detail
        )
    if missing:
        reasons = [f"{problem.where}: {problem.detail}" for problem in missing]
        named = read_manifest(path, **reading, problems=[], look_for_files=False).vocabulary if all_labels else ()
        lost = [label for label in named if label not in manifest.vocabulary]
        if lost:
            raise ManifestError(
                f"{path}: no file of these labels is there: {', '.join(lost)}. Fetch them, or leave the labels out.\n"
                f"{summarise_rows(reasons)}"
            )
        failures += [(problem.path, reason) for problem, reason in zip(missing, reasons, strict=True)]
    return manifest


def correct(manifest: Manifest, given: DataConfig, failures: Failures) -> tuple[Manifest, list[str], DataConfig]:
    """The rows with all corrections applied, what to remark on them, and the settings with the files' hash.

    Args:
        failures: what the data names and cannot be read; corrections of it wait.

    Raises:
        ManifestError: a file of corrections is wrong, or is about other data.
    """
    remarks: list[str] = []
    absent = {Path(name.partition("#")[0]).name for name, _ in failures}
    files = [Path(each) for each in given.corrections]
    for file in files:
        found = apply_corrections(manifest, file, absent, partial=given.fraction < 1)
        manifest = found.manifest
        remarks += found.remarks
        log.info("%s", found.remarks[0])
    return manifest, remarks, replace(given, corrections_hash=hash_corrections(files))
