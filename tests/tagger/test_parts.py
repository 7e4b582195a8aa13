"""Recordings that flow in parts: whatever the parts, the same bytes; of one that fails, none."""

import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from earmark.tagger import EventRule, tag_files
from earmark.tagger.formats import FORMATS, write_tags, write_tags_each
from earmark.tagger.rows import Rows, Selection
from earmark.tagger.tag_files import join_parts, pool_parts, tag_parts
from earmark.tagger.tagger import WINDOWS_PER_PART
from earmark.windows import RunningPool, pool

TONES = [(500, 1.3), (3000, 0.6), (500, 0.4), (3000, 1.0), (1000, 0.3)]
SELECTIONS = {
    "tags": Selection(),
    "all_scores": Selection(all_scores=True),
    "top": Selection(top=1),
    "events": Selection(events=EventRule()),
    "joined": Selection(threshold=0.3, events=EventRule(join_seconds=0.7, min_seconds=0.6)),
    "no_events": Selection(threshold=1.1, events=EventRule()),
}


@pytest.fixture
def recordings(make_tone, tmp_path):
    """A long one, one cut off after many windows, a short one, one that is no sound."""
    long, short = make_tone("long.wav", *TONES * 5), make_tone("short.wav", (3000, 0.7))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(make_tone("cut.wav", *TONES * 5).read_bytes()[:-90_000])
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    return [long, cut, short, tmp_path / "broken.wav", long]


def cut_up(tagged, n_rows):
    """Whole clips in parts of some windows."""
    for each in tagged:
        n = len(each.predictions or ())
        for first in range(0, n, n_rows):
            rows = each.predictions.rows(slice(first, first + n_rows))
            yield replace(each, predictions=rows, more=first + n_rows < n)
        if not n:
            yield each


def write(parts, tagger, format, out, selection) -> bytes:
    list(write_tags(parts, tagger, format, out, selection))
    return out.read_bytes()


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("multi_label", [True, False])
def test_parts_of_any_size_make_the_same_file(
    make_tagger, recordings, tmp_path, monkeypatch, format, selection, multi_label
):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    tagger, chosen = make_tagger(multi_label=multi_label), SELECTIONS[selection]
    whole = list(tag_files(tagger, recordings, level="window"))
    assert [one.error is None for one in whole] == [True, False, True, False, True]
    expected = write(whole, tagger, format, tmp_path / "whole", chosen)
    monkeypatch.setattr("earmark.tagger.formats.SPOOLED_BYTES", 100)
    for n_rows in (1, 3, WINDOWS_PER_PART, 1000):
        assert write(cut_up(whole, n_rows), tagger, format, tmp_path / "parts", chosen) == expected
    assert write(tag_parts(tagger, recordings), tagger, format, tmp_path / "flow", chosen) == expected


def test_parquet_in_groups_of_any_number_is_the_same_whatever_was_put_by(
    make_tagger, recordings, tmp_path, monkeypatch
):
    pytest.importorskip("pyarrow")
    tagger = make_tagger()
    monkeypatch.setattr("earmark.tagger.parquet.ROWS_PER_GROUP", 7)
    expected = write(tag_parts(tagger, recordings), tagger, "parquet", tmp_path / "whole", Selection())
    for cells in (1, 12, 40):
        monkeypatch.setattr("earmark.tagger.parquet.CELLS_AT_ONCE", cells)
        assert write(tag_parts(tagger, recordings), tagger, "parquet", tmp_path / "parts", Selection()) == expected


def test_events_are_written_as_soon_as_none_can_begin_before(make_tagger, make_tone):
    tagger = make_tagger()
    (whole,) = tag_files(tagger, [make_tone("long.wav", *TONES * 5)], level="window")
    rows = Rows(tagger, Selection(events=EventRule()))
    seen, sizes = [], []
    for part in cut_up([whole], 1):
        found = [row.tags[0] for row in rows.of(part)]
        seen += found
        sizes.append(len(found))
    assert seen == tagger.events(whole.predictions)
    assert max(sizes) <= 3 < sum(sizes)


@pytest.mark.parametrize("text", ["csv", "jsonl", "raven"])
def test_what_fails_on_the_way_leaves_no_row_but_its_error(make_tagger, recordings, tmp_path, text):
    tagger = make_tagger()
    parts = list(tag_parts(tagger, recordings[1:2]))
    assert len(parts) > 3
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert "is cut off" in parts[-1].error
    lines = write(parts, tagger, text, tmp_path / "out", Selection()).splitlines()
    assert len(lines) == 1
    whole = write(tag_files(tagger, recordings[:1], level="window"), tagger, text, tmp_path / "out", Selection())
    both = write(tag_parts(tagger, recordings[1::-1]), tagger, text, tmp_path / "out", Selection())
    assert both.splitlines()[-1] == whole.splitlines()[-1]


