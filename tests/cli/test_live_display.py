"""The picture of `earmark listen` shows what is there, at any width."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from earmark.cli.live_display import Heading, Picture, level_line, score_line
from earmark.predictions import Predictions
from earmark.tagger import Event
from earmark.tagger.live import LiveEvent, Loss, Moment

LABELS = ("owl", "[red]tawny[/]", "rain")


def moment(scores=(0.9, 0.1, 0.3), **fields):
    windows = Predictions(
        np.array(["stream"], dtype=object), np.array([9.0]), np.array([10.0]), np.float32([scores]), LABELS, "window"
    )
    given = {
        "seconds": 3610.0,
        "level": 0.1,
        "windows": windows,
        "sounding": [],
        "events": [],
        "loss": None,
        "backlog_seconds": 0.5,
        "load": 0.04,
    }
    return Moment(**(given | fields))


@pytest.fixture
def drawn():
    """`drawn(width, *moments)`: the last picture, as text."""

    def draw(width, *moments):
        out = io.StringIO()
        console = Console(file=out, width=width, highlight=False, markup=False)
        picture = Picture(Heading("mic (48000 Hz)", "owls", LABELS, np.array([0.5, np.inf, 0.25])), 2, console)
        for each in moments:
            picture.show(each)
        console.print(picture.draw())
        return out.getvalue()

    return draw


def test_it_shows_level_labels_what_sounds_and_what_did(drawn):
    event = LiveEvent(Event("[red]tawny[/]", 0.75, 3600.0, 3602.5, 0.6), 1_764_504_000.0)
    sounding = [Event("owl", 0.9, 3590.0, 3600.0, 0.8)]
    text = drawn(80, moment(sounding=sounding, events=[event], loss=Loss(1.0, 3.0, 0.0)))
    state, level, first, second, now, last = text.splitlines()
    assert state == "1:00:10   load 4%   0.5 s behind   2 s lost"
    assert level.startswith("level ")
    assert level.endswith("-20 dB")
    assert (first.split()[0], first.split()[-1], second.split()[0]) == ("owl", "0.90", "rain")
    assert now.rstrip() == "now: owl (20 s), rain (3601 s)"  # an event, and what the last window names
    assert last.rstrip().endswith("[red]tawny[/]  2.5 s  0.75")


@pytest.mark.parametrize("width", [20, 40, 200])
def test_no_line_is_wider_than_the_terminal(drawn, width):
    lines = drawn(width, moment()).splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= width


def test_before_the_first_sound_it_waits(drawn):
    assert drawn(80) == "waiting for sound …\n"


def test_a_bar_is_as_long_as_its_score_and_marks_its_threshold():
    assert score_line("owl", 0.5, 0.75, 20).plain.count("█") == 10
    assert score_line("owl", 1.0, 1.0, 20).plain.index("│") == 28 + 19
    assert "│" not in score_line("owl", 0.5, math.inf, 20).plain


@pytest.mark.parametrize(("level", "bars"), [(1.0, 12), (2.0, 12), (0.1, 8), (0.001, 0), (0.0, 0), (math.nan, 0)])
def test_the_meter_goes_from_minus_60_decibels_to_full_scale(level, bars):
    assert level_line(level, 12).plain.count("█") == bars
