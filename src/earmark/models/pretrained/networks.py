"""Published networks, rebuilt: the front end, backbone and head of each, and where its file's numbers belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean, lookup
from earmark.models.frontend import LogMel
from earmark.models.frontend_config import FrontendConfig
from earmark.models.heads import HiddenHead, MeanHead, PooledHead, ProjectedHead
from earmark.models.mn import hidden_channels
from earmark.models.pretrained.keys import KeyReport, KeyRules, match_keys, place_tensors
from earmark.models.tagging_net import MODELS, TaggingNet

AUDIOSET_CLASSES = 527
YAMNET_CLASSES = 521
MEL_TOLERANCE = 1e-4  # of the largest weight; libraries compute the bank in single precision

EFFICIENTAT = FrontendConfig(
    sample_rate=32000,
    n_fft=1024,
    hop_length=320,
    n_mels=128,
    fmax=15000.0,
    mel_scale="kaldi",
    amin=1e-5,
    win_length=800,
    symmetric_window=True,
    padding="reflect",
    pre_emphasis=0.97,
    compression="log",
    offset=4.5,
    scale=0.2,
)
YAMNET = FrontendConfig(
    sample_rate=16000,
    n_fft=512,
    hop_length=160,
    n_mels=64,
    fmin=125.0,
    fmax=7500.0,
    mel_scale="kaldi",
    amin=1e-3,
    win_length=400,
    padding="none",
    power=1,
    compression="log",
)
PANNS = FrontendConfig(
    sample_rate=32000,
    n_fft=1024,
    hop_length=320,
    n_mels=64,
    fmin=50.0,
    fmax=14000.0,
    amin=1e-10,
    padding="reflect",
)

EFFICIENTAT_KEYS: KeyRules = (
    (r"^backbone\.features\.", "features."),
    (r"\.layers\.", ".block."),
    (r"\.squeeze\.", ".conc_se_layers.0.fc1."),
    (r"\.excite\.", ".conc_se_layers.0.fc2."),
    (r"^head\.hidden\.", "classifier.2."),
    (r"^head\.last\.", "classifier.5."),
)
YAMNET_KEYS: KeyRules = (
    (r"^backbone\.features\.", ""),
    (r"\.0\.", "."),
    (r"^layer1\.", "layer1.conv."),
    (r"^head\.last\.", "classifier."),
)
PANNS_KEYS: KeyRules = (
    (r"^backbone\.norm\.norm\.", "bn0."),
    (r"^backbone\.features\.", "features."),
    (r"\.layers\.", ".conv."),
    (r"^backbone\.blocks\.0\.", "conv_block1."),
    (r"^backbone\.blocks\.1\.", "conv_block2."),
    (r"^backbone\.blocks\.2\.", "conv_block3."),
    (r"^backbone\.blocks\.3\.", "conv_block4."),
    (r"^backbone\.blocks\.4\.", "conv_block5."),
    (r"^backbone\.blocks\.5\.", "conv_block6."),
    (r"^(conv_block\d)\.0\.0\.", r"\1.conv1."),
    (r"^(conv_block\d)\.0\.1\.", r"\1.bn1."),
    (r"^(conv_block\d)\.1\.0\.", r"\1.conv2."),
    (r"^(conv_block\d)\.1\.1\.", r"\1.bn2."),
    (r"^head\.hidden\.", "fc1."),
    (r"^head\.last\.", "fc_audioset."),
)


@dataclass(frozen=True)
class PretrainedNetwork:
    """How one published network is built, and how its file is read."""

    family: str
    """A name in MODELS."""
    frontend: FrontendConfig
    """The front end it was trained on, exactly."""
    head: type[PooledHead]
    """Its head; with a hidden layer if `n_hidden` is not 0."""
    keys: KeyRules
    """From our names to the keys of its file."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the family's class."""
    n_hidden: int = 0
    """Units of the head's hidden layer."""
    n_classes: int = AUDIOSET_CLASSES
    """Number of classes."""
    time_first: bool = False
    """Its kernels are laid out (time, mel), ours (mel, time)."""
    frontend_keys: tuple[str, ...] = ()
    """Beginnings of keys that hold its own front end, which ours replaces."""
    mel_key: str = ""
    """The one of them with the mel bank, (bins, mels): it tells a file for another sample rate, else the same."""


