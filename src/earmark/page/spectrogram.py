"""Spectrogram: a waveform as a picture with its axes in HTML text, so that they stay legible at any width."""

from __future__ import annotations

import base64
import html
import struct
import zlib

import numpy as np

N_COLUMNS = 640
N_ROWS = 160
RANGE_DB = 75.0
FAINT_DB = -40.0  # the peak of a sound near -95 dB below full scale: fainter ones stay dark, silence is black
WINDOW_SECONDS = 0.046
LIGHT, LIGHT_OPACITY = (94, 234, 212), 0.8  # of a highlight: a green that the map of colours does not have

# Every 16th colour of matplotlib's magma (perceptually uniform, also in greyscale), and its last.
MAGMA = (
    "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 "
    "d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf"
)


def spectrogram(waveform: np.ndarray, sample_rate: int, *, alt: str, over: str = "") -> str:
    """HTML of a spectrogram with time in seconds and frequency in kHz, spaced as on the mel scale.

    Args:
        waveform: (samples,) float, mono.
        sample_rate: Hz.
        alt: what is seen, in words.
        over: HTML that lies over the picture, such as `highlight` gives.
    """
    top_hz = sample_rate / 2
    kilohertz = [khz for khz in (0.5, 1, 2, 4, 8, 16) if 1000 * khz < 0.95 * top_hz]
    heights = [100 * mel(1000 * khz) / mel(top_hz) for khz in kilohertz]
    seconds = len(waveform) / sample_rate
    times = _round_times(seconds)
    return (
        '<div class="spectrogram"><div class="kilohertz" aria-hidden="true">'
        + _ticks(kilohertz, heights, "kHz", "bottom")
        + f'</div><div class="picture"><img alt="{html.escape(alt)}" src="'
        + spectrogram_uri(waveform, sample_rate)
        + f'">{over}</div><div class="seconds" aria-hidden="true">'
        + _ticks(times, [100 * time / seconds for time in times], "s", "left")
        + "</div></div>"
    )


def log_mel(decibels: np.ndarray, *, alt: str) -> str:
    """HTML of what a network sees (mels, frames) in dB, without axes.

    Args:
        alt: what is seen, in words.
    """
    uri = picture_uri(decibels, float(decibels.max(initial=FAINT_DB)))
    return (
        '<div class="spectrogram seen"><div class="kilohertz" aria-hidden="true"></div><div class="picture">'
        f'<img alt="{html.escape(alt)}" src="{uri}"></div></div>'
    )


def highlight(shares: np.ndarray, top_hz: float, picture_hz: float) -> str:
    """HTML that lights up parts of a spectrogram's picture.

    Args:
        shares: (bands, times) in [0, 1], low bands first, spaced evenly in mel and over the whole time.
        top_hz: where the highest band ends.
        picture_hz: where the picture ends, at least as high.
    """
    levels = np.round(255 * np.clip(shares, 0.0, 1.0)).astype(np.uint8)[::-1]
    colours = np.tile(np.array(LIGHT, dtype=np.uint8), (256, 1))
    png = _indexed_png(levels, colours, opacity=np.round(np.arange(256) * LIGHT_OPACITY).astype(np.uint8))
    height = 100 * float(mel(top_hz) / mel(picture_hz))
    uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return f'<img class="highlight" alt="" style="height:{min(height, 100.0):.1f}%" src="{uri}">'


def _ticks(values: list[float], positions: list[float], unit: str, side: str) -> str:
    """HTML of an axis' numbers at their positions (percent from `side`), the last one with its unit."""
    texts = [f"{value:g}" for value in values[:-1]] + [f"{value:g} {unit}" for value in values[-1:]]
    return "".join(
        f'<span style="{side}:{position:.1f}%">{text}</span>'
        for text, position in zip(texts, positions, strict=True)
    )


def spectrogram_uri(waveform: np.ndarray, sample_rate: int) -> str:
    """The picture alone as a PNG's data URI: mel-spaced rows, low at the bottom, 75 dB below the peak."""
    decibels = mel_decibels(waveform, sample_rate)
    return picture_uri(decibels, max(decibels.max(), FAINT_DB))


def picture_uri(decibels: np.ndarray, brightest_db: float) -> str:
    """A spectrogram in dB (rows, columns), low ones first, as a PNG's data URI; 75 dB below the brightest is black."""
    levels = np.clip((decibels - brightest_db) / RANGE_DB + 1.0, 0.0, 1.0)
    indices = np.round(255 * levels).astype(np.uint8)[::-1]
    return "data:image/png;base64," + base64.b64encode(_indexed_png(indices, _palette())).decode("ascii")


def mel_decibels(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power in dB, (N_ROWS, columns), low frequencies first; each row is the mean over its mel band."""
    n_fft = 2 ** round(np.log2(WINDOW_SECONDS * sample_rate))
    hop_length = max(n_fft // 8, -(-len(waveform) // N_COLUMNS))
    padded = np.pad(np.asarray(waveform, dtype=np.float32), n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    power = np.abs(np.fft.rfft(frames * np.hanning(n_fft).astype(np.float32))) ** 2
    edges_hz = hertz(np.linspace(0.0, mel(sample_rate / 2), N_ROWS + 1))
    # The running integral over frequency (bin k is k ± 1/2), read at the band edges: right for any width.
    integral = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1)], axis=1)
    at = edges_hz / (sample_rate / n_fft) + 0.5
    low = np.minimum(at.astype(int), power.shape[1] - 1)
    read = integral[:, low] + (at - low) * (integral[:, low + 1] - integral[:, low])
    bands = np.diff(read, axis=1) / np.diff(at)
    return 10.0 * np.log10(np.maximum(bands.T, 1e-30))


def mel(frequency_hz: float | np.ndarray):
    """Hz to mel. Source: O'Shaughnessy 1987."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0)


def hertz(mel: np.ndarray) -> np.ndarray:
    """Mel to Hz, what `mel` undoes."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def _round_times(seconds: float) -> list[float]:
    """At most eight round times from 0 up to `seconds`, none of them at the right edge."""
    exponents = range(-3, 7)
    step = next(
        base * 10.0**exponent
        for exponent in exponents
        for base in (1, 2, 5)
        if seconds / (base * 10.0**exponent) <= 7
    )
    return [round(step * number, 6) for number in range(8) if step * number <= 0.95 * seconds]


def _palette() -> np.ndarray:
    """The 256 colours of the map, (256, 3) uint8, linear between the written ones."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in MAGMA.split()], dtype=float)
    positions = np.append(np.arange(0, 256, 16), 255)
    return (
        np.stack([np.interp(np.arange(256), positions, channel) for channel in anchors.T], axis=1)
        .round()
        .astype(np.uint8)
    )


def _indexed_png(indices: np.ndarray, palette: np.ndarray, opacity: np.ndarray | None = None) -> bytes:
    """A PNG file of 8-bit indexed colour.

    Args:
        indices: (height, width) uint8.
        palette: (256, 3) uint8.
        opacity: (256,) uint8 of each colour; None = all opaque.

    Source: PNG specification (ISO/IEC 15948), chunks IHDR, PLTE, tRNS, IDAT, IEND; filter 0 on every row.
    """
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), indices], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        *([] if opacity is None else [(b"tRNS", opacity.tobytes())]),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
