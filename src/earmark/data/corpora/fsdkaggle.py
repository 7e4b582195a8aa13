"""FSDKaggle2018 and FSDKaggle2019: Freesound clips with labels of two qualities, and a test set with good ones.

Source: E. Fonseca et al., General-purpose tagging of Freesound audio with AudioSet labels, DCASE 2018; Audio tagging
with noisy labels and minimal supervision, DCASE 2019; the README of each.
"""

from __future__ import annotations

from pathlib import Path

from earmark.data.corpora.corpus import Archive, Corpus, Rows, Sounds, find_home, read_rows

OBLIGES = "name the authors; each clip has a licence of its own too (column license), some of them non-commercial"


def read_fsdkaggle2018(root: Path) -> Rows:
    """The train set, curated where its labels were verified by hand, else noisy; and the test set.

    The group is the sound on Freesound.
    """
    meta = "FSDKaggle2018.meta"
    home, train = find_home(root, "FSDKaggle2018", f"{meta}/train_post_competition.csv")
    columns = ("fname", "label", "freesound_id", "license")
    rows = Rows(home)
    sounds = Sounds(home, "FSDKaggle2018.audio_train")
    for row in read_rows(home / train, (*columns, "manually_verified")):
        rows.add(
            row["fname"],
            sounds.find(row["fname"]),
            [row["label"]],
            split="train",
            subset="curated" if row["manually_verified"] == "1" else "noisy",
            group=row["freesound_id"],
            usage="",
            license=row["license"],
        )
    sounds = Sounds(home, "FSDKaggle2018.audio_test")
    for row in read_rows(home / meta / "test_post_competition_scoring_clips.csv", (*columns, "usage")):
        rows.add(
            row["fname"],
            sounds.find(row["fname"]),
            [row["label"]],
            split="test",
            group=row["freesound_id"],
            usage=row["usage"],
            license=row["license"],
        )
    return rows


def read_fsdkaggle2019(root: Path) -> Rows:
    """The curated and the noisy train set, and the test set; `usage` tells the part of the leaderboard.

    The group is the sound on Freesound or the video on Flickr.
    """
    meta = "FSDKaggle2019.meta"
    home, _ = find_home(root, "FSDKaggle2019", f"{meta}/train_curated_post_competition.csv")
    rows = Rows(home)
    for table, folder, split, subset, source in (
        ("train_curated_post_competition.csv", "audio_train_curated", "train", "curated", "freesound_id"),
        ("train_noisy_post_competition.csv", "audio_train_noisy", "train", "noisy", "flickr_video_URL"),
        ("test_post_competition.csv", "audio_test", "test", "", "freesound_id"),
    ):
        sounds = Sounds(home, f"FSDKaggle2019.{folder}")
        for row in read_rows(home / meta / table, ("fname", "labels", source, "license")):
            rows.add(
                row["fname"],
                sounds.find(row["fname"]),
                row["labels"].split(","),
                split=split,
                subset=subset,
                group=row[source],
                usage=row.get("usage", ""),
                license=row["license"],
            )
    return rows


def _archive(record: int, name: str, md5: str | None = None) -> Archive:
    return Archive(name, f"https://zenodo.org/records/{record}/files/{name}?download=1", md5=md5)


FSDKAGGLE2018 = Corpus(
    name="fsdkaggle2018",
    title="FSDKaggle2018",
    homepage="https://zenodo.org/records/2552860",
    licence="CC BY 4.0",
    obliges=OBLIGES,
    citation=(
        "E. Fonseca et al. General-purpose tagging of Freesound audio with AudioSet labels: task description, "
        "dataset, and baseline. Proc. DCASE 2018 Workshop. arXiv:1807.09902"
    ),
    archives=(
        _archive(2552860, "FSDKaggle2018.doc.zip", "4f2d1ac88f33a62f9db3108b269ee1b7"),
        _archive(2552860, "FSDKaggle2018.meta.zip", "f16828ac8be0e5285b9175a12f90d784"),
        _archive(2552860, "FSDKaggle2018.audio_test.zip", "f85c8665c3fc39311ea1b748e194a81d"),
        _archive(2552860, "FSDKaggle2018.audio_train.zip", "a8b47ff4b52022c178f88fa5c6f080d0"),
    ),
    n_bytes=4_900_000_000,
    hours=20,
    n_classes=41,
    n_clips={"train, curated": 3710, "train, noisy": 5763, "test": 1600},
    folder="fsdkaggle2018",
    read=read_fsdkaggle2018,
)
FSDKAGGLE2019 = Corpus(
    name="fsdkaggle2019",
    title="FSDKaggle2019",
    homepage="https://zenodo.org/records/3612637",
    licence="CC BY 4.0",
    obliges=OBLIGES,
    citation=(
        "E. Fonseca et al. Audio tagging with noisy labels and minimal supervision. Proc. DCASE 2019 Workshop. "
        "arXiv:1906.02975"
    ),
    # Zenodo shows checksums of these; none could be had when this was written.
    archives=tuple(
        _archive(3612637, f"FSDKaggle2019.{name}")
        for name in (
            "doc.zip",
            "meta.zip",
            "audio_train_curated.zip",
            "audio_test.zip",
            *(f"audio_train_noisy.z{number:02d}" for number in range(1, 7)),
            "audio_train_noisy.zip",
        )
    ),
    n_bytes=26_900_000_000,
    hours=103,
    n_classes=80,
    n_clips={"train, curated": 4970, "train, noisy": 19815, "test": 4481},
    folder="fsdkaggle2019",
    read=read_fsdkaggle2019,
)
