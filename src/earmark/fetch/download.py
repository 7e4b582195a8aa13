"""One file from a server or from this machine: resumed where it broke off, checked, and there whole or not at all."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep
from typing import Any

from earmark.errors import FetchError
from earmark.fetch.checksum import BLOCK, digest, verify
from earmark.run import write_text

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60
FIRST_PAUSE_SECONDS = 1.0  # before the second attempt; doubles with each that follows
LONGEST_PAUSE_SECONDS = 60.0
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers of a server that may be another next time
BROKEN_OFF = (http.client.HTTPException, urllib.error.URLError, ssl.SSLError, TimeoutError, ConnectionError)
WEB_PAGE = (b"<!doctype html", b"<html")

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class _Part:
    """What a file begun is a part of.

    url: where from. validator: strong ETag or Last-Modified, by which a server tells that its file is still the
        same ("" = it gave none). n_bytes: length of the whole file, None = unsaid.
    """

    url: str
    validator: str
    n_bytes: int | None


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    n_bytes: int | None = None,
    progress: Progress | None = None,
    retries: int = 5,
) -> Path:
    """Get one file. What a broken or killed run left (`path` with `.part`) is gone on with.

    Where no checksum is published, that of the first download is kept beside the file (`.sha256`), and every later
    download is held against it.

    Args:
        url: http, https or file address, or a path of this machine: such a file is linked or copied.
        path: where the file is to lie. One that is there already is kept if it passes the checks.
        sha256, md5: published checksum in hex. n_bytes: published length.
        progress: told bytes done and bytes in all (None = unsaid by the server).
        retries: attempts in a row that may bring nothing before it is given up.

    Returns:
        `path`.

    Raises:
        FetchError: the address or the file is wrong, the connection stays away, or the disk refuses.
    """
    checks = {"sha256": sha256, "md5": md5, "n_bytes": n_bytes}
    record = path.with_name(f"{path.name}.sha256")
    unpublished = sha256 is None and md5 is None
    if unpublished and record.is_file():
        checks["sha256"] = record.read_text(encoding="utf-8").split()[0]
    if path.is_file():
        try:
            verify(path, **checks)
            return path
        except FetchError as error:
            log.warning("%s", error)
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if urllib.parse.urlsplit(url).scheme in ("http", "https"):
            checked = checks["sha256"] is not None or md5 is not None
            request = _Request(url, part, n_bytes, checked, progress or (lambda done, total: None))
            _download(request, retries)
        else:
            _adopt(local_path(url), part)
        _check(url, part, checks, record if unpublished else None)
        os.replace(part, path)
    except OSError as error:
        raise FetchError(_disk_says(path, error)) from error
    if unpublished and not record.exists():
        write_text(record, f"{digest(path, 'sha256')}  {path.name}\n")
    return path


def local_path(url: str) -> Path:
    """The file that a file:// address or a plain path names.

    >>> local_path("file:///data/a%20b.zip").as_posix()
    '/data/a b.zip'
    """
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else Path(url)


@dataclass(frozen=True)
class _Request:
    """What is to be had.

    n_bytes: published length, None = unknown. checked: whether a checksum will tell if pieces do not fit.
    """

    url: str
    part: Path
    n_bytes: int | None
    checked: bool
    progress: Progress


def _adopt(source: Path, part: Path) -> None:
    """Put a file of this machine in the part's place."""
    if not source.is_file():
        raise FetchError(f"{source}: there is no such file. Check the path.")
    _forget(part)
    try:
        os.link(source, part)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, part)


def _check(url: str, part: Path, checks: dict[str, Any], record: Path | None) -> None:
    """Refuse and remove a part that is whole but not the file expected."""
    try:
        verify(part, **checks)
    except FetchError as error:
        _forget(part)
        advice = "The bad file was removed: try again. If it stays so, the publisher has changed the file."
        if record is not None and record.exists():
            advice = f"The first download was another file, says {record}. Delete that if the file may change."
        problem = str(error).removeprefix(f"{part}: ").removesuffix(" Get it again.")
        raise FetchError(f"{url}: {problem} {advice}") from error
    _note(part).unlink(missing_ok=True)


