"""FSD50K: Freesound clips with 200 classes of AudioSet's ontology; several labels a clip, each with all above it.

Source: E. Fonseca et al., FSD50K: an Open Dataset of Human-Labeled Sound Events, IEEE/ACM TASLP 30, 2022.
"""

from __future__ import annotations

import json
from pathlib import Path

from earmark.data.corpora.corpus import Archive, Corpus, Rows, Sounds, find_home, read_rows
from earmark.errors import ManifestError

SPLITS = {"train": "train", "val": "validation"}
PART = 3_221_225_472  # bytes of each part of a split archive but the last


def read_fsd50k(root: Path) -> Rows:
    """The development set, split as published, and the evaluation set as test.

    The group is who uploaded the sound, where FSD50K.metadata is there to tell.
    """
    truth = "FSD50K.ground_truth"
    home, _ = find_home(root, "FSD50K", f"{truth}/dev.csv")
    rows = Rows(home)
    for part, columns in (("dev", ("fname", "labels", "mids", "split")), ("eval", ("fname", "labels", "mids"))):
        told = _read_info(home / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json")
        sounds = Sounds(home, f"FSD50K.{part}_audio")
        for row in read_rows(home / truth / f"{part}.csv", columns):
            clip = told.get(row["fname"], {})
            rows.add(
                row["fname"],
                sounds.find(f"{row['fname']}.wav"),
                row["labels"].split(","),
                split=SPLITS.get(row["split"], row["split"]) if part == "dev" else "test",
                group=clip.get("uploader", ""),
                mids=row["mids"],
                license=clip.get("license", ""),
            )
    return rows


def _read_info(path: Path) -> dict[str, dict[str, str]]:
    """What uploaders told of each clip, by its name; nothing where the file is not there."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{path}: is not valid JSON ({error}). Get FSD50K.metadata.zip again.") from error


def _archive(name: str, n_bytes: int, md5: str) -> Archive:
    name = f"FSD50K.{name}"
    return Archive(name, f"https://zenodo.org/records/4060432/files/{name}?download=1", n_bytes, md5)


ARCHIVES = (
    _archive("doc.zip", 6_984, "3516162b82dc2945d3e7feba0904e800"),
    _archive("ground_truth.zip", 334_701, "ca27382c195e37d2269c4c866dd73485"),
    _archive("metadata.zip", 6_700_838, "b9ea0c829a411c1d42adb9da539ed237"),
    _archive("eval_audio.z01", PART, "3090670eaeecc013ca1ff84fe4442aeb"),
    _archive("eval_audio.zip", 3_037_675_767, "6fa47636c3a3ad5c7dfeba99f2637982"),
    _archive("dev_audio.z01", PART, "faa7cf4cc076fc34a44a479a5ed862a3"),
    _archive("dev_audio.z02", PART, "8f9b66153e68571164fb1315d00bc7bc"),
    _archive("dev_audio.z03", PART, "1196ef47d267a993d30fa98af54b7159"),
    _archive("dev_audio.z04", PART, "d088ac4e11ba53daf9f7574c11cccac9"),
    _archive("dev_audio.z05", PART, "81356521aa159accd3c35de22da28c7f"),
    _archive("dev_audio.zip", 2_306_663_327, "c480d119b8f7a7e32fdb58f3ea4d6c5a"),
)
FSD50K = Corpus(
    name="fsd50k",
    title="FSD50K",
    homepage="https://zenodo.org/records/4060432",
    licence="CC BY 4.0",
    obliges="name the authors; each clip has a licence of its own too (column license), some of them non-commercial",
    citation=(
        "E. Fonseca, X. Favory, J. Pons, F. Font, X. Serra. FSD50K: an Open Dataset of Human-Labeled Sound Events. "
        "IEEE/ACM TASLP 30:829-852, 2022. arXiv:2010.00475"
    ),
    archives=ARCHIVES,
    n_bytes=sum(archive.n_bytes for archive in ARCHIVES),
    hours=108.3,
    n_classes=200,
    n_clips={"train": 36796, "validation": 4170, "test": 10231},
    folder="fsd50k",
    read=read_fsd50k,
)
