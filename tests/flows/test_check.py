"""The flow of check: splits compared, a page written, options passed on."""

from __future__ import annotations

import numpy as np
import pytest

from earmark import audio
from earmark.data import Manifest
from earmark.flows.check import check

RATE = 8000


@pytest.fixture(scope="module")
def write_sounds(tmp_path_factory):
    """A table of 40 sounds, the test split of which is as loud as asked."""

    def write(test_gain: float):
        folder = tmp_path_factory.mktemp("sounds")
        paths = [f"{number}.wav" for number in range(40)]
        splits = ["test" if number % 4 == 0 else "train" for number in range(40)]
        for number, (path, split) in enumerate(zip(paths, splits, strict=True)):
            generator = np.random.default_rng(number)
            gain = generator.uniform(0.02, 0.05) * (test_gain if split == "test" else 1.0)
            audio.write(folder / path, (gain * generator.standard_normal(RATE)).astype(np.float32), RATE)
        Manifest.build(folder, paths, [("ab"[n % 2],) for n in range(40)], splits=splits).write(folder / "all.csv")
        return folder / "all.csv"

    return write


def test_a_test_split_that_sounds_otherwise_is_found_with_the_reason(write_sounds):
    result = check(write_sounds(test_gain=4.0))
    [finding] = [finding for finding in result.findings if finding.problem == "train_test_shift"]
    assert "can be told apart" in finding.detail and "level in dB (higher in test" in finding.detail
    assert result.summary["train_against_test"] == finding.detail


def test_a_test_split_of_the_same_kind_is_said_to_be_so(write_sounds):
    result = check(write_sounds(test_gain=1.0))
    assert "train_test_shift" not in result.counts
    assert "cannot be told apart" in result.summary["train_against_test"]


def test_without_a_test_split_nothing_is_compared(tmp_path):
    audio.write(tmp_path / "a" / "1.wav", np.full(RATE, 0.1, dtype=np.float32), RATE)
    assert "train_against_test" not in check(tmp_path).summary


def test_a_page_is_written_where_it_is_asked_for(write_sounds, tmp_path):
    check(write_sounds(test_gain=1.0), html=tmp_path / "page.html")
    assert "Earmark check" in (tmp_path / "page.html").read_text(encoding="utf-8")
