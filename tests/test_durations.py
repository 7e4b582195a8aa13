"""Lengths of time as people write them, and in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.durations import duration, parse_time
from earmark.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("90s", 90), ("90", 90), ("1h30m", 5400), ("1.5h", 5400), (" 2M ", 120), ("1h1m1s", 3661)],
)
def test_a_budget_is_read_as_people_write_it(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0m", "ten", "10x", "1.2.3h", "-5m", "m10", "1h30", "nan"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ConfigError, match="is no length of time. Give one such as 90s, 10m or 1h30m"):
        parse_time(text)


@given(st.text(max_size=8))
def test_any_budget_is_read_or_refused(text):
    try:
        assert parse_time(text) > 0
    except ConfigError as error:
        assert "--budget" in str(error)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 9.96, 99.4, 99.6, 5969, 5971, 1e6])
def test_a_length_of_time_in_words_is_right_to_five_percent(seconds):
    words = duration(seconds).split()
    if words[0] != "under":
        assert float(words[0]) * {"s": 1, "min": 60, "h": 3600}[words[1]] == pytest.approx(seconds, rel=0.05)
