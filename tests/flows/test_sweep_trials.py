"""Trials before they are run: what each changes, that nothing else does, and names that are refused."""

from __future__ import annotations

import pytest
import torch

from earmark.augment.pipeline import AUGMENTATIONS, MIX_PROBABILITIES, Augmentation, AugmentConfig
from earmark.config import change
from earmark.errors import ConfigError, TaggerFileError
from earmark.flows.run_config import DataConfig, RunConfig, resolve
from earmark.flows.settings import layered
from earmark.flows.sweep_bench import assignments
from earmark.flows.sweep_draws import draw_settings, space_of
from earmark.flows.sweep_trials import (
    PARTS,
    Planned,
    ablated,
    is_on,
    model_settings,
    nested,
    of_models,
    parse_varied,
    value_of,
    varied,
)
from earmark.training.optim_config import OptimConfig

MIXES = {name.removesuffix("_probability") for name in MIX_PROBABILITIES.values()}
# Every part on.
EVERYTHING = {
    **dict.fromkeys([f"augment.{name}" for name in ("crop", *set(AUGMENTATIONS) - {"mixing"})], "0.1"),
    **dict.fromkeys([f"augment.{name}_probability" for name in MIXES], "0.1"),
    "augment.audiomentations": ["Gain"],
    "augment.off_for_last": "1",
    "augment.padding": "wrap",
    "augment.trim_db": "60",
    "augment.roll": "true",
    "optim.swa_epochs": "2",
    "optim.smoothing": "0.1",
    "optim.clip_gradient": "1",
    "optim.balance": "0.5",
    "optim.layer_decay": "0.5",
    "optim.unfreeze_epochs": "1",
    "optim.noisy_loss": "l_q",
    "optim.noisy_mask": "0.8",
    "branches": ["length"],
    "frontend.n_deltas": "1",
    "frontend.noise": "0.5",
    "frontend.learns": ["mel"],
}


def config_of(settings) -> RunConfig:
    return resolve(RunConfig(), DataConfig(), None, assignments(settings))


@pytest.fixture(scope="module")
def everything() -> Planned:
    known = AugmentConfig.__dataclass_fields__
    changes = {
        key: value
        for key, value in EVERYTHING.items()
        if not key.startswith("augment.") or key.removeprefix("augment.") in known
    }
    return Planned("all", "base", layered({"model": "se_cnn", "backbone": {"on": ""}}, nested(changes)))


def steps_of(config: AugmentConfig) -> set[str]:
    """Names in AUGMENTATIONS and MIXES of what a training batch goes through."""
    found = Augmentation(config, 8000, torch.zeros(1, 8000))
    mixed = {name for name, field in MIX_PROBABILITIES.items() if getattr(config, field)} if found.mixing else set()
    return {*found.on_waveform, *found.on_spectrogram, *mixed}


def test_every_augmentation_and_mix_is_a_part_that_can_be_switched_off(everything, stand_in):
    assert set(AUGMENTATIONS) - {"mixing"} | set(MIX_PROBABILITIES) <= set(PARTS)
    config = config_of(everything.settings)
    before = steps_of(config.augment)
    assert before == set(AUGMENTATIONS) - {"mixing"} | set(MIX_PROBABILITIES)
    for each in ablated(everything, config):
        part = each.name.removeprefix("without ")
        if part in before:
            assert before - steps_of(config_of(each.settings).augment) == {part}


def test_each_part_is_on_there_and_off_without_it_and_nothing_else_changes(everything, stand_in):
    config = config_of(everything.settings)
    trials = {each.name.removeprefix("without "): each for each in ablated(everything, config)}
    assert set(trials) == {*PARTS, "augmentation"}
    for name, off in PARTS.items():
        without = config_of(trials[name].settings)
        assert not any(is_on(value_of(without, key), value) for key, value in off.items())
        assert change(config, nested(off), "test") == without
    assert steps_of(config_of(trials["augmentation"].settings).augment) == set()


def test_a_part_that_is_off_is_no_trial_and_defaults_have_some():
    base = Planned("se_cnn", "base", {"model": "se_cnn", "backbone": {"on": ""}})
    names = [each.name for each in ablated(base, config_of(base.settings))]
    assert names == [
        *("without roll", "without gain", "without warp", "without equalise", "without mask", "without ema"),
        *("without weight decay", "without augmentation"),
    ]


def test_a_classifier_and_a_network_without_parts_have_nothing_to_switch_off():
    with pytest.raises(ConfigError, match="--ablate: forest has no part to switch off"):
        ablated(Planned("forest", "base", {}), config_of({"model": "forest"}))
    off = {key: value for each in PARTS.values() for key, value in each.items()}
    with pytest.raises(ConfigError, match="--ablate: no part is on that could be switched off"):
        ablated(Planned("se_cnn", "base", {}), config_of(nested(off)))


def test_each_value_is_a_trial_that_changes_one_setting_and_a_window_takes_its_hop_along():
    base = Planned("se_cnn", "base", {"model": "se_cnn", "window": {"seconds": "2", "hop_seconds": "0.5"}})
    found = varied(base, parse_varied(["window.seconds=1,3 window.pool=max"]))
    assert [each.name for each in found] == ["window.seconds=1", "window.seconds=3", "window.pool=max"]
    one, three, largest = (config_of(each.settings).window for each in found)
    assert (one.seconds, one.hop_seconds, three.hop_seconds) == (1.0, 0.5, 1.5)
    assert (largest.seconds, largest.hop_seconds, largest.pool) == (2.0, 0.5, "max")
    assert found[0].changes == {"window.seconds": "1"}


