"""Events by recording, as someone has heard them or a tool has written them; and what is wrong in such files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from earmark import audio
from earmark.data.event_table import FoundEvents, FoundScores, read_found
from earmark.data.event_truth import gather_events
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import ManifestError


def table(path, *rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def events_in(path, **more):
    return read_manifest(path, events=True, look_for_files=False, **more)


@pytest.fixture
def recordings(tmp_path):
    """Two recordings that are not there, with a dog in them somewhere."""
    return Manifest.build(tmp_path, ["x/a.wav", "x/b.wav"], [("dog",), ()])


def test_rows_are_gathered_by_recording_and_label(tmp_path):
    path = table(
        tmp_path / "t.csv", "file,onset,offset,label,site",
        "b.wav,2,3,dog,n", "a.wav,1,2,dog,s", "a.wav,1,2,owl,s", "a.wav,5,6,dog,s", "c.wav,,,,n",
    )  # fmt: skip
    found = gather_events(events_in(path))
    assert found.recordings.clip_ids.tolist() == ["a.wav", "b.wav", "c.wav"]
    assert found.recordings.groups.tolist() == ["s", "n", "n"]
    assert found.recordings.table["labels"].tolist() == [("dog", "owl"), ("dog",), ()]
    assert found.events[0]["dog"].tolist() == [[1, 2], [5, 6]] and found.events[2] == {}
    assert not found.onsets_only and len(found.select(np.array([True, False, True])).events) == 2


def test_silent_label_tracks_and_rows_with_a_name_alone_are_recordings(tmp_path):
    for name in "ab":
        audio.write(tmp_path / f"{name}.wav", np.zeros(8000, dtype=np.float32), 8000)
    table(tmp_path / "a.txt", "0.1\t0.5\tdog")
    (tmp_path / "b.txt").write_text("")
    assert len(read_manifest(tmp_path)) == 1
    found = gather_events(read_manifest(tmp_path, events=True))
    assert [sorted(each) for each in found.events] == [["dog"], []]
    dcase = table(tmp_path / "t.tsv", "filename\tonset\toffset\tevent_label", "a.wav\t0.1\t0.5\tdog", "b.wav\t\t\t")
    again = gather_events(read_manifest(dcase, events=True))
    assert again.recordings.clip_ids.tolist() == ["a.wav", "b.wav"] and again.events[0]["dog"].tolist() == [[0.1, 0.5]]


def test_points_are_events_only_where_events_are_read(tmp_path):
    path = table(tmp_path / "t.csv", "path,start,end,label", "a.wav,1,1,dog", "a.wav,2,2,dog")
    with pytest.raises(ManifestError, match="is not before end"):
        read_manifest(path, look_for_files=False)
    found = gather_events(events_in(path))
    assert found.onsets_only and np.isnan(found.events[0]["dog"][:, 1]).all()
    with pytest.raises(ManifestError, match="start 2 s is not before end 1 s"):
        events_in(table(path, "path,start,end,label", "a.wav,2,1,dog"))


def test_some_events_without_an_end_are_refused(tmp_path):
    path = table(tmp_path / "t.csv", "path,start,end,label", "a.wav,1,2,dog", "a.wav,3,,dog")
    with pytest.raises(ManifestError, match="1 of 2 events have no end. Give every event one, or none"):
        gather_events(events_in(path))


def test_recordings_must_hold_all_that_have_events_and_each_whole_once(tmp_path):
    rows = events_in(table(tmp_path / "t.csv", "path,start,end,label", "a.wav,1,2,dog", "z.wav,3,4,dog"))
    whole = Manifest.build(tmp_path, ["a.wav"], [("dog",)])
    with pytest.raises(ManifestError, match="1 recordings have events and are not among the 1 of --recordings"):
        gather_events(rows, whole)
    for paths, starts, why in ((["a.wav", "a.wav"], [0, 0], "in several rows"), (["a.wav"], [1], "a part of it")):
        names, labels = list("pq")[: len(paths)], [("dog",)] * len(paths)
        parts = Manifest.build(tmp_path, paths, labels, starts=starts, clip_ids=names)
        with pytest.raises(ManifestError, match=f"no whole recordings(.|\n)*{why}"):
            gather_events(rows, parts)


@pytest.mark.parametrize("name", ["x/a.wav", "a.wav", "a"])
def test_recordings_are_named_by_path_file_name_or_stem(recordings, tmp_path, name):
    found = read_found(table(tmp_path / "f.csv", "file,start,end,label", f"{name},1,2,dog"), recordings)
    assert isinstance(found, FoundEvents)
    assert found.events[0]["dog"].tolist() == [[1, 2]] and found.events[1] == {} and found.n_named == 1


def test_recordings_of_one_name_are_told_apart_by_a_path_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recordings = Manifest.build(tmp_path / "field", ["n/a.wav", "s/a.wav"], [("dog",), ("dog",)])
    path = table(tmp_path / "f.csv", "path,start,end,label,score", "field/s/a.wav,1,2,dog,1", "a.wav,3,4,dog,1")
    assert [sorted(each) for each in read_found(path, recordings).events] == [[], ["dog"]]


def test_a_row_that_says_unknown_without_a_score_is_no_event(recordings, tmp_path):
    path = table(tmp_path / "f.csv", "path,start,end,label,score", "a.wav,0,9,unknown,", "b.wav,1,2,unknown,0.7")
    found = read_found(path, recordings)
    assert [sorted(each) for each in found.events] == [[], ["unknown"]] and found.n_named == 2


def test_a_column_per_label_is_scores_of_windows(recordings, tmp_path):
    path = table(tmp_path / "w.csv", "path,start,end,dog,owl", "b.wav,0,1,0.5,0.25", "b.wav,1,2,1,0")
    found = read_found(path, recordings)
    assert isinstance(found, FoundScores) and found.labels == ("dog", "owl") and found.scores[0] is None
    assert found.scores[1].scores.tolist() == [[0.5, 0.25], [1, 0]] and found.scores[1].ends.tolist() == [1, 2]


def test_a_recording_that_failed_is_told_by_json_lines(recordings, tmp_path):
    rows = [{"path": "a.wav", "start": 0, "end": None, "tags": [], "error": "damaged"}]
    rows += [{"path": "b.wav", "start": 1, "end": 2, "tags": [{"label": "dog", "score": 0.5}], "error": None}]
    found = read_found(table(tmp_path / "f.jsonl", *map(json.dumps, rows)), recordings, threshold=0.6)
    assert found.failures == [("x/a.wav", "damaged")] and found.events == [{}, {}] and found.labels == ("dog",)


@pytest.mark.parametrize("threshold", [0.1, 0.35, 0.7])
def test_a_score_reaches_the_threshold_that_it_equals_in_tables_and_json_lines(recordings, tmp_path, threshold):
    rows = "path,start,end,label,score", f"a.wav,1,2,dog,{threshold}", f"a.wav,3,4,dog,{threshold - 0.001}"
    tags = [{"label": "dog", "score": threshold}], [{"label": "dog", "score": threshold - 0.001}]
    lines = [json.dumps({"path": "a.wav", "start": 1, "end": 2, "tags": each, "error": None}) for each in tags]
    for path in (table(tmp_path / "f.csv", *rows), table(tmp_path / "f.jsonl", *lines)):
        assert read_found(path, recordings, threshold=threshold).events[0]["dog"].tolist() == [[1, 2]]


def test_a_line_of_json_goes_on_behind_what_only_text_takes_for_its_end(recordings, tmp_path):
    row = {"path": "a.wav", "start": 1, "end": 2, "tags": [{"label": "dog\u2028\x85bark", "score": 0.5}], "error": None}
    found = read_found(table(tmp_path / "f.jsonl", json.dumps(row, ensure_ascii=False)), recordings)
    assert found.labels == ("dog\u2028\x85bark",)


def test_json_lines_that_are_not_there_or_no_text_are_refused(recordings, tmp_path):
    (tmp_path / "f.jsonl").write_bytes(b"\xff\xfe\x00")
    for name in ("f.jsonl", "absent.jsonl"):
        with pytest.raises(ManifestError, match=f"{name}: cannot be read"):
            read_found(tmp_path / name, recordings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("path,label", "a.wav,dog"), "events and windows have a recording and a start"),
        (("path,start,end,label", "q.wav,1,2,dog"), "none of its 1 rows is of a recording of the data"),
        (("path,start,end,label,score", "a.wav,1,two,dog,1"), "1 scores are not finite numbers"),
        (("path,start,end,label,score", "a.wav,3,2,dog,1"), "1 events end before they start"),
        (("path,start,end,comment", "a.wav,1,2,loud"), "holds neither events nor scores of windows"),
        (("path,start,end,dog", "a.wav,2,2,0.5"), "1 windows do not end after their start"),
    ],
)
def test_a_table_that_is_no_list_of_events_is_refused(recordings, tmp_path, rows, message):
    with pytest.raises(ManifestError, match=message):
        read_found(table(tmp_path / "f.csv", *rows), recordings)


@pytest.mark.parametrize("text", ["no json\n", '{"path": "a.wav"}\n', '{"path": "a.wav", "tags": [1]}\n'])
def test_json_lines_of_something_else_are_refused(recordings, tmp_path, text):
    path = tmp_path / "f.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match="line 1: is none of `earmark tag --events --json`"):
        read_found(path, recordings)


def test_an_empty_file_of_json_lines_is_refused(recordings, tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("", encoding="utf-8")
    with pytest.raises(ManifestError, match="f.jsonl: is empty. Pass what `earmark tag --events --json` wrote"):
        read_found(path, recordings)
