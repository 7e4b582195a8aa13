"""Models of transformers as a TaggingNet: their front end written here, their layers theirs, a head of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from earmark.errors import ConfigError
from earmark.models.heads import MeanHead
from earmark.models.huggingface.source import FAMILIES, HubModel, describe, huggingface_hub, transformers
from earmark.models.kaldi_filterbank import KaldiConfig, KaldiFilterbank
from earmark.models.pretrained import tensors
from earmark.models.tagging_net import TaggingNet
from earmark.models.wave import Wave, WaveConfig

AST = "audio-spectrogram-transformer"
SHOWN_KEYS = 5
UNREADABLE = (*tensors.UNREADABLE, ValueError, KeyError)  # and what a configuration may hold


class WaveTransformer(nn.Module):
    """wav2vec 2.0, HuBERT or WavLM: convolutions to 50 frames a second, then a transformer over them.

    The convolutions do not learn: published fine-tunings hold them still, and small sets spoil them.

    Source: Baevski et al. 2020, arXiv 2006.11477; Hsu et al. 2021, arXiv 2106.07447; Chen et al. 2022,
        arXiv 2110.13900.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.n_features = model.config.hidden_size
        model.feature_extractor._freeze_parameters()

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 1, 1, samples) to features (batch, n_features, 1, frames)."""
        return self.model(waveform.flatten(1)).last_hidden_state.transpose(1, 2)[:, :, None]


class SpectrogramTransformer(nn.Module):
    """The Audio Spectrogram Transformer: a transformer over overlapping squares of the spectrogram.

    Its features are those of its two summary tokens, whose mean is what its authors classify.

    Source: Gong et al. 2021, arXiv 2104.01778.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.n_features = model.config.hidden_size

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, 1, mels, frames) to features (batch, n_features, 1, 2)."""
        tokens = self.model(spectrogram[:, 0].transpose(1, 2)).last_hidden_state
        return tokens[:, :2].transpose(1, 2)[:, :, None]


def build_hf(source: str, n_classes: int, *, layer: int | None = None, dropout: float = 0.1) -> TaggingNet:
    """A network that starts from the weights of `hf:ID` or `hf:FOLDER`, with a fresh head.

    Its embedding is the mean over time of what the chosen layer gives.

    Args:
        layer: take what this layer of the transformer gives, 1 to the number of layers, and leave out those above;
            None = the last one, as the model ends.
        dropout: before the last layer of the head.

    Raises:
        ConfigError: no such folder or layer, no model that can be used, or weights that are not the model's.
        FetchError: the model is not on this machine.
        MissingExtraError: transformers is not installed.
    """
    described = describe(source)
    backbone = (SpectrogramTransformer if described.family == AST else WaveTransformer)(_load(described, layer))
    return TaggingNet(
        _frontend(described, backbone.model.config), backbone, MeanHead(backbone.n_features, n_classes, dropout=dropout)
    )


def count_parameters(described: HubModel) -> int:
    """Numbers in a model, without its head: from its settings alone."""
    with torch.device("meta"):
        return sum(p.numel() for p in _model_class(described)(_settings(described)).parameters())


def _frontend(described: HubModel, settings: Any) -> nn.Module:
    """What the model's feature extractor does, inside the network."""
    told = described.hearing
    normalised = told.get("do_normalize", True)
    if described.family != AST:
        return Wave(WaveConfig(described.sample_rate, normalised, _shortest_samples(settings)))
    mean, std = (told.get("mean", KaldiConfig.mean), told.get("std", KaldiConfig.std)) if normalised else (0.0, 0.5)
    config = KaldiConfig(
        described.sample_rate,
        told.get("num_mel_bins", KaldiConfig.n_mels),
        told.get("max_length", KaldiConfig.n_frames),
        mean,
        std,
    )
    if (config.n_mels, config.n_frames) != (settings.num_mel_bins, settings.max_length):
        raise ConfigError(
            f"{described.source}: its feature extractor gives {config.n_mels} bands × {config.n_frames} frames, and "
            f"its network takes {settings.num_mel_bins} × {settings.max_length}. Take both files from one model."
        )
    return KaldiFilterbank(config)


def _shortest_samples(settings: Any) -> int:
    """Samples from which the convolutions make one frame."""
    n_samples = 1
    for kernel, stride in zip(reversed(settings.conv_kernel), reversed(settings.conv_stride), strict=True):
        n_samples = (n_samples - 1) * stride + kernel
    return n_samples


def _model_class(described: HubModel) -> Any:
    return getattr(transformers(), FAMILIES[described.family])


def _settings(described: HubModel) -> Any:
    """The settings of the model, without what would draw at random beside our own seeds, or lie beyond its last layer.

    Raises:
        ConfigError: they are not settings of its family.
    """
    wrong_type = huggingface_hub().errors.StrictDataclassError
    try:
        settings = _model_class(described).config_class.from_pretrained(described.folder, local_files_only=True)
    except (*UNREADABLE, wrong_type) as error:
        raise ConfigError(
            f"{described.source}: its settings cannot be read ({_reason(error)}). Copy it again."
        ) from error
    if described.family != AST:
        settings.mask_time_prob = settings.mask_feature_prob = settings.layerdrop = 0.0
        settings.add_adapter = False
    return settings


def _load(described: HubModel, layer: int | None) -> nn.Module:
    """The model with its weights, up to and with a layer."""
    settings = _settings(described)
    n_layers = settings.num_hidden_layers
    if layer is not None and not 1 <= layer <= n_layers:
        raise ConfigError(f"{described.source}: layer is {layer}, and the model has the layers 1 to {n_layers}.")
    settings.num_hidden_layers = layer or n_layers
    try:
        with _quiet():
            model, report = _model_class(described).from_pretrained(
                described.folder,
                config=settings,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
            )
    except UNREADABLE as error:
        raise ConfigError(
            f"{described.source}: its weights cannot be read ({_reason(error)}). Copy it again."
        ) from error
    _require_all(described, report)
    if described.family == AST:
        if settings.num_hidden_layers < n_layers:
            model.layernorm = nn.Identity()  # belongs to the last layer
        return model
    parametrize.remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")  # the product, not its factors
    if settings.num_hidden_layers < n_layers and settings.do_stable_layer_norm:
        model.encoder.layer_norm = nn.Identity()
    return model


def _require_all(described: HubModel, report: Mapping[str, Any]) -> None:
    """Refuse weights that leave a part of the model as it was drawn at random."""
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - SHOWN_KEYS} more" if len(missing) > SHOWN_KEYS else ""
        raise ConfigError(
            f"{described.source}: its file of weights lacks {', '.join(missing[:SHOWN_KEYS])}{more}. Copy the model "
            "again, or choose another."
        )


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers reports what it loads on stderr; what matters of it is checked."""
    logging = transformers().utils.logging
    verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
