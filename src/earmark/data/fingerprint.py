"""Acoustic fingerprints: the same recording found again after re-encoding, gain, trimming, resampling or noise.

A fingerprint holds two views of the sound at 8 kHz. *Peaks* of its spectrogram, taken three at a time, make hashes;
hashes that two clips share at one lag make a candidate. The *signs* of its whitened waveform, one bit a sample, then
decide: those of two unrelated sounds agree in half of the samples, however alike they sound, those of two copies in
more. Steady tones and hum are whitened away, silence has no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earmark.audio.resample import ResampleStream

RATE = 8000  # Hz
BLOCK = 128  # samples: the step of levels and peaks, 16 ms
N_FFT, N_WHITEN = 512, 1024  # of the peaks' spectrogram; of the whitening, fine enough to part the harmonics of hum
PIECE = 1 << 16  # samples: whitening adapts to pieces of 8 to 16 s
LOW_HZ, HIGH_HZ = 156.25, 3406.25  # what a telephone keeps
WHITEN_FLOOR = 1e-6  # of the strongest bin's power
QUIETEST, LOUDEST = 3e-5, 1e6  # of full scale: less (RMS) is silence; samples beyond are cut off
LEVEL_STEP_DB, N_LEVELS = 4.0, 15  # levels reach down 60 dB

NEIGHBOURHOOD = (11, 17)  # frames, bins: a peak is the largest in it
MAX_FRAMES, MAX_BINS = 31, 63  # from a triple's first peak to the others
N_LOOK = 32  # peaks after the first that are looked at
N_NEXT, N_NEXT_MANY = 7, 4  # a triple's others are two of so many next within reach
N_PEAKS_FEW = 5_000_000  # about 30 h of sound; with more, N_NEXT_MANY
POSITION_BITS = 32  # 19,000 h of sound in one search
AT_STEP = 256  # blocks; to it a place in a recording is rounded
KEYS_AT_ONCE = 20_000_000
N_PARTNERS = 12  # of the clips with one hash, each is held against the next 12
SURE_HITS = 2  # so many hashes at one lag are always looked into; of single ones,
N_COMPARED, N_COMPARED_MOST = 25, 200_000  # some, up to so many comparisons for each recording and in all
N_LAGS = 3  # tried for a pair
SPAN = 30 * RATE // BLOCK  # blocks compared around a candidate's hits
STRIP, SLACK = 8, 2  # blocks compared at a time, and how far around a candidate's lag

MAIN_LOBE = 32  # half samples: the width of a correlation's peak
ECHO = 6.0  # a second peak counts as so many standard deviations of chance: tones and pulses agree at many lags
HALF_EVIDENCE = 10.0  # standard deviations of chance that make a score of 0.5

SURE = 0.5
LIKELY = 0.43


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of a recording, about 1.3 kB a second.

    signs: uint8 (samples / 8,), packed bits of the whitened waveform at 8 kHz. levels: uint8 (blocks,) 0 (silent) to
    15. frames, bins: int32, uint8 (peaks,), of the spectrogram's peaks, in order of time. seconds: of the recording.
    """

    signs: np.ndarray
    levels: np.ndarray
    frames: np.ndarray
    bins: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Match:
    """Two recordings that share sound.

    first, second: positions, first < second. score: evidence / (evidence + 10) in [0, 1], where evidence is the
    correlation of the two in standard deviations of chance. offset_seconds: the second begins so much later than the
    first. overlap_seconds: of the shared sound, within the 30 s that were compared.
    """

    first: int
    second: int
    score: float
    offset_seconds: float
    overlap_seconds: float


