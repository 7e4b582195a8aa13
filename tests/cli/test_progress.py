"""What a bar knows of recordings that were not heard yet."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from earmark import audio
from earmark.cli import progress
from earmark.predictions import Predictions
from earmark.tagger import Clip
from earmark.tagger.tag_files import TaggedClip


@pytest.fixture
def recordings(tmp_path):
    """Ten recordings of 0.1 to 1 s, and one that is no sound."""
    paths = [tmp_path / f"{n}.wav" for n in range(1, 11)]
    for n, path in enumerate(paths, start=1):
        audio.write(path, np.zeros(n * 800, dtype=np.float32), 8000)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    return [*paths, tmp_path / "broken.wav", tmp_path / "absent.wav"]


def test_lengths_stand_in_headers_and_the_bytes_of_some_tell_of_the_others(recordings, monkeypatch):
    exact = progress.guess_seconds(recordings)
    assert [exact[path] for path in recordings[:10]] == pytest.approx([n / 10 for n in range(1, 11)])
    assert exact[recordings[10]] < 0.01
    assert recordings[11] not in exact
    monkeypatch.setattr(progress, "N_OPENED", 4)
    guessed = progress.guess_seconds(recordings)
    assert sum(guessed.values()) == pytest.approx(5.5, rel=0.1)


def test_a_bar_tells_of_seconds_that_are_done_and_passes_all_on(recordings, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    ids, scores = np.array(["a"]), np.zeros((1, 1), dtype=np.float32)
    parts = [
        TaggedClip(Clip(path), Predictions(ids, np.array([0.0]), np.array([end]), scores, ("a",)), more=more)
        for path, length in zip(recordings[:10], range(1, 11), strict=True)
        for end, more in ((length / 20, True), (length / 10, False))
    ]
    parts.append(TaggedClip(Clip(recordings[10]), None, "is no sound"))
    assert list(progress.watch(iter(parts), recordings, "tagging")) == parts  # without a terminal
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress.watch(iter(parts), recordings[:11], "tagging")) == parts
    assert "100%" in sys.stderr.getvalue()
    assert "× realtime" in sys.stderr.getvalue()