def _download(request: _Request, retries: int) -> None:
    """Fill the part, however often the connection breaks."""
    url, part = request.url, request.part
    failures = 0
    while True:
        before = _length(part)
        try:
            if _receive(request):
                return
            problem, pause = "the connection broke off", 0.0
        except urllib.error.HTTPError as error:
            if error.code not in PASSING:
                raise FetchError(_server_says(url, error.code)) from error
            problem, pause = f"the server answered {error.code} {error.reason}", _retry_after(error)
        except BROKEN_OFF as error:
            problem, pause = str(getattr(error, "reason", error)) or type(error).__name__, 0.0
        failures = 1 if _length(part) > before else failures + 1
        if failures > retries:
            kept = _length(part)
            advice = f"{kept} bytes are kept: run the same again to go on from there." if kept else "Check the network."
            raise FetchError(f"{url}: could not be fetched in {failures} attempts ({problem}). {advice}")
        pause = min(max(pause, FIRST_PAUSE_SECONDS * 2 ** (failures - 1)), LONGEST_PAUSE_SECONDS)
        log.info("%s: %s, trying again in %.0f s", url, problem, pause)
        sleep(pause)


def _receive(request: _Request) -> bool:
    """Ask once for what is still missing of the part. Whether it is whole now."""
    url, part = request.url, request.part
    begun, known = _length(part), _read_note(part)
    if begun and (known is None or known.url != url or not (known.validator or request.checked)):
        _forget(part)  # nothing would tell that the server's file is no longer the one begun
        begun = 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "earmark"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
        if known.validator:
            headers["If-Range"] = known.validator
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not begun:
            raise
        if begun == known.n_bytes:  # killed between the last byte and the check
            return True
        _forget(part)
        return False
    with answer:
        total = _total(answer)
        changed = begun > 0 and known.n_bytes not in (None, total)
        if answer.status == 206 and (changed or not _starts_at(answer, begun)):
            _forget(part)
            return False
        done = begun if answer.status == 206 else 0
        if None not in (request.n_bytes, total) and total != request.n_bytes and not _is_page(answer):
            raise FetchError(
                f"{url}: the server's file is {total} bytes long (expected {request.n_bytes}). "
                "The publisher has changed it."
            )
        _refuse_full_disk(part, done, total)
        _note(part).write_text(json.dumps(asdict(_Part(url, _validator(answer), total))), encoding="utf-8")
        _save(answer, request, done, total)
    expected = request.n_bytes if total is None else total
    return expected is None or _length(part) == expected


def _save(answer: http.client.HTTPResponse, request: _Request, done: int, total: int | None) -> None:
    """Append the body to the first `done` bytes of the part; what arrives before a break is kept."""
    with open(request.part, "ab") as file:
        file.truncate(done)
        block = answer.read(64)  # enough to know a web page by
        if not done and block.lstrip().lower().startswith(WEB_PAGE):
            _forget(request.part)
            raise FetchError(
                f"{request.url}: the answer is a web page, not the file. Open the address in a browser: "
                "the network may ask for a login first, or the file may have moved."
            )
        while block:
            file.write(block)
            done += len(block)
            request.progress(done, total)
            block = answer.read1(BLOCK)  # what has come, so that a kill loses little
        os.fsync(file.fileno())


def _total(answer: http.client.HTTPResponse) -> int | None:
    """Length of the whole file, None = unsaid."""
    if answer.status == 206:
        text = answer.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _starts_at(answer: http.client.HTTPResponse, position: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {position}-")


def _is_page(answer: http.client.HTTPResponse) -> bool:
    return answer.headers.get_content_type() == "text/html"


def _validator(answer: http.client.HTTPResponse) -> str:
    """By what the server can be asked whether its file is unchanged; weak tags do not say so."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait."""
    text = error.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _note(part: Path) -> Path:
    """Where it stands what a part is of."""
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> _Part | None:
    try:
        return _Part(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _refuse_full_disk(part: Path, done: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - done > free:
        raise FetchError(
            f"{part.parent}: the disk has {free / 1e9:.1f} GB free (needed {(total - done) / 1e9:.1f}). "
            "Make room, or choose another folder."
        )


def _server_says(url: str, code: int) -> str:
    if code in (404, 410):
        return f"{url}: the server has no such file ({code}). It may have moved: see the publisher's page."
    if code in (401, 403):
        return f"{url}: the server does not give it to everybody ({code}). Download it in a browser, and pass the file."
    return f"{url}: the server refused ({code} {http.client.responses.get(code, '')}). Download it in a browser."


def _disk_says(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full. Make room and run the same again: what has arrived is kept."
    return f"{path}: cannot be written ({error.strerror or error}). Choose another folder, or check its permissions."
