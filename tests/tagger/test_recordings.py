"""Files, folders and patterns to recordings."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from earmark.errors import AudioError
from earmark.tagger.recordings import find_recordings, root_of

NASTY = Path(__file__).parents[3] / "shared" / "data" / "nasty.tar.gz"


@pytest.fixture
def folder(tmp_path):
    for name in (
        "b.wav",
        "a.FLAC",
        "notes.txt",
        ".hidden.wav",
        "._mac.wav",
        "sub/c.mp3",
        ".git/d.wav",
        "sub/x [1].ogg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(found, folder):
    return [path.relative_to(folder).as_posix() for path in found]


def test_folders_are_searched_to_the_bottom_for_sound_files_that_are_not_hidden(folder):
    assert names(find_recordings([str(folder)]), folder) == ["a.FLAC", "b.wav", "sub/c.mp3", "sub/x [1].ogg"]


def test_a_file_named_outright_is_taken_whatever_it_is(folder):
    given = [str(folder / name) for name in ("notes.txt", "sub/x [1].ogg", ".hidden.wav")]
    assert [str(path) for path in find_recordings(given)] == given


def test_patterns_are_expanded(folder):
    assert names(find_recordings([f"{folder}/**/*.mp3"]), folder) == ["sub/c.mp3"]
    assert names(find_recordings([f"{folder}/?.*"]), folder) == ["a.FLAC", "b.wav"]
    assert names(find_recordings([f"{folder}/s*"]), folder) == ["sub/c.mp3", "sub/x [1].ogg"]


def test_patterns_relative_to_the_current_folder_work(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert find_recordings(["*.wav"]) == [Path("b.wav")]


def test_a_recording_named_twice_is_taken_once(folder):
    assert len(find_recordings([str(folder / "b.wav"), str(folder), f"{folder}/*.wav"])) == 4


def test_an_absent_file_among_others_stays_so_that_it_fails_by_name(folder):
    assert names(find_recordings([str(folder / "b.wav"), str(folder / "absent.wav")]), folder) == [
        "b.wav",
        "absent.wav",
    ]


def test_nothing_there_is_an_error(folder):
    with pytest.raises(AudioError, match="absent.wav: there is no such file or folder"):
        find_recordings([str(folder / "absent.wav"), str(folder / "gone.wav")])
    (folder / "empty").mkdir()
    with pytest.raises(AudioError, match="empty: there are no sound files .*.flac"):
        find_recordings([str(folder / "empty")])
    with pytest.raises(AudioError, match="no sound files"):
        find_recordings([f"{folder}/*.xyz"])
    with pytest.raises(AudioError, match="the list on stdin: there are no sound files"):
        find_recordings([])


def test_a_pattern_that_is_none_is_an_error(folder, monkeypatch):
    def refuse(self, pattern):
        raise ValueError("Unacceptable pattern")

    monkeypatch.setattr(Path, "glob", refuse)
    with pytest.raises(AudioError, match="is not a pattern .Unacceptable"):
        find_recordings([f"{folder}/*.wav"])


def test_a_folder_that_cannot_be_listed_is_an_error(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AudioError, match="cannot be listed .Permission denied"):
        find_recordings([str(folder)])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_loops_of_links_pipes_and_broken_links_do_not_hang(folder):
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "sub" / "up").symlink_to("..", target_is_directory=True)
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "self.wav").symlink_to("self.wav")
    os.mkfifo(folder / "pipe.wav")
    expected = {"a.FLAC", "b.wav", "gone.wav", "self.wav", "sub/c.mp3", "sub/x [1].ogg"}
    assert set(names(find_recordings([str(folder)]), folder)) == expected
    assert len(find_recordings([f"{folder}/**/*"])) < 20


def test_the_nasty_collection_is_listed_whole(tmp_path):
    if not NASTY.exists():
        pytest.skip("../shared/data/nasty.tar.gz is not there")
    with tarfile.open(NASTY) as archive:
        archive.extractall(tmp_path, filter="tar")
    found = find_recordings([str(tmp_path)])
    listed = subprocess.run(
        ["find", str(tmp_path), "-type", "f", "-iname", "*.wav"], capture_output=True, check=True
    )
    visible = {
        line for line in listed.stdout.split(b"\n") if line and b"/." not in line[len(str(tmp_path)) :]
    }
    assert {
        os.fsencode(path) for path in found if path.suffix.lower() == ".wav" and not path.is_symlink()
    } == visible


def test_the_root_of_what_is_named_does_not_depend_on_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "field" / "north").mkdir(parents=True)
    (tmp_path / "field" / "north" / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    for names, root in (
        (["field"], "field"),
        (["field/**/*.wav"], "field"),
        (["field/n*/a.wav", "field/north/a.wav"], "field"),
        (["field/north/a.wav"], "field/north"),
        (["*.wav"], "."),
        (["absent/x.wav"], "absent"),
    ):
        assert root_of(names) == tmp_path / root
