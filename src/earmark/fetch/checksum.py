"""Whether a file is the one that was published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from earmark.errors import FetchError

BLOCK = 1 << 20  # bytes


def verify(path: Path, *, sha256: str | None = None, md5: str | None = None, n_bytes: int | None = None) -> None:
    """Hold a file against what its publisher says of it; what is None is not looked at.

    Raises:
        FetchError: it differs; both sums or lengths are told.
    """
    found = path.stat().st_size
    if n_bytes is not None and found != n_bytes:
        raise FetchError(f"{path}: is {found} bytes long (expected {n_bytes}). Get it again.")
    for name, expected in (("sha256", sha256), ("md5", md5)):
        if expected is not None and (found := digest(path, name)) != expected.lower():
            raise FetchError(
                f"{path}: the checksum is wrong ({name} found {found}, expected {expected.lower()}). Get it again."
            )


def digest(path: Path, name: str) -> str:
    """Hex checksum of a file; `name` as hashlib knows it ("md5", "sha256").

    Raises:
        FetchError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            # MD5 is what many publish: it tells accidents, which is all that is asked of it here.
            return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise FetchError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
