"""A backbone is found by name, file or run, and its graph is the network itself on the patches of a window."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.audio.cache import content_hash
from earmark.data.manifest import Manifest
from earmark.data.seen import seen, sketch
from earmark.errors import ConfigError, TaggerFileError
from earmark.export.graph import export_tagger, open_graph
from earmark.flows import backbones
from earmark.flows.backbones import find_backbone, usual_backbone
from earmark.flows.run_config import BackboneConfig
from earmark.models.frontend import FrontendConfig
from earmark.models.pretrained.networks import build_pretrained
from earmark.models.tagging_net import build
from earmark.tagger.home import converted
from earmark.tagger.metadata import TaggerMetadata

RATE, SECONDS = 8000, 0.5


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def tagger_file(path: Path, net: torch.nn.Module, seconds: float = SECONDS, rate: int = RATE) -> Path:
    """The file of a network with as many labels as it has outputs."""
    windows = 0.1 * np.random.default_rng(0).normal(size=(2, round(seconds * rate))).astype(np.float32)
    labels = tuple(f"label {number}" for number in range(net.head.last.out_features))
    metadata = TaggerMetadata(path.name, labels, rate, seconds, seconds / 2, multi_label=True)
    export_tagger([net.eval()], metadata, path, windows)
    return path


@pytest.fixture
def small(tmp_path):
    """A tagger file of 8 kHz and half a second, and its network."""
    torch.manual_seed(0)
    net = build("tiny_cnn", FrontendConfig(sample_rate=RATE, n_fft=256, hop_length=80, n_mels=16), 3).eval()
    return tagger_file(tmp_path / "small.tagger.onnx", net), net


def test_a_file_is_heard_in_its_own_patches(home, small):
    path, net = small
    backbone = find_backbone(BackboneConfig(on=str(path)))
    assert (backbone.name, backbone.sample_rate, backbone.outputs) == ("small", RATE, ("embedding",))
    windows = 0.1 * np.random.default_rng(1).normal(size=(2, RATE)).astype(np.float32)
    found = open_graph(backbone.graph(RATE)).run(["embedding", "sequence"], {"waveform": windows})
    patches = backbone.patch().cut(windows[0])
    with torch.no_grad():
        expected = net.embed(torch.from_numpy(patches)).numpy()
    np.testing.assert_allclose(found[1][0], expected, atol=1e-4)
    np.testing.assert_allclose(found[0][0], expected.mean(axis=0), atol=1e-4)


def test_a_file_is_not_heard_in_patches_that_it_was_not_made_for(home, small):
    path, _ = small
    with pytest.raises(ConfigError, match="hears 0.5 s at once and nothing else"):
        find_backbone(BackboneConfig(on=str(path), patch_seconds=0.2)).graph(RATE)
    with pytest.raises(ConfigError, match="depths of small are not known"):
        find_backbone(BackboneConfig(on=str(path), outputs=("embedding", "depths"))).graph(RATE)


def test_what_is_not_there_says_where_it_should_be(home):
    with pytest.raises(TaggerFileError, match="models get mn04_as"):
        find_backbone(BackboneConfig(on="mn04_as"))


def test_a_pretrained_network_is_exported_once_for_other_patches_and_gives_its_depths(home, monkeypatch):
    torch.manual_seed(0)
    net = build_pretrained("mn04_as").eval()
    tagger_file(home / "taggers" / "mn04_as.tagger.onnx", net, seconds=10.0, rate=32000)

    class Start:
        def build(self):
            return build_pretrained("mn04_as")

        def load(self, fresh):
            fresh.load_state_dict(net.state_dict())

    monkeypatch.setattr(backbones, "find_start", lambda on: Start())
    backbone = find_backbone(BackboneConfig(on="mn04_as", patch_seconds=0.5))
    with monkeypatch.context() as strict:
        strict.setattr(backbones, "TOLERANCE", -1.0)
        with pytest.raises(TaggerFileError, match="the exported graph differs from the network"):
            backbone.graph(32000)
    assert not list(home.glob("backbones/*.onnx"))
    assert backbone.outputs == ("embedding", "depths")
    windows = 0.1 * np.random.default_rng(1).normal(size=(1, 32000)).astype(np.float32)
    found = open_graph(backbone.graph(32000)).run(["sequence"], {"waveform": windows})[0]
    with torch.no_grad():
        expected = net.embed(torch.from_numpy(backbone.patch().cut(windows[0]))).numpy()
    assert found.shape == (1, 3, 384 + 88)
    np.testing.assert_allclose(found[0, :, :384], expected, atol=1e-3)
    monkeypatch.setattr(backbones, "find_start", lambda on: pytest.fail("exported again"))
    backbone.graph(32000)


def test_the_usual_one_is_the_best_small_one_that_is_verified(home, small, caplog):
    assert usual_backbone() == []
    converted("birds").parent.mkdir(parents=True)
    shutil.copy(small[0], converted("birds"))
    assert usual_backbone() == ["birds"]
    assert caplog.text == ""
    for name in ("mn10_as", "yamnet", "mn40_as"):  # of which one is verified
        shutil.copy(small[0], converted(name))
    with caplog.at_level("INFO", "earmark"):
        assert usual_backbone() == ["yamnet"]
    assert caplog.messages[0].startswith("on yamnet; --on NAME takes others that are here: ")
    shutil.copy(small[0], converted("mn04_as"))
    assert usual_backbone() == ["mn04_as"]


def test_a_file_that_is_named_like_a_published_network_is_itself(home, tmp_path):
    torch.manual_seed(0)
    net = build("tiny_cnn", FrontendConfig(sample_rate=RATE, n_fft=256, hop_length=80, n_mels=16), 3).eval()
    path = tagger_file(tmp_path / "elsewhere" / "mn04_as.tagger.onnx", net)
    backbone = find_backbone(BackboneConfig(on=str(path)))
    assert (backbone.name, backbone.any_length, backbone.outputs) == ("mn04_as", False, ("embedding",))


def test_what_is_made_from_a_backbone_knows_its_clips_and_licences(home, small):
    path, _ = small
    backbone = find_backbone(BackboneConfig(on=str(path)))
    its = replace(
        backbone.metadata,
        licences=("weights: CC BY-NC",),
        trained_on={"clips": sketch(clips("a.wav", "b.wav"), HASHES)},
    )
    ours = TaggerMetadata("new", ("x",), RATE, 0.5, 0.25, multi_label=True, licences=("ours",))
    ours = replace(ours, trained_on={"clips": sketch(clips("c.wav"), HASHES), "data": "new"})
    made = backbones.made_from(ours, replace(backbone, metadata=its))
    assert made.licences == ("ours", "small: weights: CC BY-NC")
    assert made.trained_on["backbone"] == "small"
    assert made.trained_on["backbone_sha256"] == content_hash(path)
    known = seen(made.trained_on["clips"], clips("a.wav", "b.wav", "c.wav", "d.wav"), HASHES)
    assert known.tolist() == [True, True, True, False]


HASHES = {f"{letter}.wav": letter * 64 for letter in "abcd"}


def clips(*names: str) -> Manifest:
    return Manifest.build(Path(), names, [("x",)] * len(names))


def test_a_folder_of_taggers_is_no_backbone():
    folder = Path(__file__).parents[2] / "docs" / "tagger-file" / "together.tagger"
    with pytest.raises(TaggerFileError, match="is a folder of several taggers, and a head stands on one"):
        find_backbone(BackboneConfig(on=str(folder)))