class FingerprintStream:
    """Makes the fingerprint of a recording that arrives in blocks, in memory that grows by 1.3 kB a second.

    Args:
        sample_rate: of the blocks, Hz.
    """

    def __init__(self, sample_rate: int):
        self._resampler = ResampleStream(sample_rate, RATE)
        self._waiting = np.zeros(0, np.float32)
        self._pieces: list[tuple[np.ndarray, ...]] = []
        self._n_blocks = 0
        self._n_samples = 0

    def push(self, block: np.ndarray) -> None:
        """Take mono float32 samples (n,), n >= 0."""
        self._take(self._resampler.push(np.ascontiguousarray(block, np.float32)))

    def finish(self) -> Fingerprint:
        """The fingerprint of all that was pushed."""
        self._take(self._resampler.push(np.zeros(0, np.float32), last=True))
        if len(self._waiting):
            self._digest(self._waiting)
        parts = zip(*self._pieces, strict=True)
        empty = (np.zeros(0, kind) for kind in (np.uint8, np.uint8, np.int32, np.uint8))
        arrays = (np.concatenate(part) for part in parts) if self._pieces else empty
        return Fingerprint(*arrays, seconds=self._n_samples / RATE)

    def _take(self, samples: np.ndarray) -> None:
        self._n_samples += len(samples)
        self._waiting = np.concatenate([self._waiting, np.nan_to_num(samples.clip(-LOUDEST, LOUDEST))])
        while len(self._waiting) >= 2 * PIECE:
            self._digest(self._waiting[:PIECE])
            self._waiting = self._waiting[PIECE:]

    def _digest(self, piece: np.ndarray) -> None:
        piece = np.pad(piece, (0, -len(piece) % BLOCK))
        white = _whiten(piece)
        levels = _levels(piece, white)
        frames, bins = _peaks(white, levels)
        self._pieces.append((np.packbits(white > 0), levels, frames + np.int32(self._n_blocks), bins))
        self._n_blocks += len(levels)


def fingerprint(waveform: np.ndarray, sample_rate: int) -> Fingerprint:
    """The fingerprint of a whole waveform.

    Args:
        waveform: float32 (samples,).
        sample_rate: Hz.

    >>> fingerprint(np.zeros(32_000, dtype=np.float32), 16_000).seconds
    2.0
    """
    stream = FingerprintStream(sample_rate)
    stream.push(waveform)
    return stream.finish()


def _whiten(piece: np.ndarray) -> np.ndarray:
    """Every bin of the telephone band brought to the same mean power, by overlap-add."""
    half = N_WHITEN // 2
    padded = np.pad(piece, (half, half + -len(piece) % half))
    window = np.sqrt(_hann(N_WHITEN))
    spectra, band = _spectra(padded, half, window)
    power = (spectra.real**2 + spectra.imag**2).mean(axis=0)
    gain = 1 / np.sqrt(np.maximum(power, max(WHITEN_FLOOR * power.max(), 1e-20)))
    white = np.zeros((len(spectra), half + 1), np.complex64)
    white[:, band] = spectra * gain
    out = scipy.fft.irfft(white, axis=1) * window
    return (out[1:, :half] + out[:-1, half:]).ravel()[: len(piece)]


def _hann(n_fft: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def _spectra(padded: np.ndarray, hop: int, window: np.ndarray) -> tuple[np.ndarray, slice]:
    """Complex spectra (frames, bins) of the telephone band, and which bins these are."""
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop]
    band = slice(int(LOW_HZ * len(window) / RATE), int(HIGH_HZ * len(window) / RATE))
    return scipy.fft.rfft(frames * window, axis=1)[:, band], band


def _levels(piece: np.ndarray, white: np.ndarray) -> np.ndarray:
    """uint8 (blocks,): how loud the whitened blocks are against the loudest; 0 where the sound is silent."""
    loud = (piece.reshape(-1, BLOCK) ** 2).mean(axis=1) > QUIETEST**2
    power = (white.reshape(-1, BLOCK) ** 2).mean(axis=1) * loud
    decibels = 10 * np.log10(np.maximum(power, 1e-20) / max(power.max(), 1e-10))
    return np.clip(N_LEVELS + np.round(decibels / LEVEL_STEP_DB), 0, N_LEVELS).astype(np.uint8)


