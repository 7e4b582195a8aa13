"""The page of `earmark check`: what is in a data set, and every kind of finding to see and to hear."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import page
from earmark.data.check import PROBLEMS, CheckResult, Finding
from earmark.report.clip_sound import ClipSound, clip_sound
from earmark.report.data_figures import Histogram, class_bars, histogram, label_pairs, length_histogram
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
        classes=[] if every_row is None else class_bars(every_row),
        n_classes=0 if every_row is None else len(every_row.vocabulary),
        pairs=None if every_row is None else label_pairs(every_row),
        histograms=list(_histograms(result)),
        sound_style=page.STYLE,
        sound_script=page.SCRIPT,
    )
    write_text(path, text)


def verdict(result: CheckResult) -> str:
    """The check in one sentence."""
    n_clips = result.inventory.n_data
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


def _histograms(result: CheckResult) -> Iterator[Histogram]:
    """How long and how loud the clips are."""
    clips = result.clips[: result.inventory.n_data]
    heard = [clip.heard.statistics for clip in clips if clip.heard.statistics]
    seconds = np.array([clip.seconds for clip in heard])
    levels = np.array([20 * np.log10(clip.rms) for clip in heard if clip.rms > 1e-6])
    if len(seconds):
        yield length_histogram(seconds.tolist())
    if len(levels):
        yield histogram("Level of the clips, dB of full scale (RMS)", levels, False)
