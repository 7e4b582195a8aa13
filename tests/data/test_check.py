"""check: what is wrong with each sound is a finding with its remedy, and never an exception."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.data import Manifest
from earmark.data.check import PROBLEMS, check
from earmark.run import to_json

REAL = Path("../shared/data")


def tone(seconds: float, rate: int = 16000, peak: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        for label in ("dog", "cat"):
            path = tmp_path / label / f"{number}.wav"
            audio.write(path, tone(0.5, hertz=200 + 50 * number + (label == "cat")), 16000)
    return tmp_path


def found(result) -> list[tuple[str, str]]:
    return [(finding.path, finding.problem) for finding in result.findings]


def test_sound_data_has_no_finding_and_a_summary(folder):
    result = check(folder)
    assert result.findings == []
    assert not result.needs_attention
    assert result.summary["hours"] == pytest.approx(12 * 0.5 / 3600)
    assert result.summary["sample_rates"] == {16000: 12}
    assert result.summary["seconds"] == {"shortest": 0.5, "median": 0.5, "longest": 0.5}
    assert result.summary["classes"] == {"cat": 6, "dog": 6}
    assert (result.summary["n_groups"], result.summary["folds"]) == (None, None)


def test_each_problem_is_found(folder):
    audio.write(folder / "dog" / "silent.wav", np.zeros(8000, dtype=np.float32), 16000)
    audio.write(folder / "dog" / "faint.flac", tone(0.5, peak=5e-5), 16000)
    audio.write(folder / "dog" / "short.wav", tone(0.04), 16000)
    (folder / "dog" / "broken.wav").write_bytes(b"RIFF nonsense")
    (folder / "dog" / "copy.wav").write_bytes((folder / "cat" / "0.wav").read_bytes())
    audio.write(folder / "owl" / "1.wav", tone(0.5, 8000), 8000)
    done = []
    result = check(folder, threads=2, progress=lambda n_done, n_all: done.append((n_done, n_all)))
    assert found(result) == [
        ("dog/broken.wav", "unreadable"),
        ("dog/faint.flac", "silent"),
        ("dog/short.wav", "too_short"),
        ("dog/silent.wav", "silent"),
        ("dog/copy.wav", "duplicate_content"),
        ("", "few_clips"),
        ("", "mixed_sample_rates"),
    ]
    assert {finding.problem for finding in result.findings} == set(PROBLEMS)
    assert result.needs_attention
    assert done == [(n, 18) for n in range(1, 19)]
    detail = {finding.path: finding.detail for finding in result.findings}
    assert detail["dog/copy.wav"] == "the same bytes as cat/0.wav"
    assert detail["dog/silent.wav"] == "all zeros"
    assert "-84 dB" in detail["dog/faint.flac"]


def test_mixed_rates_alone_need_no_attention(folder):
    audio.write(folder / "dog" / "slow.wav", tone(0.5, 8000), 8000)
    result = check(folder)
    assert found(result) == [("", "mixed_sample_rates")]
    assert not result.needs_attention


def test_regions_are_checked_on_their_own(folder):
    sound = np.concatenate([tone(1.0), np.zeros(16000, dtype=np.float32)])
    audio.write(folder / "long.wav", sound, 16000)
    manifest = Manifest.build(
        folder, ["long.wav"] * 3, [("dog",), ("cat",), ("dog",)], starts=[0, 1.1, 1.5], ends=[1, 2, 9]
    )
    result = check(manifest)
    assert [finding.problem for finding in result.findings[:2]] == ["silent", "unreadable"]
    assert "end 9 s is beyond" in result.findings[1].detail


def test_all_bad_files_leave_an_empty_summary_not_a_crash(tmp_path):
    for name in ("a/1.wav", "b/1.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    result = check(tmp_path)
    assert found(result)[:2] == [("a/1.wav", "unreadable"), ("b/1.wav", "unreadable")]
    assert result.summary["seconds"] == {}


def test_result_is_json_with_a_remedy_for_each_finding(folder):
    (folder / "dog" / "broken.wav").write_bytes(b"")
    document = json.loads(to_json(check(folder).to_json()))
    assert set(document["findings"][0]) == {"path", "problem", "detail", "remedy"}
    assert document["findings"][0]["remedy"] == PROBLEMS["unreadable"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")
def test_real_recordings_are_readable():
    result = check(REAL / "drums/manifest.csv")
    assert [finding for finding in result.findings if finding.problem == "unreadable"] == []
    assert result.summary["hours"] * 3600 == pytest.approx(447, abs=2)
