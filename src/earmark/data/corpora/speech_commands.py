"""Speech Commands v0.02: single English words of about 1 s, spoken by 2,618 people.

Source: P. Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, arXiv:1804.03209.
"""

from __future__ import annotations

import os
from pathlib import Path

from earmark.data.corpora.corpus import Archive, Corpus, Rows, find_home

TESTING, VALIDATION = "testing_list.txt", "validation_list.txt"


def read_speech_commands(root: Path) -> Rows:
    """All words. The group is who spoke; the official lists say what is for validation and test, the rest trains.

    The six long recordings in `_background_noise_` are left out: they are no clips of any list, and have no label.
    """
    home, _ = find_home(root, "Speech Commands", TESTING)
    splits = {}
    for table, split in ((VALIDATION, "validation"), (TESTING, "test")):
        listed = (home / table).read_text(encoding="utf-8").split() if (home / table).is_file() else []
        splits |= {os.path.splitext(name)[0]: split for name in listed}
    rows = Rows(home)
    for word in sorted(entry.name for entry in os.scandir(home) if entry.is_dir() and entry.name[0] not in "_."):
        for name in sorted(name for name in os.listdir(home / word) if "_nohash_" in name):
            split = splits.pop(f"{word}/{os.path.splitext(name)[0]}", "train")
            rows.add(name, f"{word}/{name}", [word], split=split, group=name.partition("_nohash_")[0])
    for name, split in splits.items():  # listed, but not there
        rows.add(name, "", [name.partition("/")[0]], split=split)
    return rows


SPEECH_COMMANDS = Corpus(
    name="speech_commands",
    title="Speech Commands v0.02",
    homepage="https://arxiv.org/abs/1804.03209",
    licence="CC BY 4.0",
    obliges="name the authors",
    citation=(
        "P. Warden. Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition. 2018. arXiv:1804.03209"
    ),
    archives=(
        Archive(
            "speech_commands_v0.02.tar.gz",
            "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            n_bytes=2_428_923_189,
            md5="6b74f3901214cb2c2934e98196829835",
            sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        ),
    ),
    n_bytes=2_428_923_189,
    hours=29,
    n_classes=35,
    n_clips={"train": 84843, "validation": 9981, "test": 11005},
    folder="speech_commands",
    read=read_speech_commands,
)
