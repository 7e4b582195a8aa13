"""What --on, --head, --finetune, --from, --precision and --recall stand for, and what they cannot stand beside."""

from __future__ import annotations

import pytest

from earmark.cli.train import _backbone, _require_network, _thresholds
from earmark.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ((None, None, None, False, None), {}),
        (("se_cnn", None, None, False, None), {}),
        (("se_cnn", None, "gem", False, None), {"head": "gem"}),
        ((None, "mn04_as", None, False, None), {"backbone.on": "mn04_as", "model": "choice"}),
        ((None, "mn04_as", "knn", False, None), {"backbone.on": "mn04_as", "model": "knn"}),
        ((None, "mn04_as", None, True, None), {"backbone.on": "mn04_as", "model": "finetuned"}),
        ((None, None, None, False, "runs/a"), {"backbone.on": "runs/a", "model": "finetuned"}),
        ((None, None, None, True, "runs/a"), {"backbone.on": "runs/a", "model": "finetuned"}),
    ],
)
def test_the_options_stand_for_settings(given, settings):
    assert _backbone(*given) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, "mn04_as", None, False, "runs/a"), "--from starts from one network and --on stands on another"),
        (("se_cnn", "mn04_as", None, False, None), "--model is trained from the waveform"),
        (("se_cnn", None, None, False, "runs/a"), "--model is trained from the waveform"),
        ((None, "mn04_as", "knn", True, None), "--head is for the network as it is"),
        ((None, None, "knn", False, "runs/a"), "--head is for the network as it is"),
        ((None, None, "knn", False, None), "--head needs --on NAME"),
        (("forest", None, "knn", False, None), "--head needs --on NAME"),
        ((None, None, None, True, None), "--finetune needs --on NAME. `earmark models` lists them"),
        ((None, None, None, False, "runs/a", True), "--or-from-scratch: is for a network of --on that cannot be had"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        _backbone(*given)


@pytest.mark.parametrize(
    ("option", "model", "or_from_scratch", "message"),
    [
        ("--find-lr", "forest", False, "--find-lr is for networks, and forest is none"),
        ("--diagnose", "choice", False, "--diagnose is for networks, and choice is none. Leave --diagnose away"),
        ("--find-lr", "se_cnn", True, "--find-lr is for one network. Leave --or-from-scratch away"),
    ],
)
def test_what_is_for_networks_is_refused_where_there_is_none(option, model, or_from_scratch, message):
    with pytest.raises(ConfigError, match=message):
        _require_network(option, model, or_from_scratch)


def test_a_promise_stands_for_two_settings():
    assert _thresholds(0.95, None) == {"thresholds.goal": "precision", "thresholds.least": "0.95"}
    assert _thresholds(None, 0.8) == {"thresholds.goal": "recall", "thresholds.least": "0.8"}
    assert _thresholds(None, None) == {}
