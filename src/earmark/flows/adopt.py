"""The story of `earmark models get onnx:FILE`: a graph that others have exported becomes a tagger file, once."""

from __future__ import annotations

import csv
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from earmark import __version__
from earmark.errors import ConfigError, TaggerFileError
from earmark.export.foreign import Foreign, Row, Source
from earmark.export.graph import OPSET, TOLERANCE, open_graph, stamp
from earmark.fetch.checksum import digest
from earmark.flows.pretrained import probes
from earmark.models.pretrained.weights import WEIGHTS
from earmark.run import write_atomically
from earmark.tagger.home import converted
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.onnx_backend import ORT_ERRORS
from earmark.windows import samples

log = logging.getLogger("earmark")

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SUM_TOLERANCE = 1e-3  # of scores that exclude one another, from 1


def adopt_onnx(
    file: Path,
    name: str,
    sample_rate: int,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    *,
    input: str = "",
    output: str = "",
    axis: int | None = None,
    scores: str = "",
    labels: Path | None = None,
) -> Path:
    """Make a tagger file of the home folder from an ONNX graph that takes a waveform.

    Its embedding is one of the graph's tensors, averaged over all axes but that of batch and features. Where the graph
    takes one window at a time, the file holds a loop. Nothing is written unless the file gives what the graph gave.

    Args:
        file: the graph. name: what the tagger is called from now on.
        sample_rate: Hz that the graph expects.
        window_seconds: of what it hears at once; None where the graph says it. hop_seconds: default the window.
        input, output: names of tensors; needed where the graph has several. `output` may be an inner one.
        axis: of the output, with the features, counted from 0; else the only one of fixed length, or the last.
        scores: name of the tensor with the scores (or logits, if values lie outside [0, 1]) of `labels`; needed where
            several have their number.
        labels: file with class names, one a line, or a table with the column display_name. None: it only embeds.

    Returns:
        The tagger file.

    Raises:
        ConfigError: the name cannot be one, or the window is needed.
        TaggerFileError: the graph cannot be used, or the file would not give what it gives.
    """
    check_name(name)
    foreign = Foreign(file)
    source = foreign.source(input)
    n_samples, seconds = _window(foreign, source, sample_rate, window_seconds)
    windows = probes(n_samples, sample_rate)
    names = _read_names(labels) if labels else ()
    chosen = foreign.output(output)
    (arrays,) = foreign.run(source, windows, [chosen])
    rows = [foreign.row(chosen, arrays[0], source, axis)]
    expected = [rows[0].of(arrays)]
    excludes = False
    if names:
        row, given = _scores_of(foreign, source, windows, len(names), scores)
        rows, expected = [*rows, row], [*expected, given]
        excludes = not row.squash and bool(np.all(abs(given.sum(axis=1) - 1) < SUM_TOLERANCE))
    metadata = TaggerMetadata(
        name=name,
        labels=names,
        sample_rate=sample_rate,
        window_seconds=seconds,
        hop_seconds=hop_seconds or seconds,
        multi_label=not excludes,
        trained_on={
            "adopted": file.name,
            "sha256": digest(file, "sha256"),
            "input": str(source.port),
            "embedding": _told(foreign, rows[0], arrays[0]),
            **(_told_of_scores(rows[1]) if names else {}),
        },
        versions={"earmark": __version__, "onnx": onnx.__version__},
        licences=(f"unknown: ask whoever published {file.name}",),
    )
    log.info("%s: hears %s, embeds by %s", name, source.port, metadata.trained_on["embedding"])
    _write(foreign, source, n_samples, rows, windows, expected, metadata)
    return converted(name)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of an adopted tagger.

    Raises:
        ConfigError: it is no plain word, or that of a published network.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise ConfigError(f"--name '{name}': a name has letters, digits, '.', '_' and '-' only. Choose another.")
    if name in WEIGHTS:
        raise ConfigError(f"--name {name}: is the name of a published network. Choose another.")


