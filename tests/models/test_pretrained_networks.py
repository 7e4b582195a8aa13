"""The table of published networks: sizes, keys, and what is refused. Only numbers made here; parity is elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from earmark.errors import ConfigError
from earmark.models.pretrained.networks import PRETRAINED, build_pretrained, load_weights, their_keys
from earmark.models.pretrained.weights import WEIGHTS

PUBLISHED_PARAMETERS = {  # Schmid et al. 2023; YAMNet without the batch normalisation folded in; Kong et al. 2020
    "mn04_as": 983_599,
    "mn10_as": 4_880_000,
    "mn20_as": 17_910_000,
    "mn40_as": 68_430_000,
    "mn10_as_hop_15": 4_880_000,
    "mn10_as_hop_20": 4_880_000,
    "mn10_as_hop_25": 4_880_000,
    "yamnet": 3_729_481,
    "cnn14": 80_753_615,
    "mobilenet_v2": 4_075_343,
}


def random_state(name: str) -> dict[str, Tensor]:
    """Numbers under the keys of a published file, in its layout, small enough that nothing saturates."""
    generator = torch.Generator().manual_seed(5)
    net = build_pretrained(name)
    tensors, state = net.state_dict(), {}
    for ours, theirs in their_keys(net, name).items():
        tensor = 0.1 * torch.randn(tensors[ours].shape, generator=generator)
        if tensor.ndim > 1:
            tensor *= (200 / tensor[0].numel()) ** 0.5
        elif theirs.endswith(("running_var", "weight")):
            tensor = 1 + tensor
        swapped = PRETRAINED[name].time_first and tensor.ndim == 4
        state[theirs] = tensor.transpose(2, 3).contiguous() if swapped else tensor
    return state


@pytest.fixture(scope="module")
def yamnet_state() -> dict[str, Tensor]:
    return random_state("yamnet")


@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_parameters_are_as_many_as_published(name):
    with torch.device("meta"):
        net = build_pretrained(name)
    n_parameters = sum(p.numel() for p in net.parameters())
    assert n_parameters == pytest.approx(PUBLISHED_PARAMETERS[name], rel=1e-3)
    assert net.head.last.out_features == PRETRAINED[name].n_classes


def test_the_table_of_weights_says_the_same_of_each_network():
    assert sorted(WEIGHTS) == sorted(PRETRAINED)
    for name, network in PRETRAINED.items():
        told, built = WEIGHTS[name], (network.family, network.frontend.sample_rate, network.n_classes)
        assert (told.family, told.sample_rate, told.n_classes) == built
        assert told.n_parameters == pytest.approx(PUBLISHED_PARAMETERS[name], rel=2e-3)


@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_no_two_parameters_claim_one_key(name):
    with torch.device("meta"):
        keys = their_keys(build_pretrained(name), name)
    assert len(set(keys.values())) == len(keys)
    ours = ("backbone", "head", "layers", "blocks")
    assert not [key for key in keys.values() if key.split(".")[0] in ours or ".layers." in key]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mn10_as", "features.15.block.2.conc_se_layers.0.fc2.bias"),
        ("yamnet", "layer14.pointwise.weight"),
        ("cnn14", "conv_block6.bn2.running_var"),
        ("cnn14", "conv_block1.conv2.weight"),
        ("mobilenet_v2", "features.17.conv.8.running_mean"),
        ("mobilenet_v2", "bn0.weight"),
    ],
)
def test_keys_are_those_of_the_published_files(name, expected):
    with torch.device("meta"):
        assert expected in their_keys(build_pretrained(name), name).values()


def normed(features: Tensor, state: dict[str, Tensor], key: str) -> Tensor:
    statistics = [state[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return functional.batch_norm(features, *statistics)


def panns_start(state: dict[str, Tensor], waveform: Tensor) -> Tensor:
    """(batch, 1, frames, mels), normalised per band, as PANNs lay it out."""
    frames_first = build_pretrained("mobilenet_v2").frontend(waveform).transpose(2, 3)
    return normed(frames_first.transpose(1, 3), state, "bn0").transpose(1, 3)


def panns_end(state: dict[str, Tensor], features: Tensor) -> Tensor:
    over_mel = features.mean(dim=3)
    pooled = over_mel.amax(dim=2) + over_mel.mean(dim=2)
    embedding = functional.linear(pooled, state["fc1.weight"], state["fc1.bias"]).relu()
    return functional.linear(embedding, state["fc_audioset.weight"], state["fc_audioset.bias"])


def cnn14(state: dict[str, Tensor], waveform: Tensor) -> Tensor:
    """Cnn14 as the paper's table says it, over (frames, mels)."""
    features = panns_start(state, waveform)
    for block in range(1, 7):
        for layer in (1, 2):
            kernels = state[f"conv_block{block}.conv{layer}.weight"]
            features = normed(functional.conv2d(features, kernels, padding=1), state, f"conv_block{block}.bn{layer}")
            features = features.relu()
        features = functional.avg_pool2d(features, 2) if block < 6 else features
    return panns_end(state, features)


