"""The kinds of tagger through Earmark: the facts of docs/tagger-file.md."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from earmark.tagger import load_tagger
from earmark.windows import frame

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"
KINDS = ("cnn", "forest", "patches", "ensemble", "calibrated", "unsure", "ends", "lengths", "full", "together")
EXPECTED = json.loads((VECTORS / "expected.json").read_text())


@pytest.fixture(scope="module", params=KINDS)
def tagger(request):
    path = VECTORS / f"{request.param}.tagger.onnx"
    return load_tagger(path if path.exists() else VECTORS / f"{request.param}.tagger")


@pytest.mark.parametrize("sound", ["short.wav", "long.wav"])
def test_scores_and_tags_are_the_expected_ones(tagger, sound):
    expected = EXPECTED[f"{tagger.metadata.name} {sound}"]
    windows = tagger.score(VECTORS / sound)
    assert np.round(windows.starts * tagger.sample_rate).astype(int).tolist() == expected["starts"]
    np.testing.assert_allclose(windows.scores, expected["window_scores"], atol=1e-5)
    clip = tagger.pool(windows)
    np.testing.assert_allclose(clip.scores[0], expected["clip_scores"], atol=1e-5)
    assert [{tag.label for tag in tags} for tags in tagger.tags(windows)] == [
        set(t) for t in expected["window_tags"]
    ]
    assert {tag.label for tag in tagger.tag(VECTORS / sound)} == set(expected["clip_tags"])


def test_windows_end_where_the_recording_does_and_padding_is_not_counted(tagger):
    assert tagger.score(VECTORS / "short.wav").ends[-1] == 0.3
    assert tagger.score(VECTORS / "long.wav").ends[-1] == 1.93


def test_a_window_scores_alike_alone_and_in_a_batch(tagger):
    draw = np.random.default_rng(0)
    sound = draw.normal(0, 0.1, 30000).astype(np.float32)
    windows = frame(sound, tagger.window_samples, tagger.hop_samples, "zeros")
    scores, embedding = tagger.backend.run(windows)
    assert len(scores) > 4
    for row in range(len(windows)):
        alone, alone_embedding = tagger.backend.run(windows[row : row + 1])
        np.testing.assert_allclose(alone[0], scores[row], atol=1e-6)
        np.testing.assert_allclose(alone_embedding[0], embedding[row], atol=1e-5)


def test_silence_scores_are_finite_and_in_range(tagger):
    scores, _ = tagger.backend.run(np.zeros((2, tagger.window_samples), dtype=np.float32))
    assert np.isfinite(scores).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_embedding_has_a_row_per_window(tagger):
    scores, features = tagger.embed(VECTORS / "long.wav")
    assert features.shape[0] == len(scores)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(scores.scores, tagger.score(VECTORS / "long.wav").scores)


def test_vectors_can_be_made_again(tmp_path):
    pytest.importorskip("skl2onnx", reason="making the toy taggers needs the extra [dev]")
    made = subprocess.run(
        [sys.executable, VECTORS / "make_vectors.py", tmp_path], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    again = json.loads((tmp_path / "expected.json").read_text())
    assert again.keys() == EXPECTED.keys()
    for name, expected in EXPECTED.items():
        np.testing.assert_allclose(
            again[name]["window_scores"], expected["window_scores"], atol=1e-5, err_msg=name
        )
        assert again[name]["clip_tags"] == expected["clip_tags"]
    for sound in ("short.wav", "long.wav"):
        assert (tmp_path / sound).read_bytes() == (VECTORS / sound).read_bytes()
