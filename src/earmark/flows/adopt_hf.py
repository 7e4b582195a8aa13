"""The story of `earmark models get hf:ID`: a model of transformers becomes a tagger file that embeds, once."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from earmark import __version__
from earmark.errors import ConfigError
from earmark.export.graph import trace, write_tagger
from earmark.fetch.checksum import digest
from earmark.flows.adopt import PLAIN_NAME, check_free, check_name
from earmark.flows.pretrained import probes
from earmark.models.huggingface.networks import AST, build_hf, count_parameters
from earmark.models.huggingface.source import PREFIX, HubModel, describe, transformers, weight_files
from earmark.models.kaldi_filterbank import HOP_LENGTH, KaldiConfig
from earmark.models.tagging_net import TaggingNet
from earmark.tagger import load_tagger
from earmark.tagger.home import converted
from earmark.tagger.metadata import TaggerMetadata
from earmark.windows import samples

log = logging.getLogger("earmark")

LARGEST = 500_000_000  # parameters: an ONNX file ends at 2 GiB


class EmbeddingGraph(nn.Module):
    """What the tagger file of a model that only embeds computes: scores of no columns, embedding (batch, features)."""

    def __init__(self, net: TaggingNet):
        super().__init__()
        self.frontend = net.frontend.exportable()
        self.backbone = net.backbone
        self.head = net.head

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and embedding of a waveform (batch, samples)."""
        embedding = self.head.pool(self.backbone(self.frontend(waveform)))
        return embedding[:, :0], embedding


@torch.no_grad()
def adopt_hf(
    source: str,
    name: str,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    *,
    layer: int | None = None,
    replaces: bool = False,
) -> Path:
    """Make a tagger file of the home folder from a model of the Hugging Face Hub, or from a folder in its form.

    Args:
        source: `hf:ID`, which is downloaded where it is not here yet, or `hf:FOLDER`.
        name: what the tagger is called from now on.
        window_seconds: of what it hears at once; None where the model says it. hop_seconds: default the window.
        layer: whose output is averaged over time to the embedding; None = the last.
        replaces: take the place of another tagger of that name.

    Returns:
        The tagger file.

    Raises:
        ConfigError: the name cannot be one or is taken, the window is needed or does not suit, or the model cannot be
            used.
        FetchError: the model cannot be had.
        MissingExtraError: transformers is not installed.
        TaggerFileError: the file would not give what the model gives.
    """
    check_name(name)
    described = describe(source, download=True)
    n_parameters = count_parameters(described)
    if n_parameters > LARGEST:
        raise ConfigError(
            f"{source}: has {n_parameters / 1e6:.0f} million parameters, and a tagger file holds "
            f"{LARGEST / 1e6:.0f} million. Choose a smaller model."
        )
    net = build_hf(source, 1, layer=layer).eval()
    rate = described.sample_rate
    seconds = window_seconds or _own_window(source, net)
    metadata = _metadata(described, name, seconds, hop_seconds or seconds, layer)
    check_free(metadata, replaces)
    windows = probes(samples(seconds, rate), rate)
    expected = net.embed(torch.from_numpy(windows)).numpy()
    log.info("%s: exporting %s, %.1f million parameters", name, source, n_parameters / 1e6)
    graph = trace(EmbeddingGraph(net), windows.shape[1], ("scores", "embedding"))
    write_tagger(graph, metadata, converted(name), windows, expected, "embedding")
    log.info("%s: its file embeds alone; to fine-tune it, leave %s where it is", name, described.folder)
    return converted(name)


def adopted_hf(name: str) -> tuple[str, int | None] | None:
    """What `adopt_hf` made the tagger of a name from: the source and the layer; None where it made none of that name.

    By it a model that was adopted under a name can be trained on under the same.
    """
    if not PLAIN_NAME.fullmatch(name) or not converted(name).is_file():
        return None
    told = load_tagger(converted(name)).metadata.trained_on
    source = str(told.get("adopted", ""))
    return (source, told.get("layer")) if source.startswith(PREFIX) else None


def _own_window(source: str, net: TaggingNet) -> float:
    """Seconds that a model hears at once, of one that is made for so many."""
    config = net.frontend.config
    if not isinstance(config, KaldiConfig):
        raise ConfigError(f"{source}: hears windows of any length. Give one in --window, such as that of your clips.")
    return config.n_frames * HOP_LENGTH / config.sample_rate


def _metadata(described: HubModel, name: str, window: float, hop: float, layer: int | None) -> TaggerMetadata:
    files = weight_files(described.folder)
    what = "the two summary tokens" if described.family == AST else "time"
    licence = described.licence or f"unknown: ask whoever published {described.source}"
    return TaggerMetadata(
        name=name,
        labels=(),
        sample_rate=described.sample_rate,
        window_seconds=window,
        hop_seconds=hop,
        multi_label=True,
        trained_on={
            "adopted": described.source,
            **({"revision": described.revision} if described.revision else {}),
            "weights": ", ".join(file.name for file in files),
            "sha256": ", ".join(digest(file, "sha256") for file in files),
            "family": described.family,
            **({"layer": layer} if layer else {}),
            "embedding": f"mean over {what} of {f'layer {layer}' if layer else 'the last layer'}",
        },
        versions={
            "earmark": __version__,
            "torch": str(torch.__version__),
            "transformers": transformers().__version__,
        },
        licences=(f"weights: {licence}",),
    )
