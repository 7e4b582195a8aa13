"""Archives are unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from collections import namedtuple

import pytest

from earmark.errors import FetchError
from earmark.fetch import is_archive, unpack
from earmark.fetch.split_zip import END, MEMBER, Joined

FILES = {"set/a.wav": os.urandom(70_000), "set/b/c.wav": b"sound" * 20_000, "set/empty.txt": b""}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_zip(path, files, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name) if isinstance(data, bytes) else data
            info.size = len(data) if isinstance(data, bytes) else 0
            archive.addfile(info, io.BytesIO(data if isinstance(data, bytes) else b""))
    return path


def write_split(path, files, sizes):
    """A zip in parts of these sizes and a last one, as the format has it: places are counted from a disk's start."""
    whole = b"PK\x07\x08" + write_zip(path, files).read_bytes()
    cuts = [0, *(sum(sizes[: n + 1]) for n in range(len(sizes))), len(whole)]

    def place(position):
        disk = max(number for number, cut in enumerate(cuts[:-1]) if cut <= position)
        return disk, position - cuts[disk]

    start = END.unpack_from(whole, len(whole) - END.size)[6] + 4
    directory, position = bytearray(whole[start : -END.size]), 0
    while position < len(directory):
        fields = list(MEMBER.unpack_from(directory, position))
        fields[13], fields[16] = place(fields[16] + 4)
        MEMBER.pack_into(directory, position, *fields)
        position += MEMBER.size + sum(fields[10:13])
    disk, offset = place(start)
    end = END.pack(b"PK\x05\x06", len(sizes), disk, len(files), len(files), len(directory), offset, 0)
    whole = whole[:start] + directory + end
    for number in range(len(sizes)):
        path.with_suffix(f".z{number + 1:02d}").write_bytes(whole[cuts[number] : cuts[number + 1]])
    path.write_bytes(whole[cuts[-2] :])
    return path


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz", "x.tar"])
def test_an_archive_of_one_folder_becomes_that_folder(tmp_path, name):
    archive = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, FILES)
    folder = unpack(archive, tmp_path / "out" / "sounds")
    assert contents(folder) == {name.removeprefix("set/"): data for name, data in FILES.items()}
    assert os.listdir(tmp_path / "out") == ["sounds"]


def test_an_archive_of_several_entries_keeps_them(tmp_path):
    files = {"./yes/a.wav": b"1", "./no/a.wav": b"2", "./list.txt": b"3"}
    folder = unpack(write_tar(tmp_path / "x.tar.gz", files), tmp_path / "out")
    assert contents(folder) == {"yes/a.wav": b"1", "no/a.wav": b"2", "list.txt": b"3"}


def test_what_a_mac_adds_is_left_out(tmp_path):
    files = {"set/a.wav": b"1", "__MACOSX/set/._a.wav": b"2"}
    assert contents(unpack(write_zip(tmp_path / "x.zip", files), tmp_path / "out")) == {"a.wav": b"1"}


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    assert unpack(tmp_path / "nothing.zip", tmp_path / "out") == tmp_path / "out"
    assert contents(tmp_path / "out") == {}


