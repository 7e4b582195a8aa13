"""The same recording is found again, and nothing else is."""

from __future__ import annotations

import io
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter

from earmark.audio import load
from earmark.audio.resample import resample
from earmark.data.fingerprint import Fingerprint, FingerprintStream, fingerprint
from earmark.data.matches import LIKELY, SURE, Match, clusters, find_matches

RATE = 16_000
ESC50 = Path(__file__).parents[3] / "shared" / "data" / "esc50" / "audio"
FIELDS = ("signs", "levels", "frames", "bins")


def scene(seed: int, seconds: float = 5.0) -> np.ndarray:
    """Coloured noise with sounds in it that ring and decay, each at its own place and pitch."""
    draw = np.random.default_rng(seed)
    sound = 0.02 * lfilter([1.0], [1.0, -0.9], draw.standard_normal(int(seconds * RATE)))
    for _ in range(max(1, int(3 * seconds))):
        begin, n = draw.integers(len(sound)), int(draw.uniform(0.05, 0.4) * RATE)
        time = np.arange(min(n, len(sound) - begin)) / RATE
        burst = np.sin(2 * np.pi * draw.uniform(300, 3000) * time * (1 + draw.uniform(-1, 1) * time))
        sound[begin : begin + len(time)] += 0.3 * burst * np.exp(-time * draw.uniform(5, 40))
    return sound.astype(np.float32)


