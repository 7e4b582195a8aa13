"""The page of `earmark check`: what is in a data set, and every kind of finding to see and to hear."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import page
from earmark.data.check import PROBLEMS, CheckResult, Finding
from earmark.data.check.labels import class_counts, cooccurrence
from earmark.data.manifest import Manifest
from earmark.report.clip_sound import ClipSound, clip_sound
from earmark.report.figures import MAX_MATRIX_CLASSES, axis
from earmark.report.templating import environment
from earmark.run import write_text

# Problems that are seen or heard, not only read.
AUDIBLE = (
    *("clipped", "over_full_scale", "dc_offset", "odd_duration"),
    *("near_duplicate", "conflicting_labels", "leak", "possible_leak"),
)
PLAYED_SECONDS = 8.0
HEARD_PER_PROBLEM = 4
HEARD_IN_ALL = 40
TOLD_PER_PROBLEM = 20
MAX_CLASSES = 60
N_BINS = 31  # odd: the middle value of an even axis lies within a bin, not between two
SPAN = 0.1  # of the values: the least part of them that an axis shows
LOG_FROM = 8.0  # times: lengths that differ by more are shown on a logarithmic axis


@dataclass(frozen=True)
class HeardFinding:
    """A finding with its sounds: (name, sound) of the clip, and of the one that it is held against."""

    finding: Finding
    sounds: tuple[tuple[str, ClipSound], ...]


@dataclass(frozen=True)
class Group:
    """All findings of one problem: some to hear, some told, and how many more there are."""

    problem: str
    remedy: str
    needs_attention: bool
    n_findings: int
    heard: tuple[HeardFinding, ...]
    told: tuple[Finding, ...]

    @property
    def title(self) -> str:
        return self.problem.replace("_", " ").capitalize().replace("Dc ", "DC ")

    @property
    def n_more(self) -> int:
        """How many findings are neither heard nor told."""
        return self.n_findings - len(self.heard) - len(self.told)


@dataclass(frozen=True)
class Histogram:
    """bars: (height in percent, count, words). ticks: (text, position in percent)."""

    title: str
    bars: tuple[tuple[float, int, str], ...]
    ticks: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Pairs:
    """How often labels go together. rows: (label, cells), a cell being (clips, share of the row's clips)."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    n_left_out: int


def write_check_page(result: CheckResult, path: Path, *, title: str) -> None:
    """Write one HTML file that needs no other and no network.

    Args:
        title: what the data are called.
    """
    template = environment().get_template("check.html")
    every_row = result.inventory.every_row
    text = template.render(
        title=title,
        summary=defaultdict(lambda: None, result.summary),
        verdict=verdict(result),
        groups=list(_groups(result)),
        classes=[] if every_row is None else _classes(every_row),
        n_classes=0 if every_row is None else len(every_row.vocabulary),
        pairs=None if every_row is None else _pairs(every_row),
        histograms=list(_histograms(result)),
        sound_style=page.STYLE,
        sound_script=page.SCRIPT,
    )
    write_text(path, text)


def verdict(result: CheckResult) -> str:
    """The check in one sentence."""
    n_clips = max(result.summary["n_clips"], len(result.clips))
    kinds = Counter(finding.problem for finding in result.attention)
    if not kinds:
        return f"Nothing needs attention in {n_clips:,} clips."
    named = [f"{problem.replace('_', ' ')} ({n:,})" for problem, n in kinds.most_common(4)]
    rest = f" and {len(kinds) - 4} other kinds" if len(kinds) > 4 else ""
    n_findings = sum(kinds.values())
    things = "finding needs" if n_findings == 1 else "findings need"
    return f"{n_findings:,} {things} attention in {n_clips:,} clips: {', '.join(named)}{rest}."


def _groups(result: CheckResult) -> Iterator[Group]:
    """The findings by problem, what needs attention first, else in the order of the vocabulary."""
    by_problem = defaultdict(list)
    for finding in result.findings:
        by_problem[finding.problem].append(finding)
    urgent = {finding.problem for finding in result.attention}
    n_left = HEARD_IN_ALL
    for problem in sorted(PROBLEMS, key=lambda problem: problem not in urgent):
        found = by_problem.get(problem, [])
        if not found:
            continue
        heard = []
        for finding in found[: HEARD_PER_PROBLEM if problem in AUDIBLE else 0]:
            sounds = tuple(_sounds(result, finding)) if n_left >= 2 else ()
            if any(each.html for _, each in sounds):
                n_left -= len(sounds)
                heard.append(HeardFinding(finding, sounds))
        played = [each.finding for each in heard]
        told = [finding for finding in found if finding not in played][:TOLD_PER_PROBLEM]
        yield Group(problem, PROBLEMS[problem], problem in urgent, len(found), tuple(heard), tuple(told))


def _sounds(result: CheckResult, finding: Finding) -> Iterator[tuple[str, ClipSound]]:
    """The clips of a finding that can be heard: its first, and the first of those it is held against."""
    for positions in (finding.others, finding.clips):
        for clip in [result.clips[position] for position in positions[:1] if position < len(result.clips)]:
            name = clip.path + (f" ({', '.join(clip.labels)})" if clip.labels else "")
            yield name, clip_sound(clip.file, clip.start, clip.end, clip.path, PLAYED_SECONDS)


def _classes(manifest: Manifest) -> list[tuple[str, int, float]]:
    """(label, clips, share of the largest), the largest first."""
    counts = sorted(class_counts(manifest).items(), key=lambda item: -item[1])[:MAX_CLASSES]
    return [(label, n_clips, n_clips / max(1, counts[0][1])) for label, n_clips in counts]


def _pairs(manifest: Manifest) -> Pairs | None:
    """How often the labels that go together most do so; None where each clip has but one."""
    together = cooccurrence(manifest)
    if not together:
        return None
    counts = class_counts(manifest)
    sociable: Counter[str] = Counter()
    for pair, n_clips in together.items():
        for label in pair:
            sociable[label] += n_clips
    shown = sorted(label for label, _ in sociable.most_common(MAX_MATRIX_CLASSES))
    rows = []
    for row in shown:
        clips = [counts[row] if row == column else together.get(tuple(sorted((row, column))), 0) for column in shown]
        rows.append((row, tuple((n, n / max(1, counts[row])) for n in clips)))
    return Pairs(tuple(shown), tuple(rows), len(counts) - len(shown))


def _histograms(result: CheckResult) -> Iterator[Histogram]:
    """How long and how loud the clips are."""
    heard = [clip.heard.statistics for clip in result.clips if clip.heard.statistics]
    seconds = np.array([clip.seconds for clip in heard])
    levels = np.array([20 * np.log10(clip.rms) for clip in heard if clip.rms > 1e-6])
    if len(seconds):
        yield histogram("Length of the clips, seconds", seconds, seconds.max() > LOG_FROM * seconds.min())
    if len(levels):
        yield histogram("Level of the clips, dB of full scale (RMS)", levels, False)


def histogram(title: str, values: Sequence[float], logarithmic: bool) -> Histogram:
    """Counts in bins of equal width, on a logarithmic axis if asked for.

    >>> histogram("seconds", [1.0, 1.0, 10.0], True).ticks[0][0]
    '1'
    """
    values = np.asarray(values, dtype=float)
    if logarithmic:
        low, high = values.min(), values.max()
        edges = np.geomspace(low, high, N_BINS + 1)
        rounds = [base * 10.0**power for power in range(-6, 7) for base in (1, 2, 5)]
        inside = [value for value in rounds if low * 0.999 <= value <= high * 1.001]
        while len(inside) > 8:
            inside = inside[::3] if len(inside) > 16 else inside[::2]
        ticks = [(f"{value:g}", 100 * np.log(value / low) / np.log(high / low)) for value in inside]
    else:
        middle = float(np.median(values))
        alike = np.ptp(values) < SPAN * abs(middle)
        line = axis([(1 - SPAN) * middle, (1 + SPAN) * middle] if alike else values.tolist(), n_ticks=6)
        edges, ticks = np.linspace(line.low, line.high, N_BINS + 1), line.ticks
    edges[0], edges[-1] = min(edges[0], values.min()), max(edges[-1], values.max())
    counts = np.histogram(values, edges)[0]
    bars = [
        (100 * n / counts.max(), int(n), f"{low:.3g} to {high:.3g}: {n} clips")
        for n, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
    ]
    return Histogram(title, tuple(bars), tuple(ticks))
