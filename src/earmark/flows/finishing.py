"""The last step of a tagger: calibration into its graph, thresholds and what is measured of them into its facts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from earmark.export.calibration import finish_tagger
from earmark.flows.calibration import CLIP, WINDOW, Calibrated
from earmark.flows.false_tags import false_tags
from earmark.flows.pretrained import probes
from earmark.run import Run, write_json
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tagger import load_tagger

log = logging.getLogger("earmark")


def finish_run(run: Run, source: Path, found: Calibrated) -> None:
    """Write a run's tagger for use from the file that is not calibrated, and calibration.json."""
    model = onnx.load(source)

    def write(metadata: TaggerMetadata) -> Path:
        windows = probes(metadata.window_samples, metadata.sample_rate)
        finish_tagger(model, run.tagger, metadata, found.window, windows)
        return run.tagger

    finish(run, write, load_tagger(source).metadata, found)


def finish(run: Run, write: Callable[[TaggerMetadata], Path], metadata: TaggerMetadata, found: Calibrated) -> Path:
    """Write a tagger, let it hear sounds that are nothing, and write it with what it said of them; its path."""
    heard = false_tags(write(with_facts(metadata, found, {})))
    path = write(with_facts(metadata, found, heard))
    if said := warning_of(heard, found.fit.thresholds[WINDOW]):
        log.warning("%s", said)
    load_tagger(path)
    write_json(run.calibration, {**found.document, "false_tags_per_hour": heard})
    return path


def warning_of(heard: Mapping[str, float], thresholds: Sequence[float | None]) -> str:
    """What must be said of tags where nothing is, of a tagger that could name nothing; empty = nothing.

    Args:
        heard: tags an hour, by sound. thresholds: of windows, None = never named.

    >>> warning_of({"silence": 0.0, "white noise": 1355.4}, [0.5, None])[:72]
    'the tagger names something in white noise (1355 tags an hour). Clips of '
    >>> warning_of({"silence": 720.0}, [0.0, 0.0])  # which always names the best
    ''
    """
    names = [f"{name} ({tags:.0f} tags an hour)" for name, tags in heard.items() if tags]
    if not names or not any(each is None or each > 0 for each in thresholds):
        return ""
    return (
        f"the tagger names something in {', '.join(names)}. Clips of such sounds without a label, among those it is "
        "trained on, teach it otherwise."
    )


def with_facts(metadata: TaggerMetadata, found: Calibrated, heard: Mapping[str, float]) -> TaggerMetadata:
    """A tagger's metadata with thresholds, the calibration of clips and what is measured of both."""
    return replace(
        metadata,
        thresholds=found.fit.thresholds,
        calibration={WINDOW: None, CLIP: found.fit.calibrations[CLIP]},
        reliability={**found.short, **({"false_tags_per_hour": dict(heard)} if heard else {})},
    )
