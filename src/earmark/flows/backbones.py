"""Backbones: networks that were trained before, found by name or path, as graphs that features come from."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import onnx

from earmark.errors import ConfigError
from earmark.export.backbone import LOGITS, patch_graph
from earmark.export.graph import IR_VERSION, trace
from earmark.flows.run_config import BackboneConfig, backbone_name
from earmark.flows.starting_weights import find_start
from earmark.models.depths import DepthFeatures
from earmark.models.pretrained.networks import PRETRAINED
from earmark.run import write_atomically
from earmark.tagger import load_tagger
from earmark.tagger.home import find_tagger, home_folder
from earmark.tagger.metadata import TaggerMetadata
from earmark.windows import Framing, samples

log = logging.getLogger("earmark")

DEPTHS = "depths"


@dataclass(frozen=True)
class Backbone:
    """A network that classifiers stand on.

    name: part of a model's name. metadata: of its own tagger file.
    path: that file. config: what of it is taken.
    """

    name: str
    metadata: TaggerMetadata
    path: Path
    config: BackboneConfig

    @property
    def sample_rate(self) -> int:
        """Of what it hears, Hz."""
        return self.metadata.sample_rate

    def patch(self) -> Framing:
        """How a window is cut into what the network hears at once.

        Raises:
            ConfigError: it hears patches of one length only, and another is asked for.
        """
        its, config, rate = self.metadata, self.config, self.sample_rate
        length = samples(config.patch_seconds, rate) or its.window_samples
        if length != its.window_samples and not self.any_length:
            raise ConfigError(
                f"backbone.patch_seconds: {config.patch_seconds:g} s, but {self.name} hears "
                f"{its.window_seconds:g} s at once and nothing else. Leave it away."
            )
        usual = its.hop_samples if length == its.window_samples else length // 2
        return Framing(rate, length, samples(config.patch_hop_seconds, rate) or usual, its.padding)

    @property
    def any_length(self) -> bool:
        """Whether it can be exported for other lengths than its own file's, and with its depths."""
        return self.name in PRETRAINED

    @property
    def outputs(self) -> tuple[str, ...]:
        """What features are joined of: by default its embedding and, where they can be had, its depths."""
        return self.config.outputs or (("embedding", DEPTHS) if self.any_length else ("embedding",))

    def graph(self, window_samples: int) -> onnx.ModelProto:
        """From waveform (batch, window_samples) to `embedding` (batch, features) and `sequence`.

        Raises:
            ConfigError: it lacks an output that is asked for, or does not hear patches of that length.
            FetchError: its weights are not on this machine.
        """
        patch = self.patch()
        if patch.window_samples == self.metadata.window_samples and DEPTHS not in self.outputs:
            model = onnx.load(self.path)
        else:
            model = onnx.load(self._exported(patch.window_samples))
        return patch_graph(model, patch, window_samples, self.outputs, self.config.pool)

    def _exported(self, n_samples: int) -> Path:
        """The file of the network for patches of some length, with its depths; made once, in the home folder."""
        if not self.any_length:
            raise ConfigError(
                f"backbone.outputs: the depths of {self.name} are not known. Choose embedding, {LOGITS} or scores."
            )
        path = home_folder() / "backbones" / f"{self.name}-{n_samples}.onnx"
        if not path.is_file():
            log.info("%s: exporting for patches of %g s", self.name, n_samples / self.sample_rate)
            start = find_start(self.name)
            net = start.build()
            start.load(net)
            model = trace(DepthFeatures(net.eval()), n_samples, ("scores", "embedding", DEPTHS))
            model.ir_version = IR_VERSION
            with write_atomically(path) as temporary:
                temporary.write_bytes(model.SerializeToString())
        return path


def find_backbone(config: BackboneConfig) -> Backbone:
    """The backbone that is asked for.

    Raises:
        TaggerFileError: nothing of that name or path is on this machine, or it is no tagger file.
    """
    path = find_tagger(config.on)
    return Backbone(backbone_name(config.on), load_tagger(path).metadata, path, config)
