"""Run: the folder one experiment leaves, its file names, and atomic writes."""

from __future__ import annotations

import errno
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.errors import RunError

TAGGER_SUFFIX = ".tagger.onnx"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # of a disk, a quota, what a file may hold
REFIT = "refit"  # stands where a fold's number does, for the model fitted on all data


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        RunError: the folder cannot be written to, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name[:80]}.{secrets.token_hex(6)}"
        # Not mkstemp: its files are closed to everybody else, whatever the process's mask allows.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}). Choose another place.") from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise RunError(
            f"{path}: cannot be written whole ({os.strerror(error.errno)}). Make room, or choose another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Refuse a folder that could not be made or written to, before hours go into what it is to hold. Leaves nothing.

    Raises:
        RunError: it could not.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file, and a run is a folder. Choose another --out.")
    above = next(each for each in (folder, *folder.resolve().parents) if each.exists())
    try:
        tempfile.TemporaryDirectory(prefix=".", dir=above).cleanup()
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}). Choose another place.") from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, document: Any) -> None:
    """Write indented JSON, whole or not at all; nan becomes null."""
    write_text(path, to_json(document, indent=2) + "\n")


def to_json(document: Any, indent: int | None = None) -> str:
    """Standard JSON text (nan and infinities become null, labels stay readable in any script)."""
    return json.dumps(_finite(document), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """`value` with every nan or infinity replaced by None and tuples by lists."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@dataclass(frozen=True)
class Run:
    """Where each thing of a run stands. Nothing here reads audio or trains.

    >>> Run(Path("runs/birds")).tagger.as_posix()
    'runs/birds/birds.tagger.onnx'
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    @property
    def environment(self) -> Path:
        return self.folder / "environment.txt"

    @property
    def failures(self) -> Path:
        return self.folder / "failures.csv"

    @property
    def leaks(self) -> Path:
        """What stands on several sides of the folds, if that was allowed."""
        return self.folder / "leaks.csv"

    @property
    def agreement(self) -> Path:
        """How far earlier networks agree with the labels of noisy clips, and which of these are trained on."""
        return self.folder / "agreement.csv"

    @property
    def rate_curve(self) -> Path:
        """What the loss did at a rising learning rate, if that was asked for; may be there before the run is."""
        return self.folder / "learning_rate.json"

    @property
    def rate_plot(self) -> Path:
        return self.folder / "learning_rate.svg"

    @property
    def diagnostics(self) -> Path:
        """What `train --diagnose` found before training."""
        return self.folder / "diagnostics.json"

    @property
    def batch_page(self) -> Path:
        """A batch as the network hears it, from `train --diagnose`."""
        return self.folder / "batch.html"

    @property
    def scorecard(self) -> Path:
        return self.folder / "scorecard.json"

    @property
    def calibration(self) -> Path:
        """How calibration and thresholds were fitted, and what is measured of them."""
        return self.folder / "calibration.json"

    @property
    def test_looks(self) -> Path:
        """Evaluations of the run's tagger on locked test splits."""
        return self.folder / "test_looks.jsonl"

    @property
    def card(self) -> Path:
        return self.folder / "card.md"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def summary(self) -> Path:
        """The run in one picture."""
        return self.folder / "summary.png"

    @property
    def tagger(self) -> Path:
        return self.folder / f"{self.name}{TAGGER_SUFFIX}"

    @property
    def stages(self) -> Path:
        """What each stage scored, where this folder is that of several runs, one for each stage."""
        return self.folder / "stages.json"

    @property
    def way_out(self) -> str:
        """What to do where a finished run was expected in this folder and is not there."""
        if not self.stages.is_file():
            return "Let `earmark train` finish: the same command again goes on where it stopped."
        *others, last = json.loads(self.stages.read_text(encoding="utf-8"))["stages"]
        return f"Its stages are runs: give {self.folder / last}{', or another of them' if others else ''}."

    @property
    def suspects(self) -> Path:
        """Labels that are probably wrong, the most suspicious first."""
        return self.folder / "suspects.csv"

    @property
    def corrections(self) -> Path:
        """What was decided on labels, a row each; it only grows."""
        return self.folder / "corrections.csv"

    def predictions(self, model: str) -> Path:
        """Out-of-fold scores of one model, clip rows."""
        return self.folder / f"predictions.{model}.csv"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def fold(self, fold: int | str, model: str) -> FoldFolder:
        """The folder of one fold of one model (or REFIT)."""
        name = f"fold_{fold}" if isinstance(fold, int) else fold
        return FoldFolder(self.folder / name / model)


@dataclass(frozen=True)
class FoldFolder:
    """What training one model on one fold leaves."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def history(self) -> Path:
        return self.folder / "history.jsonl"

    def read_history(self) -> list[dict[str, Any]]:
        """A row per finished epoch."""
        return _read_rows(self.history)

    @property
    def diagnostics(self) -> Path:
        """What was seen of the network while it trained (docs/diagnostics.md)."""
        return self.folder / "diagnostics.jsonl"

    def read_diagnostics(self) -> list[dict[str, Any]]:
        """A row from before the first epoch, and one per finished epoch."""
        return _read_rows(self.diagnostics)

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    @property
    def trained(self) -> Path:
        return self.folder / "trained.json"

    @property
    def tagger(self) -> Path:
        return self.folder / "tagger.onnx"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.npz"


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """JSON objects, one a line, without a last line that a kill cut short; empty where nothing is written yet."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