def test_values_that_are_lists_stand_in_brackets():
    [trial] = varied(Planned("x", "base", {}), parse_varied(["augment.snr_db=[0, 10]"]))
    assert trial.name == "augment.snr_db=[0, 10]"
    assert config_of(trial.settings).augment.snr_db == (0.0, 10.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frontend.n_mels", "--vary frontend.n_mels: expected key=value,value such as"),
        ("frontend.n_mels=", "expected key=value,value"),
        ("a=[1", "expected key=value,value"),
        ("a={b: 1}", "expected key=value,value"),
        ("a=1 a=2", "--vary a: is given twice"),
        ("seed=1,2", "--vary seed: all trials share their clips, folds and seeds"),
        ("data.n_folds=3", "all trials share their clips"),
    ],
)
def test_what_cannot_be_varied_is_refused(text, says):
    with pytest.raises(ConfigError, match=says.replace("[", r"\[")):
        parse_varied([text])


def test_options_of_the_settings_model_go_to_no_other_and_classifiers_come_first(monkeypatch):
    monkeypatch.setattr("earmark.flows.sweep_trials.require_backbone", lambda *_, **__: None)
    given = {"model": "tiny_cnn", "model_options": {"width": "8"}, "optim": {"epochs": "2"}}
    found = of_models(given, ["tiny_cnn", "se_cnn", "forest", "mn04_as", "mn04_as+svm", "mn04_as+finetuned"])
    assert [each.name for each in found] == [
        *("forest", "mn04_as+choice", "mn04_as+svm", "tiny_cnn", "se_cnn", "mn04_as+finetuned"),
    ]
    by_name = {each.name: each.settings for each in found}
    assert by_name["tiny_cnn"]["model_options"] == {"width": "8"}
    assert all("model_options" not in by_name[name] for name in by_name if name != "tiny_cnn")
    assert {each.settings["optim"]["epochs"] for each in found} == {"2"}
    assert by_name["mn04_as+svm"] == {"optim": {"epochs": "2"}, "model": "svm", "backbone": {"on": "mn04_as"}}


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("se_cn", ConfigError, r"'se_cn' is not a model \(did you mean 'se_cnn'\?\)\. Give a network, a classifier"),
        ("gru", ConfigError, "'gru' is not a model"),
        ("mn04_as+forst", ConfigError, r"'forst' is not a head \(did you mean 'forest'"),
        ("mn40_as", TaggerFileError, "earmark models get mn40_as"),
    ],
)
def test_a_model_that_is_not_there_is_refused(name, error, says, monkeypatch):
    if name.startswith("mn04"):
        monkeypatch.setattr("earmark.flows.sweep_trials.require_backbone", lambda *_, **__: None)
    with pytest.raises(error, match=says):
        model_settings(name)


def test_two_models_of_one_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("earmark.flows.sweep_trials.require_backbone", lambda *_, **__: None)
    for folder in ("a", "b"):
        (tmp_path / folder / "birds").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"--models: two trials would be called birds\+choice"):
        of_models({}, [str(tmp_path / "a" / "birds"), str(tmp_path / "b" / "birds")])


BASES = {
    "network": Planned("se_cnn", "model", {"model": "se_cnn", "backbone": {"on": ""}}),
    "classifier": Planned("forest", "model", {"model": "forest", "backbone": {"on": ""}}),
    "head": Planned("x+svm", "model", {"model": "svm", "backbone": {"on": "x"}}),
    "finetuned": Planned("x+finetuned", "model", {"model": "finetuned", "backbone": {"on": "x"}}),
}


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_a_draw_is_a_function_of_seed_and_number_and_goes_together(base):
    config = config_of(base.settings)

    def fits(planned):
        config_of(planned.settings)

    draws = [draw_settings(base, config, 0, number, fits) for number in range(1, 31)]
    assert draws == [draw_settings(base, config, 0, number, fits) for number in range(1, 31)]
    assert draws[0] != draw_settings(base, config, 1, 1, fits)
    assert len({str(each.changes) for each in draws}) > 15
    drawn = {name for each in space_of(config) for name in each.names}
    assert {name for each in draws for name in each.changes} <= drawn
    for each in draws:
        changed = config_of(each.settings)
        for name in drawn:
            if name not in each.changes:
                assert value_of(changed, name) == value_of(config, name)
            else:
                assert value_of(changed, name) != value_of(config, name)


def test_a_scaled_setting_stays_in_its_range_and_what_is_off_stays_off():
    base = Planned("se_cnn", "model", nested({"augment.warp_mel": "0"}))
    config = config_of(base.settings)
    draws = [draw_settings(base, config, 0, number, lambda _: None) for number in range(200)]
    rates = [float(each.changes["optim.learning_rate"]) for each in draws if "optim.learning_rate" in each.changes]
    assert 0.25 * 2e-3 <= min(rates) < 1e-3 and 4e-3 < max(rates) <= 4 * 2e-3
    epochs = [each.changes.get("optim.epochs", "60") for each in draws]
    assert all(each.isdigit() and 30 <= int(each) <= 90 for each in epochs)
    assert not any("augment.warp_mel" in each.changes for each in draws)
    assert OptimConfig.learning_rate == 2e-3


def test_where_nothing_goes_together_there_is_no_draw():
    def never(_):
        raise ConfigError("no")

    assert draw_settings(BASES["network"], RunConfig(), 0, 1, never) is None
