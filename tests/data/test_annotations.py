"""read_annotations: label tracks, selection tables and tables of events as tools write them, and their faults."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.data.manifest import Manifest
from earmark.data.readers.annotations import find_annotations, is_annotation, read_annotations
from earmark.data.readers.problems import RowProblem
from earmark.errors import ManifestError

SECONDS = 10.0
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def sound(path: Path, seconds: float = SECONDS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, np.zeros(int(seconds * 1000)), 1000)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def clips(manifest: Manifest) -> list[tuple]:
    columns = (manifest.table[name] for name in ("path", "start", "end", "labels"))
    return list(zip(*columns, strict=True))


# Label tracks


def test_regions_of_a_label_track_become_clips_of_one_group(tmp_path):
    sound(tmp_path / "dusk.wav")
    track = write(tmp_path / "dusk.txt", "4.000000\t5.500000\towl\n0.250000\t1.000000\ttawny owl, male\n")
    for path in (track, tmp_path):
        manifest = read_annotations(path)
        assert clips(manifest) == [("dusk.wav", 0.25, 1.0, ("tawny owl, male",)), ("dusk.wav", 4.0, 5.5, ("owl",))]
        assert manifest.groups.tolist() == ["dusk.wav"] * 2 and not manifest.multi_label
        assert manifest.clip_ids.tolist()[0] == "dusk.wav#0.25-1"


def test_frequency_lines_byte_order_marks_line_ends_and_decimal_commas_are_read(tmp_path):
    sound(tmp_path / "a.wav")
    text = "1,500000\t2,000000\tGrünspecht\r\n\\\t300,0\t8000,0\r\n3,0\t4,0\tdog\r\n\\\t-1,0\t-1,0\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        write(tmp_path / "a.txt", text, encoding)
        manifest = read_annotations(tmp_path / "a.txt")
        assert clips(manifest) == [("a.wav", 1.5, 2.0, ("Grünspecht",)), ("a.wav", 3.0, 4.0, ("dog",))]
    write(tmp_path / "a.txt", text, "cp1252")
    assert read_annotations(tmp_path, encoding="mac_roman").vocabulary.labels == ("Gr¸nspecht", "dog")


def test_labels_of_one_region_are_one_clip_and_overlaps_are_unsure_of_each_other(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.txt", "0\t2\train\n0\t2\tdog\n0\t2\train\n1.5\t4\tcar\n6\t7\tdog\n6.98\t8\tcar\n")
    manifest = read_annotations(tmp_path)
    assert manifest.table["labels"].tolist() == [("rain", "dog"), ("car",), ("dog",), ("car",)]
    assert manifest.column("unsure").tolist() == [("car",), ("dog", "rain"), (), ()]
    assert manifest.vocabulary.labels == ("car", "dog", "rain") and manifest.multi_label
    assert manifest.label_weights().tolist() == [[0, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1]]


def test_an_overlap_with_a_region_long_before_is_seen(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.txt", "0\t9\train\n1\t2\tdog\n3\t4\tcat\n5\t6\train\n")
    manifest = read_annotations(tmp_path)
    assert manifest.column("unsure").tolist() == [("cat", "dog"), ("rain",), ("rain",), ()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.sampled_from("abc")), min_size=1, max_size=12))
def test_overlaps_are_those_that_comparing_all_pairs_finds(tmp_path, drawn):
    regions = [(start / 10, (start + length) / 10, label) for start, length, label in drawn]
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.txt", "".join(f"{start}\t{end}\t{label}\n" for start, end, label in regions))
    manifest = read_annotations(tmp_path, background=True, background_seconds=0.05)
    annotated = [clip for clip in clips(manifest) if clip[3]]
    for (_, start, end, labels), unsure in zip(clips(manifest), manifest.column("unsure"), strict=True):
        heard = {label for first, last, label in regions if min(end, last) - max(start, first) > 0.01}
        assert heard == {*labels, *unsure} and not set(labels) & set(unsure)
    assert {clip[1:3] for clip in annotated} == {region[:2] for region in regions}
    covered = sum(end - start for _, start, end, labels in clips(manifest) if not labels)
    tenths = {tenth for start, length, _ in drawn for tenth in range(start, start + length)}
    assert covered == pytest.approx(SECONDS - len(tenths) / 10)


def test_what_nobody_annotated_is_background(tmp_path):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "quiet.wav", 3.0)
    write(tmp_path / "a.txt", "2\t3\tdog\n2.5\t5\tcar\n5.4\t8\tdog\n")
    write(tmp_path / "quiet.txt", "")
    manifest = read_annotations(tmp_path, background=True)
    silent = [clip[:3] for clip in clips(manifest) if not clip[3]]
    assert silent == [("a.wav", 0.0, 2.0), ("a.wav", 8.0, 10.0), ("quiet.wav", 0.0, 3.0)]
    assert manifest.multi_label and set(manifest.groups) == {"a.wav", "quiet.wav"}
    shorter = read_annotations(tmp_path, background=True, background_seconds=0.3)
    assert ("a.wav", 5.0, 5.4, ()) in clips(shorter) and len(shorter) == len(manifest) + 1
    assert len(read_annotations(tmp_path)) == 3


def test_a_recording_with_faulty_lines_gives_no_background(tmp_path):
    for name in ("a", "b"):
        sound(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", "2\t3\tdog\n")
    write(tmp_path / "a.txt", "2\t3\tdog\n6\t\tcar\n")
    manifest = read_annotations(tmp_path, background=True, problems=[])
    assert {clip[0] for clip in clips(manifest) if not clip[3]} == {"b.wav"}


def test_files_are_matched_by_name_in_their_folder(tmp_path, caplog):
    for name in ("a.wav", "a.b.wav", "x/a.wav", "x/tape.flac", "lonely.wav"):
        sound(tmp_path / name)
    for number, name in enumerate(("a.wav.txt", "a.b.labels.txt", "x/a.txt", "x/tape.Table.1.selections.txt")):
        write(tmp_path / name, f"{number}\t{number + 1}\tdog\n")
    write(tmp_path / "x/readme.txt", "recorded by nobody\n")
    with caplog.at_level(logging.INFO):
        manifest = read_annotations(tmp_path)
    assert [clip[:2] for clip in clips(manifest)] == [("a.b.wav", 1), ("a.wav", 0), ("x/a.wav", 2), ("x/tape.flac", 3)]
    assert "1 sounds without annotations are left out (lonely.wav" in caplog.text
    assert "4 × Audacity label track" in caplog.text


def test_recordings_may_lie_elsewhere(tmp_path):
    sound(tmp_path / "sounds/x/a.wav")
    sound(tmp_path / "sounds/y/a.wav")
    sound(tmp_path / "sounds/y/b.wav")
    write(tmp_path / "tracks/x/a.txt", "0\t1\tdog\n")
    write(tmp_path / "tracks/b.txt", "0\t1\tcat\n")
    manifest = read_annotations(tmp_path / "tracks", audio_dir=tmp_path / "sounds")
    assert [clip[0] for clip in clips(manifest)] == ["x/a.wav", "y/b.wav"] and manifest.root == tmp_path / "sounds"
    write(tmp_path / "tracks/a.txt", "0\t1\tdog\n")
    with pytest.raises(ManifestError, match="its name stands for 2 recordings"):
        read_annotations(tmp_path / "tracks", audio_dir=tmp_path / "sounds")


# Raven


def test_a_selection_drawn_in_two_views_counts_once(tmp_path, caplog):
    sound(tmp_path / "dusk.wav")
    rows = ["1\tWaveform 1\t1\t0.5\t2.0\t0\t500\t0.9\towl", "1\tSpectrogram 1\t1\t0.5\t2.0\t50\t400\t0.9\towl"]
    rows += ["2\tSpectrogram 1\t1\t3.25\t4.0\t50\t400\t0.7\tfox"]
    table = write(tmp_path / "dusk.Table.1.selections.txt", "\n".join([f"{RAVEN}\tPeak\tSpecies", *rows]) + "\n")
    with caplog.at_level(logging.INFO):
        manifest = read_annotations(table)
    assert clips(manifest) == [("dusk.wav", 0.5, 2.0, ("owl",)), ("dusk.wav", 3.25, 4.0, ("fox",))]
    assert "Raven selection table with labels from 'Species'" in caplog.text


@pytest.mark.parametrize(
    ("columns", "cells", "column"),
    [
        ("Begin File\tPeak Freq (Hz)\tOccupancy\tVocal", "a.wav\t\t0.3\tsong", "Vocal"),
        ("Quality\tAnnotation", "good\tsong", "Annotation"),
        ("Number\tWhat", "7\tsong", "What"),
        ("Label\tBird", "\tsong", "Bird"),
        ("species\tConfidence", "song\t0.9", "species"),
    ],
)
def test_the_label_column_of_a_selection_table_is_found_and_said(tmp_path, caplog, columns, cells, column):
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.Table.1.selections.txt", f"{RAVEN}\t{columns}\n1\tSpectrogram 1\t1\t1\t2\t0\t500\t{cells}\n")
    with caplog.at_level(logging.INFO):
        assert clips(read_annotations(tmp_path)) == [("a.wav", 1.0, 2.0, ("song",))]
    assert f"labels from '{column}'" in caplog.text


def test_a_selection_table_may_name_its_recordings_and_their_offsets(tmp_path):
    for name in ("day/one.wav", "day/two.wav"):
        sound(tmp_path / name)
    rows = ["1\t1\t2\tC:\\rec\\one.wav\t1\tjay", "2\t14.5\t16\tC:\\rec\\two.wav\t4.5\tjay"]
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tSpecies"
    write(tmp_path / "all.txt", "\n".join([header, *rows]) + "\n")
    assert is_annotation(tmp_path / "all.txt") and find_annotations(tmp_path) == [tmp_path / "all.txt"]
    manifest = read_annotations(tmp_path)
    assert clips(manifest) == [("day/one.wav", 1.0, 2.0, ("jay",)), ("day/two.wav", 4.5, 6.0, ("jay",))]


def test_a_selection_table_without_labels_or_selections(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.selections.txt", f"{RAVEN}\n1\tSpectrogram 1\t1\t1\t2\t0\t500\n")
    with pytest.raises(ManifestError, match="no column holds the selections' labels"):
        read_annotations(tmp_path)
    write(tmp_path / "a.selections.txt", f"{RAVEN}\tSpecies\n")
    with pytest.raises(ManifestError, match="no region is annotated"):
        read_annotations(tmp_path, background=True)


# Tables of events


@pytest.mark.parametrize("header", ["filename\tonset\toffset\tevent_label\n", ""])
def test_a_table_of_events_is_read_with_its_header_or_without(tmp_path, header):
    for name in ("a.wav", "sub/b.wav", "sub/empty.wav"):
        sound(tmp_path / name)
    rows = 'a.wav\t0.5\t1\tSpeech\na.wav\t0.5\t1\tDog\nb.wav\t2\t4.75\t"the ""dog"""\nempty.wav\t\t\t\n'
    table = write(tmp_path / "validation.tsv", header + rows)
    assert is_annotation(table)
    manifest = read_annotations(table, background=True)
    assert [clip for clip in clips(manifest) if clip[3]] == [
        ("a.wav", 0.5, 1.0, ("Speech", "Dog")),
        ("sub/b.wav", 2.0, 4.75, ('the "dog"',)),
    ]
    assert ("sub/empty.wav", 0.0, 10.0, ()) in clips(manifest)
    assert set(manifest.groups) == {"a.wav", "sub/b.wav", "sub/empty.wav"}


