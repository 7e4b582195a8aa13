from __future__ import annotations

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio import sound as sound_module
from earmark.errors import AudioError

RATE = 16_000

# Name, libsndfile's options, rate, largest error of a tone.
EXACT_FORMATS = [
    ("u8.wav", {"subtype": "PCM_U8"}, 44_100, 1 / 128),
    ("s16.wav", {"subtype": "PCM_16"}, 44_100, 1 / 32_768),
    ("s24.wav", {"subtype": "PCM_24"}, 44_100, 1 / 2**23),
    ("s32.wav", {"subtype": "PCM_32"}, 44_100, 1e-7),
    ("float.wav", {"subtype": "FLOAT"}, 44_100, 0),
    ("double.wav", {"subtype": "DOUBLE"}, 44_100, 0),
    ("mu.wav", {"subtype": "ULAW"}, 44_100, 0.02),
    ("a.wav", {"subtype": "ALAW"}, 44_100, 0.02),
    ("16.flac", {"subtype": "PCM_16"}, 44_100, 1 / 32_768),
    ("24.flac", {"subtype": "PCM_24"}, 44_100, 1 / 2**23),
    ("be.aiff", {"subtype": "PCM_16"}, 44_100, 1 / 32_768),
    ("sun.au", {"subtype": "PCM_16"}, 44_100, 1 / 32_768),
]
# Lossy codecs keep a tone, not each sample.
LOSSY_FORMATS = [
    ("layer3.mp3", {"format": "MP3", "subtype": "MPEG_LAYER_III"}, 44_100),
    ("vorbis.ogg", {"format": "OGG", "subtype": "VORBIS"}, 44_100),
    ("opus.opus", {"format": "OGG", "subtype": "OPUS"}, 48_000),
]


def level(waveform: np.ndarray) -> float:
    """Root mean square of the middle half, in dB."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4].astype(np.float64)
    return 10 * np.log10(np.mean(middle**2))


def peak_frequency(waveform: np.ndarray, sample_rate: int) -> float:
    """Of the strongest bin of a Hann spectrum, Hz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax() * sample_rate / len(waveform))


@pytest.mark.parametrize(("name", "options", "rate", "error"), EXACT_FORMATS, ids=lambda value: str(value))
def test_pcm_formats_come_back_within_their_quantisation(sound, make_tone, name, options, rate, error):
    original = make_tone(440, rate, 0.7)
    decoded = audio.load(sound(name, original, rate, **options), rate)
    assert decoded.dtype == np.float32
    assert decoded.shape == original.shape
    assert np.abs(decoded - original).max() <= error


@pytest.mark.parametrize(("name", "options", "rate"), LOSSY_FORMATS, ids=lambda value: str(value))
def test_lossy_formats_keep_length_pitch_and_level(sound, make_tone, name, options, rate):
    original = make_tone(1000, rate, 2.0)
    decoded = audio.load(sound(name, original, rate, **options), rate)
    assert abs(len(decoded) - len(original)) <= 1
    assert abs(peak_frequency(decoded, rate) - 1000) < 1
    assert abs(level(decoded) - level(original)) < 0.3


def test_a_tone_keeps_frequency_and_level_at_any_rate(sound, make_tone):
    original = make_tone(440, 44_100, 2.0)
    path = sound("tone.wav", original, 44_100, subtype="FLOAT")
    for rate in (8_000, 16_000, 22_050, 32_000, 48_000):
        decoded = audio.load(path, rate)
        assert len(decoded) == 2 * rate
        assert abs(peak_frequency(decoded, rate) - 440) < 0.5
        assert abs(level(decoded) - level(original)) < 0.01


