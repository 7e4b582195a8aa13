"""The collection of everything that breaks audio tools, uploaded: the scores of the command line, or its reason."""

from __future__ import annotations

import csv
import functools
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from earmark.server.app import create_app
from earmark.server.limits import Limits
from earmark.tagger import tag_files

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "nasty.tar.gz"
LONG = "long_1h.opus"  # an hour, which would take its time
REASONS = {415: {"not_a_sound"}, 422: {"bad_upload", "cut_off", "unreadable"}}


@functools.cache
def names() -> list[str]:
    """Paths of the collection's index; an absent collection is a skipped test."""
    if not ARCHIVE.exists():
        return ["absent"]
    with tarfile.open(ARCHIVE) as archive:
        text = archive.extractfile("nasty/index.csv").read().decode("utf-8")
    return [row["path"] for row in csv.DictReader(io.StringIO(text, newline=""))]


@pytest.fixture(scope="module")
def client(cnn) -> Iterator[TestClient]:
    """One client for all files."""
    with TestClient(create_app([cnn], page=None), base_url="http://127.0.0.1") as made:
        yield made


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [name for name in names() if name != LONG])
def test_an_upload_is_tagged_as_its_file_is_or_refused_for_its_reason(client, cnn, nasty, name):
    path = nasty / name
    if not path.is_file():
        pytest.skip("is no file that could be uploaded")
    [expected] = tag_files(cnn, [path], threads=1)
    for sent in ({"content": path.read_bytes()}, {"files": {"file": (path.name, path.read_bytes())}}):
        answer = client.post("/v1/tag?scores=true", **sent)
        if expected.error is None:
            assert answer.status_code == 200, answer.text
            found = answer.json()
            np.testing.assert_allclose(list(found["scores"].values()), expected.predictions.scores[0], atol=1e-4)
            assert abs(found["end"] - expected.predictions.ends[0]) < 1e-6
            assert found["warnings"] == list(expected.warnings)
        else:
            error = answer.json()["error"]
            assert error["reason"] in REASONS[answer.status_code]
            if path.stat().st_size:
                assert error["message"] == expected.error.replace(str(path), "upload")


@pytest.mark.timeout(60)
def test_an_hour_in_a_small_file_is_refused_by_its_header(make_client, nasty, refused):
    client = make_client(limits=Limits(seconds=600))
    assert refused(client.post("/v1/tag", content=(nasty / LONG).read_bytes())) == (413, "too_long")
    assert client.post("/v1/tag?start=1800&end=1810", content=(nasty / LONG).read_bytes()).json()["end"] == 1810
