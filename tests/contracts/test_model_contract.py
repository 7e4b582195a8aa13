"""What every family in MODELS must do, unasked; and every head and branch on the smallest family."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from earmark import audio
from earmark.audio.cache import Cache
from earmark.augment.pipeline import AugmentConfig
from earmark.baselines import BASELINES
from earmark.data.manifest import Manifest
from earmark.errors import ConfigError
from earmark.export.graph import ScoringGraph, export_tagger, stamp, trace
from earmark.models.branches import BRANCHES
from earmark.models.costs import family_costs
from earmark.models.frontend import FrontendConfig
from earmark.models.heads import HEADS, AttentionHead
from earmark.models.tagging_net import MODELS, build, prior_logits
from earmark.run import FoldFolder
from earmark.tagger import load_tagger
from earmark.tagger.metadata import TaggerMetadata
from earmark.training.diagnostics.first_batch import check_first_batch
from earmark.training.diagnostics.probes import Activations, Movements, together
from earmark.training.diagnostics.rules import Expected, alarms_of
from earmark.training.fit import fit
from earmark.training.objective import Objective, chosen_loss
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=16000, n_fft=512, hop_length=160, n_mels=32)
WINDOW = 16000
N_CLASSES = 3
SMALL = {  # 81 million weights would teach these tests nothing
    "aux_cnn": {"width": "0.125"},
    "cnn14": {"channels": "8,16,16,32,32,64"},
    "cnn1d": {"channels": "32,32,64"},
    "crnn": {"channels": "8,16,16", "n_hidden": "16"},
    "densenet": {"width": "0.25", "layers": "2,2,2,2"},
    "fsd_cnn": {"width": "0.125", "variant": "se_cat", "multi_scale": "true", "coordinate": "true"},
    "resnet": {"width": "0.25"},
    "rnn": {"width": "32"},
    "tf_lstm": {"width": "32", "chunk_width": "8"},
    "transformer": {"width": "32", "n_layers": "2"},
    "wave_cnn": {"width": "4"},
}
DESIGNS = {"wave_cnn envnet": ("wave_cnn", {"design": "envnet", "width": "4"})}  # other shapes of a family
ENDINGS = {f"head {name}": {"head": name} for name in sorted(HEADS)}
ENDINGS["head attention"]["branches"] = sorted(BRANCHES)


@pytest.fixture(params=[*sorted(MODELS), *DESIGNS, *ENDINGS])
def net(request):
    torch.manual_seed(0)
    usual = request.param if request.param in MODELS else "tiny_cnn"
    family, options = DESIGNS.get(request.param, (usual, SMALL.get(usual)))
    net = build(family, FRONTEND, N_CLASSES, options, **ENDINGS.get(request.param, {}))
    net.options = options
    return net


def noise(batch: int, n_samples: int = WINDOW, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(seed))


def varied(batch: int, n_samples: int = WINDOW, seed: int = 0) -> torch.Tensor:
    """Noise that begins anywhere, soft or loud, over a hum."""
    begin = torch.linspace(0, 0.8, batch)[:, None] * n_samples
    at = torch.arange(n_samples)
    sound = noise(batch, n_samples, seed) * torch.logspace(-1, 0.5, batch)[:, None] * (at >= begin)
    return sound + 0.003 * torch.sin(at / torch.linspace(2, 20, batch)[:, None])


def test_logits_and_embedding_have_a_row_per_clip(net):
    net.eval()
    logits, embedding = net(noise(2)), net.embed(noise(2))
    assert logits.shape == (2, N_CLASSES)
    assert embedding.shape == (2, net.head.last.in_features)
    torch.testing.assert_close(net.head.classify(embedding), logits)


@pytest.mark.parametrize("n_samples", [WINDOW, WINDOW + 1, 3 * WINDOW])
def test_any_length_from_a_window_up_is_heard(net, n_samples):
    assert net.eval()(noise(1, n_samples)).shape == (1, N_CLASSES)


def test_every_parameter_gets_a_gradient(net):
    waveform = noise(4)
    sum(logits.square().sum() for logits, _ in net.train().answers(net.frontend(waveform), waveform)).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_a_batch_of_one_gives_what_a_batch_of_many_gives(net):
    net.eval()
    batch = noise(3)
    torch.testing.assert_close(torch.cat([net(clip[None]) for clip in batch]), net(batch), rtol=1e-4, atol=1e-5)


def test_silence_is_finite(net):
    assert net.eval()(torch.zeros(2, WINDOW)).isfinite().all()
    assert net.train()(torch.zeros(2, WINDOW)).isfinite().all()


def test_a_graph_for_windows_of_any_length_says_what_torch_says_at_each(net):
    for norm in net.modules():
        norm.momentum = 1.0  # of those that measure: else a deep net that has learnt nothing says the same of all
    net.train()(varied(8, seed=1))
    net.eval()
    graph = ScoringGraph([net], multi_label=True)
    model = trace(graph, WINDOW, graph.outputs, WINDOW // 2)
    stamp(model, TaggerMetadata("m", ("a", "b", "c"), 16000, 1.0, 0.5, multi_label=True))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    heard = []
    for batch, n_samples in ((1, WINDOW), (5, WINDOW), (2, 9001), (1, 23456)):
        windows = varied(batch, n_samples, seed=2).numpy()
        scores, embedding, *steps = session.run(None, {"waveform": windows})
        with torch.no_grad():
            expected = torch.sigmoid(net(torch.from_numpy(windows))).numpy()
            expected_embedding = net.embed(torch.from_numpy(windows)).numpy()
            expected_steps = graph(torch.from_numpy(windows))[2:]
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        heard += scores.tolist()
        np.testing.assert_allclose(embedding, expected_embedding, rtol=1e-2, atol=1e-2)
        assert len(steps) == len(expected_steps) == isinstance(net.head, AttentionHead)
        for ours, theirs in zip(steps, expected_steps, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
    assert np.ptp(heard, axis=0).min() > 0.002  # twenty times what may differ: a deaf net would agree, too


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Four sounds of half a window to two windows, one of them with two labels."""
    folder = tmp_path_factory.mktemp("sounds")
    labels = [("a",), ("b",), ("a", "c"), ("b",)]
    for number, n_samples in enumerate((WINDOW // 2, WINDOW, WINDOW, 2 * WINDOW)):
        audio.write(folder / f"{number}.wav", noise(1, n_samples, seed=number)[0].numpy(), FRONTEND.sample_rate)
    return Manifest.build(folder, [f"{number}.wav" for number in range(4)], labels)


@pytest.mark.parametrize("family", sorted(MODELS))
def test_two_epochs_then_a_file_that_tags_as_torch_does(family, sounds, tmp_path):
    torch.manual_seed(0)
    fresh = build(family, FRONTEND, N_CLASSES, SMALL.get(family))
    framing = Framing(FRONTEND.sample_rate, WINDOW, WINDOW // 2, "repeat")
    optim = OptimConfig(epochs=2, batch_size=2)
    training = {"framing": framing, "cache": Cache(tmp_path / "cache"), "optim": optim, "augment": AugmentConfig()}
    folder = FoldFolder(tmp_path / "fold")
    net = fit(fresh, sounds, None, folder, precision="float32", **training).net
    assert len(folder.read_history()) == 2
    metadata = TaggerMetadata("m", sounds.vocabulary.labels, FRONTEND.sample_rate, 1.0, 0.5, multi_label=True)
    export_tagger([net], metadata, tmp_path / "m.tagger.onnx", noise(3).numpy())
    tagger = load_tagger(tmp_path / "m.tagger.onnx", threads=1)
    for batch in (1, 5):
        windows = noise(batch, seed=2)
        scores, embedding = tagger.backend.run(windows.numpy())
        with torch.no_grad():
            np.testing.assert_allclose(scores, torch.sigmoid(net(windows)), atol=1e-4)
            np.testing.assert_allclose(embedding, net.embed(windows), rtol=1e-2, atol=1e-2)
    for clip in sounds.clips():
        found = tagger.score(clip).scores
        assert found.shape[1] == N_CLASSES
        assert ((found >= 0) & (found <= 1)).all()


def test_a_step_hears_as_far_as_is_told_and_farther_only_where_that_is_told(net):
    family = next(name for name, where in MODELS.items() if where.endswith(f":{type(net.backbone).__name__}"))
    costs = family_costs(family, net.options, FRONTEND)
    seconds = 2 * costs.receptive_seconds + 1
    spectrogram = net.frontend(noise(1, round(seconds * FRONTEND.sample_rate))).detach().requires_grad_()
    features = net.eval().backbone(spectrogram)
    features[..., features.shape[-1] // 2].square().sum().backward()
    heard = spectrogram.grad.abs().sum(dim=(0, 1, 2)).nonzero()[:, 0]
    spread = int(heard[-1] - heard[0])
    n_samples = costs.receptive_seconds * FRONTEND.sample_rate
    at_most = n_samples - 1
    if not getattr(net.backbone, "hears_waveform", False):
        at_most = (n_samples - FRONTEND.n_fft) / FRONTEND.hop_length
    assert bool(costs.whole_window) == (spread > at_most + 0.5)


def test_eight_clips_can_be_learnt_by_heart(net):
    time = torch.arange(WINDOW) / 16000
    tones = torch.stack([torch.sin(2 * torch.pi * f * time) for f in np.geomspace(200, 6000, 8)]) * 0.3
    waveform = tones + noise(8)
    targets = torch.arange(8) % N_CLASSES
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    net.train()
    for _ in range(40):
        loss = functional.cross_entropy(net(waveform), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


def test_what_watches_training_hears_every_layer_and_has_nothing_to_say_of_a_fresh_network(net):
    targets, waveform = torch.eye(N_CLASSES).repeat(2, 1), noise(6)
    loss = Objective(chosen_loss("", {}, multi_label=False))
    prior = prior_logits(targets.mean(dim=0), multi_label=False)
    alarms, found = check_first_batch(net.train(), loss, (waveform, targets, torch.ones_like(targets)), prior)
    assert alarms == []
    assert found["mixing"] == 0
    heard, moves = Activations(net), Movements(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(2):  # a layer may start with zero weights, behind which the first step moves nothing
        heard.attach()
        sum(logits.square().sum() for logits, _ in net.answers(net.frontend(waveform), waveform)).backward()
        heard.detach()
        moves.before()
        optimizer.step()
        moves.after()
    layers = together(heard.take()[0], moves.take(), dict(net.named_modules()))
    assert layers.keys() >= {"frontend", "head.last"}
    assert {name for name, layer in net.named_modules() if list(layer.parameters(recurse=False))} <= layers.keys()
    expected = Expected(prior_loss=None, chance=None, epochs=60, steps_per_epoch=10)
    row = {"epoch": 0, "train_loss": 1.0, "rate": 1.0, "silent": 0.0, "seconds": {"epoch": 0.0, "waiting": 0.0}}
    row["layers"] = {name: {**layer, "learns": "moved" in layer} for name, layer in layers.items()}
    assert alarms_of([row], row, expected) == []


def test_untrained_net_answers_with_the_class_frequencies():
    prior = torch.tensor([0.5, 0.3, 0.2])
    for name in MODELS:
        net = build(name, FRONTEND, N_CLASSES, SMALL.get(name)).eval()
        torch.nn.init.zeros_(net.head.last.weight)
        net.start_at_prior(prior, multi_label=True)
        torch.testing.assert_close(torch.sigmoid(net(noise(1)))[0], prior)
        for head in net.auxiliary:
            torch.testing.assert_close(torch.sigmoid(head.last.bias), prior)
        net.start_at_prior(prior, multi_label=False)
        torch.testing.assert_close(torch.softmax(net(noise(1)), dim=1)[0], prior)


def test_no_family_is_called_as_a_classifier_is():
    assert not set(MODELS) & set(BASELINES)


def test_unknown_family_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'se_cn' is not a model \(did you mean 'se_cnn'\?\)"):
        build("se_cn", FRONTEND, N_CLASSES)


def test_options_reach_the_family():
    narrow = build("se_cnn", FRONTEND, N_CLASSES, {"channels": "8,16,24"})
    assert narrow.head.last.in_features == 24
    with pytest.raises(ConfigError, match="model_options of se_cnn: 'chanels' is not an option"):
        build("se_cnn", FRONTEND, N_CLASSES, {"chanels": "8"})


def test_unknown_heads_and_branches_name_the_nearest():
    with pytest.raises(ConfigError, match=r"'atention' is not a head \(did you mean 'attention'\?\)"):
        build("tiny_cnn", FRONTEND, N_CLASSES, head="atention")
    with pytest.raises(ConfigError, match=r"'step' is not a branch \(did you mean 'steps'\?\)"):
        build("tiny_cnn", FRONTEND, N_CLASSES, branches=["step"])
