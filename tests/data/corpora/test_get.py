"""A data set is downloaded or adopted, checked, and its manifest reads back as it was."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import console
from earmark.cli import corpora as commands
from earmark.data.corpora import CORPORA
from earmark.data.corpora.corpus import Archive
from earmark.data.corpora.get import get, read
from earmark.data.lock import lock_path, verify
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, FetchError, ManifestError

SHARED = Path(__file__).parents[4] / "shared" / "data"


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", CORPORA)
def test_a_copy_is_read_where_it_is_and_its_table_reads_back(copy, tmp_path, name):
    made = copy(name)
    before = files_below(made.folder)
    table = get(made.corpus, tmp_path / "data", local=made.folder)
    assert table == tmp_path / "data" / f"{name}.csv"
    manifest = read_manifest(table)
    locked = [lock_path(table).name] if (manifest.splits == "test").any() else []
    assert files_below(tmp_path / "data") == [table.name, *locked]
    assert bool(verify(table, manifest)) == bool(locked)
    assert files_below(made.folder) == before
    assert manifest == read(made.corpus, made.folder)


@pytest.mark.parametrize("name", CORPORA)
def test_a_download_is_unpacked_and_its_archives_are_removed(published, tmp_path, name):
    made = published(name)
    told = []
    table = get(made.corpus, tmp_path / "data", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == sum((made.folder / archive.name).stat().st_size for archive in made.corpus.archives)
    assert made.asked == [archive.name for archive in made.corpus.archives]
    left = [file for file in files_below(tmp_path / "data") if "/archives/" in file]
    unpublished = [archive.name for archive in made.corpus.archives if archive.md5 is None and archive.sha256 is None]
    assert left == sorted(f"{made.corpus.folder}/archives/{name}.sha256" for name in unpublished)
    manifest = read_manifest(table)
    assert manifest == read(made.corpus, tmp_path / "data" / made.corpus.folder)
    assert all(path.startswith(f"{made.corpus.folder}/") for path in manifest.table["path"])
    get(made.corpus, tmp_path / "data")
    assert len(made.asked) == len(made.corpus.archives)  # nothing is fetched twice


@pytest.mark.parametrize("name", ["fsdkaggle2018", "urbansound8k"])
def test_archives_of_this_machine_are_checked_unpacked_and_kept(published, tmp_path, name):
    made = published(name)
    table = get(made.corpus, tmp_path / "data", local=made.folder)
    assert made.asked == []
    assert files_below(made.folder) == sorted(archive.name for archive in made.corpus.archives)
    assert read_manifest(table) == read(made.corpus, tmp_path / "data" / made.corpus.folder)


def test_the_one_archive_of_a_data_set_may_have_any_name(published, tmp_path):
    made = published("esc50")
    mine = (made.folder / made.corpus.archives[0].name).rename(tmp_path / "master.zip")
    get(made.corpus, tmp_path / "data", local=mine)
    with pytest.raises(FetchError, match=r"bytes long \(expected"):
        mine.write_bytes(mine.read_bytes() + b" ")
        get(made.corpus, tmp_path / "other", local=mine)
    assert not (tmp_path / "other").exists()


def test_esc10_and_esc50_share_a_download(published, tmp_path):
    made = published("esc50")
    get(made.corpus, tmp_path / "data")
    esc10 = replace(CORPORA["esc10"], archives=made.corpus.archives, n_clips={"fold 1": 1, "fold 2": 1}, n_classes=1)
    assert len(read_manifest(get(esc10, tmp_path / "data"))) == 2
    assert len(made.asked) == 1


def test_a_broken_run_is_gone_on_with_at_the_archive_it_broke_at(published, tmp_path):
    made = published("fsdkaggle2018")
    *_, last = made.corpus.archives
    hidden = (made.folder / last.name).rename(tmp_path / "hidden")
    with pytest.raises(FetchError, match=r"no such file \(404\)"):
        get(made.corpus, tmp_path / "data")
    assert not (tmp_path / "data" / "fsdkaggle2018.csv").exists()
    hidden.rename(made.folder / last.name)
    get(made.corpus, tmp_path / "data")
    assert made.asked == [*(archive.name for archive in made.corpus.archives), last.name]


def test_an_archive_that_is_not_the_published_one_is_not_unpacked(published, tmp_path):
    made = published("urbansound8k")
    path = made.folder / "UrbanSound8K.tar.gz"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(FetchError, match=r"checksum is wrong \(md5 found .*, expected"):
        get(made.corpus, tmp_path / "data")
    assert files_below(tmp_path / "data") == []


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP's zip is not installed")
def test_parts_of_a_split_archive_are_fetched_together(published, tmp_path):
    made = published("fsd50k")
    folder = made.folder.parent / "copy"
    noise = folder / "FSD50K.dev_audio" / "64760.wav"
    noise.write_bytes(noise.read_bytes() + bytes(100_000))
    (made.folder / "FSD50K.dev_audio.zip").unlink()
    command = ["zip", "-q", "-0", "-r", "-s", "64k", made.folder / "FSD50K.dev_audio.zip", "FSD50K.dev_audio"]
    subprocess.run(command, cwd=folder, check=True)
    archives = []
    for archive in made.corpus.archives:
        if archive.name == "FSD50K.dev_audio.zip":
            archive = replace(archive, n_bytes=None, md5=None)
            archives.append(Archive("FSD50K.dev_audio.z01", archive.url.removesuffix("zip") + "z01"))
        archives.append(archive)
    corpus = replace(made.corpus, archives=tuple(archives))
    get(corpus, tmp_path / "data")
    unpacked = tmp_path / "data" / "fsd50k" / "FSD50K.dev_audio" / "64760.wav"
    assert unpacked.read_bytes() == noise.read_bytes()
    get(corpus, tmp_path / "adopted", local=made.folder)
    (made.folder / "FSD50K.dev_audio.z01").unlink()
    with pytest.raises(ManifestError, match=r"holds archives of FSD50K, but not FSD50K\.dev_audio\.z01"):
        get(corpus, tmp_path / "other", local=made.folder)


def test_a_disk_too_small_for_the_whole_is_told_before_anything_is_fetched(published, tmp_path, monkeypatch):
    made = published("fsd50k")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 10_000_000_000))
    with pytest.raises(FetchError, match=r"FSD50K needs 24\.7 GB more .* disk has 10\.0 GB free"):
        get(made.corpus, tmp_path / "data")
    assert made.asked == []


def test_archives_left_by_a_run_killed_after_unpacking_are_removed(published, tmp_path):
    made = published("esc50")
    get(made.corpus, tmp_path / "data")
    left = tmp_path / "data" / "esc50" / "archives" / made.corpus.archives[0].name
    left.touch()
    get(made.corpus, tmp_path / "data")
    assert not left.exists()


def test_what_is_no_copy_is_told(copy, tmp_path):
    made = copy("fsdkaggle2018")
    (tmp_path / "a.zip").touch()
    with pytest.raises(ManifestError, match="is one file, but FSDKaggle2018 comes in 4 archives"):
        get(made.corpus, tmp_path / "data", local=tmp_path / "a.zip")
    with pytest.raises(ManifestError, match=r"does not exist\. Pass the folder of a copy"):
        get(made.corpus, tmp_path / "data", local=tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="is no copy of FSDKaggle2018"):
        get(made.corpus, tmp_path / "data", local=tmp_path / "empty")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["esc50", "esc10"])
def test_real_copies_are_adopted_in_place(tmp_path, name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"no {name} in {SHARED}")
    manifest = read_manifest(get(CORPORA[name], tmp_path, local=SHARED / name))
    assert manifest == read(CORPORA[name], SHARED / name)
    assert manifest.has_folds
    assert Path(manifest.files[0]).suffix == ".opus"


@pytest.fixture
def earmark(monkeypatch):
    """Runs the commands as the command line has them; what they print."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("list")(commands.list_corpora)
    app.command("get")(commands.get_corpus)

    def run(*words: str | Path) -> str:
        printed = io.StringIO()
        monkeypatch.setattr(console.output, "file", printed)
        done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return printed.getvalue() + done.stdout

    return run


