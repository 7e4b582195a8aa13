"""Training that starts from other weights: published ones, those of a run; what is kept, and what begins anew."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from earmark.audio.cache import Cache
from earmark.config import change, read_yaml, to_yaml
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.data.splits import choose_folds
from earmark.errors import ConfigError, FetchError, RunError
from earmark.flows.cross_validate import NetworkFolds, cross_validate_fold
from earmark.flows.experiment import Experiment, claim
from earmark.flows.run_config import (
    FINETUNED,
    BackboneConfig,
    RunConfig,
    WindowConfig,
    defaults_for,
)
from earmark.flows.settings import heard_by_backbone
from earmark.flows.starting_weights import blank_net, change_head, find_start, start_head, starting_net
from earmark.models.frontend import FrontendConfig
from earmark.models.pretrained.networks import EFFICIENTAT, build_pretrained, their_keys
from earmark.models.pretrained.weights import find_weights
from earmark.models.tagging_net import build
from earmark.run import REFIT, Run, to_json, write_text
from earmark.tagger import load_tagger
from earmark.tagger.home import converted, weights_folder
from earmark.training.optim_config import OptimConfig
from earmark.training.unfreezing import depth_groups

LABELS = ("high", "low", "noise")  # of the run


def settings_of(run: Run) -> RunConfig:
    return change(RunConfig(), read_yaml(run.config), str(run.config))


def finetuning(on: Path | str, config: RunConfig, **changes) -> RunConfig:
    """The settings of a run that goes on from `on`."""
    frontend = find_start(str(on)).frontend
    named = {"model": FINETUNED, "model_options": {}, "backbone": BackboneConfig(on=str(on)), "frontend": frontend}
    return dataclasses.replace(config, **(named | changes))


def sound(config: RunConfig, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(4, config.framing.window_samples, generator=generator)


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run whose network is trained on all clips, and on those outside of fold 0."""

    run: Run
    manifest: Manifest


@pytest.fixture(scope="module")
def trained(folders, cache_folder, tmp_path_factory) -> Finished:
    run = Run(tmp_path_factory.mktemp("runs") / "tones")
    manifest = choose_folds(read_manifest(folders), 2)[0]
    optim = OptimConfig(epochs=3, batch_size=4, learning_rate=5e-3)
    config = dataclasses.replace(defaults_for([8000], [0.8]), model="tiny_cnn", model_options={"width": "8"})
    config = dataclasses.replace(config, window=WindowConfig(0.5, 0.25), optim=optim, precision="float32")
    experiment = Experiment(run, config, manifest, Cache(cache_folder), progress=False)
    claim(run, config, manifest)
    network = NetworkFolds(experiment)
    network.train_refit()
    network.export_refit(run.fold(REFIT, config.model), experiment.metadata("tones", manifest))
    cross_validate_fold(experiment, config.model, 0, network)
    return Finished(run, manifest)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A home folder with a file as that of mn04_as, of weights drawn at random: the network that they make."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    torch.manual_seed(5)
    net = build_pretrained("mn04_as").eval()
    state = net.state_dict()
    weights_folder().mkdir(parents=True)
    their = {theirs: state[ours] for ours, theirs in their_keys(net, "mn04_as").items()}
    torch.save(their, weights_folder() / find_weights("mn04_as").file.name)
    return net


@pytest.fixture
def copy(trained, tmp_path) -> Run:
    """The finished run, to take things away from."""
    shutil.copytree(trained.run.folder, tmp_path / "copy")
    return Run(tmp_path / "copy")


def test_a_published_network_keeps_everything_but_its_last_layer(published, trained):
    config = finetuning("mn04_as", settings_of(trained.run))
    net, kept = starting_net(config, LABELS)
    assert kept == []
    assert config.frontend == EFFICIENTAT
    assert net.head.last.out_features == 3
    mine, theirs = net.state_dict(), published.state_dict()
    different = {name for name in mine if name not in theirs or mine[name].shape != theirs[name].shape}
    assert different == {"head.last.weight", "head.last.bias"}
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if name not in different)


