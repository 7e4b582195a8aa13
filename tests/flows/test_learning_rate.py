"""`train --find-lr`: what it hears, what it writes, and that a run may follow in its folder."""

from __future__ import annotations

import json

import pytest

from earmark.data import Manifest
from earmark.data.clip_audio import ClipAudio
from earmark.errors import ConfigError
from earmark.flows.experiment import claim
from earmark.flows.learning_rate import find_learning_rate
from earmark.flows.run_config import RunConfig


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr("earmark.training.rate_finder.N_STEPS", 30)


def test_it_hears_one_folds_training_clips_alone_and_leaves_the_folder_to_a_run(
    short, small, settings, folders, tmp_path, monkeypatch
):
    heard: list[Manifest] = []
    real = ClipAudio.__init__

    def listen(self, manifest, *rest):
        heard.append(manifest)
        real(self, manifest, *rest)

    with small(), monkeypatch.context() as patch:
        patch.setattr(ClipAudio, "__init__", listen)
        found = find_learning_rate(folders, tmp_path / "run", settings=settings, progress=False)
    assert [set(manifest.folds) for manifest in heard] == [{1}]
    written = json.loads(found.run.rate_curve.read_text(encoding="utf-8"))
    assert written["set"] == found.set == 2e-3
    assert len(written["rates"]) == len(written["losses"]) <= 30
    assert written["suggested"] == found.curve.suggested
    assert "<svg" in found.run.rate_plot.read_text(encoding="utf-8")
    assert sorted(path.name for path in found.run.folder.iterdir()) == ["learning_rate.json", "learning_rate.svg"]
    claim(found.run, RunConfig(), heard[0])
    assert found.run.config.exists()


def test_a_classifier_has_no_learning_rate(small, folders, tmp_path):
    with small(), pytest.raises(ConfigError, match="model: forest has no learning rate. --find-lr is for networks"):
        find_learning_rate(folders, tmp_path / "run", settings=["model=forest"], progress=False)