def test_the_list_shows_every_data_set(earmark):
    lines = earmark("list").splitlines()
    assert lines[0].split() == ["name", "clips", "classes", "hours", "size", "licence"]
    assert [line.split()[0] for line in lines[1:]] == list(CORPORA)
    assert lines[1].split() == ["esc50", "2000", "50", "2.8", "0.6", "GB", "CC", "BY-NC", "3.0"]
    listed = json.loads(earmark("list", "--json"))
    assert listed[0]["parts"] == {f"fold {fold}": 400 for fold in range(1, 6)}


def test_the_list_needs_no_heavy_package():
    code = (
        "import sys; from earmark.cli.corpora import list_corpora; list_corpora(); "
        "assert not {'pandas', 'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_get_shows_the_licence_and_says_where_the_table_is(earmark, published, tmp_path, monkeypatch):
    made = published("urbansound8k")
    told = io.StringIO()
    monkeypatch.setattr(console.messages, "file", told)
    monkeypatch.setitem(CORPORA, "urbansound8k", made.corpus)
    shown = earmark("get", "urbansound8k", "--root", tmp_path / "data")
    assert shown.strip() == f"{tmp_path / 'data' / 'urbansound8k.csv'}  (4 clips, 3 classes)"
    document = json.loads(earmark("get", "urbansound8k", "--root", tmp_path / "data", "--json"))
    assert document["licence"] == "CC BY-NC 3.0"
    assert "It asks: non-commercial use only" in told.getvalue()


def test_get_takes_a_local_copy_and_refuses_unknown_names(earmark, copy, tmp_path, monkeypatch):
    made = copy("esc50")
    monkeypatch.setitem(CORPORA, "esc50", made.corpus)
    assert "(5 clips, 3 classes)" in earmark("get", "esc50", "--root", tmp_path / "data", "--from", made.folder)
    with pytest.raises(ConfigError, match="is not a known data set"):
        earmark("get", "esc5", "--root", tmp_path)
