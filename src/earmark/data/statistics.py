"""What the samples of one clip say, gathered block by block in memory that does not grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIXTEEN_BITS = 2.0**-15
STEPS = {"PCM_U8": 2.0**-7, "PCM_S8": 2.0**-7, "ULAW": 2.0**-5, "ALAW": 2.0**-5}  # near full scale
LOWEST_RAIL = 0.1  # no sound is clipped below −20 dB of full scale
FLAT_SAMPLES = 3  # of one value make a flat top
SMOOTH_STEPS = 4  # a smooth peak leaves its flat top by less than this many quantisation steps

N_FFT = 2048
FRAMES_PER_BLOCK = 8  # of those whose spectrum is taken
PRESENT_DB = -75.0  # against the strongest band: what lies lower everywhere above is not there
BANDS = 64
OCTAVES = (0, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)  # Hz: lower edges; the last reaches to the top


@dataclass(frozen=True)
class ClipStatistics:
    """One clip in numbers.

    sample_rate: Hz. n_channels, n_samples: counts, samples per channel.
    peak: the largest magnitude. swing: half of the widest range that a channel has, which a constant does not widen.
    rms: over all channels, without their means. offset: the mean of the channel where it is farthest from 0.
    mix_ratio: power of the mono mix over that of as many unrelated channels; 1 for those, 0 if the mix cancels out.
    n_flat: samples in flat tops at the clip's own extremes, over all channels.
    n_not_finite: NaN and infinities, which the other numbers leave out; not_finite_seconds: where the first is.
    bandwidth_hz: up to where there is any sound; nan for silence or less than 2,048 samples.
    octaves_db: level of the bands that begin at OCTAVES against the whole; nan where nothing was or can be heard.
    """

    sample_rate: int
    n_channels: int
    n_samples: int
    peak: float
    swing: float
    rms: float
    offset: float
    mix_ratio: float
    n_flat: int
    n_not_finite: int
    not_finite_seconds: float
    bandwidth_hz: float
    octaves_db: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate

    @property
    def flat_share(self) -> float:
        """Share of all samples that lie in flat tops."""
        return self.n_flat / max(1, self.n_samples * self.n_channels)


class StatisticsStream:
    """Gathers the statistics of a clip that arrives in blocks.

    Args:
        sample_rate: Hz.
        n_channels: of every block.
        subtype: libsndfile's word for the samples' format, which tells their quantisation.

    >>> stream = StatisticsStream(8000, 1)
    >>> stream.push(np.full((8000, 1), 0.25, dtype=np.float32))
    >>> stream.finish().offset, stream.finish().swing
    (0.25, 0.0)
    """

    def __init__(self, sample_rate: int, n_channels: int, subtype: str = ""):
        self.sample_rate = sample_rate
        self.n_channels = n_channels
        self._step = STEPS.get(subtype, SIXTEEN_BITS)
        self._n_samples = 0
        self._low, self._high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
        self._sum, self._squares, self._mix_squares = np.zeros(n_channels), np.zeros(n_channels), 0.0
        self._rails = [_Rail(self._step) for _ in range(2 * n_channels)]
        self._n_not_finite, self._first_not_finite = 0, 0
        self._power = np.zeros(N_FFT // 2 + 1)

    def push(self, frames: np.ndarray) -> None:
        """Take float32 (samples, channels)."""
        if not len(frames):
            return
        finite = np.isfinite(frames)
        if not finite.all():
            if not self._n_not_finite:
                self._first_not_finite = self._n_samples + int(np.argmin(finite.all(axis=1)))
            self._n_not_finite += int(finite.size - np.count_nonzero(finite))
            frames = np.where(finite, frames, np.float32(0.0))
        low, high = frames.min(axis=0), frames.max(axis=0)
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._sum += frames.sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("sc,sc->c", frames, frames, dtype=np.float64)
        mix = frames[:, 0] if self.n_channels == 1 else frames.mean(axis=1, dtype=np.float32)
        self._mix_squares += float(np.dot(mix, mix))
        for channel in range(self.n_channels):
            self._rails[2 * channel].look(frames[:, channel], high[channel], 1)
            self._rails[2 * channel + 1].look(frames[:, channel], -low[channel], -1)
        self._listen_up(mix)
        self._n_samples += len(frames)

    def _listen_up(self, mix: np.ndarray) -> None:
        """Add the spectra of some frames, evenly spread over the block."""
        if len(mix) < N_FFT:
            return
        starts = np.linspace(0, len(mix) - N_FFT, min(FRAMES_PER_BLOCK, len(mix) // N_FFT)).astype(int)
        frames = np.stack([mix[start : start + N_FFT] for start in starts])
        self._power += (np.abs(np.fft.rfft(frames * np.hanning(N_FFT))) ** 2).sum(axis=0)

    def finish(self) -> ClipStatistics:
        """The statistics of all that was pushed."""
        n = max(1, self._n_samples)
        means = self._sum / n
        powers = np.maximum(self._squares / n - means**2, 0.0)
        mix_power = max(self._mix_squares / n - float(means.mean()) ** 2, 0.0)
        heard = self._n_samples > 0
        return ClipStatistics(
            sample_rate=self.sample_rate,
            n_channels=self.n_channels,
            n_samples=self._n_samples,
            peak=float(np.maximum(np.abs(self._low), np.abs(self._high)).max()) if heard else 0.0,
            swing=float((self._high - self._low).max() / 2) if heard else 0.0,
            rms=float(np.sqrt(powers.mean())),
            offset=float(means[np.argmax(np.abs(means))]),
            mix_ratio=float(mix_power * self.n_channels / powers.mean()) if powers.any() else 1.0,
            n_flat=sum(rail.n_flat for rail in self._rails),
            n_not_finite=self._n_not_finite,
            not_finite_seconds=self._first_not_finite / self.sample_rate if self._n_not_finite else float("nan"),
            bandwidth_hz=self._bandwidth(),
            octaves_db=self._octaves(),
        )

    def _bandwidth(self) -> float:
        """Upper edge of the highest band that is not far below the strongest; nan where none was heard."""
        edges = np.linspace(0, len(self._power), BANDS + 1).astype(int)
        bands = np.add.reduceat(self._power, edges[:-1]) / np.diff(edges)
        if not bands.any():
            return float("nan")
        present = np.flatnonzero(10 * np.log10(np.maximum(bands / bands.max(), 1e-30)) > PRESENT_DB)
        return float((present[-1] + 1) / BANDS * self.sample_rate / 2)

    def _octaves(self) -> tuple[float, ...]:
        """Level of each octave against all of them, dB."""
        hertz = np.arange(len(self._power)) * self.sample_rate / N_FFT
        edges = np.searchsorted(hertz, (*OCTAVES, np.inf))
        powers = np.array([self._power[low:high].sum() for low, high in zip(edges[:-1], edges[1:], strict=True)])
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = 10 * np.log10(powers / powers.sum())
        levels[~np.isfinite(levels)] = np.nan
        return tuple(levels.tolist())


class _Rail:
    """One extreme of one channel, and the samples that lie flat at it: what an overdriven input leaves.

    A flat top is entered or left by a jump. A slow wave's smooth peak also holds equal samples, but only because they
    are quantised: it leaves them by a step or two. Lossy codecs overshoot in curves and leave none.
    """

    def __init__(self, step: float):
        self._step = step
        self._level = LOWEST_RAIL
        self.n_flat = 0

    def look(self, column: np.ndarray, level: float, sign: int) -> None:
        """Count in float32 (samples,), whose extreme on this side is `level`, its sign as if it were the upper one."""
        if level < self._level:
            return
        if level > self._level:
            self._level, self.n_flat = float(level), 0
        at = np.concatenate([[False], column * np.float32(sign) >= np.float32(level), [False]])
        edges = np.flatnonzero(at[1:] != at[:-1])
        starts, stops = edges[::2], edges[1::2]
        starts, stops = starts[stops - starts >= FLAT_SAMPLES], stops[stops - starts >= FLAT_SAMPLES]
        if len(starts):
            before = level - sign * column[np.maximum(starts - 1, 0)]
            after = level - sign * column[np.minimum(stops, len(column) - 1)]
            steep = np.maximum(before, after) > SMOOTH_STEPS * self._step
            self.n_flat += int((stops - starts)[steep].sum())
