"""The collection of everything that breaks audio tools: each file behaves as its index says, and none hangs."""

from __future__ import annotations

import csv
import functools
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "nasty.tar.gz"
RATE = 16_000
TOLERANCE_SECONDS = 0.06
# What there is of files that are marked "partial", and what their headers say; None where they do not say.
CUT_OFF = {"header_too_long.wav": (0.5, 2.0), "truncated.mp3": (1.0, None), "truncated.ogg": (0.0, None)}


@functools.cache
def index() -> dict[str, dict[str, str]]:
    """Rows of the collection's index by path; none where the collection is not there."""
    if not ARCHIVE.exists():
        return {}
    with tarfile.open(ARCHIVE) as archive:
        text = archive.extractfile("nasty/index.csv").read().decode("utf-8")
    return {row["path"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def marked(*answers: str) -> list[str]:
    """Paths of the files that the index marks so. An absent collection is a skipped test."""
    return [path for path, row in index().items() if row["should_decode"] in answers] or ["absent"]


def seconds(path: Path) -> float:
    """Duration by decoding to the end."""
    return sum(len(block) for block in audio.blocks(path, RATE)) / RATE


def test_the_index_is_complete():
    if not ARCHIVE.exists():
        pytest.skip(f"{ARCHIVE} is not there")
    assert len(index()) > 60
    assert set(CUT_OFF) | {"data_size_zero.wav"} == set(marked("partial"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted({*marked("yes")} - {"nan.wav"}))
def test_what_should_decode_decodes_to_its_length(nasty, without_av, name):
    expected = float(index()[name]["expected_duration_s"])
    assert abs(seconds(nasty / name) - expected) < TOLERANCE_SECONDS
    assert abs(audio.probe(nasty / name).seconds - expected) < TOLERANCE_SECONDS


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", marked("no"))
@pytest.mark.parametrize("with_av", [True, False])
def test_what_is_no_sound_is_an_error_that_names_it(nasty, request, with_av, name):
    if not with_av:
        request.getfixturevalue("without_av")
    for read in (seconds, audio.probe, lambda path: list(audio.read_frames(path))):
        with pytest.raises(AudioError) as caught:
            read(nasty / name)
        assert str(caught.value).startswith(f"{nasty / name}: ")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", marked("optional"))
def test_what_libsndfile_does_not_know_is_decoded_by_pyav(nasty, name):
    pytest.importorskip("av")
    expected = float(index()[name]["expected_duration_s"])
    assert abs(seconds(nasty / name) - expected) < TOLERANCE_SECONDS
    assert abs(audio.probe(nasty / name).seconds - expected) < TOLERANCE_SECONDS


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", marked("optional"))
def test_without_pyav_the_error_says_how_to_get_it(nasty, without_av, name):
    with pytest.raises(AudioError, match=r"needs the PyAV package to decode. pip install 'earmark\[media\]'"):
        seconds(nasty / name)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", CUT_OFF)
def test_what_is_cut_off_says_how_much_is_there(nasty, without_av, name):
    readable, claimed = CUT_OFF[name]
    with pytest.raises(audio.CutOffError) as caught:
        seconds(nasty / name)
    assert abs(caught.value.readable_seconds - readable) < TOLERANCE_SECONDS
    assert caught.value.claimed_seconds == claimed
    if readable:
        assert len(audio.load(nasty / name, RATE, end=readable / 2)) == readable / 2 * RATE


@pytest.mark.timeout(60)
def test_a_wav_that_was_streamed_is_read_whole(nasty):
    assert seconds(nasty / "data_size_zero.wav") == 2.0
    assert audio.probe(nasty / "data_size_zero.wav").seconds == 2.0


def test_nan_never_becomes_a_score_but_can_be_counted(nasty):
    with pytest.raises(AudioError, match="no number"):
        seconds(nasty / "nan.wav")
    assert sum(int(np.isnan(frames).sum()) for frames in audio.read_frames(nasty / "nan.wav")) == 10


def test_opposite_channels_cancel_in_the_mean_and_not_in_the_frames(nasty):
    frames = np.concatenate(list(audio.read_frames(nasty / "stereo_antiphase.wav")))
    assert np.abs(frames).max(axis=0).min() > 0.1
    assert np.abs(audio.load(nasty / "stereo_antiphase.wav", RATE)).max() < 0.01 * np.abs(frames).max()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["vbr_noxing.mp3", "chained.ogg"])
def test_what_libsndfile_leaves_out_is_heard(nasty, name):
    waveform = audio.load(nasty / name, RATE)
    tail = waveform[-RATE // 2 : -RATE // 10]  # libsndfile alone stops 0.5 and 2 s before the end
    assert np.sqrt(np.mean(tail**2)) > 0.25 * np.sqrt(np.mean(waveform**2))
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(nasty / name, RATE, block_seconds=0.1))), waveform)
    region = audio.load(nasty / name, RATE, start=1.75)
    np.testing.assert_allclose(region[500:], waveform[-len(region) + 500 :], atol=1e-4)


def test_sounds_are_known_by_suffix_or_first_bytes(nasty):
    sounds = {name for name in index() if audio.is_sound(nasty / name)}
    assert "no_extension" in sounds
    assert {name for name in index() if Path(name).suffix.lower() in (".wav", ".mp3", ".m4a")} - sounds == {
        "folder.wav"
    }
    assert not {"names/.DS_Store", "empty_folder", "folder.wav"} & sounds
