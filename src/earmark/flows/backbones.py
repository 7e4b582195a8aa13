"""Backbones: networks that were trained before, found by name or path, as graphs that features come from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch

from earmark import __version__
from earmark.audio.cache import content_hash
from earmark.baselines import SEQUENCE_HEADS
from earmark.data.seen import join
from earmark.errors import ConfigError, TaggerFileError
from earmark.export.backbone import LOGITS, patch_graph
from earmark.export.graph import IR_VERSION, TOLERANCE, difference, trace, write_graph
from earmark.flows.pretrained import probes
from earmark.flows.reference_check import checked
from earmark.flows.run_config import FINETUNED, BackboneConfig, RunConfig, backbone_name
from earmark.flows.starting_weights import find_start
from earmark.models.depths import OUTPUTS, DepthFeatures
from earmark.models.pretrained.networks import PRETRAINED
from earmark.models.pretrained.weights import WEIGHTS
from earmark.tagger import load_tagger
from earmark.tagger.home import FOLDER_MANIFEST, converted, find_tagger, home_folder, present
from earmark.tagger.metadata import TaggerMetadata
from earmark.windows import Framing, samples

log = logging.getLogger("earmark")

DEPTHS = OUTPUTS[-1]
DIGITS_OF_FILE = 12  # of its content hash, in the name of an export
SEQUENCE_PATCH_SECONDS = 1.0
SMALL = 10_000_000  # parameters


@dataclass(frozen=True)
class Backbone:
    """A network that classifiers stand on.

    name: part of a model's name. metadata: of its own tagger file.
    path: that file. config: what of it is taken, and the file's content hash.
    any_length: whether it can be exported for other lengths than its own file's, and with its depths: of the published
    networks, whose layers are known.
    """

    name: str
    metadata: TaggerMetadata
    path: Path
    config: BackboneConfig
    any_length: bool

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
    def outputs(self) -> tuple[str, ...]:
        """What features are joined of: by default its embedding and, where they can be had, its depths."""
        return self.config.outputs or (("embedding", DEPTHS) if self.any_length else ("embedding",))

    def graph(self, window_samples: int) -> onnx.ModelProto:
        """From waveform (batch, window_samples) to `embedding` (batch, features) and `sequence`.

        Raises:
            ConfigError: it lacks an output that is asked for, or does not hear patches of that length.
            FetchError: its weights are not on this machine.
            TaggerFileError: an export for other patches differs from the network.
        """
        patch = self.patch()
        model = onnx.load(self.path)
        has_depths = any(output.name == DEPTHS for output in model.graph.output)
        if patch.window_samples != self.metadata.window_samples or (DEPTHS in self.outputs and not has_depths):
            model = onnx.load(self._exported(patch.window_samples))
        return patch_graph(model, patch, window_samples, self.outputs, self.config.pool)

    def _exported(self, n_samples: int) -> Path:
        """The file of the network for patches of some length, with its depths; made once, in the home folder."""
        if not self.any_length:
            raise ConfigError(
                f"backbone.outputs: the depths of {self.name} are not known. Choose embedding, {LOGITS} or scores."
            )
        stem = f"{self.name}-{n_samples}-{self.config.content_hash[:DIGITS_OF_FILE]}-{__version__}"
        path = home_folder() / "backbones" / f"{stem}.onnx"
        if not path.is_file():
            log.info("%s: exporting for patches of %g s", self.name, n_samples / self.sample_rate)
            start = find_start(self.config.on)
            net = start.build()
            start.load(net)
            windows = probes(n_samples, self.sample_rate)
            module = DepthFeatures(net.eval())
            model = trace(module, n_samples, OUTPUTS)
            model.ir_version = IR_VERSION
            with torch.no_grad():
                expected = [part.numpy() for part in module(torch.from_numpy(windows))]
            apart = difference(model, windows, dict(zip(OUTPUTS, expected, strict=True)))
            if not apart <= TOLERANCE:
                raise TaggerFileError(
                    f"{path}: the exported graph differs from the network by {apart:.2g} (at most {TOLERANCE:g} is "
                    "allowed), so it is not written. This is a defect of Earmark: please report it."
                )
            write_graph(model, path)
        return path


def find_backbone(config: BackboneConfig) -> Backbone:
    """The backbone that is asked for.

    Raises:
        TaggerFileError: nothing of that name or path is on this machine, or it is no tagger file but a folder of some.
    """
    path = find_tagger(config.on)
    if path.name == FOLDER_MANIFEST:
        raise TaggerFileError(f"{config.on}: is a folder of several taggers, and a head stands on one. Give one.")
    published = config.on in PRETRAINED and path == converted(config.on)
    known = replace(config, content_hash=content_hash(path))
    return Backbone(backbone_name(config.on), load_tagger(path).metadata, path, known, published)


def usual_backbone() -> list[str]:
    """The one to stand on where none is named: of those here the best small one whose scores are verified.

    Others are said. None where nothing is here; where nothing small is verified, the smallest file.
    """
    names = present()

    def preference(name: str) -> tuple[bool, float, int]:
        weights = WEIGHTS.get(name)
        known = weights is not None and weights.n_parameters <= SMALL and (weights.verified or bool(checked(name)))
        return known, weights.published_map if known else 0.0, -converted(name).stat().st_size

    ranked = sorted(names, key=preference, reverse=True)
    if len(ranked) > 1:
        log.info("on %s; --on NAME takes others that are here: %s", ranked[0], ", ".join(ranked[1:]))
    return ranked[:1]


def head_of(config: RunConfig) -> str:
    """The classifier on a run's backbone: its model, or what fine-tuning has to beat; empty = none."""
    return config.backbone.frozen_head if config.model == FINETUNED else config.model


def patched(backbone: BackboneConfig, head: str) -> BackboneConfig:
    """How a backbone serves a head: one over the sequence of patches needs several of them in a window."""
    if head not in SEQUENCE_HEADS or backbone.patch_seconds or backbone.on not in PRETRAINED:
        return backbone
    return replace(backbone, patch_seconds=SEQUENCE_PATCH_SECONDS)


def made_from(metadata: TaggerMetadata, backbone: Backbone) -> TaggerMetadata:
    """The facts of a tagger file that holds a backbone: its name, its licences, and what it was trained on as well."""
    before = backbone.metadata.trained_on.get("clips", "")
    facts = {
        **metadata.trained_on,
        "backbone": backbone.name,
        "backbone_sha256": backbone.config.content_hash,
        "clips": join(metadata.trained_on.get("clips", ""), before),
    }
    licences = (f"{backbone.name}: {licence}" for licence in backbone.metadata.licences)
    return replace(metadata, trained_on=facts, licences=(*metadata.licences, *licences))
