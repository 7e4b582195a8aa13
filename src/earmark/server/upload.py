"""A sound as a request brings it: written to a file without a name as it comes, never more than is allowed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from earmark.server.limits import Limits
from earmark.server.refusals import Refusal

FIELD = "file"
FORM_BYTES = 1 << 16  # what a form may have around its file
OPEN_FILES = Path("/proc/self/fd")


@contextlib.contextmanager
def spare_file() -> Iterator[tuple[BinaryIO, Path]]:
    """A file in the system's folder for temporary ones, and a path to open it by; gone at the end, whatever happens.

    Where the system knows open files by number it never has a name, so that even a kill leaves nothing.
    """
    descriptor, name = tempfile.mkstemp(prefix="earmark-upload-")
    path, nameless = Path(name), OPEN_FILES / str(descriptor)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if nameless.exists():
                path.unlink()
                path = nameless
            yield file, path
    finally:
        Path(name).unlink(missing_ok=True)


async def receive(request: Request, file: BinaryIO, limits: Limits) -> None:
    """Write the sound that a request brings: the field "file" of a form, else the whole body.

    Raises:
        Refusal: too many bytes, too slow, or no file.
        ClientDisconnect: the client has left.
    """
    write, finish = _writer(request, file, limits)
    claimed = request.headers.get("content-length", "")
    most = limits.bytes + FORM_BYTES
    if claimed.isdecimal() and int(claimed) > most:
        raise _too_large(limits)
    began, n_bytes = asyncio.get_running_loop().time() + limits.receive_seconds, 0
    try:
        async with asyncio.timeout_at(began) as patience:
            async for piece in request.stream():
                n_bytes += len(piece)
                patience.reschedule(began + n_bytes / limits.receive_bytes_per_second)
                if n_bytes > most:
                    raise _too_large(limits)
                write(piece)
                if n_bytes - file.tell() > FORM_BYTES:
                    raise _bad_form(f"more than {FORM_BYTES} bytes of it are no file")
    except TimeoutError as error:
        raise Refusal(
            "slow_upload",
            f"upload: {n_bytes} bytes came in the time that is given (expected {limits.receive_bytes_per_second} a "
            f"second, after {limits.receive_seconds:g} s). Send a smaller file, or from a faster line.",
        ) from error
    finish()
    if not file.tell():
        raise Refusal("bad_upload", "upload: is empty (0 bytes). Send the bytes of a sound file.")
    file.flush()


def _too_large(limits: Limits) -> Refusal:
    return Refusal(
        "too_large",
        f"upload: has too many bytes (at most {limits.bytes} are taken). Send a shorter sound, or as FLAC or Opus.",
    )


def _writer(request: Request, file: BinaryIO, limits: Limits) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    """What takes the pieces of a body, and what is called after the last.

    Raises:
        Refusal: a form without a boundary, or a body that is packed.
    """

    def write(piece: bytes) -> None:
        if file.tell() + len(piece) > limits.bytes:
            raise _too_large(limits)
        file.write(piece)

    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal("bad_upload", "upload: its body is compressed (Content-Encoding). Send it as it is.")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        return write, lambda: None
    form = _Form(options.get(b"boundary", b""), write)
    return form.write, form.finish


class _Form:
    """Picks the one file out of a form as it comes (RFC 7578)."""

    def __init__(self, boundary: bytes, write: Callable[[bytes], None]):
        self._write = write
        self._header: tuple[bytearray, bytearray] = bytearray(), bytearray()
        self._disposition = b""
        self._n_files, self._whole = 0, False
        names = ("part_begin", "header_begin", "header_field", "header_value", "header_end", "headers_finished")
        callbacks = {f"on_{name}": getattr(self, f"_{name}") for name in (*names, "part_data", "end")}
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _bad_form(error) from error

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            Refusal: it is no form, or has other fields.
        """
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _bad_form(error) from error

    def finish(self) -> None:
        """The body has ended.

        Raises:
            Refusal: within the form, or without a file.
        """
        if not self._whole:
            raise _bad_form("it stops before its last boundary")
        if not self._n_files:
            raise Refusal("bad_upload", f"upload: the form has no field '{FIELD}'. Send the sound file in it.")

    def _part_begin(self) -> None:
        self._disposition = b""

    def _header_begin(self) -> None:
        self._header = bytearray(), bytearray()

    def _header_field(self, data: bytes, start: int, stop: int) -> None:
        self._header[0].extend(data[start:stop])

    def _header_value(self, data: bytes, start: int, stop: int) -> None:
        self._header[1].extend(data[start:stop])

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD:
            raise Refusal(
                "bad_upload",
                f"upload: the form has a field '{name[:40]}' (expected '{FIELD}' alone). Put everything else into the "
                "address.",
            )
        self._n_files += 1
        if self._n_files > 1:
            raise Refusal("bad_upload", "upload: the form has more than one file. Send a request for each.")

    def _part_data(self, data: bytes, start: int, stop: int) -> None:
        self._write(data[start:stop])

    def _end(self) -> None:
        self._whole = True


def _bad_form(why: object) -> Refusal:
    return Refusal("bad_upload", f"upload: is no form that can be read ({why}). Send the file as multipart/form-data.")