def test_what_fails_on_the_way_leaves_no_file_of_its_own(make_tagger, recordings, tmp_path):
    tagger, out = make_tagger(), tmp_path / "out"
    parts = tag_parts(tagger, recordings)
    passed = list(write_tags_each(parts, tagger, "audacity", out, Selection(), tmp_path))
    assert [one.error is None for one in passed if not one.more] == [True, False, True, False, True]
    assert sorted(path.name for path in out.iterdir()) == ["long.wav.txt", "short.wav.txt"]


@pytest.mark.parametrize("pool", ["mean", "max", "geometric"])
def test_parts_are_pooled_and_joined_as_the_whole(make_tagger, recordings, monkeypatch, pool):
    monkeypatch.setattr("earmark.windows.POOL_BLOCK", 10)
    tagger = make_tagger(pool=pool, calibration={"clip": {"kind": "temperature", "temperature": 2.0}})
    score = tagger.score(recordings[0])
    (pooled,) = pool_parts(tagger, tag_parts(tagger, recordings[:1]))
    (joined,) = join_parts(tag_parts(tagger, recordings[:1]))
    for found, expected in ((pooled.predictions, tagger.pool(score)), (joined.predictions, score)):
        assert found.level == expected.level
        for name in ("clip_ids", "starts", "ends", "scores"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("rate", [8000, 11025])
@pytest.mark.parametrize("seconds", [4.0, 4.1, 3.75])
def test_hearing_goes_on_anywhere_with_the_same_bits(make_tagger, make_tone, rate, seconds):
    tagger = make_tagger(hop_seconds=0.125)
    path = make_tone("a.wav", (500, 1.0), (3000, seconds - 1), rate=rate)
    whole = tagger.score(path)
    for n_done in range(0, len(whole) - WINDOWS_PER_PART, WINDOWS_PER_PART):
        heard = [score() for score in tagger.score_parts(path, n_done=n_done)]
        assert [len(part) for part in heard[:-1]] == [WINDOWS_PER_PART] * (len(heard) - 1)
        for name in ("starts", "ends", "scores"):
            found = np.concatenate([getattr(part, name) for part in heard])
            np.testing.assert_array_equal(found, getattr(whole, name)[n_done:])


def test_what_needs_the_whole_recording_is_one_part(make_tagger, recordings):
    tagger = make_tagger(views="ends")
    (part,) = tag_parts(tagger, recordings[:1])
    assert (len(part.predictions), part.more) == (3, False)


def test_one_long_recording_is_heard_by_all_threads(make_tagger, make_tone):
    tagger, path = make_tagger(), make_tone("long.wav", (500, 30.0))
    run = tagger.backend.run

    def slow_run(windows):
        time.sleep(0.02)
        return run(windows)

    tagger.backend.run = slow_run
    times = []
    for threads in (1, 4):
        began = time.perf_counter()
        list(tag_parts(tagger, [path], threads=threads))
        times.append(time.perf_counter() - began)
    assert times[1] < 0.5 * times[0]  # sleeping needs no core


def test_running_pool_is_as_exact_for_a_day_as_for_an_hour():
    draw = np.random.default_rng(0)
    scores = draw.random((50_000, 3), dtype=np.float32)
    running = RunningPool("mean")
    for part in np.array_split(scores, 777):
        running.add(part)
    np.testing.assert_array_equal(running.result(), pool(scores, "mean"))
    np.testing.assert_allclose(running.result(), scores.mean(axis=0, dtype=np.float64), rtol=1e-7)
    assert sum(map(len, running._held)) <= 600


def test_memory_does_not_grow_with_the_recording(make_tagger, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[tag_parts.__module__], "WAITING_BYTES", 0)
    monkeypatch.setattr("earmark.tagger.formats.SPOOLED_BYTES", 1000)
    tagger = make_tagger()
    peaks = []
    for n_blocks in (30, 30, 240):  # of 10 s; the first makes what is made once
        draw = np.random.default_rng(0)
        tagger.read = lambda *_, n=n_blocks, draw=draw: (draw.normal(size=80_000).astype(np.float32) for _ in range(n))
        tracemalloc.start()
        parts = tag_parts(tagger, ["day.wav"], threads=2, warn=False)
        for _ in write_tags(parts, tagger, "jsonl", tmp_path / "day.jsonl", Selection(all_scores=True)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]
