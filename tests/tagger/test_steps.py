"""Steps of windows: the graph's own scores, each moment told once, however the recording is dealt."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from earmark import audio
from earmark.cli.app import app
from earmark.errors import ConfigError, TaggerFileError
from earmark.export.graph import export_tagger
from earmark.flows.evaluate_events import OF_STEPS, evaluate_events
from earmark.models.frontend_config import FrontendConfig
from earmark.models.tagging_net import build
from earmark.predictions import concatenate
from earmark.tagger import EventRule, TaggerMetadata, TagStream, load_tagger
from earmark.tagger.tagger import WINDOWS_PER_PART
from earmark.tagger.tagger_folder import write_folder

RATE = 8000
FRONTEND = FrontendConfig(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=16)
SMALL = {"crnn": {"channels": "8,16,16", "n_hidden": "16"}, "tiny_cnn": None}


def export(folder, family):
    """A tagger file of an untrained network at 8 kHz that hears windows of a second."""
    torch.manual_seed(0)
    net = build(family, FRONTEND, 2, SMALL[family]).eval()
    path = folder / f"{family}.tagger.onnx"
    known = TaggerMetadata(family, ("low", "high"), RATE, 1.0, 0.5, multi_label=True)
    export_tagger([net], known, path, noise(3 * RATE).reshape(3, RATE))
    return path, net


def noise(n_samples):
    return (0.1 * np.random.default_rng(0).standard_normal(n_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def crnn(tmp_path_factory):
    return export(tmp_path_factory.mktemp("crnn"), "crnn")


def rows_of(scores):
    return np.round(np.stack([scores.starts, scores.ends], axis=1), 6).tolist()


def test_a_step_has_the_score_that_the_network_gives_it(crnn, tmp_path):
    path, net = crnn
    audio.write(tmp_path / "a.wav", noise(2 * RATE), RATE)
    found = load_tagger(path).with_steps().score(tmp_path / "a.wav")
    waveform = torch.from_numpy(audio.load(tmp_path / "a.wav", RATE)).reshape(2, RATE)
    with torch.no_grad():
        features = net.backbone(net.frontend(waveform))
        steps = torch.sigmoid(net.head.classify_steps(features, net.embed(waveform)))
    assert len(found) == 2 * steps.shape[1] > 4
    np.testing.assert_allclose(found.scores, steps.flatten(0, 1), atol=1e-4)
    np.testing.assert_allclose(found.starts[1:], found.ends[:-1])
    assert (found.starts[0], found.ends[-1]) == (0, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30_000), st.lists(st.integers(0, 9000), max_size=8))
def test_every_moment_is_told_once_and_a_stream_says_the_same(tmp_path_factory, n_samples, sizes):
    base = tmp_path_factory.getbasetemp()
    known = TaggerMetadata("fake", ("low", "high"), RATE, 0.5, 0.25, multi_label=True)
    (base / "fake.tagger.json").write_text(known.to_json())
    tagger = load_tagger(base / "fake.tagger.json", backend="fake").with_steps()
    waveform = noise(n_samples)
    audio.write(base / "noise.wav", waveform, RATE)
    found = tagger.score(base / "noise.wav")
    np.testing.assert_allclose(found.starts[1:], found.ends[:-1])
    assert found.starts[0] == 0
    assert found.ends[-1] == pytest.approx(n_samples / RATE, abs=1 / RATE)
    stream, first, heard = TagStream(tagger), 0, []
    waveform = audio.load(base / "noise.wav", RATE)
    for size in [*sizes, n_samples]:
        heard.append(stream.push(waveform[first : first + size]).windows)
        first += size
    streamed = concatenate([*heard, stream.close().windows])
    assert rows_of(streamed) == rows_of(found)
    np.testing.assert_allclose(streamed.scores, found.scores, atol=1e-6)


def test_whole_steps_are_what_windows_of_their_length_are(make_tagger, make_tone):
    path = make_tone("a.wav", (500, 1.0), (3000, 0.6), (500, 0.9))
    stepped = make_tagger().with_steps().score(path)
    short = make_tagger(window_seconds=0.125, hop_seconds=0.125).score(path)
    assert rows_of(stepped) == rows_of(short)
    np.testing.assert_allclose(stepped.scores, short.scores, atol=1e-6)


def test_padding_has_no_steps(make_tagger, make_tone):
    assert rows_of(make_tagger().with_steps().score(make_tone("a.wav", (500, 0.3)))) == [
        [0, 0.125],
        [0.125, 0.25],
        [0.25, 0.3],
    ]


def test_what_is_known_of_a_recording_is_not_heard_again(make_tagger, make_tone):
    tagger = make_tagger().with_steps()
    path = make_tone("a.wav", *[(500, 3.1), (3000, 2.4)] * 3)
    whole = tagger.score(path)
    for n_windows in (WINDOWS_PER_PART, 2 * WINDOWS_PER_PART):
        n_rows = n_windows * tagger.rows_per_window
        rest = concatenate([part() for part in tagger.score_parts(path, n_done=n_rows)])
        assert rows_of(rest) == rows_of(whole)[n_rows:]
        np.testing.assert_array_equal(rest.scores, whole.scores[n_rows:])


def test_events_are_found_to_a_step(make_tagger, make_tone):
    path = make_tone("a.wav", (500, 1.125), (3000, 0.25), (500, 1.0))
    tagger = make_tagger()
    [event] = [each for each in tagger.with_steps().events(tagger.with_steps().score(path)) if each.label == "high"]
    assert (event.start, event.end) == pytest.approx((1.125, 1.375))
    of_windows = tagger.events(tagger.score(path), EventRule())
    assert {each.label for each in of_windows} == {"low"}  # too short a sound for half of a window's score


def test_what_has_no_steps_says_so(tmp_path, make_tagger, make_metadata):
    path, _ = export(tmp_path, "tiny_cnn")
    with pytest.raises(TaggerFileError, match="answers for whole windows, and has no scores of their steps"):
        load_tagger(path).with_steps()
    combination = {"kind": "geometric"}
    manifest = write_folder(tmp_path / "one.tagger", {path.name: path}, 0, combination, load_tagger(path).metadata)
    with pytest.raises(TaggerFileError, match="the steps are those of its members"):
        load_tagger(manifest.parent).with_steps()
    with pytest.raises(TaggerFileError, match="its steps have no embedding of their own"):
        make_tagger().with_steps().embed(path)


def test_the_command_writes_steps_and_their_events_and_goes_on(crnn, tmp_path):
    audio.write(tmp_path / "a.wav", noise(3 * RATE + 700), RATE)
    given = ["tag", str(crnn[0]), str(tmp_path / "a.wav"), "--steps"]
    out = tmp_path / "rows.csv"
    done = CliRunner().invoke(app, [*given, "--timeline", "--all-scores", "--top", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    expected = load_tagger(crnn[0]).with_steps().score(tmp_path / "a.wav")
    rows = list(csv.DictReader(out.open()))
    assert [float(row["start"]) for row in rows] == pytest.approx(expected.starts.tolist(), abs=1e-3)
    events = [*given, "--events", "--threshold", "0.2", "--out", str(tmp_path / "events.csv"), "--skip-done"]
    assert CliRunner().invoke(app, events).exit_code == 0
    assert "1 of 1 recordings are done already" in CliRunner().invoke(app, events).output
    other = CliRunner().invoke(app, [word for word in events if word != "--steps"])
    assert other.exit_code != 0
    with pytest.raises(ConfigError, match="--steps: a whole file has one row"):
        CliRunner().invoke(app, given, catch_exceptions=False, standalone_mode=False)


def test_events_are_judged_by_steps(crnn, tmp_path):
    audio.write(tmp_path / "a.wav", noise(4 * RATE), RATE)
    (tmp_path / "a.txt").write_text("1.0\t2.0\tlow\n")
    found = evaluate_events(crnn[0], tmp_path, steps=True, threshold=0.2)
    assert OF_STEPS in found.remarks
    tagger = load_tagger(crnn[0]).with_steps()
    events = tagger.events(tagger.score(tmp_path / "a.wav"), threshold=0.2)
    assert sorted((label, start, end) for _, label, start, end in found.events) == sorted(
        (each.label, each.start, each.end) for each in events
    )
