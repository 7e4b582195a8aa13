"""The JSON document inside a tagger file: everything a reader must know that the graph does not say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from earmark.errors import TaggerFileError
from earmark.predictions import LEVELS
from earmark.run import to_json
from earmark.tagger.tta import ANY_LENGTH, VIEWS
from earmark.windows import PADDINGS, POOLS, SCORE_MARGIN, Framing, samples

METADATA_KEY = "earmark"
FORMAT = "earmark-tagger"
FORMAT_VERSION = 3  # the highest that is read; a file is written as the lowest that says what it says
CALIBRATIONS = ("platt", "temperature")

_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "labels": (list, tuple),
    "sample_rate": (int,),
    "window_seconds": (int, float),
    "hop_seconds": (int, float),
    "multi_label": (bool,),
    "padding": (str,),
    "pool": (str,),
    "views": (str,),
    "view_seconds": (list, tuple),
    "thresholds": (dict,),
    "calibration": (dict,),
    "clip_seconds_max": (int, float, type(None)),
    "trained_on": (dict,),
    "scores": (dict,),
    "reliability": (dict,),
    "versions": (dict,),
    "licences": (list, tuple),
    "format": (str,),
    "format_version": (int,),
}


@dataclass(frozen=True)
class TaggerMetadata:
    """What stands around a tagger's graph. docs/tagger-file.md says what a reader does with each field.

    name: of the tagger. labels: class names, in the order of the scores' columns; none of what only embeds.
    sample_rate: Hz. window_seconds, hop_seconds: of a window, and from one to the next.
    multi_label: whether several labels can hold at once.
    padding: of clips shorter than a window, "repeat" or "zeros". pool: of window scores, "mean", "max" or "geometric".
    views: how windows are laid, one of tta.VIEWS. view_seconds: the lengths of the windows where it is "lengths".
    thresholds: for "window" and "clip", the score per class from which a label is asserted, None = never; 0.5 unless
        given.
    calibration: for "window" None (it is in the graph), for "clip" None, {"kind": "platt", "scale", "bias"}
        with lists per class, or {"kind": "temperature", "temperature"}.
    clip_seconds_max: the longest clip for which clip thresholds and calibration were fitted; None is any.
    trained_on, scores, versions, licences, reliability: for people; no reader needs them to score. `earmark evaluate`
        finds in trained_on["clips"] what a tagger was trained on (data/seen.py). reliability is what is measured of
        calibration, thresholds and sounds without a label.

    >>> metadata = TaggerMetadata("pets", ("cat", "dog"), 16000, 2.0, 1.0, multi_label=False)
    >>> metadata.window_samples, TaggerMetadata.from_json(metadata.to_json()) == metadata
    (32000, True)
    """

    name: str
    labels: tuple[str, ...]
    sample_rate: int
    window_seconds: float
    hop_seconds: float
    multi_label: bool
    padding: str = "repeat"
    pool: str = "mean"
    views: str = "sliding"
    thresholds: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    calibration: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)
    clip_seconds_max: float | None = None
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: tuple[str, ...] = ()
    format: str = FORMAT
    format_version: int = 1
    view_seconds: tuple[float, ...] = ()
    reliability: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self._check_types()
        level_defaults = {level: [0.5] * len(self.labels) for level in LEVELS}
        for name, value in (
            ("labels", tuple(self.labels)),
            ("licences", tuple(self.licences)),
            ("view_seconds", tuple(self.view_seconds)),
            (
                "thresholds",
                {level: tuple(v) for level, v in (level_defaults | dict(self.thresholds)).items()},
            ),
            ("calibration", dict.fromkeys(LEVELS) | dict(self.calibration)),
        ):
            object.__setattr__(self, name, value)
        self._check_values()
        if self.views != "sliding" or self.pool == "geometric":  # which version 1 does not know
            object.__setattr__(self, "format_version", max(2, self.format_version))
        if any(None in self.thresholds[level] for level in LEVELS):
            object.__setattr__(self, "format_version", max(3, self.format_version))

    @property
    def window_samples(self) -> int:
        return samples(self.window_seconds, self.sample_rate)

    @property
    def hop_samples(self) -> int:
        return samples(self.hop_seconds, self.sample_rate)

    @property
    def framing(self) -> Framing:
        """Windows in samples."""
        return Framing(self.sample_rate, self.window_samples, self.hop_samples, self.padding)

    @property
    def view_samples(self) -> tuple[int, ...]:
        """Lengths of the windows where there are several."""
        return tuple(samples(seconds, self.sample_rate) for seconds in self.view_seconds)

    @property
    def any_length(self) -> bool:
        """Whether the graph hears windows of several lengths."""
        return self.views in ANY_LENGTH

    @property
    def heard(self) -> str:
        """What it hears of a recording, in words."""
        lengths = ", ".join(f"{seconds:g}" for seconds in self.view_seconds or (self.window_seconds,))
        return {
            "ends": f"windows of {lengths} s at start, middle and end",
            "full": f"one window over the whole recording, {lengths} s at least",
        }.get(self.views, f"windows of {lengths} s, one every {self.hop_seconds:g} s")

    def to_json(self) -> str:
        """The document as JSON text on one line."""
        document = asdict(self)
        for name in ("view_seconds", "reliability"):
            if not document[name]:
                del document[name]
        return to_json(document)

    @classmethod
    def from_json(cls, text: str) -> TaggerMetadata:
        """Read a document; fields of no known name are passed over.

        Raises:
            TaggerFileError: it is no JSON, of another or newer format, lacks a field, or contradicts itself.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TaggerFileError(f"metadata: is not JSON ({error}). {_MEND}") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise TaggerFileError(f'metadata: is not an object with "format": "{FORMAT}". {_MEND}')
        version = document.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise TaggerFileError(
                f"metadata: is of format version {version}, and this Earmark reads up to {FORMAT_VERSION}. "
                "pip install --upgrade earmark"
            )
        missing = [name for name in _TYPES if name not in document and name not in _OPTIONAL]
        for name in ("thresholds", "calibration"):
            levels = document.get(name)
            missing += [
                f"{name}.{level}" for level in LEVELS if isinstance(levels, dict) and level not in levels
            ]
        if missing:
            raise TaggerFileError(f"metadata: {', '.join(missing)} is missing. {_MEND}")
        return cls(**{known.name: document[known.name] for known in fields(cls) if known.name in document})

    def _check_types(self) -> None:
        for name, types in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, types) or (int in types and value is not None and not _is_number(value)):
                raise _wrong(name, value, " or ".join(_TYPE_NAMES.get(kind, kind.__name__) for kind in types))

    def _check_values(self) -> None:
        if not all(isinstance(label, str) and label for label in self.labels):
            raise _wrong("labels", self.labels, "a list of names")
        if len(set(self.labels)) != len(self.labels):
            raise _wrong("labels", self.labels, "every name once")
        for name in ("sample_rate", "window_samples", "hop_samples"):
            if getattr(self, name) < 1:
                raise _wrong(name.replace("samples", "seconds"), getattr(self, name), "more than 0")
        if self.format_version < 1:
            raise _wrong("format_version", self.format_version, "1 or more")
        if self.clip_seconds_max is not None and self.clip_seconds_max <= 0:
            raise _wrong("clip_seconds_max", self.clip_seconds_max, "more than 0, or null")
        for name, known in (("padding", PADDINGS), ("pool", POOLS), ("views", VIEWS), ("format", (FORMAT,))):
            if getattr(self, name) not in known:
                raise _wrong(name, getattr(self, name), " or ".join(known))
        if (self.views == "lengths") != bool(self.view_seconds) or not all(
            _is_number(seconds) and samples(seconds, self.sample_rate) >= 1 for seconds in self.view_seconds
        ):
            raise _wrong("view_seconds", self.view_seconds, "numbers above 0 with the views lengths, and only there")
        for level in LEVELS:
            known = [limit for limit in self.thresholds[level] if limit is not None]
            if len(self.thresholds[level]) != len(self.labels) or not all(map(_is_number, known)):
                raise _wrong(
                    f"thresholds.{level}", self.thresholds[level], f"{len(self.labels)} numbers or null, one per label"
                )
        self._check_calibration()

    def _check_calibration(self) -> None:
        if self.calibration["window"] is not None:
            raise _wrong("calibration.window", self.calibration["window"], "null: it belongs in the graph")
        calibration = self.calibration["clip"]
        if calibration is None:
            return
        kind = calibration.get("kind") if isinstance(calibration, dict) else calibration
        if kind not in CALIBRATIONS:
            raise _wrong("calibration.clip.kind", kind, " or ".join(CALIBRATIONS))
        if kind == "platt":
            self._check_numbers("calibration.clip.scale", calibration.get("scale"))
            self._check_numbers("calibration.clip.bias", calibration.get("bias"))
        elif not (_is_number(calibration.get("temperature")) and calibration["temperature"] > 0):
            raise _wrong("calibration.clip.temperature", calibration.get("temperature"), "a number above 0")

    def _check_numbers(self, name: str, values: Any) -> None:
        """Refuse what is not one number per class."""
        count = len(values) if isinstance(values, list | tuple) else 0
        if count != len(self.labels) or not all(_is_number(value) for value in values):
            raise _wrong(name, values, f"{len(self.labels)} numbers, one per label")


