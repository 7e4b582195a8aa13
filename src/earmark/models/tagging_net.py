"""TaggingNet: waveform in, logits out. A family is one file with a backbone; here it gets a front end and a head."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from earmark.config import keyword_options
from earmark.errors import ConfigError
from earmark.lookup import lookup
from earmark.models.derived import Derived
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.models.heads import PooledHead

MODELS = {
    "cnn14": "earmark.models.cnn14:CNN14",
    "mn": "earmark.models.mn:MN",
    "mobilenet_v1": "earmark.models.mobilenet_v1:MobileNetV1",
    "mobilenet_v2": "earmark.models.mobilenet_v2:MobileNetV2",
    "se_cnn": "earmark.models.se_cnn:SECNN",
    "tiny_cnn": "earmark.models.tiny_cnn:TinyCNN",
}


class TaggingNet(nn.Module):
    """A front end, a backbone and a head.

    Args:
        frontend: (batch, samples) → spectrogram (batch, 1, mels, frames), by default in dB.
        backbone: spectrogram → features (batch, channels, mels', frames'); has `n_features`, its channels. Behind a
            `Derived` it hears what is derived from the spectrogram.
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
        options: keyword arguments of the family's class; text is coerced to their types.

    Raises:
        ConfigError: no such family, an option it does not have, or more channels than it hears.
    """
    keywords = family_options(model, frontend, options or {})
    backbone = lookup(MODELS, model, "model")(frontend.n_rows, **keywords)
    if frontend.n_mfcc or frontend.n_deltas:
        backbone = Derived(frontend, backbone)
    return TaggingNet(LogMel(frontend), backbone, PooledHead(backbone.n_features, n_classes, dropout=backbone.dropout))


def family_options(model: str, frontend: FrontendConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the class of a family is called with, after the height of what it hears.

    Args:
        options: its keyword arguments as a user gives them; text is coerced to their types.

    Raises:
        ConfigError: see `build`.
    """
    family = lookup(MODELS, model, "model")
    keywords = keyword_options(family, options, f"model_options of {model}")
    if frontend.n_channels == 1:
        return keywords
    if "n_channels" not in inspect.signature(family).parameters:
        raise ConfigError(
            f"frontend.n_deltas: found {frontend.n_deltas}, and {model} hears one channel. Choose 0, or another model."
        )
    return {"n_channels": frontend.n_channels, **keywords}