def _mn(width: float, *, hop_length: int = 320) -> PretrainedNetwork:
    return PretrainedNetwork(
        family="mn",
        frontend=replace(EFFICIENTAT, hop_length=hop_length),
        head=HiddenHead,
        keys=EFFICIENTAT_KEYS,
        options={"width": width, "mel_norm": False},
        n_hidden=hidden_channels(width),
    )


def _panns(family: str, n_hidden: int) -> PretrainedNetwork:
    return PretrainedNetwork(
        family=family,
        frontend=PANNS,
        head=ProjectedHead,
        keys=PANNS_KEYS,
        n_hidden=n_hidden,
        time_first=True,
        frontend_keys=("spectrogram_extractor.", "logmel_extractor."),
        mel_key="logmel_extractor.melW",
    )


PRETRAINED: dict[str, PretrainedNetwork] = {
    "mn04_as": _mn(0.4),
    "mn10_as": _mn(1.0),
    "mn20_as": _mn(2.0),
    "mn40_as": _mn(4.0),
    "mn10_as_hop_15": _mn(1.0, hop_length=480),
    "mn10_as_hop_20": _mn(1.0, hop_length=640),
    "mn10_as_hop_25": _mn(1.0, hop_length=800),
    "yamnet": PretrainedNetwork(
        family="mobilenet_v1",
        frontend=YAMNET,
        head=MeanHead,
        keys=YAMNET_KEYS,
        options={"folded": True, "mel_norm": False},
        n_classes=YAMNET_CLASSES,
        time_first=True,
    ),
    "cnn14": _panns("cnn14", 2048),
    "mobilenet_v2": _panns("mobilenet_v2", 1024),
}


def pretrained_network(name: str) -> PretrainedNetwork:
    """The entry of PRETRAINED.

    Raises:
        ConfigError: there is no such network.
    """
    if name not in PRETRAINED:
        raise ConfigError(
            f"'{name}' is not a pretrained network{did_you_mean(name, PRETRAINED)}. Known: {', '.join(PRETRAINED)}."
        )
    return PRETRAINED[name]


def build_pretrained(name: str) -> TaggingNet:
    """The network `name` as its authors built it, with fresh weights; `load_weights` fills it.

    >>> import torch
    >>> net = build_pretrained("mn04_as").eval()
    >>> net(torch.zeros(1, 32000)).shape, net.embed(torch.zeros(1, 32000)).shape
    (torch.Size([1, 527]), torch.Size([1, 384]))

    Raises:
        ConfigError: there is no such network.
    """
    network = pretrained_network(name)
    backbone = lookup(MODELS, network.family, "model")(network.frontend.n_mels, **network.options)
    sizes = [backbone.n_features, *([network.n_hidden] if network.n_hidden else []), network.n_classes]
    return TaggingNet(LogMel(network.frontend), backbone, network.head(*sizes, dropout=backbone.dropout))


def their_keys(net: TaggingNet, name: str) -> dict[str, str]:
    """Our parameter or statistic ← the key under which the file of `name` holds it; counters are left out."""
    return match_keys(net.state_dict(), pretrained_network(name).keys)


def load_weights(net: TaggingNet, state: Mapping[str, Tensor], name: str) -> KeyReport:
    """Fill a network that `build_pretrained(name)` made with the tensors of its file.

    Args:
        state: key → tensor, as the file holds them (of PANNs' files, what stands under "model").

    Returns:
        What went where.

    Raises:
        ConfigError: a key is missing, left over or of another shape; the network is left as it was.
    """
    network = pretrained_network(name)
    wrong = []
    if network.mel_key in state and not _is_mel_bank(state[network.mel_key], net):
        wrong.append(f"{network.mel_key} is not the mel bank at {network.frontend.sample_rate} Hz")
    if network.time_first:
        state = {key: tensor.transpose(2, 3) if tensor.ndim == 4 else tensor for key, tensor in state.items()}
    return place_tensors(
        net, state, their_keys(net, name), name=name, replaced=network.frontend_keys, wrong=wrong
    )


def _is_mel_bank(theirs: Tensor, net: TaggingNet) -> bool:
    ours = net.frontend.mel.T
    return theirs.shape == ours.shape and bool((theirs - ours).abs().max() <= MEL_TOLERANCE * ours.max())
