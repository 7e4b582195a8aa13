"""The picture of a run is legible whatever the labels, or says what it cannot draw."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib import image

from earmark.report.findings import Findings
from earmark.report.reading import read_run
from earmark.report.summary import LONGEST_NAME, PLAIN, draw_summary, fonts_for, shown, spelt


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_picture_is_drawn_without_a_letter_that_is_missing(make_run, tmp_path, multi_label):
    findings = Findings(read_run(make_run(multi_label=multi_label)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of letters that it cannot draw
        draw_summary(findings, "a costs $5, b $6", tmp_path / "summary.png")
    picture = image.imread(tmp_path / "summary.png")
    assert picture.shape[1] == 1200
    assert (np.abs(picture[..., :3] - [0x17 / 255, 0x63 / 255, 0xA6 / 255]).max(axis=-1) < 0.01).mean() > 0.02


def test_names_that_cannot_be_drawn_are_spelt_and_long_ones_cut():
    assert spelt("dog", [PLAIN]) == "dog"
    assert spelt("نباح", [PLAIN]) == "نباح"
    assert spelt("雨 🐦", [PLAIN]) == "[96E8]"
    assert spelt("🐦", [PLAIN]) == "[1F426]"
    assert len(shown("a" * 99, [PLAIN])) == LONGEST_NAME


def test_fonts_are_looked_for_only_where_the_plain_one_lacks_letters():
    assert fonts_for("dog нет نباح") == []
    assert "Last Resort High-Efficiency" not in fonts_for("雨")
