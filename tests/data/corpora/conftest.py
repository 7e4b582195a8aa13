"""Small copies of the public data sets, with their real folders, tables and columns, and a server for archives."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data.corpora import CORPORA
from earmark.data.corpora.corpus import Archive, Corpus


def write_sounds(folder: Path, names: list[str]) -> None:
    """A moment of noise in each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 80)
        soundfile.write(folder / name, noise, 8000)


def write_rows(path: Path, header: str, rows: list[str | list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(row.split(",") if isinstance(row, str) else row for row in rows)


def make_esc50(root: Path) -> dict:
    rows = [
        "1-100032-A-0.wav,1,0,dog,True,100032,A",
        "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A",
        "2-100210-A-36.wav,2,36,vacuum_cleaner,False,100210,A",
        "2-100210-B-36.wav,2,36,vacuum_cleaner,False,100210,B",
        "2-5-A-0.wav,2,0,dog,True,5,A",
    ]
    home = root / "ESC-50-master"
    write_rows(home / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", rows)
    write_sounds(home / "audio", [row.partition(",")[0] for row in rows])
    return {"n_clips": {"fold 1": 2, "fold 2": 3}, "n_classes": 3}


def make_esc10(root: Path) -> dict:
    make_esc50(root)
    return {"n_clips": {"fold 1": 1, "fold 2": 1}, "n_classes": 1}


def make_urbansound8k(root: Path) -> dict:
    rows = [
        "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark",
        "100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing",
        "100263-2-0-121.wav,100263,60.5,64.5,2,5,2,children_playing",
        "99812-1-0-0.wav,99812,159.522205,163.522205,2,10,1,car_horn",
    ]
    home = root / "UrbanSound8K"
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    write_rows(home / "metadata" / "UrbanSound8K.csv", header, rows)
    for row in rows:
        cells = row.split(",")
        write_sounds(home / "audio" / f"fold{cells[5]}", [cells[0]])
    (home / "audio" / "fold5" / ".DS_Store").touch()
    return {"n_clips": {"fold 5": 3, "fold 10": 1}, "n_classes": 3}


def make_fsdkaggle2018(root: Path) -> dict:
    train = ["00044347.wav,Hi-hat,0,28739,Attribution", "001ca53d.wav,Saxophone,1,358827,Attribution"]
    test = ["00326aa9.wav,Saxophone,Private,355125,Creative Commons 0", "0038a046.wav,Oboe,Public,90621,Attribution"]
    meta = root / "FSDKaggle2018.meta"
    write_rows(meta / "train_post_competition.csv", "fname,label,manually_verified,freesound_id,license", train)
    write_rows(meta / "test_post_competition_scoring_clips.csv", "fname,label,usage,freesound_id,license", test)
    write_sounds(root / "FSDKaggle2018.audio_train", [row[:12] for row in train])
    write_sounds(root / "FSDKaggle2018.audio_test", [row[:12] for row in test])
    (root / "FSDKaggle2018.doc").mkdir()
    (root / "FSDKaggle2018.doc" / "README.md").touch()
    return {"n_clips": {"train, curated": 1, "train, noisy": 1, "test": 2}, "n_classes": 3}


def make_fsdkaggle2019(root: Path) -> dict:
    meta = root / "FSDKaggle2019.meta"
    curated = [["0006ae4e.wav", "Bark", "6", "CC BY"], ["0019adae.wav", "Raindrop,Walk_and_footsteps", "7", "CC0"]]
    noisy = [["00097e21.wav", "Bathtub_(filling_or_washing)", "https://www.flickr.com/photos/1", "CC BY"]]
    test = [["0015faed.wav", "Bark", "Private", "3", "CC0"], ["0038a046.wav", "Raindrop,Bark", "Public", "4", "CC0"]]
    write_rows(meta / "train_curated_post_competition.csv", "fname,labels,freesound_id,license", curated)
    write_rows(meta / "train_noisy_post_competition.csv", "fname,labels,flickr_video_URL,license", noisy)
    write_rows(meta / "test_post_competition.csv", "fname,labels,usage,freesound_id,license", test)
    for folder, rows in (("train_curated", curated), ("train_noisy", noisy), ("test", test)):
        write_sounds(root / f"FSDKaggle2019.audio_{folder}", [row[0] for row in rows])
    (root / "FSDKaggle2019.doc").mkdir()
    (root / "FSDKaggle2019.doc" / "README.md").touch()
    return {"n_clips": {"train, curated": 2, "train, noisy": 1, "test": 2}, "n_classes": 4}


def make_fsd50k(root: Path) -> dict:
    dev = [
        ["64760", "Electric_guitar,Guitar,Music", "/m/02sgy,/m/0342h,/m/04rlf", "train"],
        ["16399", "Music", "/m/04rlf", "train"],
        ["13194", "Rain,Water", "/m/06mb1,/m/0838f", "val"],
    ]
    test = [["37199", "Water", "/m/0838f"]]
    write_rows(root / "FSD50K.ground_truth" / "dev.csv", "fname,labels,mids,split", dev)
    write_rows(root / "FSD50K.ground_truth" / "eval.csv", "fname,labels,mids", test)
    write_sounds(root / "FSD50K.dev_audio", [f"{row[0]}.wav" for row in dev])
    write_sounds(root / "FSD50K.eval_audio", [f"{row[0]}.wav" for row in test])
    told = {"title": "guitar", "description": "", "tags": [], "license": "http://creativecommons.org/licenses/by/3.0/"}
    for part, rows in (("dev", dev), ("eval", test)):
        path = root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({row[0]: {**told, "uploader": f"person {row[0][0]}"} for row in rows}))
    (root / "FSD50K.doc").mkdir()
    (root / "FSD50K.doc" / "README.md").touch()
    return {"n_clips": {"train": 2, "validation": 1, "test": 1}, "n_classes": 5}


def make_speech_commands(root: Path) -> dict:
    home = root / "speech_commands_v0.02"
    write_sounds(home / "yes", ["0a7c2a8d_nohash_0.wav", "0a7c2a8d_nohash_1.wav", "004ae714_nohash_0.wav"])
    write_sounds(home / "no", ["0a7c2a8d_nohash_0.wav", "0132a06d_nohash_2.wav"])
    write_sounds(home / "_background_noise_", ["white_noise.wav"])
    (home / "testing_list.txt").write_text("yes/004ae714_nohash_0.wav\n")
    (home / "validation_list.txt").write_text("no/0132a06d_nohash_2.wav\n")
    (home / "LICENSE").touch()
    return {"n_clips": {"train": 3, "validation": 1, "test": 1}, "n_classes": 2}


MAKERS = {
    "esc50": make_esc50,
    "esc10": make_esc10,
    "urbansound8k": make_urbansound8k,
    "fsdkaggle2018": make_fsdkaggle2018,
    "fsdkaggle2019": make_fsdkaggle2019,
    "fsd50k": make_fsd50k,
    "speech_commands": make_speech_commands,
}


@dataclass(frozen=True)
class Copy:
    """A small data set and the folder that holds it, and what a server of its archives was asked."""

    corpus: Corpus
    folder: Path
    asked: list[str]


@pytest.fixture
def copy(tmp_path) -> Callable[[str], Copy]:
    """Makes a small copy of a data set, unpacked."""

    def make(name: str) -> Copy:
        folder = tmp_path / "copy"
        folder.mkdir()
        return Copy(replace(CORPORA[name], **MAKERS[name](folder)), folder, [])

    return make


@pytest.fixture
def published(copy, tmp_path, monkeypatch) -> Iterator[Callable[[str], Copy]]:
    """Makes a small copy of a data set as archives on a server; `folder` holds the archives."""
    asked: list[str] = []
    folder = tmp_path / "published"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.path.lstrip("/"))

        def log_error(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("no_proxy", "*")

    def make(name: str) -> Copy:
        made = copy(name)
        archives = tuple(
            pack(archive, made.folder, folder, f"http://127.0.0.1:{httpd.server_port}")
            for archive in made.corpus.archives
            if ".z0" not in archive.name
        )
        return Copy(replace(made.corpus, archives=archives), folder, asked)

    yield make
    httpd.shutdown()
    httpd.server_close()


def pack(archive: Archive, source: Path, folder: Path, address: str) -> Archive:
    """Pack the folder that an archive becomes; where it is published, its length and checksum are told."""
    path = folder / archive.name
    if archive.name.endswith(".zip"):
        shutil.make_archive(str(path.with_suffix("")), "zip", source, archive.folder)
    else:
        inside = source / archive.folder
        with tarfile.open(path, "w:gz") as tar:
            tar.add(inside, arcname=archive.folder if archive.folder == "UrbanSound8K" else ".")
    data = path.read_bytes()
    return replace(
        archive,
        url=f"{address}/{archive.name}",
        n_bytes=len(data) if archive.n_bytes else None,
        md5=hashlib.md5(data).hexdigest() if archive.md5 else None,
        sha256=hashlib.sha256(data).hexdigest() if archive.sha256 else None,
    )
