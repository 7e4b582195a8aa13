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
from earmark.export.graph import OPSET, TOLERANCE, difference, stamp, write_graph
from earmark.fetch.checksum import digest
from earmark.flows.pretrained import probes
from earmark.models.pretrained.weights import WEIGHTS
from earmark.predictions import LEVELS
from earmark.tagger import load_tagger
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
    one_label: bool = False,
    replaces: bool = False,
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
        one_label: exactly one of them holds: logits become scores by a softmax, not by sigmoids. Scores that sum to
            1 are taken so unasked.
        replaces: take the place of another tagger of that name.

    Returns:
        The tagger file.

    Raises:
        ConfigError: the name cannot be one or is taken, the window is needed, or labels are.
        TaggerFileError: the graph cannot be used, or the file would not give what it gives.
    """
    check_name(name)
    if one_label and not labels:
        raise ConfigError("--one-label: says which of --labels hold at once, and there are none. Give them as well.")
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
        row, given = _scores_of(foreign, source, windows, len(names), scores, one_label)
        rows, expected = [*rows, row], [*expected, given]
        excludes = one_label or _sums_to_one(given)
    metadata = TaggerMetadata(
        name=name,
        labels=names,
        sample_rate=sample_rate,
        window_seconds=seconds,
        hop_seconds=hop_seconds or seconds,
        multi_label=not excludes,
        thresholds=dict.fromkeys(LEVELS, (0.0,) * len(names)) if excludes else {},  # one is always the best
        trained_on={
            "adopted": file.name,
            "sha256": digest(file, "sha256"),
            "input": str(source.port),
            "embedding": _told(foreign, rows[0], arrays[0]),
            **(_told_of_scores(rows[1], excludes) if names else {}),
        },
        versions={"earmark": __version__, "onnx": onnx.__version__},
        licences=(f"unknown: ask whoever published {file.name}",),
    )
    check_free(metadata, replaces)
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


def check_free(metadata: TaggerMetadata, replaces: bool) -> None:
    """Refuse to put an adopted tagger in the place of another: one that is made of something else, or otherwise.

    Raises:
        ConfigError: there is one of its name, and it must not be replaced.
    """
    path = converted(metadata.name)
    if replaces or not path.is_file():
        return
    try:
        there = load_tagger(path).metadata
    except TaggerFileError:
        there = None
    if there is None or replace(there, versions={}) != replace(metadata, versions={}):
        made_of = there.trained_on.get("adopted", "something else") if there else "a file that cannot be opened"
        raise ConfigError(
            f"--name {metadata.name}: is taken by a tagger that differs from this one ({path}, made of {made_of}). "
            "Choose another name, or put this one in its place with --replace."
        )


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
    foreign: Foreign, source: Source, windows: np.ndarray, n_classes: int, name: str, one_label: bool
) -> tuple[Row, np.ndarray]:
    """The output with a score per class, and what it gives for the windows: squashed where it leaves [0, 1], or where
    one label is to hold and it does not sum to 1.

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
            if values.min() < 0 or values.max() > 1 or (one_label and not _sums_to_one(values)):
                row = replace(row, squash="Softmax" if one_label else "Sigmoid")
            found.append((row, row.of(arrays)))
    if len(found) != 1:
        raise TaggerFileError(
            f"{foreign.path}: {len(found)} outputs have as many numbers as there are labels, {n_classes} "
            f"({', '.join(widths)}). Name the scores with --scores, or correct --labels."
        )
    return found[0]


def _sums_to_one(scores: np.ndarray) -> bool:
    """Whether scores (windows, classes) exclude one another; those of sigmoids may do so where there is one class."""
    return scores.shape[1] > 1 and bool(np.all(abs(scores.sum(axis=1) - 1) < SUM_TOLERANCE))


def _told(foreign: Foreign, row: Row, array: np.ndarray) -> str:
    """How the embedding is made, for people."""
    port = foreign.outputs.get(row.name)
    shape = port or f"{row.name} ({', '.join(map(str, array.shape))})"
    return f"{shape}" + (f", mean over axis {' and '.join(map(str, row.axes))}" if row.axes else "")


def _told_of_scores(row: Row, excludes: bool) -> dict[str, str]:
    squashed = f", {row.squash.lower()} of it" if row.squash else ""
    thresholds = "none: the best class is named" if excludes else "0.5 for every class, not fitted"
    return {"scores": row.name + squashed, "thresholds": thresholds}


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
        try:
            stamp(graph, metadata)
            apart = difference(graph, windows, dict(zip(("embedding", "scores"), expected, strict=False)))
        except (onnx.checker.ValidationError, *ORT_ERRORS) as error:
            reasons.append(str(error).strip().partition("\n")[0])
            continue
        if apart <= TOLERANCE:
            if looped:
                log.info("%s: takes one window at a time", metadata.name)
            write_graph(graph, converted(metadata.name))
            return
        reasons.append(f"its numbers differ by {apart:.2g}")
    raise TaggerFileError(
        f"{foreign.path}: brought to operator set {OPSET}, it does not give what it gave ({'; '.join(reasons)}). "
        f"Export it with opset {OPSET}."
    )
