"""Which runs may vote together, and how their windows come side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark.ensemble.members import make_panel, read_member, read_members, rows_of, share_windows
from earmark.errors import ConfigError, RunError
from earmark.predictions import Predictions
from earmark.run import Run

N_CLIPS = 12


@pytest.fixture
def first(make_run, tmp_path):
    return make_run(tmp_path / "first")


def test_scores_stand_beside_one_another_by_clip_and_window(make_run, tmp_path, first):
    members = read_members([first, make_run(tmp_path / "second", "calibrated", order=list(range(N_CLIPS))[::-1])])
    panel = make_panel(members)
    assert share_windows(members)
    assert panel.names == ("first", "second")
    assert panel.scores.shape == (3 * N_CLIPS, 2, 3)
    for number, member in enumerate(members):
        for row in (0, 5, 3 * N_CLIPS - 1):
            name, start = panel.clip_ids[panel.clip_of[row]], panel.starts[row]
            own = (member.windows.clip_ids == name) & (member.windows.starts == start)
            np.testing.assert_array_equal(panel.scores[row, number], member.windows.scores[own][0])
    assert panel.folds.tolist() == [number // 3 % 2 for number in range(N_CLIPS)]
    assert panel.pool == "mean"  # the first pools by max, the second by mean


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(list(range(N_CLIPS))))
def test_the_order_of_a_table_does_not_matter(make_run, tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("runs")
    first, second = make_run(folder / "a"), make_run(folder / "b", "calibrated", order=order)
    rows = make_panel(read_members([first, second]))
    its = read_member(second).windows
    scores = dict(zip(zip(its.clip_ids, its.starts, strict=True), its.scores, strict=True))
    for row in range(len(rows.clip_of)):
        expected = scores[rows.clip_ids[rows.clip_of[row]], rows.starts[row]]
        np.testing.assert_array_equal(rows.scores[row, 1], expected)


def test_members_that_hear_other_windows_are_put_on_the_rows_of_the_longest(make_run, tmp_path, first):
    members = read_members([first, make_run(tmp_path / "sparse", "patches")])
    assert not share_windows(members)
    assert rows_of(members) == 0
    panel = make_panel(members)
    assert len(panel.clip_of) == len(members[0].windows)


@pytest.mark.parametrize(
    ("difference", "message"),
    [
        ({"folds": [number % 2 for number in range(N_CLIPS)]}, "in other folds than .*first, so one's scores know"),
        ({"labels": [("noise",)] * 2 + [("tone, low",)] * 10}, "knows other labels than"),
        ({"labels": [(("noise", "tone, low", "tone, high")[n % 3],) for n in range(N_CLIPS)]}, "labels 12 clips other"),
        ({"n_clips": 9, "folds": [0, 1, 0] * 3}, "was scored on other clips than"),
        ({"multi_label": False}, "lets one label hold at once and .* does not"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(make_run, tmp_path, first, difference, message):
    with pytest.raises(RunError, match=message):
        read_members([first, make_run(tmp_path / "other", **difference)])


def test_scores_of_clips_that_a_fold_was_trained_on_are_refused(make_run, tmp_path, first):
    with pytest.raises(RunError, match="the model of fold 0 scored 3 clips that it was trained on"):
        read_members([first, make_run(tmp_path / "leaky", shown={0: [0, 1, 2, 3, 4, 5, 6, 7, 8]})])


def test_one_run_is_no_ensemble_nor_is_it_twice_the_same(first):
    with pytest.raises(ConfigError, match="one run is no ensemble"):
        read_members([first])
    with pytest.raises(ConfigError, match="first is given twice, or two runs have one name"):
        read_members([first, first])


def test_what_is_not_finished_is_refused(make_run, tmp_path, first):
    with pytest.raises(RunError, match="holds no finished run, so it cannot be a member"):
        read_members([first, tmp_path / "absent"])
    Run(first).fold(1, "cnn").predictions.unlink()
    with pytest.raises(RunError, match="the scores of fold 1 are not there"):
        read_member(first)


def test_a_clip_without_scores_is_named(make_run, tmp_path, first):
    other = make_run(tmp_path / "other", "calibrated")
    path = Run(other).fold(0, "calibrated").predictions
    table = Predictions.load(path)
    table.rows(table.clip_ids != "0.wav").save(path)
    with pytest.raises(RunError, match="1 clips have no scores. Let the run finish.\n0.wav"):
        make_panel(read_members([first, other]))
