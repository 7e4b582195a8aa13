"""A folder that grows is heard once: nothing lost, nothing doubled, whenever it is cut off."""

import json
import os
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from earmark.errors import RunError
from earmark.tagger import Clip, tag_files
from earmark.tagger.formats import write_tags
from earmark.tagger.ledger import Ledger, write_tags_each_on, write_tags_on
from earmark.tagger.recordings import find_recordings
from earmark.tagger.rows import Selection
from earmark.tagger.tag_files import TaggedClip

LATER = 10**9  # ns


@pytest.fixture
def field(make_tone, tmp_path) -> Path:
    """A folder of three recordings."""
    for name, hertz in (("a.wav", 500), ("b.wav", 3000), ("c.wav", 500)):
        make_tone(f"field/{name}", (hertz, 1.0))
    return tmp_path / "field"


@pytest.fixture
def run(make_tagger, field, tmp_path):
    """Tag what is not done of the field, into one file or a folder; the names of what was pending."""
    tagger = make_tagger()

    def call(*, each: bool = False, stop_after: int | None = None, origin: dict | None = None, names=None) -> list[str]:
        out = tmp_path / ("out" if each else "out.csv")
        path = out / "done.jsonl" if each else Path(f"{out}.done.jsonl")
        with closing(Ledger(path, origin or {"tagger": tagger.identity})) as ledger:
            pending = ledger.pending(names or find_recordings([str(field)]))
            with closing(tag_files(tagger, pending, threads=1)) as tagged:
                if each:
                    written = write_tags_each_on(tagged, tagger, "audacity", out, Selection(), field, ledger)
                else:
                    written = write_tags_on(tagged, tagger, "csv", out, Selection(), ledger)
                list(islice(written, stop_after))
        return [recording.name for recording in pending]

    call.tagger = tagger
    return call


def rows(out: Path) -> list[tuple[str, str]]:
    """(recording, label) of each row of a CSV file."""
    return [(Path(line.split(",")[0]).name, line.split(",")[3]) for line in out.read_text().splitlines()[1:]]


def later(path: Path, content: bytes) -> None:
    """Write a file that has changed since."""
    path.write_bytes(content)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + LATER))


def test_a_second_run_hears_what_is_new_or_changed_and_the_file_is_as_of_one_run(run, field, make_tone, tmp_path):
    assert run() == ["a.wav", "b.wav", "c.wav"]
    assert run() == []
    make_tone("field/d.wav", (3000, 1.0))
    later(field / "a.wav", (field / "b.wav").read_bytes())
    assert run() == ["a.wav", "d.wav"]
    out = tmp_path / "out.csv"
    assert sorted(rows(out)) == [("a.wav", "high"), ("b.wav", "high"), ("c.wav", "low"), ("d.wav", "high")]
    at_once = tmp_path / "at_once.csv"
    list(write_tags(tag_files(run.tagger, find_recordings([str(field)])), run.tagger, "csv", at_once, Selection()))
    assert sorted(out.read_text().splitlines()) == sorted(at_once.read_text().splitlines())


def test_cut_off_at_any_byte_nothing_is_lost_and_nothing_doubled(run, tmp_path):
    run()
    out, ledger = tmp_path / "out.csv", tmp_path / "out.csv.done.jsonl"
    whole, content = out.read_text(), ledger.read_bytes()
    ends = [number + 1 for number, byte in enumerate(content) if byte == ord("\n")]
    for cut in {0, 1, len(content) - 1, *(end + shift for end in ends for shift in (-1, 0, 7))}:
        ledger.write_bytes(content[:cut])
        out.unlink(missing_ok=True)
        n_done = max(sum(end <= cut for end in ends[:4]) - 1, 0)
        assert len(run()) == 3 - n_done
        assert out.read_text() == whole


def test_a_run_that_is_left_early_keeps_what_is_done_and_the_file_of_before(run, make_tone, tmp_path):
    run()
    before = (tmp_path / "out.csv").read_text()
    for name in ("d.wav", "e.wav"):
        make_tone(f"field/{name}", (3000, 1.0))
    run(stop_after=1)
    assert (tmp_path / "out.csv").read_text() == before
    assert run() == ["e.wav"]
    assert [name for name, _ in rows(tmp_path / "out.csv")] == ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]


