"""Clips are opened once while few, and are the right ones however many there are."""

from __future__ import annotations

import numpy as np

from earmark import audio
from earmark.audio.cache import Cache
from earmark.data import clip_audio
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest

RATE = 8000


def test_a_clip_is_opened_once_until_too_many_are_open(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_audio, "MOST_OPEN", 2)
    sounds = [np.full(800, level, np.float32) for level in (0.1, 0.2, 0.3)]
    for number, sound in enumerate(sounds):
        audio.write(tmp_path / f"{number}.wav", sound, RATE)
    names = ["0.wav", "1.wav", "2.wav", "2.wav"]
    starts, ends = [0, 0, 0, 0.05], [np.nan, np.nan, np.nan, 0.1]
    manifest = Manifest.build(tmp_path, names, [("a",)] * 4, starts=starts, ends=ends)
    clips = ClipAudio(manifest, Cache(tmp_path / "cache"), RATE)
    assert clips[0] is clips[0]
    for _ in range(2):
        for number in range(3):
            np.testing.assert_allclose(clips[number], sounds[number], atol=1e-3)
    np.testing.assert_array_equal(clips[3], clips[2][400:])
    assert len(clips._opened) <= 2
