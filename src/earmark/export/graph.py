"""From a torch module to a tagger file: one ONNX graph, stamped alike, checked against torch, written whole."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from onnx_ir.passes import common as passes
from torch import Tensor, nn

from earmark.errors import TaggerFileError
from earmark.models.heads import AttentionHead
from earmark.models.tagging_net import TaggingNet
from earmark.run import write_atomically
from earmark.tagger.metadata import METADATA_KEY, TaggerMetadata

OPSET = 20
ML_OPSET = 3
IR_VERSION = 10  # what the oldest allowed ONNX Runtime loads
MOST_SAMPLES = 10**8  # of a window of free length: an hour at 28 kHz
TOLERANCE = 1e-4  # of scores, torch against the file; of embeddings by their largest number


class ScoringGraph(nn.Module):
    """What a tagger file computes: waveform (batch, samples) → scores (batch, classes), embedding (batch, features).

    With several nets their scores and embeddings are averaged and joined; the first one's front end serves all, unless
    front ends learnt. Heads that answer each step of time add `patch_scores` (batch, steps, classes).

    outputs: names of what it returns.
    """

    def __init__(self, nets: list[TaggingNet], multi_label: bool):
        super().__init__()
        shared = not any(True for _ in nets[0].frontend.parameters())
        self.frontends = nn.ModuleList(net.frontend.exportable() for net in (nets[:1] if shared else nets))
        self.nets = nn.ModuleList(nets)
        self.multi_label = multi_label
        self.has_steps = all(isinstance(net.head, AttentionHead) for net in nets)
        self.outputs = ("scores", "embedding", *(("patch_scores",) if self.has_steps else ()))

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Scores, embedding and, if there are any, scores of the steps."""
        spectrograms = [frontend(waveform) for frontend in self.frontends]
        if len(spectrograms) == 1:
            spectrograms *= len(self.nets)
        scores, embeddings, steps = [], [], []
        for net, spectrogram in zip(self.nets, spectrograms, strict=True):
            features = net.backbone(spectrogram)
            embeddings.append(net.pool(features, waveform))
            scores.append(self._scores(net.head.classify(embeddings[-1])))
            if self.has_steps:
                steps.append(self._scores(net.head.classify_steps(features, embeddings[-1])))
        found = torch.stack(scores).mean(dim=0), torch.cat(embeddings, dim=1)
        return (*found, torch.stack(steps).mean(dim=0)) if self.has_steps else found

    def _scores(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=-1)


def trace(
    module: nn.Module, window_samples: int, outputs: tuple[str, ...], shortest_samples: int | None = None
) -> onnx.ModelProto:
    """Export a module of one input, `waveform` (batch, window_samples), with a free batch.

    Args:
        outputs: names of what the module returns, in order.
        shortest_samples: the length of a window is free as well, from so much up; None = it is not.
    """
    module = module.eval()
    example = torch.zeros(2, window_samples)
    free = {0: torch.export.Dim("batch", min=1, max=4096)}
    if shortest_samples is not None:
        free[1] = torch.export.Dim("samples", min=shortest_samples, max=MOST_SAMPLES)
    with warnings.catch_warnings(), _silent_exporter():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["waveform"],
            output_names=list(outputs),
            dynamic_shapes=(free,),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    # The exporter leaves names of source files on every node, and constants that nothing uses.
    passes.ClearMetadataAndDocStringPass()(program.model)
    passes.RemoveUnusedNodesPass()(program.model)
    model = onnx_ir.to_proto(program.model)
    del model.graph.metadata_props[:]
    return model


@contextlib.contextmanager
def _silent_exporter():
    """The exporter speaks of its passes on stdout and of packages it does not need in its log."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def stamp(model: onnx.ModelProto, metadata: TaggerMetadata) -> None:
    """The same IR and operator sets for every tagger, and the metadata as one JSON document."""
    model.ir_version = IR_VERSION
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    if any(node.domain == "ai.onnx.ml" for node in every_node(model.graph)):
        model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model.producer_name = "earmark"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model)


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Its nodes, and those inside its loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from every_node(inner)


@torch.no_grad()
def export_tagger(nets: list[TaggingNet], metadata: TaggerMetadata, path: Path, windows: np.ndarray) -> None:
    """Write the tagger file of one net, or of several that are averaged, and hold it against torch.

    Args:
        windows: (n, window_samples) float32, real windows that file and torch must agree on.

    Raises:
        TaggerFileError: they do not; nothing is written.
    """
    squash = torch.sigmoid if metadata.multi_label else lambda logits: torch.softmax(logits, dim=1)
    expected = torch.stack([squash(net(torch.from_numpy(windows))) for net in nets]).mean(dim=0).numpy()
    graph = ScoringGraph(nets, metadata.multi_label)
    shortest = min(metadata.view_samples, default=metadata.window_samples) if metadata.any_length else None
    model = trace(graph, windows.shape[1], graph.outputs, shortest)
    write_tagger(model, metadata, path, windows, expected)


def write_tagger(
    model: onnx.ModelProto,
    metadata: TaggerMetadata,
    path: Path,
    windows: np.ndarray,
    expected: np.ndarray,
    output: str = "scores",
) -> None:
    """Stamp a graph and write it, whole or not at all, once ONNX Runtime gives the expected output (n, columns).

    Raises:
        TaggerFileError: the numbers differ by more than TOLERANCE.
    """
    stamp(model, metadata)
    apart = difference(model, windows, {output: expected})
    if apart > TOLERANCE:
        raise TaggerFileError(
            f"{path}: the exported graph's {output} differ from the model's by {apart:.2g} (at most {TOLERANCE:g} is "
            "allowed), so it is not written. This is a defect of Earmark: please report it."
        )
    write_graph(model, path)


def difference(model: onnx.ModelProto, windows: np.ndarray, expected: Mapping[str, np.ndarray]) -> float:
    """How far what a graph gives is from what is expected of its outputs: the largest difference, of numbers above 1
    by the largest; infinite where shapes differ or anything is not finite."""
    largest = 0.0
    for found, wanted in zip(
        open_graph(model).run(list(expected), {"waveform": windows}), expected.values(), strict=True
    ):
        if found.shape != wanted.shape or not (np.isfinite(found).all() and np.isfinite(wanted).all()):
            return np.inf
        largest = max(largest, float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())))
    return largest


def write_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def open_graph(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A graph in ONNX Runtime on one thread: more spin and wait for one another on a machine that does other work."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
