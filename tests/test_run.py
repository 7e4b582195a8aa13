from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from earmark.errors import RunError, summarise_rows
from earmark.run import Run, to_json, write_atomically, write_json, write_text


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "runs" / "birds" / "card.md"
    write_text(path, "Vögel\n")
    assert path.read_text(encoding="utf-8") == "Vögel\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["card.md"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "card.md"
    write_text(path, "old")

    def fail() -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "card.md"
    write_text(path, "old")
    with write_atomically(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
        assert temporary.parent == path.parent  # the same file system, so that renaming is one step
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_written_file_may_be_read_by_those_the_mask_allows(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_name_at_the_platforms_limit_can_be_written(tmp_path):
    write_text(tmp_path / ("x" * 250), "long")
    assert (tmp_path / ("x" * 250)).read_text(encoding="utf-8") == "long"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"card\.md: cannot be written \(.*\)\. Choose another place\."):
        write_text(tmp_path / "file" / "card.md", "")


def test_json_is_standard_and_nan_is_null(tmp_path):
    write_json(tmp_path / "a.json", {"value": math.nan, "nested": [(1.5, math.inf)], "label": "鳥", "n": 3})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"value": None, "nested": [[1.5, None]], "label": "鳥", "n": 3}
    assert "鳥" in text
    assert text.endswith("}\n")


def test_json_of_one_line_for_tables_of_lines():
    assert "\n" not in to_json({"a": [1, {"b": "x\ny"}]})


def test_a_run_says_where_each_thing_stands(tmp_path):
    run = Run(tmp_path / "birds")
    assert run.name == "birds"
    assert run.tagger == tmp_path / "birds" / "birds.tagger.onnx"
    assert run.predictions("forest").name == "predictions.forest.csv"
    files = [
        *(
            run.config,
            run.manifest,
            run.environment,
            run.failures,
            run.scorecard,
            run.card,
            run.report,
            run.tagger,
        ),
        *(run.predictions("forest"), run.predictions("se_cnn")),
    ]
    assert len(set(files)) == 10
    assert {file.parent for file in files} == {run.folder}


def test_folds_and_the_refit_have_folders_of_their_own(tmp_path):
    run = Run(tmp_path)
    fold, refit = run.fold(2, "se_cnn"), run.fold("refit", "se_cnn")
    assert fold.folder == tmp_path / "fold_2" / "se_cnn"
    assert refit.folder == tmp_path / "refit" / "se_cnn"
    files = [fold.history, fold.result, fold.tagger, fold.predictions, fold.checkpoints, fold.tensorboard]
    assert len({file.name for file in files}) == 6
    assert {file.parent for file in files} == {fold.folder}


def test_a_run_given_as_here_is_named_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Run(Path(".")).name == tmp_path.name


def test_many_bad_rows_are_shown_in_part_with_their_count_and_where_all_are(tmp_path):
    rows = [f"row {n}: bad" for n in range(8)]
    assert summarise_rows(rows[:5]) == "\n".join(rows[:5])
    shown = summarise_rows(rows, report=tmp_path / "all.csv").splitlines()
    assert shown == [*rows[:5], f"… and 3 more, all in {tmp_path / 'all.csv'}"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path, number):
    path = tmp_path / "card.md"
    write_text(path, "old")

    def fail() -> None:
        with write_atomically(path):
            raise OSError(number, os.strerror(number))

    with pytest.raises(RunError, match=rf"card.md: cannot be written whole \({os.strerror(number)}\). Make room"):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_error_within_a_write_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "card.md"):
        (tmp_path / "missing").read_bytes()
