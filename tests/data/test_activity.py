"""segment_activity: bursts are found where they are, whatever the level; silence gives nothing; memory is constant."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.data.activity import FRAME_SECONDS, Levels, find_stretches, frame_levels, is_sounding, segment_activity
from earmark.data.manifest import Manifest
from earmark.errors import ConfigError, ManifestError
from earmark.tagger import Clip

RATE = 8000
REAL = Path("../shared/data")
BURSTS = [(0.5, 0.9), (2.0, 2.25), (4.1, 4.9)]


def bursts(gain_db: float = 0.0, floor_db: float = -70.0, seconds: float = 6.0, offset: float = 0.0) -> np.ndarray:
    """Tones at −20 dB at BURSTS, over noise."""
    time = np.arange(int(seconds * RATE)) / RATE
    waveform = 10 ** (floor_db / 20) * np.random.default_rng(0).standard_normal(len(time))
    for start, end in BURSTS:
        waveform += np.where((time >= start) & (time < end), 0.14 * np.sin(2 * np.pi * 900 * time), 0.0)
    return 10 ** (gain_db / 20) * waveform + offset


def write(path: Path, waveform: np.ndarray, rate: int = RATE) -> Path:
    audio.write(path, waveform, rate)
    return path


def regions(manifest: Manifest) -> list[tuple[float, float]]:
    return list(zip(manifest.table["start"], manifest.table["end"], strict=True))


def within_a_frame(found: list[tuple[float, float]], expected: list[tuple[float, float]], padding: float = 0.0) -> bool:
    wanted = [(start - padding, end + padding) for start, end in expected]
    return len(found) == len(wanted) and np.abs(np.array(found) - wanted).max() <= FRAME_SECONDS + 1e-6


@pytest.mark.parametrize("floor_db", [-200, -70, -40])
def test_bursts_in_silence_or_noise_are_found_within_one_frame(tmp_path, floor_db):
    write(tmp_path / "a.wav", bursts(floor_db=floor_db))
    manifest, failures = segment_activity(Manifest.build(tmp_path, ["a.wav"], [("beep",)]), padding_seconds=0.05)
    assert within_a_frame(regions(manifest), BURSTS, padding=0.05)
    assert failures == []


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(-40, 40), offset=st.floats(-0.5, 0.5))
def test_neither_gain_nor_offset_moves_a_stretch(gain, offset):
    def stretches(waveform):
        frames = waveform.reshape(-1, round(FRAME_SECONDS * RATE))
        levels = Levels(10 * np.log10(frames.var(axis=1)), FRAME_SECONDS, len(waveform) / RATE)
        return find_stretches(levels, 6.0, 0.1, 0.06)

    assert stretches(bursts(gain, offset=offset)) == stretches(bursts())


@settings(max_examples=200, deadline=None)
@given(
    decibels=st.lists(st.floats(-100, 0), min_size=1, max_size=60),
    padding=st.floats(0, 0.3),
    minimum=st.floats(0, 0.3),
)
def test_stretches_are_apart_in_order_inside_the_clip_and_hold_the_loudest_frame(decibels, padding, minimum):
    levels = Levels(np.array(decibels), 0.02, len(decibels) * 0.02 - 0.005)
    found = find_stretches(levels, 6.0, padding, minimum)
    assert all(0 <= start < end <= levels.seconds for start, end in found)
    assert all(first[1] < second[0] + 1e-9 for first, second in pairwise(found))
    loudest = float(np.argmax(decibels)) * 0.02
    assert minimum > 0 or any(start <= loudest < end for start, end in found)


def test_gaps_shorter_than_twice_the_padding_close_and_short_stretches_go(tmp_path):
    pulses = np.zeros(4 * RATE)
    for start, end in [(0.5, 0.7), (0.8, 1.0), (2.0, 2.02), (3.0, 3.3)]:
        first, last = round(start * RATE), round(end * RATE)
        pulses[first:last] = np.random.default_rng(1).uniform(-0.3, 0.3, last - first)
    write(tmp_path / "a.wav", pulses)
    manifest = Manifest.build(tmp_path, ["a.wav"], [("x",)])
    cut, _ = segment_activity(manifest, padding_seconds=0.06, minimum_seconds=0.1)
    assert within_a_frame(regions(cut), [(0.5, 1.0), (3.0, 3.3)], padding=0.06)
    cut, _ = segment_activity(manifest, padding_seconds=0.0, minimum_seconds=0.0)
    assert within_a_frame(regions(cut), [(0.5, 0.7), (0.8, 1.0), (2.0, 2.02), (3.0, 3.3)])


def test_steady_noise_is_one_stretch_from_end_to_end(tmp_path):
    write(tmp_path / "rain.wav", np.random.default_rng(2).normal(0, 0.05, 3 * RATE + 77))
    cut, _ = segment_activity(Manifest.build(tmp_path, ["rain.wav"], [("rain",)]))
    assert regions(cut) == [(0.0, round(3 + 77 / RATE, 6))]


def test_a_loud_knock_deafens_neither_the_rest_nor_the_floor(tmp_path):
    waveform = bursts(floor_db=-60)
    waveform[-200:-100] = 0.99
    write(tmp_path / "a.wav", waveform)
    cut, _ = segment_activity(
        Manifest.build(tmp_path, ["a.wav"], [("beep",)]), padding_seconds=0.0, minimum_seconds=0.1
    )
    assert within_a_frame(regions(cut), BURSTS)


def test_stretches_keep_all_that_was_said_of_the_clip_and_stay_inside_its_region(tmp_path):
    write(tmp_path / "a.wav", bursts())
    write(tmp_path / "b.wav", bursts())
    manifest = Manifest.build(
        tmp_path,
        ["a.wav", "b.wav"],
        [("beep", "hum"), ("beep",)],
        starts=[0.6, 0.0],
        ends=[2.1, np.nan],
        folds=[1, 0],
        groups=["night", ""],
        clip_ids=["first", "b.wav"],
        unsure=[(), ("hum",)],
        weights=[0.5, 1.0],
        extras={"site": ["lake", "hill"]},
    )
    cut, _ = segment_activity(manifest, padding_seconds=0.05, threads=2)
    assert len(cut) == 5
    first = cut.table.iloc[:2]
    assert first["start"].tolist()[0] == 0.6 and first["end"].tolist()[1] == 2.1
    assert (
        first["clip_id"].tolist()[0].startswith("first#0.6-0.9") and first["labels"].tolist() == [("beep", "hum")] * 2
    )
    assert cut.groups.tolist() == ["night"] * 2 + ["b.wav"] * 3
    assert cut.folds.tolist() == [1, 1, 0, 0, 0]
    assert cut.column("site").tolist() == ["lake"] * 2 + ["hill"] * 3
    assert cut.weights.tolist() == [0.5] * 2 + [1.0] * 3
    assert cut.column("unsure").tolist() == [()] * 2 + [("hum",)] * 3
    assert len(set(cut.clip_ids)) == 5


def test_silent_and_unreadable_clips_are_reported_and_give_no_rows(tmp_path):
    write(tmp_path / "a.wav", bursts())
    write(tmp_path / "zeros.wav", np.zeros(RATE))
    write(tmp_path / "offset.wav", np.full(RATE, 0.4))
    (tmp_path / "broken.wav").write_bytes(b"RIFF no sound")
    names = ["zeros.wav", "a.wav", "offset.wav", "broken.wav"]
    seen = []
    cut, failures = segment_activity(
        Manifest.build(tmp_path, names, [("still",), ("beep",), ("still",), ("beep",)]),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert set(cut.table["path"]) == {"a.wav"} and cut.vocabulary.labels == ("beep",)
    assert [name for name, _ in failures] == ["zeros.wav", "offset.wav", "broken.wav"]
    assert "is silent" in failures[0][1] and "is silent" in failures[1][1] and "cannot" not in failures[0][1]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_cannot_be_cut_is_refused(tmp_path):
    write(tmp_path / "zeros.wav", np.zeros(RATE))
    manifest = Manifest.build(tmp_path, ["zeros.wav"], [("x",)])
    with pytest.raises(ManifestError, match="no clip has a sounding stretch"):
        segment_activity(manifest)
    with pytest.raises(ConfigError, match="cut recordings by a negative number"):
        segment_activity(manifest, padding_seconds=-0.1)
    write(tmp_path / "knock.wav", np.eye(1, RATE, 500)[0])
    with pytest.raises(ManifestError, match="nothing sounds for 0.5 s"):
        segment_activity(Manifest.build(tmp_path, ["knock.wav"], [("x",)]), minimum_seconds=0.5)


def test_librosa_splits_at_the_same_places_where_the_loudest_frame_decides():
    waveform = bursts(floor_db=-200)
    frame = round(FRAME_SECONDS * RATE)
    frames = waveform.reshape(-1, frame)
    levels = Levels(10 * np.log10(np.maximum(frames.var(axis=1), 1e-38)), FRAME_SECONDS, len(waveform) / RATE)
    found = find_stretches(levels, 300.0, 0.0, 0.0)  # no frame is 300 dB above the floor: 15 dB below the loudest
    oracle = librosa.effects.split(waveform, top_db=15, ref=np.max, frame_length=frame, hop_length=frame) / RATE
    assert len(found) == len(oracle) == len(BURSTS)
    assert np.abs(np.array(found) - oracle).max() <= FRAME_SECONDS + 1e-9


def test_an_hour_is_heard_in_the_memory_of_some_blocks(tmp_path, monkeypatch):
    second = bursts(seconds=6.0).astype(np.float32)
    n_repeats = 600

    def hour(*_args, **_options):
        for _ in range(n_repeats):
            yield second

    monkeypatch.setattr("earmark.data.activity.audio.blocks", hour)
    write(tmp_path / "hour.wav", second)
    clip = Clip(tmp_path / "hour.wav")
    tracemalloc.start()
    levels = frame_levels(clip)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert levels.seconds == 3600.0 and len(levels.decibels) == 180_000
    assert peak < 10e6, "an hour at 8 kHz is 115 MB"
    assert len(find_stretches(levels, 6.0, 0.05, 0.06)) == len(BURSTS) * n_repeats


@pytest.mark.skipif(not (REAL / "esc10-mixtures").is_dir(), reason="the real data is not at ../shared/data")
def test_real_events_are_found_better_than_by_the_loudest_frame_alone():
    events = pd.read_csv(REAL / "esc10-mixtures" / "events.csv")
    counts = {"both": np.zeros(3), "loudest": np.zeros(3)}
    for path, rows in list(events.groupby("path"))[::16]:
        levels = frame_levels(Clip(REAL / "esc10-mixtures" / path))
        middles = (np.arange(len(levels.decibels)) + 0.5) * levels.frame_seconds
        truth = np.zeros(len(middles), dtype=bool)
        for start, end in zip(rows["onset_s"], rows["offset_s"], strict=True):
            truth |= (middles >= start) & (middles < end)
        for name, threshold in (("both", 6.0), ("loudest", 300.0)):
            found = np.zeros(len(middles), dtype=bool)
            for start, end in find_stretches(levels, threshold, 0.1, 0.06):
                found |= (middles >= start) & (middles < end)
            counts[name] += [(found & truth).sum(), (found & ~truth).sum(), (~found & truth).sum()]
    f1 = {name: 2 * hits / (2 * hits + false + missed) for name, (hits, false, missed) in counts.items()}
    assert f1["both"] > 0.93 and f1["both"] > f1["loudest"] + 0.02
    assert is_sounding(np.array([-50.0, -10.0]), 6.0).tolist() == [False, True]
