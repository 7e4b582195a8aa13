"""What the formats say."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from earmark.errors import ConfigError, MissingExtraError
from earmark.lookup import load
from earmark.tagger import EventRule, tag_files
from earmark.tagger.formats import FORMATS, RAVEN_COLUMNS, write_tags, write_tags_each
from earmark.tagger.rows import Selection


@pytest.fixture
def tagged(make_tagger, make_tone, tmp_path):
    """A tagger; two recordings and an absent one, tagged by window."""
    tagger = make_tagger(labels=("low\tbass", "high"), hop_seconds=0.5)
    paths = [make_tone("low.wav", (500, 1.0)), tmp_path / "absent.wav", make_tone("high.wav", (3000, 0.5))]
    return tagger, list(tag_files(tagger, paths, level="window"))


def text(format: str, tagger, clips, selection=None) -> str:
    file = io.StringIO()
    writer = load(FORMATS[format])(file, tagger, selection or Selection())
    for clip in clips:
        writer.write(clip)
    return file.getvalue()


def test_jsonl_is_one_object_a_row_and_failures_carry_their_reason(tagged):
    tagger, clips = tagged
    lines = [json.loads(line) for line in text("jsonl", tagger, clips).splitlines()]
    assert [set(line) for line in lines] == [{"path", "start", "end", "tags", "error"}] * 4
    assert [(line["start"], line["end"]) for line in lines] == [(0, 0.5), (0.5, 1), (0, None), (0, 0.5)]
    assert lines[0]["tags"] == [{"label": "low\tbass", "score": pytest.approx(1, abs=1e-3)}]
    assert lines[0]["error"] is None
    assert lines[2]["tags"] == []
    assert "absent.wav: there is no such file" in lines[2]["error"]
    assert lines[2]["path"] == str(clips[1].clip.path)


def test_jsonl_gives_the_scores_of_all_labels_if_asked(tagged):
    tagger, clips = tagged
    line = json.loads(text("jsonl", tagger, clips, Selection(all_scores=True)).splitlines()[0])
    assert list(line["scores"]) == ["low\tbass", "high"]
    assert sum(line["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_jsonl_carries_warnings_where_there_are_some(make_tagger, make_tone):
    tagger = make_tagger(sample_rate=16000)
    clips = list(tag_files(tagger, [make_tone("low.wav", (500, 1.0))]))
    assert "8000 Hz recording" in json.loads(text("jsonl", tagger, clips))["warnings"][0]


def test_csv_is_a_row_per_tag(tagged):
    tagger, clips = tagged
    header, *rows = csv.reader(io.StringIO(text("csv", tagger, clips)))
    assert header == ["path", "start", "end", "label", "score"]
    assert [(Path(row[0]).name, *row[1:4]) for row in rows] == [
        ("low.wav", "0", "0.5", "low\tbass"),
        ("low.wav", "0.5", "1", "low\tbass"),
        ("high.wav", "0", "0.5", "high"),
    ]
    assert all(0.9 < float(row[4]) <= 1 for row in rows)


def test_a_clip_without_a_tag_is_unknown_and_a_window_without_one_has_no_row(tagged):
    tagger, clips = tagged
    nothing = Selection(threshold=1.1)
    pooled = [replace(clip, predictions=tagger.pool(clip.predictions)) for clip in clips if clip.predictions]
    _, *rows = csv.reader(io.StringIO(text("csv", tagger, pooled, nothing)))
    assert [(Path(row[0]).name, *row[1:]) for row in rows] == [
        ("low.wav", "0", "1", "unknown", ""),
        ("high.wav", "0", "0.5", "unknown", ""),
    ]
    assert len(text("csv", tagger, clips, nothing).splitlines()) == 1
    lines = [json.loads(line) for line in text("jsonl", tagger, clips, nothing).splitlines()]
    assert [line.get("unknown") for line in lines if line["error"] is None] == [True] * 3
    assert "unknown" not in text("jsonl", tagger, clips)


def test_csv_with_all_scores_is_a_column_per_label(tagged):
    tagger, clips = tagged
    header, *rows = csv.reader(io.StringIO(text("csv", tagger, clips, Selection(all_scores=True))))
    assert header == ["path", "start", "end", "low\tbass", "high"]
    assert len(rows) == 3
    for row in rows:
        assert float(row[3]) + float(row[4]) == pytest.approx(1, abs=1e-5)


def test_audacity_is_start_end_label_by_tabs_without_header(tagged):
    tagger, clips = tagged
    assert text("audacity", tagger, clips[:1]) == "0\t0.5\tlow bass\n0.5\t1\tlow bass\n"


def test_raven_is_a_selection_table_of_the_whole_band(tagged):
    tagger, clips = tagged
    header, *rows = [line.split("\t") for line in text("raven", tagger, clips).splitlines()]
    assert tuple(header) == RAVEN_COLUMNS
    assert rows[1][:8] == ["2", "Spectrogram 1", "1", "0.5", "1", "0", "4000", "low bass"]
    assert {len(row) for row in rows} == {len(header)}


def test_events_are_rows_with_their_mean_score_and_their_tagger(tagged):
    tagger, clips = tagged
    chosen = Selection(events=EventRule())
    header, *rows = csv.reader(io.StringIO(text("csv", tagger, clips, chosen)))
    assert header == ["path", "start", "end", "label", "score", "mean_score", "tagger"]
    assert [(Path(row[0]).name, *row[1:4]) for row in rows] == [
        ("low.wav", "0", "1", "low\tbass"),
        ("high.wav", "0", "0.5", "high"),
    ]
    assert all(0.9 < float(row[5]) <= float(row[4]) <= 1 and row[6] == tagger.identity for row in rows)
    lines = [json.loads(line) for line in text("jsonl", tagger, clips, chosen).splitlines()]
    assert [(line["start"], line["end"]) for line in lines] == [(0, 1), (0, None), (0, 0.5)]
    assert [set(tag) for line in lines for tag in line["tags"]] == [{"label", "score", "mean_score"}] * 2
    assert {line["tagger"] for line in lines} == {tagger.identity}
    assert text("audacity", tagger, clips[:1], chosen) == "0\t1\tlow bass\n"
    header, row = [line.split("\t") for line in text("raven", tagger, clips[:1], chosen).splitlines()]
    assert header == [*RAVEN_COLUMNS, "Mean Score", "Tagger"]
    assert row[3:8] == ["0", "1", "0", "4000", "low bass"]
    assert row[10] == tagger.identity


def test_a_recording_without_events_is_unknown_in_json_lines_and_absent_elsewhere(tagged):
    tagger, clips = tagged
    nothing = Selection(threshold=1.1, events=EventRule())
    line = json.loads(text("jsonl", tagger, clips[:1], nothing))
    assert (line["start"], line["end"], line["tags"], line["unknown"]) == (0, 1, [], True)
    assert len(text("csv", tagger, clips, nothing).splitlines()) == 1
    assert text("audacity", tagger, clips, nothing) == ""


def test_the_windows_of_a_long_recording_are_written_in_order(make_tagger, make_tone, monkeypatch):
    tagger = make_tagger(window_seconds=0.25, hop_seconds=0.125)
    clips = list(tag_files(tagger, [make_tone("long.wav", (500, 1.0), (3000, 1.0))], level="window"))
    at_once = text("jsonl", tagger, clips, Selection(all_scores=True))
    monkeypatch.setattr("earmark.tagger.rows.ROWS_AT_ONCE", 4)
    assert text("jsonl", tagger, clips, Selection(all_scores=True)) == at_once
    assert len(at_once.splitlines()) == 15


@pytest.mark.parametrize(
    "selection",
    [Selection(), Selection(events=EventRule()), Selection(all_scores=True), Selection(threshold=1.1)],
    ids=["tags", "events", "all_scores", "unknown"],
)
@pytest.mark.parametrize("pooled", [False, True])
def test_parquet_has_the_rows_of_csv(tagged, tmp_path, monkeypatch, selection, pooled):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("earmark.tagger.parquet.ROWS_PER_GROUP", 2)
    tagger, clips = tagged
    if pooled and selection.events is None:
        clips = [replace(clip, predictions=tagger.pool(clip.predictions)) for clip in clips if clip.predictions]
    list(write_tags(iter(clips), tagger, "parquet", tmp_path / "tags.parquet", selection))
    table = parquet.read_table(tmp_path / "tags.parquet")
    header, *rows = csv.reader(io.StringIO(text("csv", tagger, clips, selection)))
    assert table.column_names == header
    assert table.num_rows == len(rows)
    for cells, expected in zip(table.to_pylist(), rows, strict=True):
        for cell, word in zip(cells.values(), expected, strict=True):
            assert cell is None if word == "" else cell == (pytest.approx(float(word)) if cell != word else word)


def test_parquet_takes_any_name_and_says_what_it_needs(tagged, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    tagger, clips = tagged
    odd = replace(clips[0], clip=replace(clips[0].clip, path=Path("caf\udce9.wav")))
    list(write_tags([odd], tagger, "parquet", tmp_path / "tags.parquet", Selection()))
    assert set(parquet.read_table(tmp_path / "tags.parquet")["path"].to_pylist()) == {"caf?.wav"}
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="pyarrow is needed to write Parquet"):
        list(write_tags([odd], tagger, "parquet", tmp_path / "more.parquet", Selection()))
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["tags.parquet"]


@pytest.mark.parametrize("fields", [{"top": 3}, {"all_scores": True}])
def test_events_have_neither_best_labels_nor_all_scores(fields):
    with pytest.raises(ConfigError, match="all scores are of windows, an event has one label"):
        Selection(events=EventRule(), **fields)


def test_selection_decides_what_is_written(tagged):
    tagger, clips = tagged
    assert text("audacity", tagger, clips, Selection(threshold=1.1)) == ""
    assert len(text("audacity", tagger, clips[:1], Selection(top=2)).splitlines()) == 4


def test_a_file_appears_whole_when_all_clips_are_written(tagged, tmp_path):
    tagger, clips = tagged
    out = tmp_path / "made" / "tags.csv"
    written = write_tags(iter(clips), tagger, "csv", out, Selection())
    assert next(written) is clips[0]
    assert not out.exists()
    assert list(written) == clips[1:]
    assert len(out.read_text().splitlines()) == 4
    assert [path.name for path in out.parent.iterdir()] == ["tags.csv"]


def test_leaving_early_leaves_no_file(tagged, tmp_path):
    tagger, clips = tagged
    written = write_tags(iter(clips), tagger, "csv", tmp_path / "out" / "tags.csv", Selection())
    next(written)
    written.close()
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unknown_format_is_refused(tagged, tmp_path):
    tagger, clips = tagged
    with pytest.raises(ConfigError, match="'cvs' is not a format .did you mean 'csv'"):
        list(write_tags(iter(clips), tagger, "cvs", tmp_path / "x", Selection()))


def test_a_file_per_recording_mirrors_the_folders(make_tagger, make_tone, tmp_path):
    tagger = make_tagger()
    paths = [
        make_tone("in/a/x.wav", (500, 1.0)),
        make_tone("in/b/x.wav", (3000, 1.0)),
        tmp_path / "in" / "absent.wav",
    ]
    clips = tag_files(tagger, paths)
    root = tmp_path / "in"
    assert len(list(write_tags_each(clips, tagger, "audacity", tmp_path / "out", Selection(), root))) == 3
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_text()
        for path in (tmp_path / "out").rglob("*.txt")
    }
    assert found == {"a/x.wav.txt": "0\t1\tlow\n", "b/x.wav.txt": "0\t1\thigh\n"}
