"""ESC-50 and its subset ESC-10: environmental sounds of 5 s in five folds, split by source recording within a class.

Four recordings have clips of two classes in two folds (131943, 134049, 209698, 234879). The folds stay as published.

Source: K. J. Piczak, ESC: Dataset for Environmental Sound Classification, ACM Multimedia 2015.
"""

from __future__ import annotations

from pathlib import Path

from earmark.data.corpora.corpus import Archive, Corpus, Rows, Sounds, find_home, read_rows

TITLE = "ESC-50"
COLUMNS = ("filename", "fold", "category", "esc10", "src_file", "take")
COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
# GitHub packs it on demand and promises no checksum; this one was noted by two projects that pin the same commit.
ARCHIVE = Archive(
    "ESC-50-master.zip",
    f"https://github.com/karolpiczak/ESC-50/archive/{COMMIT}.zip",
    n_bytes=645_832_161,
    sha256="661183a6f53ef04f12c9bd618fed0ddc1713280d6c94a5a5431e844ba6f6a21f",
)
CITATION = (
    "K. J. Piczak. ESC: Dataset for Environmental Sound Classification. "
    "Proc. ACM Multimedia, Brisbane, 2015. doi:10.1145/2733373.2806390"
)

OBLIGES = "non-commercial use only; name the authors (its LICENSE lists them by clip)"


def read_esc50(root: Path) -> Rows:
    """All clips of ESC-50. The group is the recording on Freesound that a clip was cut from."""
    return _read(root, only_esc10=False)


def read_esc10(root: Path) -> Rows:
    """The clips of ESC-50 that make up ESC-10."""
    return _read(root, only_esc10=True)


def _read(root: Path, only_esc10: bool) -> Rows:
    home, table = find_home(root, TITLE, "meta/esc50.csv", "esc50.csv")
    sounds = Sounds(home, "audio")
    rows = Rows(home)
    for row in read_rows(home / table, COLUMNS):
        if row["esc10"] == "True" or not only_esc10:
            path = sounds.find(row["filename"])
            rows.add(
                row["filename"], path, [row["category"]], fold=row["fold"], group=row["src_file"], take=row["take"]
            )
    return rows


ESC50 = Corpus(
    name="esc50",
    title=TITLE,
    homepage="https://github.com/karolpiczak/ESC-50",
    licence="CC BY-NC 3.0",
    obliges=OBLIGES,
    citation=CITATION,
    archives=(ARCHIVE,),
    n_bytes=645_832_161,
    hours=2.8,
    n_classes=50,
    n_clips={f"fold {fold}": 400 for fold in range(1, 6)},
    folder="esc50",
    read=read_esc50,
)
ESC10 = Corpus(
    name="esc10",
    title="ESC-10",
    homepage=ESC50.homepage,
    licence="CC BY 3.0",
    obliges="name the authors (the LICENSE of ESC-50 lists them by clip)",
    citation=CITATION,
    archives=(ARCHIVE,),
    n_bytes=ESC50.n_bytes,
    hours=0.6,
    n_classes=10,
    n_clips={f"fold {fold}": 80 for fold in range(1, 6)},
    folder=ESC50.folder,
    read=read_esc10,
)