def test_stereo_is_averaged_not_interleaved(sound, make_tone):
    left, right = make_tone(300, RATE, 0.5), make_tone(1700, RATE, 0.5, amplitude=0.25)
    path = sound("stereo.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(path, RATE), (left + right) / 2, atol=1e-7)


def test_one_silent_channel_of_two_halves_the_level(sound, make_tone):
    left = make_tone(300, RATE, 1.0)
    path = sound("half.wav", np.stack([left, 0 * left], axis=1), RATE, subtype="FLOAT")
    assert abs(level(audio.load(path, RATE)) - (level(left) - 20 * np.log10(2))) < 1e-3


def test_six_channels_are_averaged(sound, make_tone):
    channels = np.stack([make_tone(100 * n, RATE, 0.3, 0.1 * n) for n in range(1, 7)], axis=1)
    path = sound("surround.wav", channels, RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(path, RATE), channels.mean(axis=1), atol=1e-6)


def test_codec_overshoot_above_full_scale_is_kept(sound, make_tone):
    path = sound("loud.wav", make_tone(440, RATE, 0.5, amplitude=8.0), RATE, subtype="FLOAT")
    assert audio.load(path, RATE).max() > 7.9


@pytest.mark.parametrize(("name", "options", "rate"), [*LOSSY_FORMATS, ("s.wav", {}, 44_100), ("s.flac", {}, 22_050)])
@pytest.mark.parametrize("block_seconds", [0.00005, 0.0377, 1.0, 100.0])
def test_blocks_are_load_in_pieces_bit_for_bit(sound, make_tone, monkeypatch, name, options, rate, block_seconds):
    monkeypatch.setattr(sound_module, "READ_SAMPLES", 10_007)
    stereo = np.stack([make_tone(440, rate, 1.1), make_tone(1234, rate, 1.1)], axis=1)
    path = sound(name, stereo, rate, **options)
    pieces = list(audio.blocks(path, RATE, block_seconds=block_seconds))
    assert max(len(piece) for piece in pieces) <= max(1, round(block_seconds * RATE))
    assert min(len(piece) for piece in pieces) > 0
    np.testing.assert_array_equal(np.concatenate(pieces), audio.load(path, RATE))


@pytest.mark.parametrize(("name", "options", "rate"), [*LOSSY_FORMATS, ("s.wav", {}, 44_100)])
def test_the_size_of_a_read_does_not_change_the_samples(sound, make_tone, monkeypatch, name, options, rate):
    path = sound(name, make_tone(440, rate, 2.0), rate, **options)
    whole = audio.load(path, RATE)
    monkeypatch.setattr(sound_module, "READ_SAMPLES", 4_001)
    np.testing.assert_array_equal(audio.load(path, RATE), whole)


@pytest.mark.parametrize(("name", "options", "rate"), [*LOSSY_FORMATS, ("s.wav", {}, 44_100), ("s.flac", {}, 48_000)])
def test_a_region_is_a_slice_of_the_whole(sound, make_tone, name, options, rate):
    path = sound(name, make_tone(440, rate, 2.0), rate, **options)
    whole = audio.load(path, rate)
    region = audio.load(path, rate, start=0.5, end=1.25)
    np.testing.assert_allclose(region, whole[rate // 2 : rate // 4 * 5], atol=1e-5)
    np.testing.assert_allclose(audio.load(path, rate, start=1.5), whole[rate // 2 * 3 :], atol=1e-5)


def test_a_resampled_region_has_its_length_and_inner_samples(sound, make_tone):
    path = sound("tone.wav", make_tone(440, 44_100, 3.0), 44_100)
    whole, region = audio.load(path, RATE), audio.load(path, RATE, start=1.0, end=2.5)
    assert len(region) == round(1.5 * RATE)
    np.testing.assert_allclose(region[200:-200], whole[RATE + 200 : 5 * RATE // 2 - 200], atol=1e-4)


def test_an_end_rounded_to_two_decimals_is_the_end_of_the_file(sound, make_tone):
    path = sound("short.wav", make_tone(440, RATE, 1.0)[:-50], RATE)
    assert len(audio.load(path, RATE, end=1.0)) == RATE - 50


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (0.0, 1.5, r"end 1\.5 s is beyond its length of 1\.000 s"),
        (1.0, None, r"start 1 s is not before its end at 1\.000 s"),
        (7.0, 8.0, r"start 7 s is not before its end"),
        (0.5, 0.5, r"region 0\.5 s to 0\.5 s is empty or negative"),
        (-0.1, None, r"region -0\.1 s to the end is empty or negative"),
    ],
)
def test_a_region_outside_the_file_is_an_error(sound, make_tone, start, end, reason):
    path = sound("second.wav", make_tone(440, RATE, 1.0), RATE)
    with pytest.raises(AudioError, match=reason):
        audio.load(path, RATE, start=start, end=end)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_an_error_with_its_time(sound, make_tone, value):
    samples = make_tone(440, RATE, 1.0)
    samples[RATE // 4] = value
    path = sound("nan.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"no number at 0\.250 s"):
        audio.load(path, RATE)


def test_a_double_beyond_float32_is_an_error(sound):
    samples = np.zeros(100)
    samples[50] = 1e300
    with pytest.raises(AudioError, match="no number"):
        audio.load(sound("huge.wav", samples, RATE, subtype="DOUBLE"), RATE)


def test_a_cut_flac_is_an_error_never_a_shorter_sound(sound, make_tone):
    path = sound("cut.flac", make_tone(440, 44_100, 3.0), 44_100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(audio.CutOffError, match=r"is damaged at or after .* s \(.*flac") as caught:
        audio.load(path, RATE)
    readable = caught.value.readable_seconds
    assert 1 < readable < 2
    assert caught.value.claimed_seconds == 3
    assert len(audio.load(path, 44_100, end=1.0)) == 44_100
    before = []
    with pytest.raises(audio.CutOffError, match="is damaged"):
        for block in audio.blocks(path, 44_100):
            before.append(len(block))
    assert sum(before) == round(readable * 44_100)  # what is there comes before the error


def test_frames_keep_channels_apart_and_pass_on_what_is_no_number(sound, make_tone):
    samples = np.stack([make_tone(440, RATE, 1.0), -make_tone(440, RATE, 1.0)], axis=1)
    samples[100, 1] = np.nan
    path = sound("antiphase.wav", samples, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(np.concatenate(list(audio.read_frames(path))), samples)
    region = np.concatenate(list(audio.read_frames(path, 0.25, 0.5)))
    np.testing.assert_array_equal(region, samples[RATE // 4 : RATE // 2])
    assert np.abs(audio.load(path, RATE, start=0.1)).max() == 0  # the mean of the channels
    with pytest.raises(AudioError, match="no number"):
        audio.load(path, RATE)


def test_an_mp3_shorter_than_its_header_says_is_an_error_but_its_beginning_can_be_read(sound, make_tone):
    path = sound("cut.mp3", make_tone(440, 44_100, 4.0), 44_100, format="MP3", subtype="MPEG_LAYER_III")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(audio.CutOffError, match=r"stops at [12]\.\d\d s \(expected sound until 4\.00 s\)") as caught:
        audio.load(path, RATE)
    assert 1 < caught.value.readable_seconds < 3
    assert caught.value.claimed_seconds == 4
    assert len(audio.load(path, RATE, end=1.0)) == RATE


def test_a_hole_in_an_opus_file_is_an_error(sound, make_tone):
    path = sound("hole.opus", make_tone(440, 48_000, 4.0), 48_000, format="OGG", subtype="OPUS")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 400] = bytes(400)
    path.write_bytes(damaged)
    with pytest.raises(AudioError, match="cut off or damaged"):
        audio.load(path, RATE)


def flac_of_unknown_length(path) -> None:
    """As an encoder leaves it that wrote to a pipe: no number of samples in the stream's header."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


def test_a_stream_of_unknown_length_is_read_to_its_end(sound, make_tone):
    original = make_tone(440, RATE, 1.5)
    path = sound("piped.flac", original, RATE)
    flac_of_unknown_length(path)
    assert soundfile.info(path).frames > 2**62
    np.testing.assert_allclose(audio.load(path, RATE), original, atol=1e-4)
    assert len(audio.load(path, RATE, start=0.5, end=1.0)) == RATE // 2
    with pytest.raises(AudioError, match=r"stops at 1\.50 s \(expected sound until 9\.00 s\)"):
        audio.load(path, RATE, end=9.0)


def test_a_sound_too_short_for_one_sample_gives_one(sound):
    path = sound("click.wav", np.array([0.25, 0.75], dtype=np.float32), 192_000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(path, 8_000), np.array([0.5], dtype=np.float32))
    assert [len(block) for block in audio.blocks(path, 8_000)] == [1]


def test_memory_does_not_grow_with_the_recording(sound):
    """Blocks of a sparse hour of silence: what is held at any time is a block, not the hour."""
    import tracemalloc

    path = sound("hour.wav", np.zeros(RATE * 600, dtype=np.float32), RATE)
    tracemalloc.start()
    n_samples = sum(len(block) for block in audio.blocks(path, RATE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_samples == RATE * 600
    assert peak < 12e6  # the whole would be 38 MB
