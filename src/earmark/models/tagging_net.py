"""TaggingNet: waveform in, logits out. A family is one file with a backbone; here it gets a front end and a head."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from earmark.config import keyword_options
from earmark.errors import ConfigError
from earmark.lookup import lookup
from earmark.models.branches import BRANCHES
from earmark.models.derived import Derived
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.models.heads import HEADS, MeanHead
from earmark.models.wave import Wave, WaveConfig

MODELS = {
    "aux_cnn": "earmark.models.aux_cnn:AuxCNN",
    "cnn1d": "earmark.models.cnn1d:CNN1D",
    "cnn14": "earmark.models.cnn14:CNN14",
    "crnn": "earmark.models.crnn:CRNN",
    "densenet": "earmark.models.densenet:DenseNet",
    "fsd_cnn": "earmark.models.fsd_cnn:FSDCNN",
    "mn": "earmark.models.mn:MN",
    "mobilenet_v1": "earmark.models.mobilenet_v1:MobileNetV1",
    "mobilenet_v2": "earmark.models.mobilenet_v2:MobileNetV2",
    "resnet": "earmark.models.resnet:ResNet",
    "rnn": "earmark.models.rnn:RNN",
    "se_cnn": "earmark.models.se_cnn:SECNN",
    "tf_lstm": "earmark.models.tf_lstm:TFLSTM",
    "tiny_cnn": "earmark.models.tiny_cnn:TinyCNN",
    "transformer": "earmark.models.transformer:Transformer",
    "wave_cnn": "earmark.models.wave_cnn:WaveCNN",
}
USUAL_HEAD = "avemax"
USUAL_HEADS = {"crnn": "attention", "fsd_cnn": "pixel_shuffle"}  # of the families that were made for another


class TaggingNet(nn.Module):
    """A front end, a backbone and a head.

    Args:
        frontend: (batch, samples) → spectrogram (batch, 1, mels, frames), by default in dB.
        backbone: spectrogram → features (batch, channels, mels', frames'); has `n_features`, its channels. Behind a
            `Derived` it hears what is derived from the spectrogram.
        head: features → logits; has `pool` (features → embedding) and `classify` (embedding → logits).
        branches: each (batch, samples) → (batch, its `n_features`), joined to what the head pools.
        auxiliary: heads on what the backbone passes on its way (`with_skips`, `skip_weights`), for training alone.

    `noisy`, once there (`add_noisy_head`), answers for clips whose labels may be wrong, in training alone.

    >>> net = build("tiny_cnn", FrontendConfig(sample_rate=16000, n_fft=512, hop_length=160), n_classes=3)
    >>> net(torch.zeros(2, 16000)).shape, net.embed(torch.zeros(2, 16000)).shape[0]
    (torch.Size([2, 3]), 2)
    """

    def __init__(
        self,
        frontend: nn.Module,
        backbone: nn.Module,
        head: nn.Module,
        branches: Sequence[nn.Module] = (),
        auxiliary: Sequence[nn.Module] = (),
    ):
        super().__init__()
        self.frontend = frontend
        self.backbone = backbone
        self.head = head
        self.branches = nn.ModuleList(branches)
        self.auxiliary = nn.ModuleList(auxiliary)
        self.noisy: nn.Linear | None = None

    def add_noisy_head(self) -> None:
        """A second last layer on the same embedding."""
        self.noisy = nn.Linear(self.head.last.in_features, self.head.last.out_features)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), full scale ±1, to logits (batch, classes)."""
        return self.head.classify(self.embed(waveform))

    def embed(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples) to what the last layer sees, (batch, n_features)."""
        return self.pool(self.backbone(self.frontend(waveform)), waveform)

    def pool(self, features: Tensor, waveform: Tensor) -> Tensor:
        """Pooled features, beside them what the branches hear of the waveform: (batch, n_features)."""
        return torch.cat([self.head.pool(features), *(branch(waveform) for branch in self.branches)], dim=1)

    @property
    def last_layers(self) -> list[nn.Linear]:
        """All that end in a logit a class: the head's, those for training alone."""
        return [self.head.last, *(head.last for head in self.auxiliary), *([self.noisy] if self.noisy else [])]

    def answers(self, spectrogram: Tensor, waveform: Tensor) -> list[tuple[Tensor, float]]:
        """What the loss is taken of in training: logits (batch, classes) and the weight of their loss.

        The head's stand first and weigh 1; with a noisy head (batch, 2, classes), its own second.
        """
        beside: list[tuple[Tensor, float]] = []
        if self.auxiliary:
            features, skips = self.backbone.with_skips(spectrogram)
            answered = [head(skip) for head, skip in zip(self.auxiliary, skips, strict=True)]
            beside = list(zip(answered, self.backbone.skip_weights, strict=True))
        else:
            features = self.backbone(spectrogram)
        embedding = self.pool(features, waveform)
        logits = self.head.classify(embedding)
        if self.noisy is not None:
            logits = torch.stack([logits, self.noisy(self.head.dropout(embedding))], dim=1)
        return [(logits, 1.0), *beside]

    @torch.no_grad()
    def start_at_prior(self, prior: Tensor, multi_label: bool) -> None:
        """Set the last bias so that the untrained net answers with the class frequencies.

        Args:
            prior: (classes,) share of the training clips that carry each label, in [0, 1].
            multi_label: scores are sigmoids (else a softmax).
        """
        for last in self.last_layers:
            last.bias.copy_(prior_logits(prior, multi_label))


