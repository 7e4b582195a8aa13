"""Published weights, read in place, against what their original code answered: in torch and in the exported file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from earmark.export.graph import export_tagger
from earmark.models.pretrained.networks import PRETRAINED, build_pretrained, load_weights
from earmark.models.pretrained.weights import find_weights
from earmark.tagger import TaggerMetadata, load_tagger

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"
pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/data/weights")
SCORES = 1e-3
EXPECTED = {  # name: weights, reference, keys of waveform, features and logits in it, spectrogram is (frames, mels)
    "mn04_as": (
        "efficientat/mn04_as_mAP_432.pt",
        "efficientat/reference_io_mn04.npz",
        ("wave32k", "features", "logits"),
        False,
    ),
    "yamnet": (
        "yamnet/yamnet_dequant_bnfolded.safetensors",
        "yamnet/reference_io_yamnet.npz",
        ("wave16k", "embedding_fp32", "logits_fp32"),
        True,
    ),
}


class Reference:
    """A network with its published weights, and the original's inputs and outputs."""

    def __init__(self, name: str):
        weights, reference, self.keys, self.time_first = EXPECTED[name]
        path = WEIGHTS / weights
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        self.name = name
        self.net = build_pretrained(name).eval()
        self.report = load_weights(self.net, state, name)
        self.content = np.load(WEIGHTS / reference)
        self.clips = sorted({key.rpartition("/")[0] for key in self.content.files})

    def of(self, clip: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Waveform (1, samples), spectrogram (mels, frames), features, scores."""
        waveform, features, logits = (self.content[f"{clip}/{key}"] for key in self.keys)
        spectrogram = self.content[f"{clip}/logmel"]
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return waveform[None], spectrogram.T if self.time_first else spectrogram, features, scores


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def reference(request):
    return Reference(request.param)


def test_every_number_of_the_file_has_its_place(reference):
    n_parameters = {"mn04_as": 983_599, "yamnet": 3_729_481}[reference.name]
    assert reference.report.n_parameters == n_parameters
    assert sum(p.numel() for p in reference.net.parameters()) == n_parameters
    assert all(key.endswith("num_batches_tracked") for key in reference.report.set_aside)
    assert f"{n_parameters:,} parameters, none missing, none left over" in str(reference.report)


@torch.no_grad()
def test_front_end_features_and_scores_are_the_originals(reference):
    for clip in reference.clips:
        waveform, spectrogram, features, scores = reference.of(clip)
        heard = torch.from_numpy(waveform)
        for frontend in (reference.net.frontend, reference.net.frontend.exportable()):
            np.testing.assert_allclose(frontend(heard)[0, 0].numpy(), spectrogram, atol=1e-3)
        np.testing.assert_allclose(reference.net.embed(heard)[0].numpy(), features, atol=1e-4)
        np.testing.assert_allclose(torch.sigmoid(reference.net(heard))[0].numpy(), scores, atol=SCORES)


def test_exported_file_gives_the_originals_scores_alone_and_in_a_batch(reference, tmp_path):
    told = find_weights(reference.name)
    rate, n_samples = told.sample_rate, round(told.window_seconds * told.sample_rate)
    clips = [clip for clip in reference.clips if reference.of(clip)[0].shape[1] == n_samples]
    assert len(clips) >= 3
    windows = np.concatenate([reference.of(clip)[0] for clip in clips])
    labels = tuple(f"class {index}" for index in range(told.n_classes))
    metadata = TaggerMetadata(reference.name, labels, rate, told.window_seconds, told.hop_seconds, multi_label=True)
    path = tmp_path / "x.tagger.onnx"
    export_tagger([reference.net], metadata, path, windows[:1])
    backend = load_tagger(path).backend
    together, embeddings = backend.run(windows)
    for window, row, embedding, clip in zip(windows, together, embeddings, clips, strict=True):
        _, _, features, scores = reference.of(clip)
        alone, _ = backend.run(window[None])
        np.testing.assert_allclose(alone[0], scores, atol=SCORES)
        np.testing.assert_allclose(row, scores, atol=SCORES)
        np.testing.assert_allclose(embedding, features, atol=1e-4)


def test_a_silent_front_end_setting_would_be_noticed(reference):
    """The tolerance is worth something: the default front end at the same rate is far outside it."""
    waveform, _, _, scores = reference.of(reference.clips[-1])
    network = PRETRAINED[reference.name]
    wrong = type(network.frontend)(
        network.frontend.sample_rate, network.frontend.n_fft, network.frontend.hop_length, network.frontend.n_mels
    )
    right = reference.net.frontend
    try:
        reference.net.frontend = type(right)(wrong)
        with torch.no_grad():
            found = torch.sigmoid(reference.net(torch.from_numpy(waveform)))[0].numpy()
    finally:
        reference.net.frontend = right
    assert np.abs(found - scores).max() > 10 * SCORES


def test_yamnets_front_end_is_googles_test_pair():
    samples = np.fromfile(WEIGHTS / "yamnet/yamnet_test_audio.bin", dtype="<i2").astype(np.float32) / 32768
    expected = np.fromfile(WEIGHTS / "yamnet/yamnet_test_spectra.bin", dtype="<f4").reshape(96, 64)
    found = build_pretrained("yamnet").frontend(torch.from_numpy(samples[None]))[0, 0].numpy().T
    assert found.shape == expected.shape
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9999  # theirs is computed in fixed point
