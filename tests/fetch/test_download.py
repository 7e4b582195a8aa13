"""Files arrive whole and right, whatever servers and connections do."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark.errors import FetchError
from earmark.fetch import fetch, verify

SOURCE = Path(__file__).parents[2] / "src"
BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture(autouse=True)
def body(server):
    server.body = BODY


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_and_leaves_nothing_else(server, tmp_path):
    path = fetch(server.url, tmp_path / "below" / "sounds.zip", sha256=SHA256, md5=MD5, n_bytes=len(BODY))
    assert path.read_bytes() == BODY
    assert names(path.parent) == ["sounds.zip"]


def test_progress_grows_to_the_whole(server, tmp_path):
    told = []
    server.drops = [300_000]
    fetch(server.url, tmp_path / "a", progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(BODY), len(BODY))


def test_a_dropped_connection_goes_on_where_it_broke_off(server, tmp_path, pauses):
    server.drops = [500_000, 100_000]
    assert fetch(server.url, tmp_path / "a", sha256=SHA256).read_bytes() == BODY
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=500000-", "bytes=600000-"]
    assert server.n_sent == len(BODY)
    assert pauses == [1.0, 1.0]  # each attempt brought something, so none is a failure in a row


def test_a_run_that_gave_up_is_gone_on_with_by_the_next(server, tmp_path):
    server.drops = [500_000]
    with pytest.raises(FetchError, match=r"could not be fetched in 1 attempts .*500000 bytes are kept"):
        fetch(server.url, tmp_path / "a", retries=0)
    assert not (tmp_path / "a").exists()
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY
    assert server.n_sent == len(BODY)


def test_a_killed_run_is_gone_on_with_by_the_next(server, tmp_path):
    server.stalls = [700_000]
    code = f"from pathlib import Path; from earmark.fetch import fetch; fetch({server.url!r}, Path('a'))"
    run = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SOURCE)})
    part = tmp_path / "a.part"
    for _ in range(2000):
        if part.exists() and part.stat().st_size > 500_000:
            break
        time.sleep(0.01)
    run.kill()
    run.wait()
    kept = part.stat().st_size
    assert kept > 500_000
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY
    assert server.n_sent == len(BODY) - kept
    assert names(tmp_path) == ["a", "a.sha256"]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges = False
    server.drops = [500_000]
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY
    assert server.n_sent == len(BODY) + 500_000


def test_a_file_that_changed_meanwhile_is_not_mixed_with_the_old(server, tmp_path):
    server.drops = [500_000]
    with pytest.raises(FetchError):
        fetch(server.url, tmp_path / "a", retries=0)
    server.body, server.tag = BODY[::-1], '"2"'
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY[::-1]


@pytest.mark.parametrize(("checked", "n_sent"), [(False, len(BODY) + 500_000), (True, len(BODY))])
def test_without_a_sign_of_its_state_a_file_is_only_gone_on_with_if_a_checksum_will_tell(
    server, tmp_path, checked, n_sent
):
    server.tag, server.drops = None, [500_000]
    assert fetch(server.url, tmp_path / "a", md5=MD5 if checked else None).read_bytes() == BODY
    assert server.n_sent == n_sent


@pytest.mark.parametrize("tag", ['W/"1"', None])
def test_a_weak_tag_does_not_say_that_a_file_is_the_same_but_its_date_does(server, tmp_path, tag):
    server.tag, server.modified, server.drops = tag, "Sat, 21 Nov 2026 05:00:00 GMT", [500_000]
    fetch(server.url, tmp_path / "a")
    assert server.asked[1]["If-Range"] == server.modified
    assert server.n_sent == len(BODY)


def test_another_address_is_never_mixed_with_what_was_begun(server, tmp_path):
    server.drops = [500_000]
    with pytest.raises(FetchError):
        fetch(server.url, tmp_path / "a", retries=0)
    fetch(f"{server.url}?other", tmp_path / "a", sha256=SHA256)
    assert "Range" not in server.asked[1]


def test_a_piece_from_elsewhere_than_asked_is_not_taken(server, tmp_path):
    server.drops, server.shift = [500_000], 7
    assert fetch(server.url, tmp_path / "a", sha256=SHA256).read_bytes() == BODY


def test_a_piece_of_a_file_of_another_length_is_not_taken(server, tmp_path):
    server.tag, server.drops = None, [500_000]
    with pytest.raises(FetchError):
        fetch(server.url, tmp_path / "a", sha256=SHA256, retries=0)
    server.body = BODY + b"more"
    with pytest.raises(FetchError, match="checksum is wrong"):
        fetch(server.url, tmp_path / "a", sha256=SHA256)
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=500000-", None]


def test_a_piece_that_nobody_asked_for_is_not_taken(server, tmp_path):
    server.statuses = [(206, {"Content-Range": "bytes 5-9/10", "Content-Length": "0"})]
    assert fetch(server.url, tmp_path / "a", sha256=SHA256).read_bytes() == BODY


def test_a_part_that_was_whole_when_the_run_was_killed_is_taken(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("earmark.fetch.download._check", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, tmp_path / "a", sha256=SHA256)
    assert names(tmp_path) == ["a.part", "a.part.json"]
    assert fetch(server.url, tmp_path / "a", sha256=SHA256).read_bytes() == BODY
    assert server.n_sent == len(BODY)


def test_a_part_longer_than_the_file_is_begun_anew(server, tmp_path):
    server.drops = [500_000]
    with pytest.raises(FetchError):
        fetch(server.url, tmp_path / "a", retries=0)
    server.body = BODY[:400_000]
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY[:400_000]


def test_a_server_that_promises_more_than_it_has_is_given_up(server, tmp_path, pauses):
    server.promised = 10
    with pytest.raises(FetchError, match=r"could not be fetched in 4 attempts \(the connection broke off\)"):
        fetch(server.url, tmp_path / "a", retries=3)
    assert pauses == [1.0, 2.0, 4.0]
    assert not (tmp_path / "a").exists()


def test_a_file_cut_short_by_a_server_that_says_no_length_is_noticed_by_its_published_one(server, tmp_path):
    server.sized, server.drops = False, [500_000]
    assert fetch(server.url, tmp_path / "a", n_bytes=len(BODY)).read_bytes() == BODY
    assert len(server.asked) == 2


def test_a_server_that_is_busy_is_asked_again_when_it_says(server, tmp_path, pauses):
    server.statuses = [(503, {"Retry-After": "7"}), (429, {})]
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY
    assert pauses == [7.0, 2.0]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, r"the server has no such file \(404\)"),
        (403, r"does not give it to everybody \(403\)"),
        (418, r"the server refused \(418"),
    ],
)
def test_a_refusal_is_final(server, tmp_path, status, text):
    server.statuses = [(status, {})]
    with pytest.raises(FetchError, match=text):
        fetch(server.url, tmp_path / "a")
    assert len(server.asked) == 1
    assert names(tmp_path) == []


def test_nobody_listening_is_told_after_some_attempts(tmp_path, pauses):
    with pytest.raises(FetchError, match=r"could not be fetched in 3 attempts \(.*refused"):
        fetch("http://127.0.0.1:9/a", tmp_path / "a", retries=2)
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize("n_bytes", [None, len(BODY)])
def test_a_login_page_in_the_place_of_the_file_is_recognised(server, tmp_path, n_bytes):
    server.body, server.kind = b"\n<!DOCTYPE html><html>Welcome to the hotel", "text/html"
    with pytest.raises(FetchError, match="the answer is a web page, not the file"):
        fetch(server.url, tmp_path / "a", sha256=SHA256, n_bytes=n_bytes)
    assert names(tmp_path) == []


def test_a_wrong_checksum_tells_both_and_removes_the_file(server, tmp_path):
    with pytest.raises(FetchError, match=rf"checksum is wrong \(md5 found {MD5}, expected {'0' * 32}\).*was removed"):
        fetch(server.url, tmp_path / "a", md5="0" * 32)
    assert names(tmp_path) == []


def test_another_length_than_published_is_refused_before_it_is_fetched(server, tmp_path):
    with pytest.raises(FetchError, match=rf"server's file is {len(BODY)} bytes long \(expected 5\)"):
        fetch(server.url, tmp_path / "a", n_bytes=5)
    assert names(tmp_path) == []


def test_a_good_file_is_not_fetched_again_and_a_bad_one_is(server, tmp_path):
    (tmp_path / "a").write_bytes(BODY)
    fetch(server.url, tmp_path / "a", sha256=SHA256)
    assert server.asked == []
    (tmp_path / "a").write_bytes(BODY[:-1])
    assert fetch(server.url, tmp_path / "a", sha256=SHA256).read_bytes() == BODY
    assert len(server.asked) == 1


def test_a_sum_nobody_publishes_is_noted_and_later_downloads_are_held_against_it(server, tmp_path):
    path = fetch(server.url, tmp_path / "a")
    assert (tmp_path / "a.sha256").read_text() == f"{SHA256}  a\n"
    path.unlink()
    fetch(server.url, path)
    path.unlink()
    server.body = BODY[::-1]
    with pytest.raises(FetchError, match=r"found .*, expected .*The first download was another file, says .*a\.sha256"):
        fetch(server.url, path)
    assert names(tmp_path) == ["a.sha256"]


@pytest.mark.parametrize("address", [str, lambda path: path.as_uri()])
def test_a_file_of_this_machine_is_taken_with_the_same_checks(tmp_path, address):
    source = tmp_path / "from here" / "ö.zip"
    source.parent.mkdir()
    source.write_bytes(BODY)
    assert fetch(address(source), tmp_path / "a", sha256=SHA256).read_bytes() == BODY
    with pytest.raises(FetchError, match="checksum is wrong"):
        fetch(address(source), tmp_path / "b", md5="0" * 32)
    assert source.read_bytes() == BODY
    assert not (tmp_path / "b").exists()


def test_a_file_of_another_disk_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "here").write_bytes(BODY)
    assert fetch(str(tmp_path / "here"), tmp_path / "a", md5=MD5).read_bytes() == BODY


def test_a_local_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FetchError, match="there is no such file"):
        fetch(str(tmp_path / "nothing.zip"), tmp_path / "a")


def test_a_download_never_writes_into_a_file_of_the_user_that_was_linked(server, tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    os.link(mine, tmp_path / "a.part")  # as a run leaves it that was killed between link and check
    fetch(server.url, tmp_path / "a")
    assert mine.read_bytes() == b"mine"


def test_a_full_disk_is_told_before_and_while_writing(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1000))
        with pytest.raises(FetchError, match=r"the disk has 0\.0 GB free"):
            fetch(server.url, tmp_path / "a")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FetchError, match="the disk is full"):
        fetch(server.url, tmp_path / "a")


def test_a_place_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(server.url, tmp_path / "file" / "a")


def test_a_connection_that_dies_with_an_error_is_tried_again(server, tmp_path, monkeypatch):
    import urllib.request

    real, calls = urllib.request.urlopen, []

    def flaky(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise urllib.error.URLError(TimeoutError("timed out"))
        return real(*arguments, **options)

    monkeypatch.setattr(urllib.request, "urlopen", flaky)
    assert fetch(server.url, tmp_path / "a", md5=MD5).read_bytes() == BODY


def test_a_note_that_is_no_note_is_passed_over(server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"x")
    (tmp_path / "a.part.json").write_text("[1]")
    assert fetch(server.url, tmp_path / "a").read_bytes() == BODY


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drops=st.lists(st.integers(0, 5000), max_size=6), ranges=st.booleans(), tagged=st.booleans())
def test_wherever_it_breaks_the_file_arrives(server, tmp_path_factory, drops, ranges, tagged):
    server.body, server.drops, server.ranges = BODY[:4000], list(drops), ranges
    server.tag = '"1"' if tagged else None
    path = fetch(server.url, tmp_path_factory.mktemp("a") / "a", retries=10)
    assert path.read_bytes() == BODY[:4000]


def test_verify_reads_capitals_and_tells_lengths_and_unreadable_files(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(BODY)
    verify(path, md5=MD5.upper())
    with pytest.raises(FetchError, match=rf"is {len(BODY)} bytes long \(expected 3\)"):
        verify(path, n_bytes=3)
    with pytest.raises(FetchError, match="cannot be read"):
        verify(tmp_path, md5=MD5)
