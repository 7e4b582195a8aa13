"""Models of transformers go through the training that all networks go through; the recipe for them holds together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from earmark import audio
from earmark.audio.cache import Cache
from earmark.augment.pipeline import Augmentation, AugmentConfig
from earmark.config import change, read_yaml
from earmark.data.manifest import Manifest
from earmark.flows.run_config import RunConfig
from earmark.models.frontend import FrontendConfig
from earmark.models.huggingface.networks import build_hf
from earmark.models.tagging_net import build
from earmark.models.wave import WaveConfig
from earmark.run import FoldFolder
from earmark.training.fit import fit, suited
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

RATE = 16000
FRAMING = Framing(RATE, 4800, 4800, "zeros")
RECIPE = Path(__file__).parents[2] / "recipes" / "wav2vec2.yaml"
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module", params=["wav2vec2", "ast"])
def source(request, tmp_path_factory) -> str:
    """A small model with random weights, of the raw waveform and of a spectrogram."""
    transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    if request.param == "ast":
        model = transformers.ASTModel(transformers.ASTConfig(**SIZES, max_length=32, num_mel_bins=32))
        extractor = transformers.ASTFeatureExtractor(max_length=32, num_mel_bins=32)
    else:
        convolutions = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
        settings = transformers.Wav2Vec2Config(**SIZES, **convolutions, mask_time_prob=0.5, layerdrop=0.5)
        model, extractor = transformers.Wav2Vec2Model(settings), transformers.Wav2Vec2FeatureExtractor()
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> Manifest:
    """Eight clips of 0.2 to 0.3 s, each a low or a high tone in noise."""
    folder, generator = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    paths = [f"{number}.wav" for number in range(8)]
    for number, path in enumerate(paths):
        time = np.arange(int(generator.uniform(0.2, 0.3) * RATE)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (300, 3000)[number % 2] * time)
        noise = 0.02 * generator.standard_normal(len(time))
        audio.write(folder / path, (tone + noise).astype(np.float32), RATE)
    return Manifest.build(folder, paths, [(("low", "high")[number % 2],) for number in range(8)])


def trained(source: str, tones: Manifest, folder: Path, stop_after: int | None = None) -> torch.Tensor:
    """All weights after training."""
    torch.manual_seed(1)
    result = fit(
        build_hf(source, 2),
        tones,
        None,
        FoldFolder(folder),
        framing=FRAMING,
        cache=Cache(folder.parent / "cache"),
        optim=OptimConfig(epochs=3, batch_size=4, learning_rate=3e-3, layer_decay=0.8),
        augment=AugmentConfig(),
        precision="float32",
        stop_after=stop_after,
    )
    return torch.cat([p.detach().flatten() for p in result.net.parameters()])


def test_it_trains_and_goes_on_after_a_stop_as_if_nothing_had_been(source, tones, tmp_path):
    whole = trained(source, tones, tmp_path / "whole")
    before = torch.cat([p.detach().flatten() for p in build_hf(source, 2).parameters()])
    assert whole.isfinite().all()
    assert (whole - before).abs().max() > 1e-3
    trained(source, tones, tmp_path / "parts", stop_after=1)
    assert torch.equal(trained(source, tones, tmp_path / "parts"), whole)


def test_the_waveform_itself_is_not_taken_for_a_spectrogram():
    """Equalising a waveform would add an offset to it, and masking its one "band" would silence it."""
    config = WaveConfig(RATE, standardised=True, shortest_samples=400)
    kept = Augmentation(suited(AugmentConfig(), config))
    assert len(kept.on_spectrogram) == 0
    assert len(kept.on_waveform) == len(Augmentation(AugmentConfig()).on_waveform) == 2


def test_equalising_is_as_strong_on_every_spectrogram(tmp_path):
    """On Kaldi's filterbank a decibel is ln(10) / 10 of a unit, by the scale that normalises it."""
    transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
    transformers.ASTModel(transformers.ASTConfig(**SIZES, max_length=32, num_mel_bins=32)).save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor(max_length=32, num_mel_bins=32, mean=0.0, std=2.0).save_pretrained(tmp_path)
    frontend = build_hf(f"hf:{tmp_path}", 2).frontend
    tone = 0.1 * torch.sin(torch.arange(4800) * 0.4)[None]
    ten_decibels = (frontend(10**0.5 * tone) - frontend(tone))[0, 0, :, 10].max()
    units = suited(AugmentConfig(equalise_db=10.0), frontend.config).equalise_db
    assert units == pytest.approx(float(ten_decibels), rel=1e-3)
    in_db = build("tiny_cnn", FrontendConfig(), 2).frontend.config
    assert suited(AugmentConfig(equalise_db=10.0), in_db).equalise_db == 10.0


def test_the_recipe_says_only_what_a_run_can_be_told():
    changes = read_yaml(RECIPE)
    assert changes["window"] == {"seconds": "longest", "padding": "zeros"}
    config = change(RunConfig(), {**changes, "window": {"seconds": "5", "padding": "zeros"}}, str(RECIPE))
    assert (config.model, config.optim.learning_rate, config.window.padding) == ("finetuned", 5e-5, "zeros")
    assert config.backbone.on == "wav2vec2"