def coded(waveform: np.ndarray, format: str, subtype: str, **options: float | str) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE, format=format, subtype=subtype, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def noisy(waveform: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(99).standard_normal(len(waveform))
    return (waveform + noise * np.sqrt(np.mean(waveform**2) * 10 ** (-snr_db / 10))).astype(np.float32)


def matched(first: np.ndarray, second: np.ndarray, threshold: float = SURE) -> list[Match]:
    return find_matches([fingerprint(first, RATE), fingerprint(second, RATE)], threshold)


COPIES = {
    "gain": lambda sound: (0.03 * sound, 0.0),
    "polarity": lambda sound: (-sound, 0.0),
    "cut to the second half": lambda sound: (sound[len(sound) // 2 :], 2.5),
    "cut to the first half": lambda sound: (sound[: len(sound) // 2], 0.0),
    "shifted by half": lambda sound: (np.concatenate([scene(77, 2.5), sound[: len(sound) // 2]]), -2.5),
    "zeros around it": lambda sound: (np.pad(sound, (12_345, 30_000)), -12_345 / RATE),
    "telephone": lambda sound: (resample(resample(sound, RATE, 8000), 8000, RATE), 0.0),
    "noise at 20 dB": lambda sound: (noisy(sound, 20), 0.0),
    "noise at 10 dB": lambda sound: (noisy(sound, 10), 0.0),
    "another sound over it": lambda sound: (sound + scene(78), 0.0),
    "MP3": lambda sound: (coded(sound, "MP3", "MPEG_LAYER_III", compression_level=0.9), None),
    "Vorbis": lambda sound: (coded(sound, "OGG", "VORBIS", compression_level=1.0), None),
    "Opus": lambda sound: (coded(sound, "OGG", "OPUS", compression_level=0.95), None),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_for_sure(kind):
    for seed in range(3):
        copy, offset = COPIES[kind](scene(seed))
        found = matched(scene(seed), copy)
        assert [(match.first, match.second) for match in found] == [(0, 1)]
        if offset is not None:
            assert found[0].offset_seconds == pytest.approx(offset, abs=0.001)
            assert found[0].overlap_seconds > 0.8 * min(len(copy) / RATE, 5.0 if "shift" not in kind else 2.5)


def test_another_rate_is_no_obstacle():
    sound = scene(4)
    copies = [fingerprint(resample(sound, RATE, rate), rate) for rate in (8000, 22_050, 44_100, 48_000)]
    assert len(find_matches([fingerprint(sound, RATE), *copies])) == 10


def test_stereo_that_was_averaged_to_mono_is_found():
    sound, other = scene(5), scene(6)
    assert matched(sound, 0.5 * (sound + np.roll(sound, 8)))
    assert matched(sound, 0.5 * (0.8 * sound + 0.3 * other))


def test_short_sounds_are_found():
    sounds = [scene(seed, 0.3) for seed in range(20)]
    prints = [fingerprint(sound, RATE) for sound in sounds + [noisy(sound, 30) for sound in sounds]]
    found = {(match.first, match.second) for match in find_matches(prints)}
    assert found <= {(i, i + 20) for i in range(20)}
    assert len(found) >= 16


def test_different_recordings_do_not_match():
    draw = np.random.default_rng(300)
    sounds = [scene(seed) for seed in range(40)] + [
        draw.standard_normal(5 * RATE).astype(np.float32) for _ in range(20)
    ]
    assert find_matches([fingerprint(sound, RATE) for sound in sounds], LIKELY) == []


def steady(kind: str, seed: int) -> np.ndarray:
    """Machine-made sounds that two recordings have in common without being copies of each other."""
    time = np.arange(5 * RATE) / RATE + 0.0371 * seed
    draw = np.random.default_rng(seed)
    sound = {
        "tone": lambda: np.sin(2 * np.pi * 1000 * time),
        "hum": lambda: sum(np.sin(2 * np.pi * 50 * k * time + k * k) / k for k in range(1, 30)),
        "beeps": lambda: (time % 0.5 < 0.2) * np.sin(2 * np.pi * 1000 * time),
        "alarm": lambda: np.sign(np.sin(2 * np.pi * (700 + 10 * seed) * time)) * (time % 0.4 < 0.2),
        "ticks": lambda: np.exp(-80 * (time % 0.5)) * draw.standard_normal(len(time)),
        "noise": lambda: draw.standard_normal(len(time)),
        "silence": lambda: 0 * time,
    }[kind]()
    return (0.3 * sound + 1e-3 * draw.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("kind", ["tone", "hum", "beeps", "alarm", "ticks", "noise", "silence"])
def test_steady_and_repeating_sounds_of_different_recordings_do_not_match(kind):
    assert find_matches([fingerprint(steady(kind, seed), RATE) for seed in range(6)]) == []


def test_hum_over_different_sounds_does_not_match():
    prints = [fingerprint(scene(seed) + 0.3 * steady("hum", seed), RATE) for seed in range(6)]
    assert find_matches(prints, LIKELY) == []


def test_shared_silence_does_not_match():
    prints = [fingerprint(np.pad(scene(seed, 1.0), (RATE, 3 * RATE)), RATE) for seed in range(10)]
    assert find_matches(prints, LIKELY) == []


def test_nothing_to_hear_matches_nothing():
    silent = [fingerprint(np.zeros(n, np.float32), RATE) for n in (0, 1, 100, RATE, 5 * RATE)]
    assert find_matches([None, *silent, None], 0.0) == []
    assert find_matches([fingerprint(scene(1), RATE)], 0.0) == []
    assert find_matches([], 0.0) == []


def test_places_without_a_fingerprint_keep_their_numbers():
    one = fingerprint(scene(1), RATE)
    assert [(match.first, match.second) for match in find_matches([None, one, None, one])] == [(1, 3)]


def test_the_order_of_recordings_turns_the_offset():
    whole, part = fingerprint(scene(2), RATE), fingerprint(scene(2)[RATE:], RATE)
    assert find_matches([whole, part])[0].offset_seconds == pytest.approx(1.0, abs=0.001)
    assert find_matches([part, whole])[0].offset_seconds == pytest.approx(-1.0, abs=0.001)


def test_a_loop_matches_its_copy_and_not_itself():
    loop = np.tile(scene(7, 0.5), 10)
    assert [(match.first, match.second) for match in matched(loop, noisy(loop, 20))] == [(0, 1)]


def test_many_copies_make_one_cluster():
    sounds = [scene(1)] * 40 + [scene(seed) for seed in range(2, 22)]
    prints = [fingerprint(noisy(sound, 15 + i % 9), RATE) for i, sound in enumerate(sounds)]
    numbers = clusters(60, find_matches(prints))
    assert len(set(numbers[:40])) == 1
    assert len(set(numbers)) == 21


def test_clusters_join_chains_and_leave_the_rest_alone():
    chain = [Match(0, 2, 1.0, 0.0, 1.0), Match(2, 4, 1.0, 0.0, 1.0)]
    assert clusters(5, chain).tolist() == [0, 1, 0, 2, 0]
    assert clusters(3, []).tolist() == [0, 1, 2]


def in_blocks(waveform: np.ndarray, cuts: list[int]) -> Fingerprint:
    stream = FingerprintStream(RATE)
    for block in np.split(waveform, sorted(cut % (len(waveform) + 1) for cut in cuts)):
        stream.push(block)
    return stream.finish()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=8))
def test_blocks_give_the_fingerprint_of_the_whole(cuts):
    sound = scene(3, 40.0)
    whole, parts = fingerprint(sound, RATE), in_blocks(sound, cuts)
    assert whole.seconds == parts.seconds == pytest.approx(40.0, abs=0.001)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(whole, field), getattr(parts, field))


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, st.integers(0, 3000), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_any_samples_give_a_fingerprint(samples):
    found = fingerprint(samples, RATE)
    assert found.seconds == pytest.approx(len(samples) / RATE, abs=0.001)
    assert len(found.levels) == -(-round(found.seconds * 8000) // 128)
    assert len(found.signs) == 16 * len(found.levels)
    find_matches([found, found, fingerprint(scene(1, 0.5), RATE)], 0.0)


def test_threads_make_the_same_fingerprints():
    sounds = [scene(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda sound: fingerprint(sound, RATE), sounds))
    for sound, one in zip(sounds, found, strict=True):
        expected = fingerprint(sound, RATE)
        assert all(np.array_equal(getattr(expected, field), getattr(one, field)) for field in FIELDS)


def test_a_long_recording_takes_little_memory_and_holds_its_excerpts():
    draw = np.random.default_rng(0)
    stream, minute, excerpt = FingerprintStream(RATE), 60 * RATE, None
    tracemalloc.start()
    for number in range(20):
        block = (0.1 * draw.standard_normal(minute)).astype(np.float32)
        if number == 12:
            excerpt = block[7 * RATE : 12 * RATE].copy()
        for piece in np.split(block, 12):
            stream.push(piece)
    recording = stream.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert recording.seconds == pytest.approx(1200)
    assert sum(getattr(recording, field).nbytes for field in FIELDS) < 1450 * 1200
    assert peak < 30e6  # the waveform alone takes 77 MB
    (found,) = find_matches([recording, fingerprint(excerpt, RATE)])
    assert found.offset_seconds == pytest.approx(12 * 60 + 7, abs=0.001)
    assert found.overlap_seconds == pytest.approx(5.0, abs=0.3)


def test_copies_are_found_among_so_many_that_one_lasts_for_hours():
    draw = np.random.default_rng(5)
    blocks, hours = 40, 6 * 225_000

    def sparse(n_blocks: int) -> Fingerprint:
        frames = np.sort(draw.integers(0, blocks, 6)).astype(np.int32)
        signs, levels = np.zeros(16 * n_blocks, np.uint8), np.full(n_blocks, 3, np.uint8)
        return Fingerprint(signs, levels, frames, draw.integers(0, 100, 6).astype(np.uint8), n_blocks * 0.016)

    recordings = [sparse(blocks) for _ in range(20_000)]
    recordings[10_000] = sparse(hours)
    sound = scene(11, 2.0)
    recordings[19_950], recordings[19_990] = fingerprint(sound, RATE), fingerprint(0.5 * sound, RATE)
    assert [(match.first, match.second) for match in find_matches(recordings)] == [(19_950, 19_990)]


def test_recordings_that_share_a_part_of_themselves_say_how_much():
    shared = scene(1, 4.0)
    first = np.concatenate([scene(2, 6.0), shared, scene(3, 2.0)])
    second = np.concatenate([scene(4, 1.0), shared, scene(5, 7.0)])
    (found,) = matched(first, second)
    assert found.offset_seconds == pytest.approx(5.0, abs=0.001)
    assert found.overlap_seconds == pytest.approx(4.0, abs=0.5)


@pytest.mark.skipif(not ESC50.is_dir(), reason="needs ../shared/data/esc50")
def test_the_copies_among_the_given_folds_of_esc50_are_found():
    pairs = [("1-14262-A-37", "4-198841-A-37"), ("2-110011-A-5", "5-256452-A-5"), ("1-23222-A-19", "1-24524-C-19")]
    names = [name for pair in pairs for name in pair] + ["1-100032-A-0", "4-133047-A-5", "1-21896-A-35"]
    prints = [fingerprint(load(ESC50 / f"{name}.opus", RATE), RATE) for name in names]
    assert [(match.first, match.second) for match in find_matches(prints)] == [(0, 1), (2, 3), (4, 5)]