def _window(foreign: Foreign, source: Source, sample_rate: int, seconds: float | None) -> tuple[int, float]:
    """Samples and seconds of a window.

    Raises:
        ConfigError: it is not told, and the graph takes any.
        TaggerFileError: the graph takes another.
    """
    if seconds is None:
        if source.n_samples is None:
            raise ConfigError(f"{foreign.path}: {source.port} takes windows of any length. Give one in --window.")
        return source.n_samples, source.n_samples / sample_rate
    n_samples = samples(seconds, sample_rate)
    if source.n_samples not in (None, n_samples):
        raise TaggerFileError(
            f"{foreign.path}: {source.port} takes {source.n_samples} samples, and {seconds:g} s at {sample_rate} Hz "
            f"are {n_samples}. Leave out --window, or correct --rate."
        )
    return n_samples, seconds


def _read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line, or of a table as AudioSet's.

    Raises:
        ConfigError: there is no such file, or it holds none or one twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels {path}: cannot be read as text ({error}). Check the path.") from error
    table = csv.DictReader(lines)
    if "display_name" in (table.fieldnames or ()):
        names = [row["display_name"] for row in table]
    else:
        names = [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"--labels {path}: has {len(names)} names, {len(set(names))} different. Correct it.")
    return tuple(names)


def _scores_of(
    foreign: Foreign, source: Source, windows: np.ndarray, n_classes: int, name: str
) -> tuple[Row, np.ndarray]:
    """The output with a score per class, squashed where it leaves [0, 1], and what it gives for the windows.

    Raises:
        TaggerFileError: none has so many numbers, or several do.
    """
    names = [foreign.output(name)] if name else list(foreign.outputs)
    found, widths = [], []
    for each, arrays in zip(names, foreign.run(source, windows, names), strict=True):
        row = foreign.row(each, arrays[0], source)
        widths.append(f"{each}: {row.width}")
        if row.width == n_classes:
            values = row.of(arrays)
            if values.min() < 0 or values.max() > 1:
                row = replace(row, squash="Sigmoid")
            found.append((row, row.of(arrays)))
    if len(found) != 1:
        raise TaggerFileError(
            f"{foreign.path}: {len(found)} outputs have as many numbers as there are labels, {n_classes} "
            f"({', '.join(widths)}). Name the scores with --scores, or correct --labels."
        )
    return found[0]


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, of large numbers by their size; infinite of other shapes and of what is not finite."""
    if found.shape != expected.shape or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return np.inf
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def _told(foreign: Foreign, row: Row, array: np.ndarray) -> str:
    """How the embedding is made, for people."""
    port = foreign.outputs.get(row.name)
    shape = port or f"{row.name} ({', '.join(map(str, array.shape))})"
    return f"{shape}" + (f", mean over axis {' and '.join(map(str, row.axes))}" if row.axes else "")


def _told_of_scores(row: Row) -> dict[str, str]:
    squashed = ", sigmoid of it" if row.squash else ""
    return {"scores": row.name + squashed, "thresholds": "0.5 for every class, not fitted"}


def _write(
    foreign: Foreign,
    source: Source,
    n_samples: int,
    rows: list[Row],
    windows: np.ndarray,
    expected: list[np.ndarray],
    metadata: TaggerMetadata,
) -> None:
    """Write the file whose graph gives what is expected: if it may, that which takes all windows at once.

    Raises:
        TaggerFileError: none does.
    """
    at_once = source.takes_batches and all(row.batched for row in rows)
    reasons = []
    for looped in (False, True) if at_once else (True,):
        graph = foreign.graph(source, n_samples, rows[0], rows[1] if len(rows) > 1 else None, looped=looped)
        stamp(graph, metadata)
        try:
            found = open_graph(graph).run(["embedding", "scores"][: len(rows)], {"waveform": windows})
        except ORT_ERRORS as error:
            reasons.append(str(error).strip().partition("\n")[0])
            continue
        difference = max(map(_apart, found, expected))
        if difference <= TOLERANCE:
            if looped:
                log.info("%s: takes one window at a time", metadata.name)
            with write_atomically(converted(metadata.name)) as temporary:
                temporary.write_bytes(graph.SerializeToString())
            return
        reasons.append(f"its numbers differ by {difference:.2g}")
    raise TaggerFileError(
        f"{foreign.path}: brought to operator set {OPSET}, it does not give what it gave ({'; '.join(reasons)}). "
        f"Export it with opset {OPSET}."
    )