def test_weights_that_are_not_here_say_which_file_to_get(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "empty"))
    config = finetuning("mn04_as", settings_of(trained.run))
    message = r"mn04_as_mAP_432\.pt: the weights of mn04_as are not on this machine yet\. `earmark models get mn04_as`"
    with pytest.raises(FetchError, match=message):
        starting_net(config, LABELS)
    assert blank_net(config, LABELS).head.last.out_features == 3  # to put trained weights in, none are needed


def test_shared_classes_keep_their_logits_whatever_the_new_order(trained):
    config = settings_of(trained.run)
    torch.manual_seed(1)
    net, kept = starting_net(finetuning(trained.run.folder, config), ("noise", "alarm", "low"))
    assert kept == ["noise", "low"]
    old = find_start(str(trained.run.folder))
    before = old.build()
    old.load(before)
    with torch.no_grad():
        theirs, ours = before.eval()(sound(config)), net.eval()(sound(config))
    assert torch.equal(ours[:, 0], theirs[:, LABELS.index("noise")])
    assert torch.equal(ours[:, 2], theirs[:, LABELS.index("low")])
    assert not any(torch.equal(ours[:, 1], theirs[:, column]) for column in range(3))


def test_the_weights_are_those_of_the_tagger_for_use(trained):
    config = settings_of(trained.run)
    net, kept = starting_net(finetuning(trained.run.folder, config), LABELS)
    assert kept == list(LABELS)
    found = load_tagger(trained.run.fold(REFIT, config.model).tagger).backend.run(sound(config).numpy())[0]
    with torch.no_grad():
        scores = torch.softmax(net.eval()(sound(config)), dim=1)
    np.testing.assert_allclose(scores.numpy(), found, atol=1e-4)


