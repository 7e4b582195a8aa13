from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.audio import cache as cache_module
from earmark.audio.cache import Cache, content_hash, default_folder
from earmark.errors import AudioError, ConfigError

RATE = 16_000
LONG_AGO = 1_000_000_000


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def no_decoding(monkeypatch):
    """A function that makes every later decoding fail the test."""

    def refuse(*arguments, **options):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(cache_module.decode, "blocks", refuse)


def test_the_cache_holds_what_load_gives_bit_for_bit(sound, make_tone, cache):
    path = sound("a.wav", make_tone(440, 44_100, 1.0, amplitude=1.7), 44_100, subtype="FLOAT")
    cached = cache.waveform(path, RATE)
    assert isinstance(cached, np.memmap)
    assert cached.dtype == np.float32
    np.testing.assert_array_equal(cached, audio.load(path, RATE))
    assert cached.max() > 1.6  # not clipped at full scale


@pytest.mark.parametrize("region", [(0.0, None), (0.3, None), (0.1, 0.7)])
def test_blocks_are_those_of_audio_bit_for_bit(sound, make_tone, cache, region):
    path = sound("a.wav", make_tone(440, 44_100, 1.0), 44_100)
    pieces = list(cache.blocks(path, RATE, *region))
    np.testing.assert_array_equal(np.concatenate(pieces), np.concatenate(list(audio.blocks(path, RATE, *region))))
    assert all(piece.dtype == np.float32 for piece in pieces)