def test_what_a_killed_run_left_is_begun_anew(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "x.zip", FILES)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("earmark.fetch.archive.shutil.rmtree", lambda *_, **__: None)  # a kill tidies nothing
        patch.setattr("earmark.fetch.archive.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, tmp_path / "out")
    assert (tmp_path / ".out.unpacking" / "set").is_dir()
    assert not (tmp_path / "out").exists()
    (tmp_path / ".out.unpacking" / "stale.wav").touch()
    assert "stale.wav" not in contents(unpack(archive, tmp_path / "out"))
    assert not (tmp_path / ".out.unpacking").exists()


@pytest.mark.parametrize("name", ["../evil.wav", "set/../../evil.wav", "/evil.wav", "..\\evil.wav", "C:/evil.wav"])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_name_that_leads_outside_is_refused_and_nothing_is_written(tmp_path, name, suffix):
    files = {"set/good.wav": b"1", name: b"2"}
    archive = (write_zip if suffix == ".zip" else write_tar)(tmp_path / f"x{suffix}", files)
    with pytest.raises(FetchError, match="would be written outside the folder"):
        unpack(archive, tmp_path / "in" / "out")
    assert not any(tmp_path.rglob("*.wav"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("set/link")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(FetchError, match="is not unpacked, because 'set/link' in it is a link or a device"):
        unpack(write_tar(tmp_path / "x.tar", {"set/link": member}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("set/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FetchError, match="is a link or a device"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


def test_a_locked_zip_is_told(tmp_path):
    data = bytearray(write_zip(tmp_path / "x.zip", {"a.wav": b"1"}).read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(FetchError, match="is locked with a password"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


def damage(path, how):
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = bytes(byte ^ 0xFF for byte in data[middle - 2000 : middle])
    path.write_bytes({"cut": data[:middle], "flipped": data[: middle - 2000] + flipped + data[middle:]}[how])
    return path


@pytest.mark.parametrize("how", ["cut", "flipped"])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_damaged_archive_leaves_nothing(tmp_path, suffix, how):
    files = {f"set/{number}.wav": os.urandom(20_000) for number in range(8)}
    archive = damage((write_zip if suffix == ".zip" else write_tar)(tmp_path / f"x{suffix}", files), how)
    with pytest.raises(FetchError, match=r"is a damaged archive|is no zip archive, or is cut short"):
        unpack(archive, tmp_path / "in" / "out")
    assert list((tmp_path / "in").iterdir()) == []


def test_what_is_no_archive_or_is_empty_or_is_not_there_is_told(tmp_path):
    for name in ("x.zip", "x.tar.gz"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(FetchError, match=r"is a damaged archive|is no zip archive"):
            unpack(tmp_path / name, tmp_path / "out")
    with pytest.raises(FetchError, match="holds no files"):
        unpack(write_zip(tmp_path / "empty.zip", {}), tmp_path / "out")
    with pytest.raises(FetchError, match=r"cannot be unpacked to .*No such file"):
        unpack(tmp_path / "nothing.zip", tmp_path / "out")


def test_a_full_disk_is_told_before_and_while_unpacking(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "x.zip", FILES)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1000))
        with pytest.raises(FetchError, match=r"needs 0\.0 GB, and .* has 0\.0 free"):
            unpack(archive, tmp_path / "out")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(FetchError, match="the disk is full"):
        unpack(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.zip"]


def test_an_unknown_compression_is_told(tmp_path):
    data = bytearray(write_zip(tmp_path / "x.zip", {"a.wav": b"1" * 100}).read_bytes())
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(signature) + place, 97)
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(FetchError, match="packed in a way that is not known here"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("sizes", [[100], [70_000], [30_000, 30_000], [70_200, 100, 5]])
def test_a_split_zip_is_read_as_one_wherever_it_is_cut(tmp_path, sizes):
    folder = unpack(write_split(tmp_path / "x.zip", FILES, sizes), tmp_path / "out")
    assert contents(folder) == {name.removeprefix("set/"): data for name, data in FILES.items()}


def test_missing_parts_of_a_split_zip_are_named(tmp_path):
    archive = write_split(tmp_path / "x.zip", FILES, [30_000, 30_000])
    (tmp_path / "x.z01").unlink()
    with pytest.raises(FetchError, match=r"parts of it are missing \(x\.z01\)"):
        unpack(archive, tmp_path / "out")


def test_parts_of_different_archives_do_not_fit(tmp_path):
    archive = write_split(tmp_path / "x.zip", FILES, [30_000, 70_000 - 30_000])
    (tmp_path / "x.z02").write_bytes(b"short")
    with pytest.raises(FetchError, match=r"parts do not fit together|is a damaged archive"):
        unpack(archive, tmp_path / "out")


def test_a_directory_that_is_cut_does_not_fit(tmp_path):
    sizes = [70_000]
    archive = write_split(tmp_path / "x.zip", FILES, sizes)
    data = bytearray(archive.read_bytes())
    fields = list(END.unpack_from(data, len(data) - END.size))
    fields[5] -= 10
    END.pack_into(data, len(data) - END.size, *fields)
    archive.write_bytes(data)
    with pytest.raises(FetchError, match="parts do not fit together"):
        unpack(archive, tmp_path / "out")


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP's zip is not installed")
@pytest.mark.parametrize("options", [[], ["-fz"], ["-0"]], ids=["plain", "zip64", "stored"])
def test_what_info_zip_splits_is_read(tmp_path, options):
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    subprocess.run(["zip", "-q", "-r", "-s", "64k", *options, "x.zip", "set"], cwd=tmp_path, check=True)
    assert (tmp_path / "x.z01").is_file()
    folder = unpack(tmp_path / "x.zip", tmp_path / "out")
    assert contents(folder) == {name.removeprefix("set/"): data for name, data in FILES.items()}


def test_joined_files_are_read_like_one(tmp_path):
    pieces = [b"abc", b"", b"defg"]
    paths = []
    for number, piece in enumerate(pieces):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(piece)
    with io.BufferedReader(Joined(paths)) as whole:
        assert whole.read() == b"abcdefg"
        assert whole.seek(-3, io.SEEK_END) == 4
        assert whole.read(2) == b"ef"
        assert whole.seek(1, io.SEEK_CUR) == whole.tell() == 7
        assert whole.read() == b""
    with io.BufferedReader(Joined(paths, 4, b"XY")) as whole:
        assert whole.read() == b"abcdXY"


def test_a_part_of_an_archive_is_none():
    assert [is_archive(name) for name in ("x.ZIP", "x.tar", "x.z01", "x.wav")] == [True, True, False, False]
