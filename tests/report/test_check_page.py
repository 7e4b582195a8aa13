"""The page of a check: one file, nothing from outside, every kind of finding with its remedy."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.data import Manifest
from earmark.data.check import check
from earmark.report.check_page import HEARD_PER_PROBLEM, TOLD_PER_PROBLEM, verdict, write_check_page
from earmark.report.clip_sound import clip_sound
from earmark.report.data_figures import histogram

RATE = 16_000


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A multi-label set with 30 silent sounds, 6 near copies, and a label that must be escaped."""
    folder = tmp_path_factory.mktemp("sounds")
    labels = {}
    for number in range(12):
        audio.write(folder / f"good{number}.wav", noise(number), RATE)
        labels[f"good{number}.wav"] = ("<b>bold</b>", "rain") if number % 2 else ("rain",)
    for number in range(6):
        audio.write(folder / f"like{number}.wav", 0.5 * noise(number), RATE)
        labels[f"like{number}.wav"] = labels[f"good{number}.wav"]
    for number in range(30):
        audio.write(folder / f"silent{number}.wav", np.zeros(RATE + number, dtype=np.float32), RATE)
        labels[f"silent{number}.wav"] = ("wind",)
    return check(Manifest.build(folder, list(labels), list(labels.values())))


@pytest.fixture(scope="module")
def page(checked, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "check.html"
    write_check_page(checked, path, title="<my> sounds")
    return path.read_text(encoding="utf-8")


def test_the_page_asks_for_nothing_from_outside(page):
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page) == []
    assert "http" not in re.sub(r"data:[^\"']*", "", page)


def test_labels_and_titles_are_escaped(page):
    assert "<b>bold" not in page and "<my>" not in page
    assert html.escape("<b>bold</b>") in page and html.escape("<my> sounds") in page


def test_every_problem_stands_there_with_its_remedy_and_count(checked, page):
    for finding in checked.findings:
        assert f'id="{finding.problem}"' in page
        assert html.escape(finding.remedy, quote=False).replace("'", "&#39;") in page
    assert re.search(r'href="#silent">Silent</a></th><td class="n">30<', page)


def test_only_some_findings_are_shown_and_the_rest_is_counted(page):
    silent = page[page.index('id="silent"') : page.index('id="near_duplicate"')]
    assert silent.count("<tr>") == TOLD_PER_PROBLEM
    assert f"… and {30 - TOLD_PER_PROBLEM} more" in silent


def test_near_duplicates_are_side_by_side_to_be_heard(page):
    near = page[page.index('id="near_duplicate"') :]
    near = near[: near.index("</section>")]
    assert near.count("<article") == HEARD_PER_PROBLEM
    assert near.count("<audio") == 2 * HEARD_PER_PROBLEM
    assert near.index("good0.wav") < near.index("like0.wav")


def test_labels_that_go_together_are_a_matrix(page):
    pairs = page[page.index('id="pairs"') :]
    assert pairs.count('<th scope="row">') == 2
    assert ">9</td>" in pairs


def test_the_verdict_counts_what_needs_attention(checked, tmp_path):
    assert verdict(checked) == "36 findings need attention in 48 clips: silent (30), near duplicate (6)."
    for number in range(5):
        audio.write(tmp_path / "a" / f"{number}.wav", noise(number), RATE)
    assert verdict(check(tmp_path)) == "Nothing needs attention in 5 clips."


@pytest.mark.parametrize("names_only", [False, True])
def test_sounds_without_labels_and_labels_without_sounds_have_a_page_too(tmp_path, names_only):
    from earmark.data.check import take_inventory

    if names_only:
        (tmp_path / "all.csv").write_text("path,label\na.wav,a\nb.wav,b\n", encoding="utf-8")
    else:
        audio.write(tmp_path / "a.wav", noise(0), RATE)
    data = tmp_path / "all.csv" if names_only else tmp_path
    write_check_page(check(take_inventory(data, names_only=names_only)), tmp_path / "page.html", title="t")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ('id="classes"' in text, 'id="sounds"' in text) == (names_only, not names_only)


def test_a_clip_longer_than_is_played_says_so_and_one_that_cannot_be_played_why(tmp_path):
    audio.write(tmp_path / "long.wav", noise(0, 3.0), RATE)
    cut = clip_sound(tmp_path / "long.wav", 0.5, None, "long", longest=2.0)
    assert (cut.cut_seconds, cut.trouble) == (2.5, "")
    assert clip_sound(tmp_path / "long.wav", 0.5, None, "long", longest=3.0).cut_seconds is None
    assert "no such file" in clip_sound(Path("nowhere.wav"), 0.0, None, "none", 2.0).trouble


def test_clips_of_one_length_make_one_bar_on_a_readable_axis():
    found = histogram("seconds", [5.0, 5.0001, 4.9999], False)
    assert [n for _, n, _ in found.bars if n] == [3]
    assert [text for text, _ in found.ticks][::3] == ["4.4", "5.0", "5.6"]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_histogram_counts_every_value_once(logarithmic):
    values = np.concatenate([np.geomspace(0.3, 400, 97), [0.3, 400.0]])
    found = histogram("seconds", values, logarithmic)
    assert sum(n for _, n, _ in found.bars) == 99
    assert max(height for height, _, _ in found.bars) == 100
    assert all(0 <= at <= 100.01 for _, at in found.ticks) and 3 <= len(found.ticks) <= 9
