"""What each command prints, writes and exits with."""

from __future__ import annotations

import json
import shutil

from earmark.audio.cache import ENTRY_SUFFIX
from earmark.run import Run

MODELS = {"forest", "tiny_cnn"}


def test_train_prints_the_scorecard_it_wrote_as_json(finished):
    shown = json.loads(finished.done.stdout)
    assert shown == json.loads(Run(finished.folder).scorecard.read_text(encoding="utf-8"))
    assert set(shown["models"]) == MODELS
    assert {"value", "low", "high"} <= set(shown["models"]["tiny_cnn"]["metrics"]["accuracy"])


def test_train_tells_its_story_on_stderr(finished):
    said = finished.done.stderr
    assert "18 clips, 3 classes; 2 folds, stratified by class; 9 clips each." in said
    assert "tiny_cnn: training 2 folds" in said
    assert "Traceback" not in said


def test_train_again_shows_a_table_and_the_paths_at_once(earmark, finished, sounds, train_words):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("history.jsonl")}
    done = earmark(*train_words, sounds, "--out", finished.folder)
    assert done.returncode == 0, done.stderr
    for word in ("forest", "tiny_cnn", "accuracy", "18 clips, 3 classes"):
        assert word in done.stdout
    run = Run(finished.folder)
    for path in (run.tagger, run.report, run.card):
        assert str(path) in done.stdout
    assert len(before) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_tag_writes_a_json_object_a_line(earmark, finished, sounds, tmp_path):
    out = tmp_path / "tags.jsonl"
    paths = [sounds / "low" / "0.wav", sounds / "high" / "1.wav"]
    done = earmark("tag", Run(finished.folder).tagger, *paths, "--format", "jsonl", "--all-scores", "--out", out)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    for row in rows:
        assert {"path", "start", "end", "tags", "scores"} <= set(row)
        assert (row["start"], row["end"]) == (0, 0.8)
        assert set(row["scores"]) == {"low", "high", "noise"}
        [tag] = row["tags"]
        assert set(tag) == {"label", "score"}
        assert row["scores"][tag["label"]] == max(row["scores"].values())


def test_tag_on_a_broken_file_exits_1_and_lists_it(earmark, finished, sounds, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    done = earmark("tag", Run(finished.folder).tagger, sounds / "low" / "0.wav", "broken.wav", cwd=tmp_path)
    assert done.returncode == 1
    assert "broken.wav" in (tmp_path / "failures.csv").read_text(encoding="utf-8")


def test_evaluate_scores_other_sounds_and_exits_1_for_a_broken_one(earmark, finished, make_sounds, tmp_path):
    other = make_sounds(tmp_path / "other", first=50, n_per_class=3)
    (other / "low" / "50.wav").write_bytes(b"no sound")
    words = ("evaluate", Run(finished.folder).tagger, other, "--json", "--out", tmp_path / "scores.json")
    done = earmark(*words)
    assert done.returncode == 1, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["n_clips"], list(shown["models"])) == (8, ["tones"])
    assert shown == json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert "1 files could not be read" in done.stderr
    assert "50.wav" in done.stderr


def test_report_is_written_anew(earmark, finished, tmp_path):
    copy = tmp_path / "tones"
    shutil.copytree(finished.folder, copy)
    (copy / "report.html").unlink()
    done = earmark("report", copy)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(copy / "report.html")
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "tiny_cnn" in page and "forest" in page


def test_cache_clear_frees_the_folder_that_the_environment_names(earmark, tmp_path):
    folder = tmp_path / "decoded"
    own = type(earmark)(folder)
    (folder / "ab").mkdir(parents=True)
    entry = folder / "ab" / f"abcd-8000{ENTRY_SUFFIX}"
    entry.write_bytes(b"x" * 2_000_000)
    done = own("cache", "clear")
    assert done.returncode == 0, done.stderr
    assert str(folder) in done.stdout
