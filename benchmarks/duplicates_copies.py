"""Copies of sounds as the world makes them, and the clips in which `duplicates.py` plants them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile

from earmark.audio import load
from earmark.audio.resample import resample

ESC_RATE, RATE = 16_000, 44_100
Sound = tuple[np.ndarray, int]


def through_av(sound: Sound, codec: str, container: str, bit_rate: int, rate: int) -> Sound:
    """Encoded by FFmpeg's codec at a bit rate, and decoded."""
    waveform = (np.clip(resample(*sound, rate), -1, 1) * 32767).astype(np.int16)[None]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        context = stream.codec_context
        context.open()
        frame = av.AudioFrame.from_ndarray(waveform, format="s16", layout="mono")
        frame.sample_rate = rate
        into = av.AudioResampler(context.format.name, "mono", rate, frame_size=context.frame_size or 1024)
        for piece in [*into.resample(frame), *into.resample(None), None]:
            output.mux(stream.encode(piece))
    file.seek(0)
    with av.open(file) as source:
        back = av.AudioResampler("flt", "mono", rate)
        pieces = [piece.to_ndarray()[0] for frame in source.decode(audio=0) for piece in back.resample(frame)]
    return np.concatenate(pieces), rate


def vorbis(sound: Sound, level: float) -> Sound:
    file = io.BytesIO()
    soundfile.write(file, np.clip(sound[0], -1, 1), sound[1], format="OGG", subtype="VORBIS", compression_level=level)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def noise(sound: Sound, snr_db: float, draw: np.random.Generator) -> Sound:
    amplitude = np.sqrt(np.mean(sound[0] ** 2) * 10 ** (-snr_db / 10))
    return sound[0] + np.float32(amplitude) * draw.standard_normal(len(sound[0]), np.float32), sound[1]


def excerpt(sound: Sound, n_samples: float, draw: np.random.Generator) -> Sound:
    """A piece drawn among those that have at least a tenth of the loudest piece's energy."""
    waveform, n = sound[0], max(1, min(len(sound[0]), int(n_samples)))
    energy = np.cumsum(np.concatenate([[0], waveform.astype(float) ** 2]))
    energy = energy[n:] - energy[:-n]
    first = int(draw.choice(np.flatnonzero(energy >= 0.1 * energy.max())))
    return waveform[first : first + n], sound[1]


def shifted(sound: Sound, draw: np.random.Generator) -> Sound:
    """The first half, after a lead-in of faint noise as long as the other half."""
    n = len(sound[0]) // 2 + int(draw.integers(1000))
    lead = 1e-3 * draw.standard_normal(n, np.float32)
    return np.concatenate([lead, sound[0]])[: len(sound[0])], sound[1]


def padded(sound: Sound, draw: np.random.Generator) -> Sound:
    before, after = draw.integers(1, 3 * sound[1], 2)
    return np.pad(sound[0], (before, after)), sound[1]


def stereo(sound: Sound, draw: np.random.Generator) -> Sound:
    """Two microphones 10 cm apart averaged: a delay of up to 0.3 ms, unlike levels."""
    delay = int(draw.integers(0, sound[1] // 3300 + 1))
    return 0.5 * (sound[0] + 0.6 * np.concatenate([np.zeros(delay, np.float32), sound[0]])[: len(sound[0])]), sound[1]


KINDS: dict[str, Callable[[Sound, np.random.Generator], Sound]] = {
    "gain −30 dB": lambda s, draw: (s[0] * np.float32(10**-1.5), s[1]),
    "polarity flipped": lambda s, draw: (-s[0], s[1]),
    "two microphones averaged": stereo,
    "resampled to 22.05 kHz": lambda s, draw: (resample(*s, 22_050), 22_050),
    "telephone: 8 kHz, µ-law": lambda s, draw: through_av(s, "pcm_mulaw", "wav", 64_000, 8000),
    "telephone: AMR-NB 12.2 kbit/s": lambda s, draw: through_av(s, "libopencore_amrnb", "amr", 12_200, 8000),
    "Opus 24 kbit/s": lambda s, draw: through_av(s, "libopus", "ogg", 24_000, 48_000),
    "Opus 12 kbit/s": lambda s, draw: through_av(s, "libopus", "ogg", 12_000, 48_000),
    "MP3 64 kbit/s": lambda s, draw: through_av(s, "libmp3lame", "mp3", 64_000, 44_100),
    "MP3 32 kbit/s": lambda s, draw: through_av(s, "libmp3lame", "mp3", 32_000, 22_050),
    "MP3 16 kbit/s": lambda s, draw: through_av(s, "libmp3lame", "mp3", 16_000, 16_000),
    "AAC 32 kbit/s": lambda s, draw: through_av(s, "aac", "adts", 32_000, 44_100),
    "Vorbis, lowest quality": lambda s, draw: vorbis(s, 1.0),
    "noise at 20 dB": lambda s, draw: noise(s, 20, draw),
    "noise at 10 dB": lambda s, draw: noise(s, 10, draw),
    "noise at 0 dB": lambda s, draw: noise(s, 0, draw),
    "zeros around it": padded,
    "shifted by half": shifted,
    "cut to half": lambda s, draw: excerpt(s, len(s[0]) / 2, draw),
    "cut to half, MP3 32 kbit/s, −10 dB": lambda s, draw: (
        through_av(excerpt(s, len(s[0]) / 2, draw), "libmp3lame", "mp3", 32_000, 22_050)[0] * np.float32(0.3),
        22_050,
    ),
    "cut to 1 s": lambda s, draw: excerpt(s, s[1], draw),
    "cut to 0.5 s": lambda s, draw: excerpt(s, s[1] / 2, draw),
    "cut to 0.3 s": lambda s, draw: excerpt(s, 0.3 * s[1], draw),
    "0.3 s against 0.3 s, Opus 24 kbit/s": lambda s, draw: through_av(s, "libopus", "ogg", 24_000, 48_000),
    "speed + 0.1 %": lambda s, draw: (resample(*s, 100_000)[: len(s[0]) * 100_000 // s[1]], 100_100),
}


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def collections(data: Path) -> dict[str, list[Sound]]:
    """The clips in which copies are planted."""
    draw, found = np.random.default_rng(0), {}
    for name, rate, n in (("esc50", ESC_RATE, 150), ("esc10", RATE, 50)):
        rows = [row for row in rows_of(data / name / "esc50.csv") if row["fold"] in "45"]
        names = [rows[i]["filename"] for i in draw.permutation(len(rows))[:n]]
        found[name] = [(load(data / name / "audio" / each, rate), rate) for each in names]
    paths = sorted((data / "instruments" / "audio").iterdir())
    found["instruments"] = [(load(paths[i], RATE), RATE) for i in draw.permutation(len(paths))[:100]]
    found["drums"] = [(load(path, RATE), RATE) for path in sorted((data / "drums" / "audio").iterdir())]
    return found


def make_copies(sounds: Sequence[Sound], kind: str, first: int = 0) -> tuple[list[Sound], list[Sound]]:
    """Originals and their copies; what is drawn for each depends on its number, which counts from `first`."""
    draws = [np.random.default_rng([first + i, len(kind), 7]) for i in range(len(sounds))]
    if kind.startswith("0.3 s"):
        sounds = [excerpt(sound, 0.3 * sound[1], draw) for sound, draw in zip(sounds, draws, strict=True)]
    return list(sounds), [KINDS[kind](sound, draw) for sound, draw in zip(sounds, draws, strict=True)]