def prior_logits(prior: Tensor, multi_label: bool) -> Tensor:
    """Logits (classes,) whose scores are the class frequencies, see `TaggingNet.start_at_prior`."""
    bounded = prior.clamp(1e-4, 1 - 1e-4)
    return torch.logit(bounded) if multi_label else torch.log(bounded)


def build(
    model: str,
    frontend: FrontendConfig,
    n_classes: int,
    options: Mapping[str, Any] | None = None,
    *,
    head: str = "",
    branches: Sequence[str] = (),
) -> TaggingNet:
    """A network of the family `model` with fresh weights.

    Args:
        frontend: of a family whose class says `hears_waveform` only the rate counts: the waveform itself goes in.
        options: keyword arguments of the family's class; text is coerced to their types.
        head: a name in HEADS; empty = the one that is usual for the family.
        branches: names in BRANCHES.

    Raises:
        ConfigError: no such family, head or branch, an option that the family does not have, or more channels than it
            hears.
    """
    family, keywords = lookup(MODELS, model, "model"), family_options(model, frontend, options or {})
    if hears_waveform(model):
        hearing, backbone = Wave(WaveConfig(frontend.sample_rate, standardised=True)), family(**keywords)
    else:
        hearing, backbone = LogMel(frontend), family(frontend.n_rows, **keywords)
    if frontend.n_mfcc or frontend.n_deltas:
        backbone = Derived(frontend, backbone)
    top = lookup(HEADS, head or USUAL_HEADS.get(model, USUAL_HEAD), "head")
    beside = [lookup(BRANCHES, name, "branch")(frontend.sample_rate) for name in branches]
    sizes = {"dropout": backbone.dropout, "n_beside": sum(branch.n_features for branch in beside)}
    auxiliary = [MeanHead(width, n_classes, dropout=backbone.dropout) for width in getattr(backbone, "skip_widths", ())]
    return TaggingNet(hearing, backbone, top(backbone.n_features, n_classes, **sizes), beside, auxiliary)


def family_options(model: str, frontend: FrontendConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the class of a family is called with, after the height of what it hears.

    Args:
        options: its keyword arguments as a user gives them; text is coerced to their types.

    Raises:
        ConfigError: see `build`.
    """
    family = lookup(MODELS, model, "model")
    keywords = keyword_options(family, options, f"model_options of {model}")
    if hears_waveform(model) and frontend.n_mfcc:
        raise ConfigError(
            f"frontend.n_mfcc: found {frontend.n_mfcc}, and {model} hears the waveform. Choose 0, or another model."
        )
    if frontend.n_channels == 1:
        return keywords
    if "n_channels" not in inspect.signature(family).parameters:
        raise ConfigError(
            f"frontend.n_deltas: found {frontend.n_deltas}, and {model} hears one channel. Choose 0, or another model."
        )
    return {"n_channels": frontend.n_channels, **keywords}


def hears_waveform(model: str) -> bool:
    """Whether a family goes without a spectrogram."""
    return getattr(lookup(MODELS, model, "model"), "hears_waveform", False)
