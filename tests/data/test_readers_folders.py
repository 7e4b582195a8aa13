"""A folder per class: what belongs to it, the tricks that names may play, and the same sound in several of them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from earmark.data import read_manifest
from earmark.data.readers.folder import read_folder
from earmark.data.readers.paths import list_folder, walk
from earmark.data.readers.problems import RowProblem
from earmark.errors import ManifestError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(root: Path, **files: bytes) -> None:
    """Files by path, the slashes of which are written as __."""
    for name, content in files.items():
        path = root / (name.replace("__", "/") + ".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_folders_are_classes_and_deeper_files_belong_to_them(tmp_path):
    touch(
        tmp_path,
        "dog/1.wav",
        "dog/home/deep/2.FLAC",
        "cat/1.wav",
        "cat/.hidden.wav",
        "cat/notes.txt",
        ".git/x.wav",
    )
    manifest = read_manifest(tmp_path)
    assert manifest.table["path"].tolist() == ["cat/1.wav", "dog/1.wav", "dog/home/deep/2.FLAC"]
    assert manifest.table["labels"].tolist() == [("cat",), ("dog",), ("dog",)]
    assert manifest.vocabulary.labels == ("cat", "dog")
    assert not (manifest.multi_label or manifest.has_folds or manifest.has_groups)


def test_what_a_folder_leaves_out_is_said(tmp_path, caplog):
    touch(tmp_path, "dog/1.wav", "cat/1.wav", "cat/notes.txt", "loose.wav", "docs/readme.md")
    with caplog.at_level(logging.INFO):
        assert len(read_manifest(tmp_path)) == 2
    assert "1 sounds in no class folder are left out (loose.wav" in caplog.text
    assert "class folders without a sound are left out (docs)" in caplog.text
    assert "2 files that are no sounds are passed over" in caplog.text


def test_sounds_without_class_folders_are_refused_with_advice(tmp_path):
    touch(tmp_path, "1.wav", "2.wav")
    with pytest.raises(ManifestError, match=r"2 sounds \('1.wav', …\), but no folder tells their class. Put each"):
        read_manifest(tmp_path)


def test_folder_without_sounds_is_refused(tmp_path):
    touch(tmp_path, "a/readme.md")
    with pytest.raises(ManifestError, match=r"no sound found \(1 folders and 1 other files"):
        read_manifest(tmp_path)


def test_names_that_no_table_can_hold_are_left_out_and_said(tmp_path, caplog):
    touch(tmp_path, "dog/1.wav", "cat/1.wav", "dog/\udcff.wav")
    assert len(read_manifest(tmp_path)) == 2
    assert r"cannot stand in a table, left out (dog/\udcff.wav)" in caplog.text


def test_link_loops_and_pipes_are_passed_over(tmp_path):
    touch(tmp_path, "dog/1.wav", "cat/1.wav")
    os.mkfifo(tmp_path / "dog" / "pipe.wav")
    (tmp_path / "dog" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(read_manifest(tmp_path)) == 2


def deny(*_, **__):
    raise PermissionError(13, "Permission denied", "somewhere")


def test_folders_that_may_not_be_opened_are_an_error(tmp_path, monkeypatch):
    touch(tmp_path, "dog/1.wav")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", deny)
        with pytest.raises(ManifestError, match="somewhere: cannot be opened .*Permission denied"):
            walk(tmp_path / "dog")
    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(ManifestError, match="cannot be opened .*Permission denied"):
        read_folder(tmp_path)


def test_where_problems_are_collected_folders_that_cannot_be_opened_are_passed_over(tmp_path, monkeypatch, caplog):
    touch(tmp_path, "dog/1.wav", "dog/locked/2.wav")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: deny() if str(path).endswith("locked") else scandir(path))
    assert read_folder(tmp_path, problems=[]).table["path"].tolist() == ["dog/1.wav"]
    assert "1 folders cannot be opened (somewhere)" in caplog.text


def test_a_table_is_not_held_up_by_a_folder_that_cannot_be_opened(tmp_path, monkeypatch):
    touch(tmp_path, "audio/1.wav", "locked/2.wav")
    (tmp_path / "t.csv").write_text("file,label\n1.wav,dog\n")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: deny() if str(path).endswith("locked") else scandir(path))
    assert read_manifest(tmp_path / "t.csv").table["path"].tolist() == ["audio/1.wav"]


# What lies in a folder


def test_a_listing_tells_sounds_from_what_is_hidden_other_or_out_of_reach(tmp_path):
    touch(tmp_path, "data/dog/1.wav", "data/.hidden.wav", "data/dog/notes.txt", "data/dog/\udcff.wav", "far/2.wav")
    os.mkfifo(tmp_path / "data" / "pipe.wav")
    (tmp_path / "data/dead.wav").symlink_to("nowhere.wav")
    (tmp_path / "data/round.wav").symlink_to("round.wav")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "data/dog/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "data/cat").symlink_to(tmp_path / "far", target_is_directory=True)
    found = list_folder(tmp_path / "data")
    names = [path.relative_to(tmp_path / "data").as_posix() for path in found.sounds]
    assert names == ["cat/2.wav", "dog/1.wav"]
    assert [path.name for path in found.hidden] == [".hidden.wav"]
    assert [path.name for path in found.others] == ["notes.txt"]
    assert {path.name: reason.split()[-1] for path, reason in found.unreachable} == {
        "\udcff.wav": "table",
        "pipe.wav": "device",
        "dead.wav": "nowhere",
        "round.wav": "nowhere",
        "loop": "followed",
        "up": "followed",
    }


def test_a_listing_goes_on_past_a_folder_that_cannot_be_opened(tmp_path, monkeypatch):
    touch(tmp_path, "dog/1.wav", "locked/2.wav")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: deny() if str(path).endswith("locked") else scandir(path))
    found = list_folder(tmp_path)
    assert [path.name for path in found.sounds] == ["1.wav"]
    assert found.unreachable == [(Path("somewhere"), "cannot be opened (Permission denied)")]


def test_a_class_folder_may_be_a_link_but_not_one_that_leads_back(tmp_path, caplog):
    touch(tmp_path, "data/dog/1.wav", "far/2.wav")
    (tmp_path / "data/cat").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "data/all").symlink_to(tmp_path, target_is_directory=True)
    manifest = read_manifest(tmp_path / "data")
    assert manifest.table["path"].tolist() == ["cat/2.wav", "dog/1.wav"]
    assert "1 links that lead back here are not followed (all)" in caplog.text


def test_sounds_without_a_suffix_count(tmp_path):
    header = b"RIFF\x24\0\0\0WAVEfmt "
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog/recording").write_bytes(header)
    (tmp_path / "dog/notes").write_bytes(b"loud")
    assert read_manifest(tmp_path).table["path"].tolist() == ["dog/recording"]
    assert [path.name for path in list_folder(tmp_path).sounds] == ["recording"]


# Tricks of names


def test_folder_tricks_give_several_labels_none_and_surely_not(tmp_path):
    touch(tmp_path, "dog,rain/1.wav", "dog/2.wav", "-dog/3.wav", "Noise/4.wav", "other/5.wav", "cat,-dog/6.wav")
    manifest = read_manifest(tmp_path, folder_tricks=True)
    by_path = manifest.table.set_index("path")
    assert by_path["labels"].to_dict() == {
        "-dog/3.wav": (),
        "Noise/4.wav": (),
        "cat,-dog/6.wav": ("cat",),
        "dog,rain/1.wav": ("dog", "rain"),
        "dog/2.wav": ("dog",),
        "other/5.wav": (),
    }
    assert by_path["negative"][by_path["negative"] != ()].to_dict() == {
        "-dog/3.wav": ("dog",),
        "cat,-dog/6.wav": ("dog",),
    }
    assert manifest.vocabulary.labels == ("cat", "dog", "rain")


def test_without_tricks_folders_mean_what_they_are_called_and_tricks_are_hinted_at(tmp_path, caplog):
    touch(tmp_path, "dog,rain/1.wav", "-dog/3.wav", "Noise/4.wav", "cat/5.wav")
    with caplog.at_level(logging.INFO):
        manifest = read_manifest(tmp_path)
    assert manifest.vocabulary.labels == ("-dog", "Noise", "cat", "dog,rain")
    assert "If some (-dog, Noise, dog,rain) mean several labels" in caplog.text
    assert "--folder-tricks" in caplog.text


def test_plain_folders_bring_no_hint(tmp_path, caplog):
    touch(tmp_path, "dog/1.wav", "cat-big/2.wav")
    with caplog.at_level(logging.INFO):
        read_manifest(tmp_path)
    assert "--folder-tricks" not in caplog.text


def test_tricks_that_leave_no_class_are_refused(tmp_path):
    touch(tmp_path, "-dog/3.wav", "noise/4.wav")
    with pytest.raises(ManifestError, match=r"no folder names a class \(-dog, noise\)"):
        read_manifest(tmp_path, folder_tricks=True)


# The same sound in several folders


def test_the_same_sound_in_several_class_folders_becomes_one_clip_with_all_labels(tmp_path, caplog):
    write(tmp_path, cat__1=b"sound one", dog__2=b"sound one", dog__3=b"sound two", rain__deep__4=b"sound one")
    manifest = read_manifest(tmp_path)
    assert manifest.table["path"].tolist() == ["cat/1.wav", "dog/3.wav"]
    assert manifest.table["labels"].tolist() == [("cat", "dog", "rain"), ("dog",)]
    assert "1 sounds are in several class folders; each becomes one clip with all their labels" in caplog.text
    assert "cat/1.wav and dog/2.wav and rain/deep/4.wav" in caplog.text


def test_copies_in_one_class_folder_and_empty_files_stay(tmp_path):
    write(tmp_path, cat__1=b"same", cat__2=b"same", dog__3=b"", rain__4=b"", rain__5=b"else")
    assert len(read_manifest(tmp_path)) == 5


def test_sounds_that_differ_only_outside_the_middle_are_no_copies(tmp_path):
    middle = bytes(9000)
    write(tmp_path, cat__1=b"a" + middle + b"x", dog__1=b"b" + middle + b"x", rain__1=b"a" + middle + b"y")
    assert len(read_manifest(tmp_path)) == 3


def test_only_files_of_equal_size_and_middle_are_read_whole(tmp_path, monkeypatch):
    write(tmp_path, cat__1=b"1" * 9000, dog__2=b"2" * 9000, dog__3=b"333", cat__4=b"4444", dog__5=b"4444")
    read = []
    monkeypatch.setattr("earmark.data.readers.folder.content_hash", lambda path: read.append(path.name) or "same")
    read_manifest(tmp_path)
    assert sorted(read) == ["4.wav", "5.wav"]


def test_files_that_cannot_be_read_are_no_copies(tmp_path, monkeypatch):
    write(tmp_path, cat__1=b"same", dog__2=b"same")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", deny)
        assert len(read_manifest(tmp_path)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "getsize", deny)
        assert len(read_manifest(tmp_path)) == 2


def test_the_same_sound_twice_can_be_refused(tmp_path):
    write(tmp_path, cat__1=b"same", dog__2=b"same")
    with pytest.raises(ManifestError, match="sounds are in several class folders, which --no-merge") as caught:
        read_manifest(tmp_path, merge=False)
    assert "cat/1.wav and dog/2.wav" in str(caught.value)


def test_folders_that_contradict_each_other_are_told(tmp_path):
    write(tmp_path, **{"-dog__1": b"same", "dog__2": b"same", "dog__3": b"else"})
    with pytest.raises(ManifestError, match="sounds are in class folders that contradict each other") as caught:
        read_manifest(tmp_path, folder_tricks=True)
    assert "-dog/1.wav and dog/2.wav: 'dog' is both present and negative" in str(caught.value)
    problems: list[RowProblem] = []
    manifest = read_manifest(tmp_path, folder_tricks=True, problems=problems)
    assert manifest.table["path"].tolist() == ["dog/3.wav"]
    assert [(found.path, found.problem) for found in problems] == [("-dog/1.wav", "bad_row")]