def test_without_a_network_on_all_clips_the_first_finished_fold_serves(copy):
    config = settings_of(copy)
    shutil.rmtree(copy.folder / REFIT)
    net, _ = starting_net(finetuning(copy.folder, config), LABELS)
    fold = torch.load(copy.fold(0, config.model).checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(net.head.last.weight, fold["net.head.last.weight"])
    for path in copy.folder.glob("fold_*/*/result.json"):
        path.unlink()
    with pytest.raises(RunError, match="no network of it is finished"):
        starting_net(finetuning(copy.folder, config), LABELS)
    with pytest.raises(RunError, match="no network of it is finished"):
        find_start(str(copy.folder)).locate()


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("nowhere", "nowhere: is neither a pretrained network .* nor the folder of a run"),
        ("birds.tagger.onnx", "a tagger file can be listened through, not trained on"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(on, message):
    with pytest.raises(ConfigError, match=message):
        find_start(on)


def test_a_run_without_a_network_is_refused(copy):
    write_text(copy.config, to_yaml(dataclasses.replace(settings_of(copy), model="forest", model_options={})))
    with pytest.raises(ConfigError, match="its model is 'forest', which is no network"):
        find_start(str(copy.folder))


def test_a_name_in_the_home_folder_goes_before_a_folder_of_that_name(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert find_start("copy").labels == LABELS
    converted("copy").parent.mkdir(parents=True)
    converted("copy").write_bytes(trained_file(copy))
    with pytest.raises(ConfigError, match="a tagger file can be listened through, not trained on"):
        find_start("copy")
    assert find_start(str(copy.folder)).labels == LABELS


def trained_file(run: Run) -> bytes:
    return run.fold(REFIT, settings_of(run).model).tagger.read_bytes()


def test_a_run_whose_own_start_is_gone_says_so(trained, copy, tmp_path):
    child = Run(tmp_path / "child")
    shutil.copytree(copy.folder, child.folder)
    write_text(child.config, to_yaml(finetuning(copy.folder, settings_of(copy))))
    shutil.rmtree(copy.folder)
    config = finetuning(child.folder, settings_of(trained.run))
    with pytest.raises(RunError, match=r"copy: the run is gone, and a network that was fine-tuned from it can only"):
        starting_net(config, LABELS)


def test_dropout_can_be_set_and_nothing_else(trained):
    config = finetuning(trained.run.folder, settings_of(trained.run), model_options={"dropout": "0.7"})
    assert starting_net(config, LABELS)[0].head.dropout.p == 0.7
    assert blank_net(config, LABELS).head.dropout.p == 0.7
    with pytest.raises(ConfigError, match="model_options of finetuned: 'width' is not an option"):
        find_start(str(trained.run.folder), {"width": "8"})
    with pytest.raises(ConfigError, match="dropout: found 1.5, expected 0 or more and below 1"):
        find_start(str(trained.run.folder), {"dropout": "1.5"}).build()


def test_another_network_is_built_as_before(trained):
    config = settings_of(trained.run)
    torch.manual_seed(3)
    net, kept = starting_net(config, LABELS)
    torch.manual_seed(3)
    assert kept == []
    assert torch.equal(net.head.last.weight, blank_net(config, LABELS).head.last.weight)


@pytest.fixture
def manifest(trained) -> Manifest:
    return trained.manifest


@pytest.mark.parametrize("kept", [[], ["low"], ["low", "noise"]])
def test_what_of_a_head_is_new_is_fitted_to_the_clips_and_the_rest_says_what_it_said(
    trained, manifest, cache_folder, kept
):
    config = settings_of(trained.run)
    net, _ = starting_net(finetuning(trained.run.folder, config), LABELS)
    change_head(net, [label if label in kept else "" for label in LABELS], LABELS)
    with torch.no_grad():
        before = net.eval()(sound(config))
    start_head(net, kept, manifest, config.framing, Cache(cache_folder))
    with torch.no_grad():
        after = net.eval()(sound(config))
    assert [label for row, label in enumerate(LABELS) if torch.equal(before[:, row], after[:, row])] == kept
    audio = Experiment(trained.run, config, manifest, Cache(cache_folder)).audio(manifest)
    windows = np.stack([config.framing.cut(audio[clip])[0] for clip in range(len(audio))])
    with torch.no_grad():
        answers = net.eval()(torch.from_numpy(windows)).argmax(dim=1).numpy()
    assert (answers == manifest.targets().argmax(axis=1)).mean() > 0.85


def test_a_head_that_is_kept_whole_is_not_heard_for(trained, manifest, monkeypatch):
    heard = []
    monkeypatch.setattr("earmark.flows.starting_weights.fit_last_layer", lambda *_: heard.append(True))
    start_head(None, LABELS, manifest, None, None)
    assert not heard


@pytest.fixture
def folds(trained, manifest, cache_folder, tmp_path):
    """Fold 0 of a run that goes on from the finished one, with all that unfreezing knows."""
    config = finetuning(trained.run.folder, settings_of(trained.run))
    optim = dataclasses.replace(config.optim, epochs=4, layer_decay=0.5, unfreeze_epochs=1, batch_norm="kept")
    config = dataclasses.replace(config, optim=optim)

    def make(name: str) -> NetworkFolds:
        return NetworkFolds(Experiment(Run(tmp_path / name), config, manifest, Cache(cache_folder), progress=False))

    return make


def test_a_stop_changes_nothing_and_what_it_started_from_is_not_heard_again(folds, manifest, monkeypatch):
    whole, parts = folds("whole"), folds("parts")
    expected = whole.fit(0, manifest, None, whole.experiment.run.fold(0, FINETUNED)).net.state_dict()
    folder = parts.experiment.run.fold(0, FINETUNED)
    parts.fit(0, manifest, None, folder, stop_after=2)

    def refuse(*_, **__):
        raise AssertionError("started again")

    monkeypatch.setattr("earmark.flows.cross_validate.starting_net", refuse)
    found = parts.fit(0, manifest, None, folder).net.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_finetuned_run_exports_and_can_be_gone_on_from(trained, folds, manifest):
    shipped = trained.run.fold(REFIT, settings_of(trained.run).model).tagger
    trained.run.tagger.write_bytes(shipped.read_bytes())
    made = folds("made")
    run, config = made.experiment.run, made.experiment.config
    folder = run.fold(0, FINETUNED)
    facts = made(0, np.arange(len(manifest)), folder)
    assert facts["n_epochs"] == 4
    assert folder.tagger.is_file()
    write_text(folder.result, to_json(facts))
    write_text(run.config, to_yaml(config))
    manifest.write(run.manifest)
    net, kept = starting_net(finetuning(run.folder, config), ("low", "zebra"))
    assert kept == ["low"]
    trained_head = torch.load(folder.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(net.head.last.weight[0], trained_head["net.head.last.weight"][LABELS.index("low")])


def test_a_model_of_transformers_is_a_start_too(trained, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    convolutions = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**sizes, **convolutions))
    model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    config = finetuning(f"hf:{tmp_path}", settings_of(trained.run), model_options={"layer": "2"})
    assert config.frontend.sample_rate == 16000
    net, kept = starting_net(config, LABELS)
    assert kept == []
    assert net.head.last.out_features == 3
    torch.testing.assert_close(
        net.backbone.model.encoder.layers[0].attention.q_proj.weight,
        model.encoder.layers[0].attention.q_proj.weight,
    )
    learning = {parameter for group in depth_groups(net) for parameter in group}
    assert learning.isdisjoint(net.backbone.model.feature_extractor.parameters())
    assert learning | set(net.backbone.model.feature_extractor.parameters()) == set(net.parameters())
    monkeypatch.setattr(
        "earmark.flows.starting_weights.adopted_hf", lambda on: (f"hf:{tmp_path}", 2) if on == "mine" else None
    )
    assert len(find_start("mine").build().backbone.model.encoder.layers) == 2
    assert len(find_start("mine", {"layer": "1"}).build().backbone.model.encoder.layers) == 1
    top = set(net.backbone.model.encoder.layers[1].parameters())
    assert top <= set(depth_groups(net)[1])


def test_heads_on_the_way_get_the_new_labels_too():
    net = build("aux_cnn", FrontendConfig(sample_rate=8000, n_fft=256, hop_length=80, n_mels=16), 3, {"width": "0.125"})
    before = [head.last.weight[1].clone() for head in (net.head, *net.auxiliary)]
    assert change_head(net, ("a", "b", "c"), ("d", "b")) == ["b"]
    for head, row in zip((net.head, *net.auxiliary), before, strict=True):
        assert head.last.out_features == 2
        assert torch.equal(head.last.weight[1], row)


@pytest.mark.parametrize(("on", "depths", "rate"), [("mn04_as", 3, 4e-4), ("an own run", 0, 2e-4)])
def test_of_a_published_network_the_lower_half_stays_as_it_is(on, depths, rate, published, trained, monkeypatch):
    on = on if on == "mn04_as" else str(trained.run.folder)
    heard = SimpleNamespace(sample_rate=find_start(on).frontend.sample_rate, graph=lambda n_samples: None)
    heard.config = BackboneConfig(on=on, content_hash="0")
    monkeypatch.setattr("earmark.flows.settings.find_backbone", lambda config: heard)
    monkeypatch.setattr("earmark.flows.settings.require_backbone", lambda *_, **__: None)
    defaults = defaults_for([8000], [0.8])
    config = dataclasses.replace(defaults, model=FINETUNED, backbone=BackboneConfig(on=on))
    found = heard_by_backbone(config, defaults, None, (f"backbone.on={on}", f"model={FINETUNED}"), 1.0)
    assert (found.optim.open_depths, found.optim.learning_rate, found.optim.epochs) == (depths, rate, 10)
    told = (f"backbone.on={on}", f"model={FINETUNED}", "optim.open_depths=1")
    assert heard_by_backbone(config, defaults, None, told, 1.0).optim.open_depths == 1
