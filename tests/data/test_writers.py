"""write_manifest: what is written is read back the same; what a format cannot hold is refused or said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.data import read_manifest
from earmark.data.manifest import Manifest
from earmark.data.readers.annotations import read_annotations
from earmark.data.writers import FORMATS, write_manifest
from earmark.errors import AudioError, ConfigError, ManifestError
from earmark.tagger.formats import RAVEN_COLUMNS

SECONDS = 20.0
SOUNDS = ("a.wav", "b.c/ä b.wav", "b.c/d.wav")
LABELS = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\"';|,\\#é\u2028\x0b\x85"), min_size=1, max_size=8
).filter(lambda label: label == label.strip())


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sounds")
    for name in SOUNDS:
        (root / name).parent.mkdir(exist_ok=True)
        audio.write(root / name, np.zeros(int(SECONDS * 200)), 200)
    return root


@st.composite
def regions(draw) -> dict[tuple[str, float, float], tuple[str, ...]]:
    """Regions that end before the next begins, of some sounds, with labels."""
    found = {}
    vocabulary = draw(st.lists(LABELS, min_size=1, max_size=4, unique=True))
    for name in draw(st.lists(st.sampled_from(SOUNDS), min_size=1, unique=True)):
        micro = sorted(draw(st.lists(st.integers(0, int(SECONDS * 1e6)), min_size=2, max_size=8, unique=True)))
        for start, end in zip(micro[::2], micro[1::2], strict=False):
            labels = draw(st.lists(st.sampled_from(vocabulary), min_size=1, max_size=3, unique=True))
            found[name, start / 1e6, end / 1e6] = tuple(labels)
    return dict(sorted(found.items()))


def of(root: Path, found: dict[tuple[str, float, float], tuple[str, ...]]) -> Manifest:
    paths, starts, ends = (list(column) for column in zip(*found, strict=True))
    return Manifest.build(root, paths, list(found.values()), starts=starts, ends=ends, groups=paths)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=regions())
@pytest.mark.parametrize("format", ["audacity", "raven", "dcase"])
def test_regions_and_labels_come_back_to_the_microsecond(sounds, tmp_path_factory, format, found):
    manifest = of(sounds, found)
    out = tmp_path_factory.mktemp(format) / ("events.tsv" if format == "dcase" else "tracks")
    write_manifest(manifest, out, format)
    assert read_annotations(out, audio_dir=sounds) == manifest


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=regions())
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_tables_come_back_whole(sounds, tmp_path_factory, ending, found):
    labels = "".join(label for names in found.values() for label in names)
    if all(separator in labels for separator in ";|,"):
        return  # refused by every table: tests/data/test_manifest.py
    manifest = of(sounds, found)
    out = tmp_path_factory.mktemp("table") / f"clips{ending}"
    assert write_manifest(manifest, out) == [out]
    assert read_manifest(out) == manifest


def test_files_lie_as_the_recordings_and_can_be_read_beside_them(sounds, tmp_path):
    found = {("a.wav", 1.5, 2.0): ("dog", "cat"), ("b.c/d.wav", 0.25, 3.0): ("dog",)}
    written = write_manifest(of(sounds, found), tmp_path / "out", "audacity")
    assert written == [tmp_path / "out/a.wav.txt", tmp_path / "out/b.c/d.wav.txt"]
    assert written[0].read_text() == "1.5\t2\tdog\n1.5\t2\tcat\n"
    write_manifest(of(sounds, found), tmp_path / "out", "raven")
    lines = (tmp_path / "out/a.wav.Table.1.selections.txt").read_text().splitlines()
    assert lines[0] == "\t".join(RAVEN_COLUMNS[:8])
    assert lines[2] == "2\tSpectrogram 1\t1\t1.5\t2\t0\t100\tcat"
    whole = Manifest.build(sounds, [str(sounds / "a.wav")], [("dog",)], ends=[1.0])
    [track] = write_manifest(whole, tmp_path / "absolute", "audacity")
    assert track == tmp_path / "absolute" / sounds.relative_to("/") / "a.wav.txt"


def test_a_table_of_events_names_recordings_without_any(sounds, tmp_path):
    manifest = of(sounds, {("a.wav", 1.0, 2.0): ("dog",), ("b.c/d.wav", 0.0, SECONDS): ()})
    write_manifest(manifest, tmp_path / "events.tsv", "dcase")
    text = (tmp_path / "events.tsv").read_text()
    assert text == f"filename\tonset\toffset\tevent_label\n{sounds}/a.wav\t1\t2\tdog\n{sounds}/b.c/d.wav\t\t\t\n"
    again = read_annotations(tmp_path / "events.tsv", audio_dir=sounds, background=True)
    assert ("b.c/d.wav", 0.0, SECONDS) in list(
        zip(again.table["path"], again.table["start"], again.table["end"], strict=True)
    )


@pytest.mark.parametrize("format", ["audacity", "raven", "dcase"])
def test_clips_to_the_end_of_the_file_end_there_and_losses_are_said(sounds, tmp_path, format, caplog):
    manifest = Manifest.build(
        sounds, ["a.wav", "b.c/d.wav"], [("dog",), ()], folds=[0, 1], weights=[0.5, 1.0], extras={"site": ["x", "y"]}
    )
    write_manifest(manifest, tmp_path / "out.tsv", format)
    again = read_annotations(tmp_path / "out.tsv", audio_dir=sounds)
    assert again.table[["path", "start", "end"]].to_numpy().tolist() == [["a.wav", 0.0, SECONDS]]
    assert "hold no weight, site, fold: left out" in caplog.text and "1 clips without a label" in caplog.text


@pytest.mark.parametrize("label", ["two\twords", "two\nlines", "a\rb", " blank", "blank\u00a0"])
@pytest.mark.parametrize("format", ["audacity", "raven", "dcase"])
def test_labels_that_break_a_line_are_refused_before_anything_is_written(sounds, tmp_path, format, label):
    manifest = of(sounds, {("a.wav", 1.0, 2.0): ("dog", label)})
    with pytest.raises(ManifestError, match="1 labels hold tabs or line breaks") as caught:
        write_manifest(manifest, tmp_path / "out", format)
    assert repr(label) in str(caught.value) and not (tmp_path / "out").exists()


def test_endings_and_formats_that_do_not_fit_are_refused(sounds, tmp_path):
    manifest = of(sounds, {("a.wav", 1.0, 2.0): ("dog",)})
    with pytest.raises(ManifestError, match="its ending names no table"):
        write_manifest(manifest, tmp_path / "tracks")
    with pytest.raises(ManifestError, match=r"a tsv file's name ends in .tsv"):
        write_manifest(manifest, tmp_path / "clips.csv", "tsv")
    with pytest.raises(ConfigError, match=r"'ravn' is not a format \(did you mean 'raven'\?\)"):
        write_manifest(manifest, tmp_path / "x", "ravn")
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match="makes one for each recording. Give a folder"):
        write_manifest(manifest, tmp_path / "file", "audacity")
    gone = Manifest.build(tmp_path, ["gone.wav"], [("dog",)])
    with pytest.raises(AudioError, match="there is no such file"):
        write_manifest(gone, tmp_path / "x", "audacity")
    assert set(FORMATS) == {"csv", "tsv", "parquet", "audacity", "raven", "dcase"}
