"""What is wrong with single sounds, and what with the sounds of a set taken together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from earmark.data.check.problems import Finding, counted
from earmark.data.statistics import N_FFT, ClipStatistics

SILENT_PEAK = 1e-4  # −80 dB of full scale
CLIPPED_SHARE = 1e-3
FAR_OVER = 2.0  # codecs overshoot by less
LARGEST_OFFSET = 0.02
ANTIPHASE_RATIO = 0.1  # 10 dB below what unrelated channels would give
SHORTEST_SECONDS = 0.05
ODD_SPREADS = 5.0  # robust standard deviations from the median
ODD_OCTAVES = 0.3  # at least: a clip of 4.1 s among clips of 5 s is none
ODD_SHARE = 0.05  # what is more frequent is not odd
FEWEST_TELLING = 5  # clips that show that a rate goes with a label
GIVEN_AWAY = 0.8  # of the clips of a rate that have the label, and of the others that lack it
BAND_SHARE = 0.7  # of what the widest clips reach
FEWEST_NARROW = 0.02  # of the clips: a single dull sound tells nothing of how the set was made


def clip_problems(clip: ClipStatistics) -> Iterator[tuple[str, str]]:
    """Problem and detail of what is wrong with one clip."""
    if clip.n_not_finite:
        yield (
            "not_finite",
            f"NaN or infinity in {counted(clip.n_not_finite, 'sample')}, the first at {clip.not_finite_seconds:.3f} s",
        )
    if clip.swing < SILENT_PEAK:
        level = f"it reaches {_decibels(clip.swing):.0f} dB of full scale" if clip.swing else "one value throughout"
        yield "silent", "all zeros" if not clip.peak else level
    elif clip.flat_share > CLIPPED_SHARE:
        yield "clipped", f"{100 * clip.flat_share:.2g} % of the samples lie in flat tops"
    if clip.peak > FAR_OVER:
        yield "over_full_scale", f"its peak is {clip.peak:.3g} times full scale"
    if abs(clip.offset) > LARGEST_OFFSET:
        yield "dc_offset", f"its mean is {clip.offset:+.3f} of full scale"
    if clip.swing >= SILENT_PEAK and clip.mix_ratio < ANTIPHASE_RATIO:
        loss = f"{-_decibels(np.sqrt(clip.mix_ratio / clip.n_channels)):.0f} dB quieter than" if clip.mix_ratio else ""
        yield "antiphase", f"the mix of its {clip.n_channels} channels is {loss or 'silent, unlike'} they are"
    if clip.seconds < SHORTEST_SECONDS:
        yield "too_short", f"{clip.seconds:.3g} s"


def odd_durations(seconds: np.ndarray) -> Iterator[tuple[int, str]]:
    """Positions of the clips whose length is far from what is usual here, and the detail.

    Args:
        seconds: (clips,), nan where unknown.
    """
    octaves = np.log2(np.maximum(seconds, 1e-6))
    known = np.isfinite(seconds)
    if known.sum() < 2:
        return
    median = np.median(octaves[known])
    spread = 1.4826 * np.median(np.abs(octaves[known] - median))
    odd = known & (np.abs(octaves - median) > max(ODD_SPREADS * spread, ODD_OCTAVES))
    if odd.sum() > max(1.0, ODD_SHARE * known.sum()):
        return
    for position in np.flatnonzero(odd):
        yield int(position), f"{seconds[position]:.3g} s, where most have {2**median:.3g} s"


def mixed(clips: Sequence[ClipStatistics], labels: Sequence[tuple[str, ...]]) -> Iterator[Finding]:
    """What the clips of a set do not share: rates, channels, lengths; and whether the label goes with it."""
    yield from _several("mixed_sample_rates", [f"{clip.sample_rate} Hz" for clip in clips], labels)
    yield from _several("mixed_channels", [counted(clip.n_channels, "channel") for clip in clips], labels)
    seconds = np.array([clip.seconds for clip in clips])
    if len(seconds) and seconds.max() > 1.05 * seconds.min() + 0.05:
        detail = f"{seconds.min():.3g} to {seconds.max():.3g} s, half of them shorter than {np.median(seconds):.3g} s"
        yield Finding("", "mixed_lengths", detail)


def band_limited(clips: Sequence[ClipStatistics]) -> Iterator[Finding]:
    """Whether some clips stop far below where others of their rate go on."""
    by_rate = defaultdict(list)
    for clip in clips:
        if clip.n_samples >= N_FFT and np.isfinite(clip.bandwidth_hz):
            by_rate[clip.sample_rate].append(clip.bandwidth_hz)
    for rate, reached in sorted(by_rate.items()):
        widest = float(np.percentile(reached, 95))
        narrow = [hertz for hertz in reached if hertz < BAND_SHARE * widest]
        if len(narrow) > FEWEST_NARROW * len(reached):
            yield Finding(
                "",
                "band_limited",
                f"{len(narrow):,} of {counted(len(reached), 'clip')} at {rate} Hz: nothing above "
                f"{np.median(narrow) / 1000:.3g} kHz (median), where others reach {widest / 1000:.3g} kHz",
            )


def _several(problem: str, kinds: Sequence[str], labels: Sequence[tuple[str, ...]]) -> Iterator[Finding]:
    """A finding if the clips are of several kinds: how many are of which, and what label one of them gives away."""
    counts = Counter(kinds)
    if len(counts) < 2:
        return
    detail = ", ".join(f"{kind} ({counted(n, 'clip')})" for kind, n in counts.most_common())
    everywhere = Counter(label for names in labels for label in names)
    for kind, n_clips in counts.items():
        here = Counter(label for each, names in zip(kinds, labels, strict=True) if each == kind for label in names)
        for label, n_here in here.items():
            others = (everywhere[label] - n_here) / max(1, len(kinds) - n_clips)
            if n_here >= FEWEST_TELLING and n_here >= GIVEN_AWAY * n_clips and others < 1 - GIVEN_AWAY:
                detail += f"; {n_here} of {n_clips} at {kind} are '{label}', of the others {100 * others:.0f} %"
    yield Finding("", problem, detail)


def _decibels(amplitude: float) -> float:
    return float(20 * np.log10(amplitude))
