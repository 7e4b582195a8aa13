"""`earmark data convert`: one format into another, and what it says of clips without a stretch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from earmark import audio
from earmark.cli import console
from earmark.cli import convert as command
from earmark.data import read_manifest
from earmark.errors import ConfigError, ManifestError

RATE = 8000


@pytest.fixture
def convert(monkeypatch):
    """The command as the command line calls it, its log left to the test; errors come through as they are."""
    monkeypatch.setattr(command, "show_log", lambda: None)
    monkeypatch.setattr(console.output, "_file", None)
    monkeypatch.setattr(console.messages, "_file", None)
    app = typer.Typer()
    app.command()(command.convert)

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def field(tmp_path) -> Path:
    """Two recordings with a beep from 1 to 1.5 s, and a label track of each."""
    folder = tmp_path / "field"
    folder.mkdir()
    time = np.arange(4 * RATE) / RATE
    for name in ("a", "b"):
        waveform = np.where((time >= 1) & (time < 1.5), 0.3 * np.sin(2 * np.pi * 700 * time), 0.0)
        audio.write(folder / f"{name}.wav", waveform, RATE)
        (folder / f"{name}.txt").write_text("0.5\t2\tbeep\n")
    return folder


def test_annotations_become_a_table_with_background_and_tracks_again(convert, field, tmp_path):
    result = convert(field, "--background", "--out", tmp_path / "clips.csv")
    assert result.exit_code == 0 and f"4 clips in {tmp_path / 'clips.csv'}" in result.output
    manifest = read_manifest(tmp_path / "clips.csv")
    assert manifest.table["start"].tolist() == [0.5, 2.0, 0.5, 2.0]
    assert manifest.table["labels"].tolist() == [("beep",), ()] * 2
    result = convert(tmp_path / "clips.csv", "--to", "audacity", "--out", tmp_path / "tracks")
    assert result.exit_code == 0 and "(2 files)" in result.output
    assert (tmp_path / "tracks/field/a.wav.txt").read_text() == "0.5\t2\tbeep\n"


def test_clips_are_cut_into_what_sounds_and_silent_ones_are_listed(convert, field, tmp_path):
    audio.write(field / "still.wav", np.zeros(RATE), RATE)
    (field / "still.txt").write_text("0\t1\tnothing\n")
    result = convert(field, "--segment", "activity", "--padding", 0, "--out", tmp_path / "clips.csv", "--background")
    assert result.exit_code == 1 and "still.wav: is silent" in result.output
    manifest = read_manifest(tmp_path / "clips.csv")
    assert np.abs(manifest.table[["start", "end"]].to_numpy() - [1.0, 1.5]).max() <= 0.02
    assert manifest.groups.tolist() == ["a.wav", "b.wav"]


def test_what_does_not_fit_is_refused(convert, field, tmp_path):
    with pytest.raises(ConfigError, match=r"'activty' is not a segmentation \(did you mean 'activity'\?\)"):
        convert(field, "--segment", "activty", "--out", tmp_path / "clips.csv")
    (tmp_path / "t.csv").write_text("path,labels\nfield/a.wav,x\n")
    with pytest.raises(ManifestError, match="is no annotation file"):
        convert(tmp_path / "t.csv", "--background", "--out", tmp_path / "clips.csv")
    with pytest.raises(ConfigError, match="would replace what is read. Choose another --out"):
        convert(tmp_path / "t.csv", "--out", tmp_path / "t.csv")
