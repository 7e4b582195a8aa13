"""Which clips a tagger has been trained on, in few bytes: so that it is never scored on them by mistake."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from earmark.data.manifest import Manifest
from earmark.predictions import clip_id

DIGEST_BYTES = 6  # among 20,000 kept and as many asked for, one false alarm in 700,000 data sets
MOST = 20_000  # digests kept, those with the smallest values: of a larger set a sample that any large copy meets


def sketch(manifest: Manifest, content_hashes: Mapping[str, str]) -> str:
    """What was trained on, as base64 text of at most 160 kB.

    Args:
        content_hashes: of files by the manifest's path (`leakage.hash_contents`).
    """
    return _written({names[-1] for names in _digests(manifest, content_hashes)})


def join(*kept: str) -> str:
    """One sketch of several: of a tagger that was made from another, whose clips it knows too.

    >>> join("AAAAAAAB", "", "AAAAAAAA")
    'AAAAAAAAAAAAAAAB'
    """
    return _written(set().union(*map(_read, kept)))


def seen(kept: str, manifest: Manifest, content_hashes: Mapping[str, str]) -> np.ndarray:
    """Which clips (clips,) bool stand in a sketch: the same region of the same content, or of a file that is there
    whole. Other regions of a file, and copies that are encoded anew, are not noticed."""
    known = _read(kept)
    return np.array([not known.isdisjoint(names) for names in _digests(manifest, content_hashes)], dtype=bool)


def _written(digests: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(digests)[:MOST])).decode()


def _read(kept: str) -> set[bytes]:
    data = base64.b64decode(kept)
    return {data[first : first + DIGEST_BYTES] for first in range(0, len(data), DIGEST_BYTES)}


def _digests(manifest: Manifest, content_hashes: Mapping[str, str]) -> Iterator[list[bytes]]:
    """Each clip's digests: of its file's content, and after it, where it is a region, of content and region."""
    columns = (manifest.table[name].tolist() for name in ("path", "start", "end"))
    for path, start, end in zip(*columns, strict=True):
        if path not in content_hashes:
            yield [b""]
            continue
        whole = content_hashes[path]
        region = clip_id(whole, start, None if np.isnan(end) else end)
        names = [whole] if region == whole else [whole, region]
        yield [hashlib.blake2b(name.encode(), digest_size=DIGEST_BYTES).digest() for name in names]
