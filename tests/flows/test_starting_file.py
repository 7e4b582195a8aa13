"""A run of a family that starts from a file of weights: who reads the file, who does not, and who tells of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from earmark.errors import ConfigError, FetchError
from earmark.flows.run_config import RunConfig, defaults_for
from earmark.flows.starting_weights import blank_net, started_from_file, starting_net
from earmark.models.pretrained.keys import match_keys
from earmark.models.resnet import KEYS, ResNet
from earmark.tagger.metadata import TaggerMetadata

LABELS = ("low", "high", "noise")
OPTION = "model_options.weights"


@pytest.fixture
def weights(tmp_path) -> Path:
    """A file for a resnet of 18 layers, each number of it a half."""
    state = {key: tensor for key, tensor in ResNet(16).state_dict().items() if not key.startswith("norm.")}
    keys = match_keys(state, KEYS)
    half = {theirs: torch.tensor(0.5).expand(state[ours].shape) for ours, theirs in keys.items()}
    torch.save({**half, "fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}, tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


@pytest.fixture
def config(weights) -> RunConfig:
    return replace(defaults_for([8000], [0.8]), model="resnet", model_options={"weights": str(weights)})


def test_training_starts_from_the_file_and_a_network_to_be_restored_needs_none(config, weights):
    net, kept = starting_net(config, LABELS)
    assert kept == []
    assert (net.backbone.layer4[1].conv2.weight == 0.5).all()
    assert (net.head.last.weight != 0.5).all()
    weights.unlink()
    assert (blank_net(config, LABELS).backbone.layer4[1].conv2.weight != 0.5).any()
    with pytest.raises(FetchError, match="is no file of weights"):
        starting_net(config, LABELS)


def test_the_tagger_tells_the_file(config):
    plain = TaggerMetadata("m", LABELS, 8000, 0.5, 0.25, False, licences=("mine",))
    told = started_from_file(plain, config)
    assert told.trained_on["starting_weights"] == "resnet18.pth"
    assert told.licences == ("mine", "resnet18.pth: see its own terms")
    assert started_from_file(plain, replace(config, model_options={})) == plain


def test_a_file_that_is_not_there_stops_the_run_before_anything_is_decoded(train, folders, tmp_path):
    with pytest.raises(FetchError, match=r"nowhere\.pth: is no file of weights"):
        train(folders, tmp_path / "run", "model=resnet", f"{OPTION}={tmp_path / 'nowhere.pth'}")
    assert not (tmp_path / "run").exists()


def test_a_family_without_the_option_refuses_it(train, folders, tmp_path):
    with pytest.raises(ConfigError, match="model_options of se_cnn: 'weights' is not an option"):
        train(folders, tmp_path / "run", "model=se_cnn", f"{OPTION}=x.pth")
