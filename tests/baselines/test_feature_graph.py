"""Features of clips come from the graph that ships, once, whatever their number of windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark import audio
from earmark.audio.cache import Cache
from earmark.baselines.feature_graph import FeatureGraph
from earmark.data.manifest import Manifest
from earmark.export.graph import trace
from earmark.windows import Framing

RATE, WINDOW = 8000, 800
FRAMING = Framing(RATE, WINDOW, WINDOW // 2, "repeat")


class Level(torch.nn.Module):
    """Mean and largest size of a window."""

    def forward(self, waveform):
        return torch.stack([waveform.abs().mean(dim=1), waveform.abs().amax(dim=1)], dim=1)


@pytest.fixture
def graph():
    return FeatureGraph(trace(Level(), WINDOW, ("embedding",)), FRAMING)


@pytest.fixture
def sounds(tmp_path):
    draw = np.random.default_rng(0)
    lengths = (300, 800, 4300)
    for number, n_samples in enumerate(lengths):
        audio.write(tmp_path / f"{number}.wav", 0.1 * draw.normal(size=n_samples).astype(np.float32), RATE)
    names = ["0.wav", "1.wav", "2.wav", "2.wav"]
    manifest = Manifest.build(
        tmp_path, names, [("a",)] * 4, starts=[0, 0, 0, 0.2], ends=[None, None, 0.2, None], clip_ids=list("wxyz")
    )
    return manifest.clips(), Cache(tmp_path / "cache")


def test_features_are_those_of_every_window_of_every_clip(graph, sounds):
    found = graph.of_clips(*sounds, threads=2)
    waveforms = [audio.load(clip.path, RATE, clip.start, clip.end) for clip in sounds[0]]
    expected = [graph(FRAMING.cut(waveform)) for waveform in waveforms]
    np.testing.assert_array_equal(found.clips, np.repeat(np.arange(4), [len(each) for each in expected]))
    np.testing.assert_allclose(found.values, np.concatenate(expected), rtol=1e-6)


def test_what_is_in_the_cache_is_not_heard_again(graph, sounds, monkeypatch):
    before = graph.of_clips(*sounds)
    monkeypatch.setattr(FeatureGraph, "__call__", lambda *_: pytest.fail("heard again"))
    told = []
    again = graph.of_clips(*sounds, progress=told.append)
    np.testing.assert_array_equal(again.values, before.values)
    assert told == [1, 2, 3, 4]


def test_clips_that_begin_nearly_together_are_not_one(graph, sounds, tmp_path):
    starts = [110.0001, 110.0004]  # of a long recording: alike to six digits, two samples apart
    noise = 0.1 * np.random.default_rng(1).normal(size=111 * RATE)
    audio.write(tmp_path / "long.wav", noise.astype(np.float32), RATE)
    manifest = Manifest.build(
        tmp_path, ["long.wav"] * 2, [("a",)] * 2, starts=starts, ends=[None] * 2, clip_ids=list("yz")
    )
    found = graph.of_clips(manifest.clips(), sounds[1])
    first, second = (found.values[found.clips == number] for number in range(2))
    assert (first[0] != second[0]).any()


def test_another_framing_or_graph_is_another_entry(graph, sounds):
    graph.of_clips(*sounds)
    other = FeatureGraph(graph.model, Framing(RATE, WINDOW, WINDOW, "repeat"))
    assert len(other.of_clips(*sounds).values) < len(graph.of_clips(*sounds).values)


def test_the_same_module_traced_twice_is_the_same_graph(graph):
    assert FeatureGraph(trace(Level(), WINDOW, ("embedding",)), FRAMING)._digest == graph._digest