def test_a_whole_file_is_given_in_blocks_without_decoding_again(sound, make_tone, cache, no_decoding, monkeypatch):
    monkeypatch.setattr(cache_module, "BLOCK_SECONDS", 0.25)
    path = sound("a.wav", make_tone(440, RATE, 0.9), RATE)
    whole = np.array(cache.waveform(path, RATE))
    no_decoding()
    pieces = list(cache.blocks(path, RATE))
    assert [len(piece) for piece in pieces] == [RATE // 4] * 3 + [RATE * 15 // 100]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_entries_of_earlier_versions_count_and_are_the_first_to_go(sound, make_tone, tmp_path):
    path = sound("a.wav", make_tone(440, RATE, 0.5), RATE)
    old = tmp_path / "cache" / "0123-16000.v2.npy"
    old.parent.mkdir()
    old.write_bytes(bytes(50_000))
    os.utime(old, (LONG_AGO, LONG_AGO))
    cache = Cache(tmp_path / "cache", max_bytes=60_000)
    assert cache.n_bytes() == 50_000
    cache.waveform(path, RATE)
    assert not old.exists()


def test_the_second_time_nothing_is_decoded(sound, make_tone, cache, no_decoding):
    path = sound("a.wav", make_tone(440, RATE, 1.0), RATE)
    first = np.array(cache.waveform(path, RATE))
    no_decoding()
    np.testing.assert_array_equal(cache.waveform(path, RATE), first)
    np.testing.assert_array_equal(Cache(cache.folder).waveform(path, RATE), first)


def test_each_rate_has_its_own_entry(sound, make_tone, cache):
    path = sound("a.wav", make_tone(440, 32_000, 1.0), 32_000)
    assert (len(cache.waveform(path, 32_000)), len(cache.waveform(path, 8_000))) == (32_000, 8_000)


def test_a_region_is_a_slice_of_the_whole_entry(sound, make_tone, cache):
    path = sound("a.wav", make_tone(440, 44_100, 2.0), 44_100)
    whole = cache.waveform(path, RATE)
    np.testing.assert_array_equal(cache.waveform(path, RATE, start=0.5, end=1.5), whole[8_000:24_000])
    np.testing.assert_array_equal(cache.waveform(path, RATE, start=1.5), whole[24_000:])
    with pytest.raises(AudioError, match=r"end 3 s is beyond its length of 2\.000 s"):
        cache.waveform(path, RATE, start=1.0, end=3.0)


def test_files_of_the_same_name_in_different_folders_do_not_collide(sound, make_tone, cache):
    one = sound("dog/1.wav", make_tone(440, RATE, 0.5), RATE)
    two = sound("rain/1.wav", make_tone(880, RATE, 0.5), RATE)
    assert np.abs(cache.waveform(one, RATE) - cache.waveform(two, RATE)).max() > 0.1


def test_changed_content_of_the_same_size_is_noticed(sound, make_tone, cache):
    path = sound("a.wav", make_tone(440, RATE, 0.5), RATE)
    before = np.array(cache.waveform(path, RATE))
    sound("a.wav", make_tone(880, RATE, 0.5), RATE)
    assert np.abs(cache.waveform(path, RATE) - before).max() > 0.1


def test_a_settled_file_is_not_even_read_again(sound, make_tone, cache, monkeypatch):
    path = sound("a.wav", make_tone(440, RATE, 0.5), RATE)
    os.utime(path, (LONG_AGO, LONG_AGO))
    expected = cache.content_hash(path)
    monkeypatch.setattr(cache_module, "content_hash", None)
    assert Cache(cache.folder).content_hash(path) == expected
    os.utime(path, (LONG_AGO, LONG_AGO + 1))  # touched: read again
    with pytest.raises(TypeError):
        Cache(cache.folder).content_hash(path)


def test_a_damaged_line_of_the_index_counts_for_nothing(sound, make_tone, cache):
    path = sound("a.wav", make_tone(440, RATE, 0.5), RATE)
    os.utime(path, (LONG_AGO, LONG_AGO))
    expected = cache.content_hash(path)
    index = cache.folder / "content-hashes.jsonl"
    index.write_text('["torn', encoding="utf-8")
    assert Cache(cache.folder).content_hash(path) == expected
    index.write_text("7\nnull\n{}\n[1, 2]\n", encoding="utf-8")
    assert Cache(cache.folder).content_hash(path) == expected


def test_a_damaged_entry_is_decoded_anew(sound, make_tone, cache):
    path = sound("a.wav", make_tone(440, RATE, 0.5), RATE)
    before = np.array(cache.waveform(path, RATE))
    [entry] = cache.folder.glob("*.npy")
    for damage in (b"", b"nonsense", entry.read_bytes()[:-100]):
        entry.write_bytes(damage)
        np.testing.assert_array_equal(Cache(cache.folder).waveform(path, RATE), before)


def test_the_hash_is_of_the_content(sound, make_tone):
    one = sound("a.wav", make_tone(440, RATE, 0.5), RATE)
    copy = shutil.copy(one, one.with_name("copy.wav"))
    other = sound("b.wav", make_tone(441, RATE, 0.5), RATE)
    assert content_hash(one) == content_hash(copy) != content_hash(other)
    assert len(content_hash(one)) == 40
    with pytest.raises(AudioError, match="there is no such file"):
        content_hash(one.with_name("absent.wav"))


def test_a_file_that_may_not_be_read_is_an_error(sound, make_tone, monkeypatch):
    path = sound("a.wav", make_tone(440, RATE, 0.5), RATE)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\)"):
        content_hash(path)


def test_the_entries_used_longest_ago_go_first_and_never_those_in_use(sound, make_tone, cache):
    paths = [sound(f"{n}.wav", make_tone(100 + n, RATE, 1.0), RATE) for n in range(4)]
    size = 4 * RATE + 128
    for age, path in enumerate(paths[:3]):
        Cache(cache.folder).waveform(path, RATE)
        entry = cache._entry(path, RATE)
        os.utime(entry, (LONG_AGO + age, LONG_AGO + age))
    small = Cache(cache.folder, max_bytes=int(3.4 * size))
    kept = small.waveform(paths[0], RATE)  # oldest on disk, but in use now
    small.waveform(paths[3], RATE)
    alive = [small._entry(path, RATE).exists() for path in paths]
    assert alive == [True, False, True, True]
    assert len(kept) == RATE
    tiny = Cache(cache.folder, max_bytes=1)
    tiny.waveform(paths[0], RATE)
    assert tiny.prepare(paths, RATE) == []
    assert all(tiny._entry(path, RATE).exists() for path in paths)  # all in use, so above the limit