def test_an_output_that_was_deleted_or_edited_is_made_again_without_hearing(run, tmp_path):
    run()
    out = tmp_path / "out.csv"
    whole = out.read_text()
    for spoil in (out.unlink, lambda: out.write_text("path,start\n")):
        spoil()
        assert run() == []
        assert out.read_text() == whole


def test_a_file_per_recording_is_written_where_it_is_missing(run, make_tone, tmp_path):
    run(each=True, stop_after=2)
    assert run(each=True) == ["c.wav"]
    (tmp_path / "out" / "b.wav.txt").unlink()
    make_tone("field/north/d.wav", (500, 1.0))
    assert run(each=True) == ["b.wav", "d.wav"]
    made = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.txt")}
    assert sorted(made) == ["a.wav.txt", "b.wav.txt", "c.wav.txt", "north/d.wav.txt"]
    assert made["b.wav.txt"].read_text() == "0\t1\thigh\n"


@pytest.mark.parametrize("each", [False, True])
def test_what_failed_is_tried_again_and_what_changed_for_the_worse_leaves_no_rows(run, field, tmp_path, each):
    sound = (field / "b.wav").read_bytes()
    run(each=each)
    later(field / "b.wav", b"no sound")
    assert run(each=each) == run(each=each) == ["b.wav"]
    if each:
        assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["a.wav.txt", "c.wav.txt"]
    else:
        assert [name for name, _ in rows(tmp_path / "out.csv")] == ["a.wav", "c.wav"]
    later(field / "b.wav", sound)
    assert run(each=each) == ["b.wav"]
    assert run(each=each) == []


def test_rows_of_a_recording_that_was_not_there_at_first_are_no_others(field, tmp_path):
    late, known = (TaggedClip(Clip(field / name), None, "damaged") for name in ("late.wav", "a.wav"))
    for _ in range(2):  # read back, too
        with closing(Ledger(tmp_path / "done.jsonl", {})) as ledger:
            ledger.pending([field / "late.wav", field / "a.wav"])
            ledger.add_rows("of late\n")
            assert not ledger.add(late, rows="of late\n")
            ledger.add(known, rows="of a\n")
            assert list(ledger.rows()) == ["of a\n"]


def test_what_is_no_longer_there_keeps_its_rows(run, field, tmp_path):
    run()
    (field / "b.wav").unlink()
    assert run(names=[field / "a.wav", field / "b.wav"]) == ["b.wav"]
    assert [name for name, _ in rows(tmp_path / "out.csv")] == ["a.wav", "b.wav", "c.wav"]


def test_a_ledger_mostly_of_old_lines_is_written_anew(run, field, tmp_path):
    ledger = tmp_path / "out.csv.done.jsonl"
    for number in range(8):
        later(field / "a.wav", (field / ("b.wav", "c.wav")[number % 2]).read_bytes())
        os.utime(field / "a.wav", ns=(0, number))
        run()
    assert len(ledger.read_text().splitlines()) < 12
    assert run() == []
    assert sorted(rows(tmp_path / "out.csv"))[0] == ("a.wav", "low")


def test_another_tagger_or_setting_is_said_and_refused(run):
    run(origin={"tagger": "birds 12", "top": None})
    with pytest.raises(RunError, match=r"was made otherwise .tagger was birds 12, is birds 34; top was None, is 3.\."):
        run(origin={"tagger": "birds 34", "top": 3})


def test_two_runs_at_once_are_refused(run, tmp_path):
    pytest.importorskip("fcntl")
    run()
    origin = {"tagger": run.tagger.identity}
    other = closing(Ledger(tmp_path / "out.csv.done.jsonl", origin))
    with other, pytest.raises(RunError, match="another run is at work on it"):
        run()
    assert run() == []


@pytest.mark.parametrize("line", ["no JSON", "[]", "{}", json.dumps({"path": "a.wav", "size": 1})])
def test_a_damaged_ledger_is_refused(run, tmp_path, line):
    run()
    with open(tmp_path / "out.csv.done.jsonl", "a") as file:
        file.write(line + "\n")
    with pytest.raises(RunError, match="line 6 is not of a ledger"):
        run()


def test_a_ledger_that_cannot_be_written_is_refused(run, tmp_path):
    (tmp_path / "out.csv.done.jsonl").mkdir()
    with pytest.raises(RunError, match="done.jsonl: cannot be written .Is a directory"):
        run()
