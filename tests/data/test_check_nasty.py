"""check on the collection of everything that breaks audio tools: each is what its index says, and nothing hangs."""

from __future__ import annotations

import csv
import importlib.util
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from earmark.data.check import CheckResult, check

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "nasty.tar.gz"
HAS_MEDIA = importlib.util.find_spec("av") is not None

NOT_WHOLE = {"unreadable", "needs_media", "missing_file", "empty", "truncated"}
# What readable ones have wrong, beside what is true of any clip of their kind.
WRONG = {
    "nan.wav": "not_finite",
    "silence.wav": "silent",
    "denormal.wav": "silent",
    "one_sample.wav": "too_short",
    "dc_offset.wav": "dc_offset",
    "clipped.wav": "clipped",
    "float_peak_8.wav": "over_full_scale",
    "stereo_antiphase.wav": "antiphase",
}
UNREADABLE = {  # those that should not decode: as what they are told
    "zero_bytes.wav": "empty",
    "header_only.wav": "empty",
    "links/loop_a.wav": "missing_file",
    "links/dangling.wav": "missing_file",
}
SOUND_PROBLEMS = {"not_finite", "silent", "dc_offset", "clipped", "over_full_scale", "antiphase"}
READ_WHOLE = {"data_size_zero.wav"}  # partial for many readers, but all of it is there


@pytest.fixture(scope="module")
def result(nasty) -> CheckResult:
    return check(nasty, threads=2)


@pytest.fixture(scope="module")
def found(result) -> dict[str, set[str]]:
    problems = defaultdict(set)
    for finding in result.findings:
        problems[finding.path].add(finding.problem)
    return problems


def rows() -> list[dict[str, str]]:
    if not ARCHIVE.exists():
        return []
    with tarfile.open(ARCHIVE) as archive:
        text = archive.extractfile("nasty/index.csv").read().decode("utf-8")
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["path"][:40])
def test_each_is_classified_as_its_index_says(result, found, row):
    path, wanted = row["path"], row["should_decode"]
    heard = {clip.path: clip.heard.statistics for clip in result.clips}
    if Path(path).name.startswith("."):
        assert path not in heard  # hidden: counted, not heard
        assert result.summary["n_hidden"] == 4
    elif path == "empty_folder":
        assert path not in heard
    elif wanted == "no" or (wanted == "optional" and not HAS_MEDIA):
        expected = UNREADABLE.get(path, "unreadable" if wanted == "no" else "needs_media")
        assert expected in found[path] or (not HAS_MEDIA and "needs_media" in found[path])
        assert heard[path] is None
    elif wanted == "partial" and path not in READ_WHOLE:
        assert "truncated" in found[path]
    else:
        assert found[path] & NOT_WHOLE == set()
        assert heard[path].seconds == pytest.approx(float(row["expected_duration_s"]), abs=0.06)
        silence = {"silent"} if "names/" in path or path == "one_sample.wav" else set()
        assert found[path] & SOUND_PROBLEMS - silence == {WRONG.get(path)} & SOUND_PROBLEMS
        assert WRONG.get(path) is None or WRONG[path] in found[path]


def test_the_index_has_been_gone_through(nasty):
    assert len(rows()) > 60


@pytest.mark.parametrize("name", ["aac.m4a", "alac.m4a", "opus.webm", "wma.wma", "ac3.ac3", "wavpack.wv", "video.mp4"])
def test_without_pyav_what_needs_it_says_how_to_get_it(nasty, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes((nasty / name).read_bytes())
    [finding] = [finding for finding in check(tmp_path).findings if finding.path]
    assert (finding.path, finding.problem) == (f"a/{name}", "needs_media")
    assert "earmark[media]" in finding.remedy


def test_truncated_files_say_how_much_is_there(result):
    told = {finding.path: finding.detail for finding in result.findings if finding.problem == "truncated"}
    assert told["header_too_long.wav"].startswith("0.50 s of 2.00 s are there")
    assert told["truncated.mp3"].startswith("1.0")