def test_quotes_that_do_not_close_are_told(tmp_path):
    sound(tmp_path / "a.wav")
    rows = "a.wav\t0\t1\tdog\n" * 30 + 'a.wav\t0\t1\t"' + "x" * 140_000
    with pytest.raises(ManifestError, match="is no table of events"):
        read_annotations(write(tmp_path / "t.tsv", rows))
    assert not is_annotation(write(tmp_path / "u.tsv", '"' + "x" * 140_000))


# What is an annotation


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("clips.csv", "path,labels\na.wav,dog\n"),
        ("clips.tsv", "filename\tonset\toffset\tevent_label\tfold\na.wav\t0\t1\tdog\t1\n"),
        ("pitch.txt", "0.00\t440.0\n0.01\t441.5\n"),
        ("notes.txt", "recorded at dusk\n"),
        ("empty.txt", ""),
        ("track.json", "0\t1\tdog\n"),
    ],
)
def test_other_tables_and_texts_are_no_annotations(tmp_path, name, text):
    assert not is_annotation(write(tmp_path / name, text))
    sound(tmp_path / f"{Path(name).stem}.wav")
    assert find_annotations(tmp_path) == []


def test_a_folder_without_annotations_says_how_to_name_them(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "tape.txt", "0\t1\tdog\n")
    with pytest.raises(ManifestError, match="no recording has a label track or selection table beside it"):
        read_annotations(tmp_path)
    with pytest.raises(ManifestError, match="is no annotation file"):
        read_annotations(write(tmp_path / "clips.csv", "path,labels\na.wav,dog\n"))
    os.mkfifo(tmp_path / "pipe.txt")
    for name in ("none.txt", "pipe.txt"):
        with pytest.raises(ManifestError, match="is neither a folder nor a file of annotations"):
            read_annotations(tmp_path / name)


