"""Models of transformers as ours: small ones, made here with random weights and read back as a hub's files are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from earmark.errors import ConfigError
from earmark.export.graph import export_tagger
from earmark.models.huggingface.networks import build_hf, count_parameters
from earmark.models.huggingface.source import describe
from earmark.models.wave import Wave, WaveConfig
from earmark.tagger import TaggerMetadata, load_tagger

transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")

RATE = 16000
WINDOW = 4000
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
CONVOLUTIONS = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
# name: class of the settings, class of the model saved, settings, whether it standardises the waveform
KINDS = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2ForPreTraining", {}, True),
    "wav2vec2 large": ("Wav2Vec2Config", "Wav2Vec2Model", LARGE, True),
    "wav2vec2 of another task": ("Wav2Vec2Config", "Wav2Vec2ForCTC", {"vocab_size": 5, "add_adapter": True}, True),
    "hubert": ("HubertConfig", "HubertModel", {}, True),
    "wavlm": ("WavLMConfig", "WavLMModel", {}, False),
    "wavlm large": ("WavLMConfig", "WavLMModel", LARGE, True),
}


def save(name: str, folder, **changes) -> str:
    """A small model of a kind in a folder, as transformers saves one; returns its source."""
    torch.manual_seed(0)
    if name == "ast":
        settings = transformers.ASTConfig(**SIZES, max_length=64, num_mel_bins=32, **changes)
        model = transformers.ASTForAudioClassification(settings)
        for parameter in model.parameters():  # its tokens and positions start at zero
            torch.nn.init.normal_(parameter, std=0.1)
        extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32, mean=-3.0, std=2.0)
    else:
        config_class, model_class, settings, standardised = KINDS[name]
        settings = getattr(transformers, config_class)(**{**SIZES, **CONVOLUTIONS, **settings, **changes})
        model = getattr(transformers, model_class)(settings)
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=standardised)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module", params=[*KINDS, "ast"])
def source(request, tmp_path_factory):
    return save(request.param, tmp_path_factory.mktemp("hub") / "model")


def noise(batch: int, n_samples: int = WINDOW, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(seed)) + 0.02


def theirs(source: str, waveform: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What transformers' own extractor and model give: (batch, features) and each layer's (batch, frames, features)."""
    folder = source.removeprefix("hf:")
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    heard = extractor([row.numpy() for row in waveform], sampling_rate=RATE, return_tensors="pt")["input_values"]
    model = transformers.AutoModel.from_pretrained(folder).eval()
    model.adapter = None  # makes frames fewer, for speech
    found = model(heard, output_hidden_states=True)
    if "pooler_output" in found:
        return found.pooler_output, [state[:, :2] for state in found.hidden_states]
    return found.last_hidden_state.mean(dim=1), list(found.hidden_states)


