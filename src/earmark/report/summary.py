"""summary.png: a run in one picture, for where a page cannot go."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

from earmark.evaluation.metrics import TITLES
from earmark.report.findings import PER_CLASS, Findings
from earmark.run import write_atomically

WIDTH_INCHES = 8.0
MAX_CLASSES = 24
BAR_INCHES = 0.26
DOTS_PER_INCH = 150
LONGEST_NAME = 32
PAPER, INK, MUTED, TRACK = "#fcfcfa", "#1d2026", "#5d626c", "#ecece7"  # of report.css
COLOURS = {"main": "#1763a6", "baseline": "#8b8f97"}
PLAIN = "DejaVu Sans"  # comes with matplotlib
REGULAR = 400  # the weight of fonts for running text
UNFIT = ("Emoji", "Last Resort")  # pictures in colour, which cannot be drawn; boxes that stand for every letter


def draw_summary(findings: Findings, verdict: str, out: Path) -> None:
    """Draw the score with its interval above a bar for each class, the weakest first, as PNG.

    Args:
        findings: of the run.
        verdict: the run in one sentence.
        out: the picture.
    """
    contents = findings.contents
    rows = findings.per_class[:MAX_CLASSES]
    families = [PLAIN, *fonts_for("".join([contents.name, verdict, *(row["label"] for row in rows)]))]
    names = {name: shown(name, families) for name in [contents.name, *contents.models, *(row["label"] for row in rows)]}
    wrapped = textwrap.fill(_plain(spelt(verdict, families)), 78)
    found = contents.scorecard.models[contents.main].metrics
    scores = textwrap.fill(" · ".join(f"{TITLES[name]} {each.text}" for name, each in found.items()), 100)
    above = 1.05 + 0.21 * (1 + wrapped.count("\n")) + 0.16 * (1 + scores.count("\n"))
    height = above + BAR_INCHES * (len(rows) + 1) + 0.55
    with matplotlib.rc_context({"font.family": families, "text.color": INK, "ytick.labelcolor": INK}):
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained", facecolor=PAPER)
        figure.get_layout_engine().set(rect=(0.02, 0.02, 0.96, (height - above) / height - 0.02))
        for text, down, size, how in (
            (_plain(names[contents.name]), 0.25, 20, {} if families[1:] else {"weight": "bold"}),
            (wrapped, 0.72, 10.5, {"linespacing": 1.35}),
            (scores, above - 0.2, 8, {"color": MUTED, "linespacing": 1.35, "va": "bottom"}),
        ):
            figure.text(0.035, 1 - down / height, text, fontsize=size, **{"va": "top", **how})
        _draw_classes(figure.subplots(), findings, names)
        with write_atomically(out) as temporary:
            figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)


def _draw_classes(axes: Axes, findings: Findings, names: Mapping[str, str]) -> None:
    """Bars of the report's model, dots of the baseline."""
    contents, rows = findings.contents, findings.per_class[:MAX_CLASSES]
    places = range(len(rows))
    axes.barh(places, [1] * len(rows), height=0.5, color=TRACK)
    main = [row["values"][contents.main] for row in rows]
    label = _plain(names[contents.main])
    axes.barh(places, main, height=0.5, color=COLOURS["main"], label=label)
    if contents.baseline not in (None, contents.main):
        values = [row["values"][contents.baseline] for row in rows]
        label = _plain(names[contents.baseline])
        axes.plot(values, places, "o", color=COLOURS["baseline"], markeredgecolor="white", markersize=6, label=label)
    axes.set_yticks(places, [_plain(names[row["label"]]) for row in rows])
    axes.invert_yaxis()
    axes.set_facecolor(PAPER)
    axes.set_xlim(0, 1)
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    n_more = len(findings.per_class) - len(rows)
    which = f"of the {len(rows)} weakest of {len(findings.per_class)} classes" if n_more else "of each class"
    axes.set_title(f"{PER_CLASS[findings.multi_label].capitalize()} {which}", loc="left", fontsize=10, color=MUTED)
    if contents.baseline not in (None, contents.main):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False, borderaxespad=0.2)


def shown(name: str, families: list[str]) -> str:
    """A name as it can be drawn, cut where it is long."""
    text = spelt(name, families)
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1].rstrip() + "…"


def spelt(text: str, families: list[str]) -> str:
    """A text without the pictograms that no family has, other letters that none has as code points.

    >>> spelt("bird 🐦", ["DejaVu Sans"]), spelt("鸟", ["DejaVu Sans"])
    ('bird', '[9E1F]')
    """
    missing = _missing(text, families)
    kept = "".join(sign for sign in text if sign not in missing or unicodedata.category(sign) != "So")
    return "".join(f"[{ord(sign):X}]" if sign in missing else sign for sign in kept.strip() or text)


def fonts_for(text: str) -> list[str]:
    """Families of this machine's fonts that have the letters which the plain one lacks, as few as will do."""
    wanted, families = _missing(text, [PLAIN]), []
    if not wanted:
        return families
    files = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.weight == REGULAR and entry.style == "normal" and not any(word in entry.name for word in UNFIT)
    }
    for name, file in sorted(files.items()):
        found = wanted & _letters(file)
        if found:
            families.append(name)
            wanted -= found
        if not wanted:
            break
    return families


def _missing(text: str, families: list[str]) -> set[str]:
    """The visible letters of `text` that none of the families has."""
    wanted = {sign for sign in text if not sign.isspace() and sign.isprintable()}
    for family in families:
        wanted -= _letters(_file(family)) if wanted else set()
    return wanted


def _file(family: str) -> str:
    """What matplotlib draws a family with."""
    return font_manager.findfont(FontProperties(family=[family]))


@cache
def _letters(file: str) -> frozenset[str]:
    """The letters of a font."""
    return frozenset(chr(code) for code in FT2Font(file).get_charmap())


def _plain(text: str) -> str:
    """Text in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")
