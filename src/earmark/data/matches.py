"""Which recordings share sound, found by their fingerprints.

Peaks, taken three at a time, make hashes; hashes that two clips share at one lag make a candidate. The signs then
decide: those of two unrelated sounds agree in half of the samples, however alike they sound, those of two copies in
more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earmark.data.fingerprint import BLOCK, N_LEVELS, RATE, Fingerprint

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
AT_ONCE = 16  # candidates: enough work for a thread between two turns of Python's
SPAN = 30 * RATE // BLOCK  # blocks compared around a candidate's hits
STRIP, SLACK = 8, 2  # blocks compared at a time, and how far around a candidate's lag
N_STRIP, N_SLACK = STRIP * BLOCK, 2 * SLACK * BLOCK  # samples

MAIN_LOBE = 32  # half samples: the width of a correlation's peak
ECHO = 6.0  # a second peak counts as so many standard deviations of chance: tones and pulses agree at many lags
HALF_EVIDENCE = 10.0  # standard deviations of chance that make a score of 0.5

SURE = 0.5
LIKELY = 0.43


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


def find_matches(
    fingerprints: Sequence[Fingerprint | None],
    threshold: float = SURE,
    progress: Callable[[int, int], None] | None = None,
    threads: int = 1,
) -> list[Match]:
    """All pairs of recordings that share sound.

    Of many copies of one sound each is matched with some of the others, not with all: take `clusters` for the whole.

    Args:
        fingerprints: None where there is none; matches nothing.
        threshold: the least score: SURE or LIKELY.
        progress: called with (pairs compared, candidate pairs).
        threads: how many compare at a time.

    Returns:
        matches in order of first, second.
    """
    rows = _candidates(fingerprints)
    parts = [rows[first : first + AT_ONCE].tolist() for first in range(0, len(rows), AT_ONCE)]
    matches: list[Match] = []
    done = 0
    pool = ThreadPoolExecutor(threads)
    try:
        compared = pool.map(lambda part: _compare(fingerprints, part, threshold), parts)
        for part, results in zip(parts, compared, strict=True):
            for (first, second, _, _), found in zip(part, results, strict=True):
                if found and matches and (matches[-1].first, matches[-1].second) == (first, second):
                    matches[-1] = max(matches[-1], Match(first, second, *found), key=lambda match: match.score)
                elif found:
                    matches.append(Match(first, second, *found))
            done += len(part)
            if progress:
                progress(done, len(rows))
    finally:
        pool.shutdown(cancel_futures=True)
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
    """Blocks begin to end: signs times loudness, float32 (blocks, BLOCK), and loudness (blocks,); zero outside the
    recording."""
    inside, until = max(begin, 0), min(end, len(found.levels))
    loudness = np.zeros(end - begin, np.float32)
    loudness[inside - begin : until - begin] = found.levels[inside:until] * np.float32(1 / N_LEVELS)
    signs = np.zeros((end - begin, BLOCK), np.float32)
    there = signs[inside - begin : until - begin]
    there[:] = np.unpackbits(found.signs[inside * BLOCK // 8 : until * BLOCK // 8]).reshape(-1, BLOCK)
    there -= 0.5
    there *= 2 * loudness[inside - begin : until - begin, None]
    return signs, loudness


@dataclass(frozen=True)
class _Overlap:
    """What a candidate's recordings share, if they do: strips of one, and of the other with SLACK around them.

    one: float32 (strips, samples of a strip). two: (strips, samples of a strip and of the slack). loudness: of both,
    (blocks,). seconds: of the stretch. lag: blocks.
    """

    one: np.ndarray
    two: np.ndarray
    loudness: tuple[np.ndarray, np.ndarray]
    seconds: float
    lag: int


def _overlap(first: Fingerprint, second: Fingerprint, lag: int, at: int) -> _Overlap:
    """Up to SPAN blocks around a block of the first that both have, the second's time being `lag` blocks ahead."""
    begin, end = max(0, -lag, at - SPAN // 2), min(len(first.levels), len(second.levels) - lag, at + SPAN // 2)
    n_strips = -(-(end - begin) // STRIP)
    one, loudness_one = _unpack(first, begin, begin + n_strips * STRIP)
    two, loudness_two = _unpack(second, begin + lag - SLACK, begin + n_strips * STRIP + lag + SLACK)
    overlapping = two[np.arange(n_strips)[:, None] * STRIP + np.arange(STRIP + 2 * SLACK)]
    strips = one.reshape(n_strips, -1), overlapping.reshape(n_strips, -1)
    return _Overlap(*strips, (loudness_one, loudness_two), (end - begin) * BLOCK / RATE, lag)


def _compare(
    fingerprints: Sequence[Fingerprint | None], candidates: Sequence[tuple[int, int, int, int]], threshold: float
) -> list[tuple[float, float, float] | None]:
    """Score, offset and seconds of shared sound of candidates, from the correlation of the signs within SLACK of a lag.

    Args:
        candidates: rows of `_candidates`.
        threshold: a lower score is None.
    """
    overlaps = [_overlap(fingerprints[first], fingerprints[second], lag, at) for first, second, lag, at in candidates]
    n = N_STRIP + N_SLACK
    cross = np.conj(scipy.fft.rfft(np.concatenate([overlap.one for overlap in overlaps]), n, axis=1))
    cross *= scipy.fft.rfft(np.concatenate([overlap.two for overlap in overlaps]), axis=1)
    stops = np.cumsum([len(overlap.one) for overlap in overlaps])
    starts = np.concatenate([[0], stops[:-1]])
    sums = np.add.reduceat(cross, starts, axis=0)
    products = 2 * np.abs(scipy.fft.irfft(sums, 2 * n, axis=1)[:, : 2 * N_SLACK + 1])  # at half samples
    return [
        _judge(overlap, product, cross[start:stop], threshold)
        for overlap, product, start, stop in zip(overlaps, products, starts, stops, strict=True)
    ]


def _judge(
    overlap: _Overlap, products: np.ndarray, cross: np.ndarray, threshold: float
) -> tuple[float, float, float] | None:
    """Score, offset and seconds of shared sound of one candidate.

    Args:
        products: (lags,) the correlation at each half sample. cross: (strips, frequencies), the spectra's products.
    """
    best = int(products.argmax())
    beside = np.concatenate([products[: max(best - MAIN_LOBE, 0)], products[best + MAIN_LOBE + 1 :]])
    chance = max(np.square(beside).mean() ** 0.5, beside.max() / ECHO, 1e-9)
    if _score(products[best], chance) < threshold:  # nearly all end here
        return None
    one, two = (np.repeat(loudness, BLOCK) for loudness in overlap.loudness)
    weights = one * two[best // 2 : best // 2 + len(one)]
    score = _score(products[best], max(chance, np.dot(weights, weights) ** 0.5))
    if score < threshold:
        return None
    n = N_STRIP + N_SLACK
    turn = np.exp(2j * np.pi / (2 * n) * np.arange(cross.shape[1]) * best)
    agreement = (cross @ turn).real * (2 / n)
    shared = _longest(agreement * np.sign(agreement.sum()), weights.reshape(len(cross), -1).sum(axis=1))
    offset = (SLACK * BLOCK - overlap.lag * BLOCK - best / 2) / RATE
    return score, offset, min(shared * N_STRIP / RATE, overlap.seconds)


def _score(product: float, chance: float) -> float:
    """Evidence over evidence and HALF_EVIDENCE, of a correlation and its standard deviation by chance."""
    return float(product / (product + HALF_EVIDENCE * chance))


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