@torch.no_grad()
def test_the_embedding_is_what_transformers_gives(source):
    waveform = noise(3)
    expected = theirs(source, waveform)[0]
    assert expected.std() > 1e-3
    torch.testing.assert_close(build_hf(source, 4).eval().embed(waveform), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_lower_layer_is_the_hidden_state_of_that_number(source):
    waveform = noise(2)
    net = build_hf(source, 4, layer=2).eval()
    features = net.backbone(net.frontend(waveform))[:, :, 0].transpose(1, 2)
    torch.testing.assert_close(features, theirs(source, waveform)[1][2], rtol=1e-3, atol=1e-4)


def test_what_is_known_before_loading_is_what_is_loaded(source):
    described = describe(source)
    net = build_hf(source, 4)
    assert described.sample_rate == net.frontend.config.sample_rate == RATE
    loaded = sum(p.numel() for p in net.backbone.parameters())
    # Loading multiplies the two factors of one convolution's weights.
    factors = 16 if described.family != "audio-spectrogram-transformer" else 0
    assert count_parameters(described) == loaded + factors


@torch.no_grad()
def test_a_batch_of_one_gives_what_a_batch_of_many_gives(source):
    net, batch = build_hf(source, 4).eval(), noise(3)
    torch.testing.assert_close(torch.cat([net(clip[None]) for clip in batch]), net(batch), rtol=1e-4, atol=1e-5)


def test_silence_is_finite(source):
    net = build_hf(source, 4)
    assert net.eval()(torch.zeros(2, WINDOW)).isfinite().all()
    assert net.train()(torch.zeros(2, WINDOW)).isfinite().all()


def test_every_weight_learns_but_those_of_the_first_convolutions(source):
    net = build_hf(source, 4)
    net.train()(noise(4)).square().sum().backward()
    still = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    held = {name for name, _ in net.named_parameters() if ".feature_extractor." in name}
    # A bias that is added to every key alike changes no attention.
    assert {name for name in still - held if not name.endswith("k_proj.bias")} == set()
    assert all(not p.requires_grad for name, p in net.named_parameters() if name in held)


def test_training_draws_only_from_torchs_generator(source):
    """Else a run that goes on after a kill would not repeat what it did."""
    net, answers = build_hf(source, 4).train(), []
    for _ in range(2):
        torch.manual_seed(3)
        answers.append(net(noise(2)))
        np.random.default_rng().random()
    assert torch.equal(*answers)


@pytest.mark.parametrize("source", ["wav2vec2 large", "hubert", "wavlm"], indirect=True)
def test_the_exported_file_gives_torchs_scores_alone_and_in_a_batch(source, tmp_path):
    net = build_hf(source, 3, layer=2).eval()
    metadata = TaggerMetadata("m", ("a", "b", "c"), RATE, WINDOW / RATE, WINDOW / RATE, multi_label=True)
    path = tmp_path / "m.tagger.onnx"
    export_tagger([net], metadata, path, noise(2).numpy())
    backend = load_tagger(path).backend
    windows = noise(3, seed=5)
    with torch.no_grad():
        expected, embedding = torch.sigmoid(net(windows)).numpy(), net.embed(windows).numpy()
    together = backend.run(windows.numpy())
    np.testing.assert_allclose(together[0], expected, atol=1e-4)
    np.testing.assert_allclose(together[1], embedding, rtol=1e-3, atol=1e-3)
    alone = backend.run(windows[:1].numpy())
    np.testing.assert_allclose(alone[0], expected[:1], atol=1e-4)


def test_four_tones_can_be_learnt_by_heart(source):
    time = torch.arange(WINDOW) / RATE
    tones = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (300, 900, 2000, 5000)]) * 0.3
    net = build_hf(source, 4)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    net.train()
    for _ in range(60):
        loss = functional.cross_entropy(net(tones), torch.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.4  # of 1.39 at the start


@pytest.mark.parametrize("standardised", [True, False])
def test_the_waveform_is_standardised_as_their_extractor_does(standardised):
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=standardised)
    front = Wave(WaveConfig(RATE, standardised, 400))
    loud = 5 * noise(1, seed=2)
    for waveform in (noise(1), loud, 1e-5 * loud, torch.zeros(1, WINDOW), torch.full((1, WINDOW), 0.5)):
        expected = extractor(waveform[0].numpy(), sampling_rate=RATE)["input_values"][0]
        np.testing.assert_allclose(front(waveform)[0, 0, 0].numpy(), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_spectrogram_that_is_not_normalised_is_left_as_it_is(tmp_path):
    source = save("ast", tmp_path / "model")
    extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32, do_normalize=False)
    extractor.save_pretrained(tmp_path / "model")
    net, waveform = build_hf(source, 2).eval(), noise(2)
    assert net.frontend(waveform).max() > 4  # a logarithm of power; normalised it is (4 + 4.3) / 9.1
    torch.testing.assert_close(net.embed(waveform), theirs(source, waveform)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_not_there_is_refused(layer, tmp_path):
    source = save("wav2vec2", tmp_path / "model")
    with pytest.raises(ConfigError, match=rf"layer is {layer}, and the model has the layers 1 to 3"):
        build_hf(source, 2, layer=layer)


@torch.no_grad()
def test_the_shortest_window_is_one_frame_and_a_shorter_one_is_refused(tmp_path):
    net = build_hf(save("hubert", tmp_path / "model"), 2).eval()
    assert net.backbone(net.frontend(noise(1, 400))).shape == (1, 32, 1, 1)
    with pytest.raises(ConfigError, match=r"found 399 samples, and this model hears 400 at once \(0\.025 s\)"):
        net(noise(1, 399))
