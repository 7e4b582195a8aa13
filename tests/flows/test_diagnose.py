"""`train --diagnose`: what it leaves, where it stops, and that training ends as it would have without."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from earmark.audio.cache import Cache
from earmark.errors import ConfigError, EarmarkError
from earmark.flows.cross_validate import NetworkFolds
from earmark.flows.diagnose import diagnose
from earmark.flows.experiment import Experiment
from earmark.flows.workers import load_experiment
from earmark.run import Run


@pytest.fixture
def experiment(trained, tmp_path, cache_folder) -> Experiment:
    """The trained run's settings and rows, of which nothing is done yet in a new folder."""
    done = load_experiment(trained.run)
    return Experiment(Run(tmp_path / "run"), done.config, done.manifest, Cache(cache_folder), progress=False)


def test_it_leaves_a_file_and_a_page_and_says_what_it_found(experiment, caplog):
    caplog.set_level("INFO", "earmark")
    assert diagnose(experiment).alarms == []
    found = json.loads(experiment.run.diagnostics.read_text(encoding="utf-8"))
    assert (found["model"], found["fold"], found["alarms"]) == ("tiny_cnn", 0, [])
    assert found["checks"].keys() == {"shape", "loss", "prior_loss", "mixing", "two_clips", "zeroed_input"}
    stages = ["decode", "read", "augment", "front_end", "forward", "backward", "optimiser"]
    assert list(found["seconds"]) == stages
    assert found["forecast_minutes"] > 0
    page = experiment.run.batch_page.read_text(encoding="utf-8")
    assert page.count("<audio") == 2 * experiment.config.optim.batch_size
    assert page.count('class="spectrogram seen"') == experiment.config.optim.batch_size
    assert "Earmark batch" in page
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("two clips: loss") for line in said)
    assert any("min of training in all; the batch: batch.html" in line for line in said)
    assert "no alarms" in said


def test_training_after_it_ends_with_the_same_weights(experiment, trained):
    diagnose(experiment)
    folder = experiment.run.fold(0, "tiny_cnn")
    training = experiment.manifest.select(np.flatnonzero(experiment.manifest.folds != 0))
    NetworkFolds(experiment).fit(0, training, None, folder)
    states = [
        torch.load(run.fold(0, "tiny_cnn").checkpoints / "last.ckpt", weights_only=True)["state_dict"]
        for run in (experiment.run, trained.run)
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


class Both(nn.Module):
    """Every clip hears the next one too."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + features.roll(1, 0)


def test_training_that_would_be_in_vain_is_not_begun(train, folders, tmp_path, monkeypatch):
    start = NetworkFolds.start

    def spoiled(self, *arguments):
        net = start(self, *arguments)
        net.backbone.layers.append(Both())
        return net

    monkeypatch.setattr(NetworkFolds, "start", spoiled)
    with pytest.raises(EarmarkError, match=r"training would be in vain(.|\n)*clip 1 gets depends on the others"):
        train(folders, tmp_path / "run", diagnose=True)
    assert not list((tmp_path / "run").glob("fold_*"))


def test_a_classifier_is_not_diagnosed(experiment):
    config = dataclasses.replace(experiment.config, model="forest", model_options={})
    with pytest.raises(ConfigError, match="forest is not trained step by step. --diagnose is for networks"):
        diagnose(dataclasses.replace(experiment, config=config))