def _peaks(white: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames int32 and bins uint8 (peaks,) of the spectrogram's local maxima outside silence."""
    spectra, _ = _spectra(np.pad(white, (N_FFT - BLOCK) // 2), BLOCK, _hann(N_FFT))
    power = spectra.real**2 + spectra.imag**2
    largest = maximum_filter(power, NEIGHBOURHOOD, mode="constant")
    found, bins = np.nonzero((power == largest) & (levels[:, None] > 0))
    return found.astype(np.int32), bins.astype(np.uint8)


def find_matches(
    fingerprints: Sequence[Fingerprint | None],
    threshold: float = SURE,
    progress: Callable[[int, int], None] | None = None,
) -> list[Match]:
    """All pairs of recordings that share sound.

    Of many copies of one sound each is matched with some of the others, not with all: take `clusters` for the whole.

    Args:
        fingerprints: None where there is none; matches nothing.
        threshold: the least score: SURE or LIKELY.
        progress: called with (pairs compared, candidate pairs).

    Returns:
        matches in order of first, second.
    """
    rows = _candidates(fingerprints)
    matches: list[Match] = []
    for done, (first, second, lag, at) in enumerate(rows.tolist(), start=1):
        found = _compare(fingerprints[first], fingerprints[second], lag, at, threshold)
        if found and matches and (matches[-1].first, matches[-1].second) == (first, second):
            matches[-1] = max(matches[-1], Match(first, second, *found), key=lambda match: match.score)
        elif found:
            matches.append(Match(first, second, *found))
        if progress:
            progress(done, len(rows))
    return matches


def _candidates(fingerprints: Sequence[Fingerprint | None]) -> np.ndarray:
    """int (candidates, 4): first, second, by how many blocks the second's time is ahead, a block of the first."""
    present = [position for position, found in enumerate(fingerprints) if found is not None and len(found.frames)]
    if len(present) < 2:
        return np.zeros((0, 4), np.int64)
    found = [fingerprints[position] for position in present]
    lengths = np.array([len(one.levels) + 2 * MAX_FRAMES for one in found])
    starts = np.cumsum(lengths) - lengths  # all recordings on one time line, too far apart for a triple between two
    frames = np.concatenate([one.frames + start for one, start in zip(found, starts, strict=True)])
    bins = np.concatenate([one.bins for one in found])
    n_next = N_NEXT if len(frames) <= N_PEAKS_FEW else N_NEXT_MANY
    hashed = _sorted_keys(frames, bins, _nexts(frames, bins, n_next))
    events = np.concatenate([_events(keys, starts, lengths) for keys in hashed])
    events.sort()
    pairs, places = _parts(events, lengths)
    new = (np.diff(pairs, prepend=-1) != 0) | (np.diff(places >> _shifts(lengths)[2], prepend=-2) > 1)
    begins = np.flatnonzero(new)  # lags side by side are one
    del pairs, places, new
    hits = np.diff(begins, append=len(events))
    sure, single = np.flatnonzero(hits >= SURE_HITS), np.flatnonzero(hits < SURE_HITS)
    room = max(min(N_COMPARED * len(present), N_COMPARED_MOST) - len(sure), 0)
    best = np.concatenate([sure, np.random.default_rng(0).permutation(single)[:room]])
    rows = np.stack(_unpack_events(events[(begins + hits // 2)[best]], lengths), axis=1)
    rows = rows[np.lexsort((-hits[best], rows[:, 1], rows[:, 0]))]
    another = (np.diff(rows[:, :2], axis=0, prepend=-1) != 0).any(axis=1)
    rank = np.arange(len(rows)) - np.flatnonzero(another)[np.cumsum(another) - 1]
    rows[:, :2] = np.array(present)[rows[:, :2]]
    return rows[rank < N_LAGS]


def _nexts(frames: np.ndarray, bins: np.ndarray, n_next: int) -> np.ndarray:
    """For every peak the step to its next n_next peaks within reach: uint16 (n_next, peaks), 0 where there is none."""
    nexts = np.zeros((n_next, len(frames)), np.uint16)
    counts = np.zeros(len(frames), np.uint8)
    bins = bins.astype(np.int16)
    for ahead in range(1, min(N_LOOK, len(frames) - 1) + 1):
        later = frames[ahead:] - frames[:-ahead]
        higher = bins[ahead:] - bins[:-ahead]
        within = (later > 0) & (later <= MAX_FRAMES) & (np.abs(higher) <= MAX_BINS) & (counts[:-ahead] < n_next)
        rows = np.flatnonzero(within)
        nexts[counts[rows], rows] = (later[rows] << 7) | (higher[rows] + 64)
        counts[rows] += 1
    return nexts


def _sorted_keys(frames: np.ndarray, bins: np.ndarray, nexts: np.ndarray) -> Iterator[np.ndarray]:
    """Sorted uint64 keys, hash (32 bits) before place on the time line (32), some anchor bins at a time."""
    pairs = list(combinations(range(len(nexts)), 2))
    n_parts = -(-len(frames) * len(pairs) // KEYS_AT_ONCE)
    for part in range(n_parts):
        rows = np.flatnonzero(bins % n_parts == part) if n_parts > 1 else np.arange(len(bins))
        anchor = (bins[rows].astype(np.uint64) << np.uint64(24 + POSITION_BITS)) | frames[rows].astype(np.uint64)
        steps = nexts[:, rows].astype(np.uint64) << np.uint64(POSITION_BITS)
        keys = []
        for one, two in pairs:
            there = steps[two] > 0
            keys.append((anchor | (steps[one] << np.uint64(12)) | steps[two])[there])
        keys = np.concatenate(keys)
        keys.sort()
        yield keys


def _events(keys: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Where two recordings have one hash, packed as `_shifts` says: int64, or complex where that is too narrow."""
    hashes = keys >> np.uint64(POSITION_BITS)
    firsts, seconds = [], []
    for ahead in range(1, N_PARTNERS + 1):
        same = np.flatnonzero(hashes[ahead:] == hashes[:-ahead])
        firsts.append(keys[same])
        seconds.append(keys[same + ahead])
    mask = np.uint64((1 << POSITION_BITS) - 1)
    one, two = ((np.concatenate(parts) & mask).astype(np.int64) for parts in (firsts, seconds))
    first, second = (np.searchsorted(starts, places, side="right") - 1 for places in (one, two))
    other = first != second
    first, second, one, two = first[other], second[other], one[other], two[other]
    at = one - starts[first]
    lag = two - starts[second] - at + lengths.max()
    by_second, by_lag, by_at = _shifts(lengths)
    pairs, places = (first << by_second) | second, (lag << by_at) | at // AT_STEP
    if 2 * by_second + by_lag + by_at < 64:
        return (pairs << (by_lag + by_at)) | places
    return pairs + 1j * places  # sorts alike, and holds whole numbers up to 2^53 in each part


def _parts(events: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pair of recordings and the lag with the place, int64 each, of packed events."""
    if np.iscomplexobj(events):
        return events.real.astype(np.int64), events.imag.astype(np.int64)
    _, by_lag, by_at = _shifts(lengths)
    return events >> (by_lag + by_at), events & ((1 << (by_lag + by_at)) - 1)


def _unpack_events(events: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
    """First and second (places among the recordings), lag and frame in the first, of packed events."""
    by_second, _, by_at = _shifts(lengths)
    pairs, places = _parts(events, lengths)
    lag, at = (places >> by_at) - lengths.max(), (places & ((1 << by_at) - 1)) * AT_STEP
    return pairs >> by_second, pairs & ((1 << by_second) - 1), lag, at


def _shifts(lengths: np.ndarray) -> tuple[int, int, int]:
    """Bits of an event's second recording, lag and place; the first recording is on top of them."""
    longest = int(lengths.max())
    return len(lengths).bit_length(), (2 * longest).bit_length(), (longest // AT_STEP).bit_length()


def _unpack(found: Fingerprint, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks begin to end: signs times loudness, and loudness, float32 (samples,); zero outside the recording."""
    inside, until = max(begin, 0), min(end, len(found.levels))
    loudness = np.zeros(end - begin, np.float32)
    loudness[inside - begin : until - begin] = found.levels[inside:until] * np.float32(1 / N_LEVELS)
    signs = np.zeros((end - begin) * BLOCK, np.float32)
    bits = np.unpackbits(found.signs[inside * BLOCK // 8 : until * BLOCK // 8])
    signs[(inside - begin) * BLOCK : (until - begin) * BLOCK] = bits * np.float32(2) - 1
    loudness = np.repeat(loudness, BLOCK)
    return signs * loudness, loudness


def _compare(first: Fingerprint, second: Fingerprint, lag: int, at: int, threshold: float) -> tuple | None:
    """Score, offset and seconds of shared sound, from the correlation of the signs within SLACK of a lag.

    Args:
        lag: blocks that the second's time is ahead of the first's. at: a block of the first that both have.
        threshold: a lower score is None.
    """
    begin, end = max(0, -lag, at - SPAN // 2), min(len(first.levels), len(second.levels) - lag, at + SPAN // 2)
    n_strips = -(-(end - begin) // STRIP)
    n, most = STRIP * BLOCK, 2 * SLACK * BLOCK
    one, weight_one = _unpack(first, begin, begin + n_strips * STRIP)
    two, weight_two = _unpack(second, begin + lag - SLACK, begin + n_strips * STRIP + lag + SLACK)
    cross = np.conj(scipy.fft.rfft(one.reshape(-1, n), n + most, axis=1))
    cross *= scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(two, n + most)[::n], axis=1)
    products = 2 * np.abs(scipy.fft.irfft(cross.sum(axis=0), 2 * (n + most))[: 2 * most + 1])  # at half samples
    best = int(products.argmax())
    weights = weight_one * weight_two[best // 2 : best // 2 + len(weight_one)]
    beside = products[np.abs(np.arange(len(products)) - best) > MAIN_LOBE]
    chance = max(np.dot(weights, weights) ** 0.5, np.square(beside).mean() ** 0.5, beside.max() / ECHO, 1e-9)
    score = float(products[best] / (products[best] + HALF_EVIDENCE * chance))
    if score < threshold:
        return None
    turn = np.exp(2j * np.pi / (2 * (n + most)) * np.arange(cross.shape[1]) * best)
    agreement = (cross @ turn).real * (2 / (n + most))
    shared = _longest(agreement * np.sign(agreement.sum()), weights.reshape(n_strips, -1).sum(axis=1))
    return score, (SLACK * BLOCK - lag * BLOCK - best / 2) / RATE, min(shared * n, (end - begin) * BLOCK) / RATE


def _longest(agreement: np.ndarray, weights: np.ndarray) -> int:
    """Length of the stretch in which two recordings agree by more than half of their mean agreement."""
    excess = np.cumsum(agreement - weights * (agreement.sum() / max(2 * weights.sum(), 1e-9)))
    lowest = np.minimum.accumulate(np.concatenate([[0.0], excess[:-1]]))
    end = int((excess - lowest).argmax())
    return end + 1 - int(np.concatenate([[0.0], excess[:-1]])[: end + 1].argmin())


def clusters(n: int, matches: Sequence[Match]) -> np.ndarray:
    """Number of the connected component of each of n recordings: int (n,).

    >>> clusters(4, [Match(1, 3, 0.9, 0.0, 5.0)]).tolist()
    [0, 1, 2, 1]
    """
    rows, columns = [match.first for match in matches], [match.second for match in matches]
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1]
