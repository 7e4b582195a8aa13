"""A long recording that a kill cut off goes on where it was: the same bytes, less to hear."""

import os
import threading
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import pytest

from earmark.errors import TaggerFileError
from earmark.tagger import EventRule
from earmark.tagger.formats import write_tags
from earmark.tagger.ledger import Ledger, write_tags_each_on, write_tags_on
from earmark.tagger.rows import Selection
from earmark.tagger.tag_files import pool_parts, tag_parts
from earmark.tagger.unfinished import Unfinished

TONES = [(500, 7.0), (3000, 0.6), (500, 0.4), (3000, 5.0)] * 20


@pytest.fixture
def run(make_tagger, make_tone, tmp_path):
    """Tag a recording of four minutes and a short one; how many windows were heard. `at` breaks off at a window."""
    tagger = make_tagger(clip_seconds_max=1000.0)
    recordings = [make_tone("short.wav", (500, 2.0)), make_tone("long.wav", *TONES)]
    graph = tagger.backend.run

    def call(*, at: int = 10**9, format="csv", selection=None, level="window", each=False, threads=2) -> int:
        out = tmp_path / ("out" if each else f"out.{format}")
        n_heard, one_by_one = 0, threading.Lock()

        def counted(windows):
            nonlocal n_heard
            with one_by_one:
                n_heard += len(windows)
            if n_heard > at:
                raise TaggerFileError("the plug was pulled")
            return graph(windows)

        tagger.backend.run = counted
        with closing(Ledger(out / "done.jsonl" if each else Path(f"{out}.done.jsonl"), {})) as ledger:
            pending = ledger.pending(recordings)
            unfinished = Unfinished(ledger, tagger)
            pending.sort(key=unfinished.is_of, reverse=True)
            with closing(tag_parts(tagger, pending, threads=threads, known=unfinished.known)) as parts:
                heard = unfinished.keep(parts)
                heard = pool_parts(tagger, heard) if level == "clip" else heard
                given = heard, tagger, format, out, selection or Selection()
                done = write_tags_each_on(*given, tmp_path, ledger) if each else write_tags_on(*given, ledger)
                with suppress(TaggerFileError):
                    list(done)
        tagger.backend.run = graph
        return n_heard

    call.tagger, call.recordings = tagger, recordings
    return call


@pytest.mark.parametrize(
    ("format", "fields", "level"),
    [
        ("csv", {}, "window"),
        ("csv", {"all_scores": True}, "clip"),
        ("csv", {"events": EventRule(join_seconds=0.5)}, "window"),
        ("jsonl", {"all_scores": True}, "window"),
        ("jsonl", {"events": EventRule(), "threshold": 0.3}, "window"),
    ],
)
def test_broken_off_twice_and_given_again_it_ends_as_if_undisturbed(run, tmp_path, format, fields, level):
    selection = Selection(**fields)
    # One thread: of two, one may lag by a minute, which is heard again then.
    kind = {"format": format, "selection": selection, "level": level, "threads": 1}
    n_all = run(**kind)
    undisturbed = (tmp_path / f"out.{format}").read_bytes()
    for path in tmp_path.glob("out.*"):
        path.unlink()
    assert run(at=600, **kind) >= 600
    assert not (tmp_path / f"out.{format}").exists()
    part = tmp_path / f"out.{format}.done.part"
    size = part.stat().st_size
    assert run(at=340, **kind) >= 340
    assert part.stat().st_size > size
    assert run(**kind) == n_all - 7 - 3 * 240  # all but the short recording and three minutes
    assert (tmp_path / f"out.{format}").read_bytes() == undisturbed
    assert not part.exists()
    assert run(**kind) == 0


def test_a_file_per_recording_goes_on_too(run, tmp_path):
    run(each=True, format="raven")
    undisturbed = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.txt")}
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    run(each=True, format="raven", at=600)
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == ["done.jsonl", "done.part"]
    assert run(each=True, format="raven") < 600
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.txt")} == undisturbed


@pytest.mark.parametrize("spoil", ["torn", "flipped", "headless"])
def test_what_is_torn_is_passed_over(run, tmp_path, spoil):
    n_all = run()
    undisturbed = (tmp_path / "out.csv").read_bytes()
    for path in tmp_path.glob("out.*"):
        path.unlink()
    run(at=600)
    part = tmp_path / "out.csv.done.part"
    content = bytearray(part.read_bytes())
    if spoil == "flipped":
        content[-200] ^= 1
    part.write_bytes({"torn": content[:-1], "flipped": content, "headless": content[:10]}[spoil])
    n_heard = run()
    assert n_heard >= n_all - 8 if spoil == "headless" else n_heard < n_all - 230
    assert (tmp_path / "out.csv").read_bytes() == undisturbed
    assert not part.exists()


def test_a_recording_that_has_changed_or_is_another_is_heard_from_its_beginning(run, tmp_path):
    n_all = run()
    for path in tmp_path.glob("out.*"):
        path.unlink()
    run(at=600)
    os.utime(run.recordings[1], ns=(0, 1))
    assert run() >= n_all - 8
    assert not (tmp_path / "out.csv.done.part").exists()


def test_what_was_begun_is_ended_first(run, tmp_path):
    run(at=600)
    (tmp_path / "out.csv.done.jsonl").unlink()
    run()
    assert "long.wav" in (tmp_path / "out.csv").read_text().splitlines()[1]


def test_recordings_shorter_than_a_minute_are_kept_nowhere(run, tmp_path):
    with closing(Ledger(tmp_path / "x.jsonl", {})) as ledger:
        ledger.pending(run.recordings)
        unfinished = Unfinished(ledger, run.tagger)
        for _ in islice(unfinished.keep(tag_parts(run.tagger, run.recordings)), 20):
            assert not unfinished.path.exists()


def test_rows_of_a_long_recording_are_many_lines_of_the_ledger_and_those_without_an_end_count_not(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr("earmark.tagger.ledger.SPOOLED_BYTES", 2000)
    monkeypatch.setattr("earmark.tagger.formats.SPOOLED_BYTES", 1000)
    assert run() > 900
    out, ledger = tmp_path / "out.csv", tmp_path / "out.csv.done.jsonl"
    alone = tmp_path / "alone.csv"
    list(write_tags(tag_parts(run.tagger, run.recordings), run.tagger, "csv", alone, Selection()))
    assert out.read_bytes() == alone.read_bytes()
    lines = ledger.read_bytes().splitlines(keepends=True)
    assert len(lines) > 20
    out.unlink()
    assert run() == 0
    assert out.read_bytes() == alone.read_bytes()
    ledger.write_bytes(b"".join(lines[:-3]))  # killed before the recording's last line
    assert run() > 900
    assert out.read_bytes() == alone.read_bytes()
    assert len(ledger.read_bytes().splitlines()) == len(lines)