def test_a_file_that_may_not_be_opened_is_told(tmp_path, monkeypatch):
    sound(tmp_path / "a.wav")
    track = write(tmp_path / "a.txt", "0\t1\tdog\n")

    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ManifestError, match=r"a.txt: cannot be read \(Permission denied\)"):
        read_annotations(track)


# Faulty lines

# Lines 2 to 8 are wrong.
FAULTY = "1\t2\tdog\n-1\t2\tdog\n3\t3\tdog\n5\t4\tdog\n1\tlater\tdog\n9.5\t10.2\tdog\n6\t7\t\nlonely\n"
DETAILS = [
    "start -1 s is negative",
    "marks a point at 3 s, not a region. Give it an end",
    "start 5 s is not before end 4 s",
    "end 'later' is no time in seconds",
    "end 10.2 s is beyond the recording's length of 10.000 s",
    "the region has no label",
    "start 'lonely' is no time in seconds",
    "the region has no label",
]


def test_all_faulty_lines_of_all_files_are_told_at_once(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.txt", FAULTY)
    sound(tmp_path / "b.wav")
    write(tmp_path / "b.txt", "0\t1\tdog\n")
    write(tmp_path / "gone.txt", "0\t1\tdog\n")
    with pytest.raises(
        ManifestError, match=r"8 of 10 annotated regions are wrong(.|\n)*a.txt row 2: start -1 s"
    ) as caught:
        read_annotations(tmp_path)
    assert "… and 4 more" in str(caught.value)
    problems: list[RowProblem] = []
    manifest = read_annotations(tmp_path, problems=problems)
    assert [clip[0] for clip in clips(manifest)] == ["a.wav", "b.wav"]
    assert [problem.detail for problem in problems[:-1]] == DETAILS
    assert {problem.problem for problem in problems[:5]} == {"bad_row"}
    assert problems[5] == RowProblem(f"{tmp_path / 'a.txt'} row 7", "a.wav", "no_label", DETAILS[5])
    assert problems[-1].problem == "missing_file" and "no recording is called 'gone'" in problems[-1].detail


def test_ends_within_the_tolerance_of_decoding_are_taken(tmp_path):
    sound(tmp_path / "a.wav")
    manifest = read_annotations(write(tmp_path / "a.txt", "9\t10.005\tdog\n"), background=True)
    assert clips(manifest)[-1] == ("a.wav", 9.0, 10.005, ("dog",))
    assert len(audio.load(tmp_path / "a.wav", 1000, 9.0, 10.005)) == 1000


def test_a_data_set_of_faults_alone_is_refused_even_with_a_list_for_them(tmp_path):
    sound(tmp_path / "other.wav")
    table = write(tmp_path / "t.tsv", "gone.wav\t0\t1\tdog\n")
    with pytest.raises(ManifestError, match="pass the folder of the recordings with --audio-dir"):
        read_annotations(table, problems=[])


def test_a_recording_that_cannot_be_read_keeps_its_regions(tmp_path, caplog):
    write(tmp_path / "a.wav", "RIFF no sound")
    write(tmp_path / "a.txt", "1\t2\tdog\n")
    manifest = read_annotations(tmp_path, background=True)
    assert clips(manifest) == [("a.wav", 1.0, 2.0, ("dog",))] and not math.isnan(manifest.table["end"][0])
    assert "Its regions are taken as written" in caplog.text
