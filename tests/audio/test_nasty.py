"""The collection of everything that breaks audio tools: each file decodes, or says why not; none hangs."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import pytest

from earmark import audio
from earmark.errors import AudioError

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "nasty.tar.gz"
RATE = 16_000

# Marked "yes" there, but not for us, with the reason.
REFUSED = {
    "nan.wav": "no number",  # ten NaN must not become scores
    "vbr_noxing.mp3": "holds more sound than its header lets be read",  # libsndfile stops early
    "chained.ogg": "is a chain of Ogg streams",  # libsndfile reads the first alone
    "one_sample.wav": "too short to leave a sample",  # at this rate
}


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> Path:
    if not ARCHIVE.exists():
        pytest.skip(f"{ARCHIVE} is not there")
    folder = tmp_path_factory.mktemp("nasty")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder / "nasty"


def seconds(path: Path) -> float:
    """Duration by decoding to the end."""
    return sum(len(block) for block in audio.blocks(path, RATE)) / RATE


@pytest.mark.timeout(120)
def test_every_file_decodes_to_its_length_or_says_why_not(nasty):
    with open(nasty / "index.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 60
    wrong = []
    for row in rows:
        name, wanted = row["path"], row["should_decode"]
        try:
            found = seconds(nasty / name)
        except AudioError as error:
            expected = wanted in ("no", "optional", "partial") or REFUSED.get(name, "—") in str(error)
            if not expected or not str(error).startswith(f"{nasty / name}: "):
                wrong.append(f"{name}: {error}")
            continue
        if wanted in ("no", "optional") or name in REFUSED:
            wrong.append(f"{name}: decoded to {found} s")
        elif wanted == "yes" and abs(found - float(row["expected_duration_s"])) > 0.06:
            wrong.append(f"{name}: {found} s, not {row['expected_duration_s']} s")
    assert wrong == []
