"""A model of transformers becomes a tagger file that embeds: the same numbers, found by name, and never half."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from earmark import audio
from earmark.errors import ConfigError, TaggerFileError
from earmark.export.backbone import patch_graph
from earmark.export.graph import open_graph
from earmark.fetch.checksum import digest
from earmark.flows import adopt_hf as flow
from earmark.flows.adopt_hf import adopt_hf, adopted_hf
from earmark.models.huggingface.networks import build_hf
from earmark.tagger import load_tagger
from earmark.tagger.home import converted
from earmark.windows import Framing

transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")

RATE = 16000
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def wave(tmp_path_factory) -> str:
    """A small wav2vec 2.0."""
    folder = tmp_path_factory.mktemp("hub") / "wave"
    torch.manual_seed(0)
    convolutions = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SIZES, **convolutions)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def spectrogram(tmp_path_factory) -> str:
    """A small Audio Spectrogram Transformer that hears 0.64 s."""
    folder = tmp_path_factory.mktemp("hub") / "spectrogram"
    torch.manual_seed(0)
    model = transformers.ASTModel(transformers.ASTConfig(**SIZES, max_length=64, num_mel_bins=32))
    for parameter in model.parameters():  # its tokens and positions start at zero
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32).save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory, wave, spectrogram) -> Path:
    """A home folder with both adopted: "speech", of the first layer, and "patches"."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_HOME", str(home))
        assert adopt_hf(wave, "speech", 0.5, 0.25, layer=1) == converted("speech")
        assert adopt_hf(spectrogram, "patches") == converted("patches")
    return home


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home folder of the test's own."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def adopted(shared_home, home, monkeypatch) -> None:
    """The home folder in which both are adopted."""
    monkeypatch.setenv("EARMARK_HOME", str(shared_home))


def noise(n: int, n_samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((n, n_samples))).astype(np.float32)


@torch.no_grad()
def test_the_file_embeds_as_the_model_does_and_says_where_it_comes_from(adopted, wave):
    tagger = load_tagger("speech")
    told = tagger.metadata
    assert (tagger.sample_rate, tagger.window_samples, tagger.hop_samples, tagger.labels) == (RATE, 8000, 4000, ())
    weights = Path(wave.removeprefix("hf:")) / "model.safetensors"
    assert told.trained_on["adopted"] == wave
    assert told.trained_on["sha256"] == digest(weights, "sha256")
    assert told.trained_on["embedding"] == "mean over time of layer 1"
    assert told.licences == ("weights: apache-2.0",)
    windows = noise(3, 8000)
    scores, embedding = tagger.backend.run(windows)
    expected = build_hf(wave, 1, layer=1).eval().embed(torch.from_numpy(windows)).numpy()
    assert scores.shape == (3, 0)
    np.testing.assert_allclose(embedding, expected, atol=1e-4)
    np.testing.assert_allclose(tagger.backend.run(windows[:1])[1], expected[:1], atol=1e-4)


def test_recordings_are_embedded_but_not_tagged(adopted, tmp_path):
    tagger = load_tagger("speech")
    audio.write(tmp_path / "a.wav", noise(1, 20000)[0], RATE)
    rows, vectors = tagger.embed(tmp_path / "a.wav")
    assert (len(rows), vectors.shape) == (4, (4, 32))
    with pytest.raises(TaggerFileError, match="speech: only embeds"):
        tagger.tag(tmp_path / "a.wav")


