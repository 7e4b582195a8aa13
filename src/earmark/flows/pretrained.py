"""The story of `earmark models get`: published weights, fetched or found here, become one tagger file."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from earmark import __version__
from earmark.errors import FetchError
from earmark.export.graph import trace, write_tagger
from earmark.fetch import fetch, verify
from earmark.fetch.checksum import digest
from earmark.models.depths import OUTPUTS, DepthFeatures
from earmark.models.pretrained.networks import build_pretrained, load_weights
from earmark.models.pretrained.tensors import read_tensors
from earmark.models.pretrained.weights import PublishedFile, Weights, find_weights
from earmark.run import write_atomically
from earmark.tagger.home import converted, weights_folder
from earmark.tagger.metadata import TaggerMetadata

log = logging.getLogger("earmark")

DEPTH = 2  # folders below the one given in which files are looked for
# Of every class: nobody publishes thresholds. At this one 144 clips of ESC-50 get 2.6 tags each from mn04_as and from
# yamnet, 7 % and 6 % of them none.
THRESHOLD = 0.2

Progress = Callable[[int], None]


def get(name: str, *, local: Path | None = None, progress: Progress | None = None) -> Path:
    """Have the tagger of a pretrained network in the home folder; one that is there is kept, unless `local` is given.

    Args:
        name: of WEIGHTS.
        local: a copy of this machine: the file of weights, or a folder with it and its class names. What is not there
            is downloaded.
        progress: told bytes downloaded of the weights.

    Returns:
        The tagger file.

    Raises:
        ConfigError: there is no network of that name, or the weights are not its.
        FetchError: a file cannot be had, or is not the one published.
        TaggerFileError: the file that was made does not give torch's scores.
    """
    weights = find_weights(name)
    path = converted(name)
    if local is None and path.is_file():
        log.info("%s is here already", name)
        return path
    tensors = have(weights, weights.file, local, progress or (lambda done: None))
    labels = have(weights, weights.labels, local, lambda done: None)
    log.info("%s: converting %s", name, tensors.name)
    convert(weights, tensors, labels, path)
    return path


def have(weights: Weights, file: PublishedFile, local: Path | None, progress: Progress) -> Path:
    """One of the two files of a network, in the home folder: copied from `local` if it is there, else downloaded.

    Raises:
        FetchError: it cannot be had, or is not the one published.
    """
    kept = weights_folder() / file.name
    found = _find(file, local, is_weights=file == weights.file) if local else None
    if found:
        verify(found, sha256=file.sha256, n_bytes=file.n_bytes)
        with write_atomically(kept) as temporary:
            shutil.copyfile(found, temporary)
        return kept
    if file.url is None and kept.is_file():
        verify(kept, sha256=file.sha256, n_bytes=file.n_bytes)
        return kept
    again = f"`earmark models get {weights.name} --from FOLDER`"
    if file.url is None:
        raise FetchError(f"{weights.name}: {file.name} is served nowhere. Bring a copy: {again}.")
    try:
        return fetch(file.url, kept, sha256=file.sha256, n_bytes=file.n_bytes, progress=lambda done, _: progress(done))
    except FetchError as error:
        both = " and ".join(each.url for each in (weights.file, weights.labels) if each.url)
        raise FetchError(f"{error}\nOr bring {both} from another machine: {again}.") from error


def _find(file: PublishedFile, local: Path, *, is_weights: bool) -> Path | None:
    """A file of this machine, by its name, or under another name by its length and checksum.

    Raises:
        FetchError: the place does not exist, or weights were to be there and are not.
    """
    if not local.exists():
        raise FetchError(f"{local}: does not exist. Pass the file of weights, or the folder that holds it.")
    if is_weights and local.is_file():
        return local
    folder = local.parent if local.is_file() else local
    depth = 0 if local.is_file() else DEPTH
    below = [path for level in range(depth + 1) for path in sorted(folder.glob("*/" * level + "*")) if path.is_file()]
    for path in below:
        if path.name == file.name:
            return path
    for path in below:
        if file.sha256 and path.stat().st_size == file.n_bytes and digest(path, "sha256") == file.sha256:
            return path
    if is_weights:
        raise FetchError(
            f"{local}: does not hold {file.name} (looked in it and up to {DEPTH} folders below). Check the path."
        )
    return None


def convert(weights: Weights, tensors: Path, labels: Path, path: Path) -> None:
    """Write the tagger file of a network, with its depths for heads, whole or not at all, once it gives torch's scores.

    Args:
        tensors: its weights as published. labels: its class names as published.

    Raises:
        ConfigError: the weights are not those of the network.
        FetchError: the file of weights cannot be read.
        TaggerFileError: the exported graph differs from the network.
    """
    net = build_pretrained(weights.name)
    log.info("%s", load_weights(net, read_tensors(tensors), weights.name))
    metadata = _describe(weights, _read_labels(labels), digest(tensors, "sha256"))
    network, windows = DepthFeatures(net.eval()), probes(metadata.window_samples, metadata.sample_rate)
    with torch.no_grad():
        expected = network(torch.from_numpy(windows))[0].numpy()
    write_tagger(trace(network, metadata.window_samples, OUTPUTS), metadata, path, windows, expected)


def _read_labels(path: Path) -> tuple[str, ...]:
    """Class names in the order of the scores, of a table in the form of AudioSet."""
    with open(path, encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))


def _describe(weights: Weights, labels: tuple[str, ...], sha256: str) -> TaggerMetadata:
    return TaggerMetadata(
        name=weights.name,
        labels=labels,
        sample_rate=weights.sample_rate,
        window_seconds=weights.window_seconds,
        hop_seconds=weights.hop_seconds,
        multi_label=True,
        thresholds=dict.fromkeys(("window", "clip"), (THRESHOLD,) * len(labels)),
        trained_on={
            "data": "AudioSet",
            "weights": weights.file.name,
            "sha256": sha256,
            "source": weights.homepage,
            "citation": weights.citation,
            "verified": weights.verified,
            "thresholds": f"{THRESHOLD:g} for every class, not fitted",
        },
        scores={"AudioSet mAP as published": weights.published_map},
        versions={"earmark": __version__, "torch": str(torch.__version__)},
        licences=(f"weights: {weights.licence}", "class names: AudioSet, CC BY 4.0 (Google)"),
    )


def probes(n_samples: int, sample_rate: int) -> np.ndarray:
    """Windows on which a file and what it is made of must agree: noise, a rising tone, a click in silence.

    >>> probes(8000, 16000).shape
    (3, 8000)
    """
    seconds = np.arange(n_samples) / sample_rate
    noise = 0.1 * np.random.default_rng(0).standard_normal(n_samples)
    tone = 0.5 * np.sin(np.pi * (50 + 0.4 * sample_rate * seconds / seconds[-1]) * seconds)
    click = np.zeros(n_samples)
    click[n_samples // 2] = 1.0
    return np.stack([noise, tone, click]).astype(np.float32)