def mobilenet_v2(state: dict[str, Tensor], waveform: Tensor) -> Tensor:
    """MobileNetV2 as the paper's table says it, over (frames, mels): a mean after each filter where it strides."""

    def convolved(features: Tensor, key: str, norm: str, stride: int = 1) -> Tensor:
        kernels = state[f"{key}.weight"]
        groups = features.shape[1] if kernels.shape[1] == 1 else 1
        features = functional.conv2d(features, kernels, padding=kernels.shape[-1] // 2, groups=groups)
        return normed(functional.avg_pool2d(features, stride), state, norm)

    features = functional.relu6(convolved(panns_start(state, waveform), "features.0.0", "features.0.2", 2))
    strides = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
    for index, stride in enumerate(strides, start=1):
        key, entered, at = f"features.{index}.conv", features, 0
        if index > 1:
            features = functional.relu6(convolved(features, f"{key}.0", f"{key}.1"))
            at = 3
        features = functional.relu6(convolved(features, f"{key}.{at}", f"{key}.{at + 2}", stride))
        features = convolved(features, f"{key}.{at + 4}", f"{key}.{at + 5}")
        features = features + entered if features.shape == entered.shape else features
    return panns_end(state, functional.relu6(convolved(features, "features.18.0", "features.18.1")))


@pytest.mark.parametrize("original", [cnn14, mobilenet_v2])
@torch.no_grad()
def test_panns_rebuilt_answer_as_the_papers_tables_with_the_same_numbers(original):
    name = original.__name__
    state, net = random_state(name), build_pretrained(name).eval()
    load_weights(net, state, name)
    waveform = 0.1 * torch.randn(2, 24000, generator=torch.Generator().manual_seed(1))
    expected = original(state, waveform)
    assert expected.std() > 0.01
    torch.testing.assert_close(net(waveform), expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_keys_of_their_front_end_and_counters_are_set_aside_and_named():
    state = random_state("mobilenet_v2")
    net = build_pretrained("mobilenet_v2")
    aside = {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "logmel_extractor.melW": net.frontend.mel.T.clone(),
        "bn0.num_batches_tracked": torch.tensor(7),
    }
    assert load_weights(net, {**state, **aside}, "mobilenet_v2").set_aside == tuple(aside)


def test_a_file_for_another_sample_rate_is_refused():
    state = random_state("mobilenet_v2")
    net = build_pretrained("mobilenet_v2")
    for wrong in (net.frontend.mel.T.roll(1, 0), torch.zeros(257, 64)):
        with pytest.raises(ConfigError, match=r"logmel_extractor\.melW is not the mel bank at 32000 Hz"):
            load_weights(net, {**state, "logmel_extractor.melW": wrong}, "mobilenet_v2")


def test_missing_left_over_and_misshapen_keys_are_all_said_and_nothing_is_loaded(yamnet_state):
    net = build_pretrained("yamnet")
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state = dict(yamnet_state)
    del state["layer3.pointwise.bias"]
    state["layer99.weight"] = torch.zeros(1)
    state["classifier.bias"] = torch.zeros(527)
    message = (
        r"yamnet: these are not its weights: layer3\.pointwise\.bias is missing; layer99\.weight is left over; "
        r"classifier\.bias is \(527,\), expected \(521,\)\. Take the published file"
    )
    with pytest.raises(ConfigError, match=message):
        load_weights(net, state, "yamnet")
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


def test_the_weights_of_another_network_are_refused_in_a_few_lines(yamnet_state):
    with pytest.raises(ConfigError, match=r"features\.0\.0\.weight is missing; .*; and \d+ more\. Take"):
        load_weights(build_pretrained("mn04_as"), yamnet_state, "mn04_as")


def test_a_kernel_laid_out_the_other_way_round_is_turned(yamnet_state):
    net = build_pretrained("yamnet")
    load_weights(net, yamnet_state, "yamnet")
    kernels = net.backbone.features.layer1[0].weight
    assert torch.equal(kernels, yamnet_state["layer1.conv.weight"].transpose(2, 3))


def test_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'mn04' is not a pretrained network \(did you mean 'mn04_as'\?\)"):
        build_pretrained("mn04")