@torch.no_grad()
def test_a_model_made_for_one_length_needs_no_window(adopted, spectrogram):
    tagger = load_tagger("patches")
    told = tagger.metadata
    windows = noise(2, 10240)
    expected = build_hf(spectrogram, 1).eval().embed(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(tagger.backend.run(windows)[1], expected, atol=1e-4)
    assert (told.window_seconds, told.hop_seconds) == (0.64, 0.64)
    assert told.trained_on["embedding"] == "mean over the two summary tokens of the last layer"
    assert told.licences[0].startswith("weights: unknown: ask whoever published hf:")


def test_a_window_that_is_missing_or_too_long_is_refused(spectrogram, wave):
    with pytest.raises(ConfigError, match="hears windows of any length. Give one in --window"):
        adopt_hf(wave, "speech")
    with pytest.raises(ConfigError, match=r"window: found 16000 samples at 16000 Hz, and this front end takes 400 to"):
        adopt_hf(spectrogram, "long", 1.0)


def test_a_head_can_hear_longer_windows_through_it(adopted):
    patch, windows = Framing(RATE, 8000, 4000, "repeat"), noise(2, 16000)
    graph = open_graph(patch_graph(onnx.load(converted("speech")), patch, 16000))
    sequence, embedding = graph.run(["sequence", "embedding"], {"waveform": windows})
    by_hand = np.stack([load_tagger("speech").backend.run(patch.cut(window))[1] for window in windows])
    np.testing.assert_allclose(sequence, by_hand, atol=1e-4)
    np.testing.assert_allclose(embedding, by_hand.mean(axis=1), atol=1e-4)


def test_what_a_name_was_adopted_from_is_known(adopted, wave, spectrogram):
    assert adopted_hf("speech") == (wave, 1)
    assert adopted_hf("patches") == (spectrogram, None)
    assert adopted_hf("neither") is adopted_hf("runs/birds") is None


def test_what_fine_tuning_will_need_is_said(spectrogram, caplog, monkeypatch):
    monkeypatch.setattr(flow, "trace", lambda *_: None)
    monkeypatch.setattr(flow, "write_tagger", lambda *_: None)
    with caplog.at_level("INFO", "earmark"):
        adopt_hf(spectrogram, "patches")
    folder = spectrogram.removeprefix("hf:")
    assert f"patches: its file embeds alone; to fine-tune it, leave {folder} where it is" in caplog.text


def test_a_name_that_is_taken_is_kept_unless_it_is_the_same_or_told_to_go(adopted, spectrogram, wave, monkeypatch):
    written = []
    monkeypatch.setattr(flow, "trace", lambda *_: None)
    monkeypatch.setattr(flow, "write_tagger", lambda _, metadata, *__: written.append(metadata.trained_on))
    with pytest.raises(ConfigError, match=r"--name patches: is taken by a tagger that differs .*, made of hf:.*/spec"):
        adopt_hf(wave, "patches", 0.5)
    with pytest.raises(ConfigError, match=r"--name patches: is taken"):
        adopt_hf(spectrogram, "patches", layer=1)
    assert written == []
    adopt_hf(spectrogram, "patches")
    adopt_hf(spectrogram, "patches", layer=1, replaces=True)
    assert [told.get("layer") for told in written] == [None, 1]


@pytest.mark.parametrize("name", ["mn04_as", "a/b", ""])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_read(name):
    with pytest.raises(ConfigError, match=re.escape("--name")):
        adopt_hf("hf:/no/such/folder", name, 1.0)


def test_a_model_too_large_for_one_file_is_refused_before_it_is_loaded(wave, monkeypatch):
    monkeypatch.setattr(flow, "LARGEST", 20_000)
    monkeypatch.delattr(flow, "build_hf")
    with pytest.raises(ConfigError, match=r"parameters, and a tagger file holds 0 million\. Choose a smaller model"):
        adopt_hf(wave, "speech", 0.5)


def test_a_file_that_would_embed_otherwise_is_not_written(wave, monkeypatch, home):
    monkeypatch.setattr("earmark.export.graph.TOLERANCE", -1.0)
    with pytest.raises(TaggerFileError, match="exported graph's embedding differ from the model's by"):
        adopt_hf(wave, "speech", 0.5)
    assert not converted("speech").exists()
    assert not list(home.rglob("*.onnx"))
