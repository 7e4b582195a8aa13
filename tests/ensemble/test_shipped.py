"""Several labels at once, from runs to a tagger: thresholds, one file or a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from earmark.flows.ensemble import ensemble
from earmark.tagger import load_tagger
from earmark.tagger.combination import combine, on_rows
from earmark.tagger.metadata import calibrate

SOUND = Path(__file__).parents[2] / "docs" / "tagger-file" / "long.wav"
LABELS = [(), ("noise",), ("noise", "tone, low"), ("tone, high",)] * 3


@pytest.mark.parametrize(("kinds", "is_file"), [(("cnn", "calibrated"), True), (("cnn", "ends", "lengths"), False)])
@pytest.mark.parametrize("how", ["geometric", "rank", "weights", "stack"])
def test_the_shipped_tagger_gives_its_members_combined(make_run, tmp_path, kinds, is_file, how):
    runs = [make_run(tmp_path / kind, kind, labels=LABELS) for kind in kinds]
    found = ensemble(runs, tmp_path / "joined", how=how)
    assert (found.shipped, found.tagger.is_file()) == (how, is_file)
    tagger = load_tagger(found.tagger)
    members = [load_tagger(run).score(SOUND) for run in runs]
    rows = members[0]
    each = [on_rows(rows.starts, rows.ends, its.starts, its.ends, its.scores) for its in members]
    fits = json.loads((tmp_path / "joined" / "fits" / f"{how}.json").read_text())
    levels = json.loads((tmp_path / "joined" / "calibration.json").read_text())["levels"]
    expected = calibrate(combine(np.stack(each, axis=1), fits["final"], True), levels["window"]["calibration"], True)
    np.testing.assert_allclose(tagger.score(SOUND).scores, expected, atol=1e-4)
    assert is_file or levels["window"]["calibration"] is None  # a folder has no graph for it
    assert tagger.metadata.calibration["clip"] == levels["clip"]["calibration"]
    thresholds = tagger.metadata.thresholds
    assert all(0 < limit <= 1 for level in thresholds.values() for limit in level)
