"""Getting what others publish: files, over HTTP or from here, checked; archives, unpacked whole or not at all."""

from __future__ import annotations

from earmark.fetch.archive import is_archive, unpack
from earmark.fetch.checksum import verify
from earmark.fetch.download import fetch

__all__ = ["fetch", "is_archive", "unpack", "verify"]
