"""Taggers and sounds for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.tagger import TaggerMetadata, load_tagger

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"


@pytest.fixture
def make_metadata():
    """Metadata of a tagger of two labels at 8 kHz, windows of 0.5 s; fields can be given otherwise."""

    def make(**fields) -> TaggerMetadata:
        given = {
            "name": "fake",
            "labels": ("low", "high"),
            "sample_rate": 8000,
            "window_seconds": 0.5,
            "hop_seconds": 0.25,
            "multi_label": True,
        }
        return TaggerMetadata(**(given | fields))

    return make


@pytest.fixture
def make_tagger(tmp_path, make_metadata):
    """A tagger that hears whether power lies below ("low") or above ("high") 2 kHz."""

    def make(**fields):
        path = tmp_path / "fake.tagger.json"
        path.write_text(make_metadata(**fields).to_json())
        return load_tagger(path, backend="fake")

    return make


@pytest.fixture
def make_tone(tmp_path):
    """Write a recording of tones that follow one another, (hertz, seconds) each."""

    def make(name: str, *tones: tuple[float, float], rate: int = 8000) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [
            0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate) for hz, seconds in tones
        ]
        audio.write(path, np.concatenate(parts).astype(np.float32), rate)
        return path

    return make


@pytest.fixture
def edit_onnx(tmp_path):
    """Copy a vector's tagger with changes to its model or its metadata; the path of the copy."""
    onnx = pytest.importorskip("onnx")

    def edit(kind: str = "cnn", change=None, **fields) -> Path:
        model = onnx.load(VECTORS / f"{kind}.tagger.onnx")
        if fields:
            document = json.loads(model.metadata_props[0].value) | fields
            onnx.helper.set_model_props(model, {"earmark": json.dumps(document)})
        if change:
            change(model)
        path = tmp_path / "edited.tagger.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return edit
