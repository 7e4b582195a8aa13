"""TaggingNet: waveform in, logits out. A family is one file with a backbone; here it gets a front end and a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from earmark.config import keyword_options
from earmark.lookup import lookup
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.models.heads import PooledHead
from earmark.models.wave import Wave, WaveConfig

MODELS = {
    "cnn1d": "earmark.models.cnn1d:CNN1D",
    "cnn14": "earmark.models.cnn14:CNN14",
    "densenet": "earmark.models.densenet:DenseNet",
    "gru": "earmark.models.gru:GRU",
    "mn": "earmark.models.mn:MN",
    "mobilenet_v1": "earmark.models.mobilenet_v1:MobileNetV1",
    "mobilenet_v2": "earmark.models.mobilenet_v2:MobileNetV2",
    "resnet": "earmark.models.resnet:ResNet",
    "se_cnn": "earmark.models.se_cnn:SECNN",
    "tf_lstm": "earmark.models.tf_lstm:TFLSTM",
    "tiny_cnn": "earmark.models.tiny_cnn:TinyCNN",
    "transformer": "earmark.models.transformer:Transformer",
    "wave_cnn": "earmark.models.wave_cnn:WaveCNN",
}


class TaggingNet(nn.Module):
    """A front end, a backbone and a head.

    Args:
        frontend: (batch, samples) → spectrogram (batch, 1, mels, frames), by default in dB.
        backbone: spectrogram → features (batch, channels, mels', frames'); has `n_features`, its channels.
        head: features → logits; has `pool` (features → embedding) and `classify` (embedding → logits).

    >>> net = build("tiny_cnn", FrontendConfig(sample_rate=16000, n_fft=512, hop_length=160), n_classes=3)
    >>> net(torch.zeros(2, 16000)).shape, net.embed(torch.zeros(2, 16000)).shape[0]
    (torch.Size([2, 3]), 2)
    """

    def __init__(self, frontend: nn.Module, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.frontend = frontend
        self.backbone = backbone
        self.head = head

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), full scale ±1, to logits (batch, classes)."""
        return self.head.classify(self.embed(waveform))

    def embed(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples) to the pooled features before the last layer, (batch, n_features)."""
        return self.head.pool(self.backbone(self.frontend(waveform)))

    @torch.no_grad()
    def start_at_prior(self, prior: Tensor, multi_label: bool) -> None:
        """Set the last bias so that the untrained net answers with the class frequencies.

        Args:
            prior: (classes,) share of the training clips that carry each label, in [0, 1].
            multi_label: scores are sigmoids (else a softmax).
        """
        bounded = prior.clamp(1e-4, 1 - 1e-4)
        self.head.last.bias.copy_(torch.logit(bounded) if multi_label else torch.log(bounded))


def build(model: str, frontend: FrontendConfig, n_classes: int, options: Mapping[str, Any] | None = None) -> TaggingNet:
    """A network of the family `model` with fresh weights.

    Args:
        frontend: of a family whose class says `hears_waveform` only the rate counts: the waveform itself goes in.
        options: keyword arguments of the family's class; text is coerced to their types.

    Raises:
        ConfigError: no such family, or an option it does not have.
    """
    family = lookup(MODELS, model, "model")
    chosen = keyword_options(family, options or {}, f"model_options of {model}")
    if getattr(family, "hears_waveform", False):
        hearing, backbone = Wave(WaveConfig(frontend.sample_rate, standardised=True)), family(**chosen)
    else:
        hearing, backbone = LogMel(frontend), family(frontend.n_mels, **chosen)
    return TaggingNet(hearing, backbone, PooledHead(backbone.n_features, n_classes, dropout=backbone.dropout))