def test_clear_frees_everything(sound, make_tone, cache, no_decoding):
    path = sound("a.wav", make_tone(440, RATE, 1.0), RATE)
    cache.waveform(path, RATE)
    assert cache.clear() == 4 * RATE + 128
    assert cache.n_bytes() == 0
    assert list(cache.folder.iterdir()) == []
    no_decoding()
    with pytest.raises(AssertionError, match="decoded again"):
        cache.waveform(path, RATE)


def test_clearing_a_cache_that_was_never_written_frees_nothing(tmp_path):
    assert Cache(tmp_path / "absent").clear() == 0


def test_prepare_decodes_each_sound_once_and_reports_the_failures_in_order(
    sound, make_tone, cache, tmp_path, no_decoding
):
    good = [sound(f"{n}.wav", make_tone(100 + n, RATE, 0.2), RATE) for n in range(5)]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound here")
    paths = [tmp_path / "absent.wav", *good, broken, good[0]]
    steps = []
    failures = cache.prepare(paths, RATE, threads=3, progress=lambda done, total: steps.append((done, total)))
    assert [path for path, _ in failures] == [tmp_path / "absent.wav", broken]
    assert "there is no such file" in failures[0][1]
    assert "not a sound that can be decoded" in failures[1][1]
    assert steps == [(n, 7) for n in range(1, 8)]
    no_decoding()
    assert all(len(cache.waveform(path, RATE)) == RATE // 5 for path in good)


def test_a_folder_that_cannot_be_written_to_is_a_clear_error(sound, make_tone, tmp_path):
    (tmp_path / "file").touch()
    path = sound("a.wav", make_tone(440, RATE, 0.2), RATE)
    with pytest.raises(ConfigError, match=r"cache cannot be written to \(.*\)\. Set EARMARK_CACHE"):
        Cache(tmp_path / "file" / "cache").waveform(path, RATE)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(sound, make_tone, cache, monkeypatch):
    path = sound("a.wav", make_tone(440, RATE, 0.2), RATE)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "_write_sound", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        cache.waveform(path, RATE)
    assert list(cache.folder.glob("*")) == []


def test_the_default_folder_is_the_environments_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "chosen"))
    assert Cache().folder == default_folder() == tmp_path / "chosen"
    monkeypatch.delenv("EARMARK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for platform, expected in (
        ("linux", tmp_path / "xdg" / "earmark"),
        ("win32", tmp_path / "local" / "earmark"),
        ("darwin", tmp_path / "Library" / "Caches" / "earmark"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert default_folder() == expected


def fill(folder: Path, paths: list[Path]) -> None:
    """What one of several processes does."""
    Cache(folder).prepare(paths, RATE)


def test_two_processes_may_fill_the_same_cache(sound, make_tone, cache, no_decoding):
    paths = [sound(f"{n}.wav", make_tone(100 + n, RATE, 0.5), RATE) for n in range(20)]
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=fill, args=(cache.folder, paths)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(cache.folder.glob("*.npy"))) == 20
    assert len(list(cache.folder.glob(".*"))) == 0  # no temporary left
    no_decoding()
    for path in paths:
        np.testing.assert_array_equal(cache.waveform(path, RATE), audio.load(path, RATE))


def test_the_size_limit_can_be_set_from_outside(tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_CACHE_GB", "0.5")
    assert Cache(tmp_path).max_bytes == 500_000_000
    monkeypatch.setenv("EARMARK_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="EARMARK_CACHE_GB: found 'much', expected a number of gigabytes"):
        Cache(tmp_path)
