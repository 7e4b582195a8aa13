"""Player: a waveform as an <audio> element that carries its own sound."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
import soundfile

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
MAX_LOSSLESS_BYTES = 400_000


def audio_uri(waveform: np.ndarray, sample_rate: int, max_lossless_bytes: int = MAX_LOSSLESS_BYTES) -> str:
    """The sound as a data URI: FLAC, or MP3 where FLAC would be large. Every current browser plays both.

    Args:
        waveform: (samples,) float, mono; louder than full scale is scaled down, not clipped.
        sample_rate: Hz; MP3 exists at its own nine rates only, other rates stay FLAC.
        max_lossless_bytes: the largest FLAC file kept.
    """
    peak = float(np.max(np.abs(waveform), initial=0.0))
    audible = waveform / peak if peak > 1.0 else waveform
    encoded, kind = _encode(audible, sample_rate, "FLAC", "PCM_16"), "audio/flac"
    if len(encoded) > max_lossless_bytes and sample_rate in MP3_RATES:
        encoded, kind = _encode(audible, sample_rate, "MP3", "MPEG_LAYER_III"), "audio/mpeg"
    return f"data:{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def _encode(waveform: np.ndarray, sample_rate: int, container: str, subtype: str) -> bytes:
    """The bytes of an audio file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, sample_rate, format=container, subtype=subtype)
    return buffer.getvalue()


def player(waveform: np.ndarray, sample_rate: int, *, name: str) -> str:
    """HTML of a player for `waveform` (samples,) at `sample_rate` Hz; screen readers read `name` out."""
    source = audio_uri(waveform, sample_rate)
    return f'<audio controls preload="metadata" aria-label="{html.escape(name)}" src="{source}"></audio>'
