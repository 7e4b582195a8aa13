"""The demo from beginning to end, on fewer and shorter sounds."""

from __future__ import annotations

from functools import partial

import pytest

from earmark.data.synthetic import make_dataset, make_recording
from earmark.flows import demo as module


@pytest.fixture
def demo(monkeypatch, small, settings):
    """`demo(folder)` with 24 clips of a second, three classes and a recording of four."""
    classes = ("alarm", "kick", "rain")
    make = partial(make_dataset, n_clips=24, seconds=1.0, sample_rate=8000, takes=2, classes=classes)
    monkeypatch.setattr(module, "make_dataset", make)
    monkeypatch.setattr(module, "make_recording", partial(make_recording, seconds=4.0, sample_rate=8000))
    monkeypatch.setattr(module, "SETTINGS", settings)

    def run(folder):
        with small():
            return module.demo(folder, progress=False)

    return run


def test_the_demo_makes_sounds_a_run_and_tags_of_a_recording(demo, tmp_path):
    shown = demo(tmp_path)
    assert len(list((tmp_path / "sounds" / "audio").iterdir())) == 24
    assert set(shown.trained.scorecard.models) == {"forest", "tiny_cnn"}
    assert shown.trained.run.tagger == tmp_path / "demo" / "demo.tagger.onnx"
    assert shown.recording.exists()
    assert {tag.label for tag in shown.tags} <= {"alarm", "kick", "rain"}
    assert [tag.start for tag in shown.tags] == sorted(tag.start for tag in shown.tags)
    assert all(0 <= tag.start < tag.end <= 4.0 for tag in shown.tags)
    histories = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("history.jsonl")}
    assert len(histories) == 3
    assert demo(tmp_path).tags == shown.tags
    assert {path: path.stat().st_mtime_ns for path in histories} == histories  # nothing was trained again
