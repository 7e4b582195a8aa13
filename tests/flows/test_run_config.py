"""Settings of a run: what follows from the data, what overrides what, what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from earmark.config import change, read_yaml, to_yaml
from earmark.errors import ConfigError
from earmark.flows.first_look import has_stages
from earmark.flows.run_config import DataConfig, RunConfig, defaults_for, resolve
from earmark.flows.stages import stage_recipes
from earmark.flows.starting_weights import blank_net
from earmark.models.heads import AttentionHead, MeanHead

DEFAULTS = defaults_for([16000], [2.0])
RECIPES = Path(__file__).parents[2] / "recipes"


def settled(*settings: str, recipe=None) -> RunConfig:
    return resolve(DEFAULTS, DataConfig("sounds"), recipe, settings, longest_seconds=2.0)


def test_the_rate_is_the_median_files_and_at_most_32_khz():
    assert defaults_for([8000, 16000, 16000], [1.0]).frontend.sample_rate == 16000
    assert defaults_for([44100, 48000], [1.0]).frontend.sample_rate == 32000


@pytest.mark.parametrize(("seconds", "window"), [([0.2], 1.0), ([1.0, 2.34, 9.0], 2.3), ([60.0], 5.0)])
def test_the_window_is_the_median_clip_between_1_and_5_s(seconds, window):
    config = defaults_for([16000], seconds)
    assert (config.window.seconds, config.window.hop_seconds) == (window, window / 2)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000])
def test_transform_and_hop_last_about_32_and_10_ms_at_any_rate(rate):
    frontend = defaults_for([rate], [1.0]).frontend
    assert frontend.n_fft / rate == pytest.approx(0.032, rel=0.5)
    assert frontend.hop_length / rate == pytest.approx(0.010, rel=0.25)


def test_settings_go_over_the_recipe_and_the_recipe_over_the_defaults(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("optim:\n  epochs: 7\n  batch_size: 4\nmodel: tiny_cnn\n", encoding="utf-8")
    config = settled("optim.epochs=9", recipe=recipe)
    assert (config.optim.epochs, config.optim.batch_size, config.model) == (9, 4, "tiny_cnn")
    assert config.optim.learning_rate == RunConfig().optim.learning_rate
    assert config.data.path == "sounds"


@pytest.mark.parametrize("name", ["fsd", "fastai"])
def test_the_published_front_ends_are_recipes(name):
    recipe = Path(__file__).parents[2] / "recipes" / f"frontend-{name}.yaml"
    frontend = settled(recipe=recipe).frontend
    expected = {"fsd": (44100, 1024, 512, 64, "window", 80.0), "fastai": (44100, 2560, 256, 128, "fixed", 100.0)}
    fields = ("sample_rate", "n_fft", "hop_length", "n_mels", "reference", "top_db")
    assert tuple(getattr(frontend, field) for field in fields) == expected[name]


def test_a_front_ends_options_are_settings():
    config = settled("frontend.learns=kernels,mel", "frontend.top_db=80", "frontend.n_deltas=2").frontend
    assert (config.learns, config.top_db, config.n_deltas) == (("kernels", "mel"), 80.0, 2)
    config = settled("frontend.learns=[]", "frontend.top_db=none").frontend
    assert (config.learns, config.top_db) == ((), None)


def test_a_window_changed_alone_takes_its_hop_with_it():
    assert settled("window.seconds=0.8").window.hop_seconds == 0.4
    assert settled("window.seconds=0.8", "window.hop_seconds=0.2").window.hop_seconds == 0.2


def test_the_windows_in_samples():
    framing = settled("window.seconds=0.5", "window.padding=zeros").framing
    assert (framing.sample_rate, framing.window_samples, framing.hop_samples) == (16000, 8000, 4000)
    assert framing.padding == "zeros"


def test_a_written_run_config_reads_back_equal(tmp_path):
    config = settled("model=tiny_cnn", "model_options.width=8", "optim.learning_rate=3e-4", "ship=ensemble")
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert change(RunConfig(), read_yaml(path), "config.yaml") == config


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.epoch=3", r"--set: optim: 'epoch' is not a setting \(did you mean 'epochs'\?\)"),
        ("optim.epochs=many", "epochs: expected a int, found 'many'"),
        ("model=se_cn", r"'se_cn' is not a model \(did you mean 'se_cnn'\?\)"),
        ("model_options.chanels=8", r"model_options of se_cnn: 'chanels' is not an option .did you mean 'channels'"),
        ("head=meen", r"'meen' is not a head \(did you mean 'mean'\?\)"),
        ("branches=length,step", r"'step' is not a branch \(did you mean 'steps'\?\)"),
        ("optim.loss=bse", r"'bse' is not a loss .did you mean 'bce'"),
        ("optim.loss_options.gamma=2", "optim.loss_options of cross_entropy: 'gamma' is not an option"),
        ("optim.schedule=plateau", "optim.schedule: plateau listens to inner validation clips, which a refit"),
        ("window.padding=mirror", "window.padding: 'mirror' is none of zeros, repeat"),
        ("window.pool=median", "window.pool: 'median' is none of"),
        ("window.views=all", "window.views: 'all' is none of sliding, ends, full, lengths"),
        ("window.views=lengths", r"window.view_seconds: \[\] with the views lengths. Give lengths of windows"),
        ("window.view_seconds=1", r"window.view_seconds: \[1.0\] with the views sliding"),
        ("precision=double", "precision: 'double' is none of"),
        ("ship=all", "ship: 'all' is none of refit, ensemble"),
        ("window.hop_seconds=3", "window.hop_seconds: 3 s would leave gaps between windows of 2 s"),
        ("window.hop_seconds=0", "would leave gaps"),
        ("window.seconds=0.02", "window.seconds: 0.02 s is shorter than one transform of 512 samples at 16000 Hz"),
        ("validation_fraction=0.6", "validation_fraction: found 0.6, expected 0 to 0.5"),
        ("optim.epochs=0", "optim.epochs: found 0, expected 1 or more"),
        ("optim.batch_size=1", "optim.batch_size: found 1, expected 2 or more"),
        ("augment.gain_db=-3", "augment.gain_db: found -3.0, expected 0 to 60 dB"),
        ("data.n_folds=1", "data.n_folds: found 1, expected 2 or more"),
        ("data.path=elsewhere", "--set: data.path is not a setting; the data is the command's first argument"),
        ("optim.epochs=[1", "--set optim.epochs=.1: the value cannot be read. A list is written"),
        ("frontend.fmax=20000", "fmax"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        settled(setting)


def test_options_of_a_loss_a_schedule_and_an_optimiser_are_read_as_numbers():
    optim = settled(
        *("optim.loss=focal", "optim.loss_options.gamma=1", "optim.noisy_loss=l_q", "optim.noisy_share=0.01"),
        *("optim.schedule=step", "optim.schedule_options.at=[14, 21]", "optim.optimiser=sgd"),
    ).optim
    assert optim.noisy_share == 0.01 and optim.knows_noisy
    assert settled("optim.noisy_share=0.5", "optim.noisy_share=none").optim.noisy_share is None
    assert settled("optim.schedule=plateau", "validation_fraction=0.1", "ship=ensemble").optim.schedule == "plateau"


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_is_settings_that_can_be(recipe, tmp_path):
    stages = stage_recipes(recipe, [], tmp_path) if has_stages(recipe) else {"all": read_yaml(recipe)}
    for name, content in stages.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        assert settled(recipe=path) != settled()


def test_a_section_is_no_value():
    with pytest.raises(ConfigError, match="--set optim.epochs=3: 'optim' was given a value before"):
        settled("optim=3", "optim.epochs=3")


def test_settings_name_only_what_stands_in_the_tables():
    with pytest.raises(ConfigError, match="'os:system' is not a model"):
        settled("model=os:system")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (["model=finetuned"], "nothing to fine-tune"),
        (["backbone.on=a", "model=finetuned", "optim.batch_norm=group"], "lost without the batch norm it knows"),
        (["model=gru"], "goes over the patches of a backbone"),
        (["model=forest", "window.views=full"], "full need a network for windows of any length"),
        (["window.views=lengths", "window.view_seconds=[0.02,1]"], "each longer than a transform"),
        (["backbone.on=a", "model=knn", "backbone.patch_seconds=-1"], "backbone.patch_seconds: found -1.0, expected 0"),
        (["backbone.on=a", "model=finetuned", "head=gem"], "fine-tuning keeps the head and the branches"),
        (["backbone.on=mn04_as"], "se_cnn learns from the waveform and stands on nothing"),
    ],
)
def test_what_stands_on_a_backbone_needs_one_and_what_does_not_refuses_it(changes, found):
    with pytest.raises(ConfigError, match=found):
        resolve(defaults_for([32000], [5.0]), DataConfig(), None, changes)


def test_a_head_is_named_after_its_backbone(tmp_path):
    def name(*changes: str) -> str:
        return resolve(defaults_for([32000], [5.0]), DataConfig(), None, list(changes)).model_name

    assert name("backbone.on=mn04_as", "model=knn") == "mn04_as+knn"
    assert name(f"backbone.on={tmp_path}/birds.tagger.onnx", "model=knn") == "birds+knn"
    assert name("backbone.on=mn04_as", "model=finetuned") == "finetuned"
    assert name("model=knn") == "knn"


def test_head_and_branches_reach_the_network():
    config = settled("model=tiny_cnn", "model_options.width=8", "head=attention", "branches=steps,length")
    net = blank_net(config, ["a", "b", "c"])
    assert isinstance(net.head, AttentionHead) and net.head.last.in_features == 24 + 128 + 1
    assert isinstance(blank_net(settled("model=crnn"), ["a"]).head, AttentionHead)
    assert isinstance(blank_net(settled("model=crnn", "head=mean"), ["a"]).head, MeanHead)


def test_the_longest_clip_can_be_the_window():
    config = resolve(defaults_for([32000], [1.0, 7.31]), DataConfig(), None, ["window.seconds=longest"], 7.31)
    assert (config.window.seconds, config.window.hop_seconds) == (7.4, 3.7)


def test_data_is_kept_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert DataConfig.at("t.csv", "wav", merge=False) == DataConfig(
        str(tmp_path / "t.csv"), str(tmp_path / "wav"), merge=False
    )
    assert DataConfig.at(Path("t.csv")).audio_dir is None