_MEND = "The file is damaged or not made by Earmark: export it again."
_OPTIONAL = ("view_seconds", "clip_seconds_max", "trained_on", "scores", "reliability", "versions", "licences")
_TYPE_NAMES = {
    str: "text",
    list: "a list",
    tuple: "a tuple",
    dict: "an object",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number of sane size (so not nan, nor true)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _wrong(name: str, found: Any, expected: str) -> TaggerFileError:
    """The error for one field."""
    shown = repr(found) if len(repr(found)) <= 60 else repr(found)[:57] + "…"
    return TaggerFileError(f"metadata: {name} is {shown} (expected {expected}). {_MEND}")


def calibrate(scores: np.ndarray, calibration: dict[str, Any] | None, multi_label: bool) -> np.ndarray:
    """Scores (rows, classes) in [0, 1] after a calibration of the metadata, computed in float64.

    >>> calibrate(np.array([[0.2, 0.8]]), {"kind": "temperature", "temperature": 0.5}, True).round(3).tolist()
    [[0.059, 0.941]]
    """
    if calibration is None:
        return scores
    inside = np.clip(np.asarray(scores, dtype=np.float64), SCORE_MARGIN, 1 - SCORE_MARGIN)
    if calibration["kind"] == "temperature" and not multi_label:
        powers = inside ** (1 / calibration["temperature"])
        return powers / powers.sum(axis=1, keepdims=True)
    logits = np.log(inside / (1 - inside))
    if calibration["kind"] == "platt":
        logits = logits * np.array(calibration["scale"]) + np.array(calibration["bias"])
    else:
        logits = logits / calibration["temperature"]
    return 0.5 * (1 + np.tanh(logits / 2))  # which no logit overflows
