"""UrbanSound8K: city sounds of at most 4 s, cut from recordings on Freesound, in ten folds.

The folds must stay as they are: excerpts of one recording lie in one fold, and published scores are means over them.

Source: J. Salamon, C. Jacoby, J. P. Bello, A Dataset and Taxonomy for Urban Sound Research, ACM Multimedia 2014.
"""

from __future__ import annotations

from pathlib import Path

from earmark.data.corpora.corpus import Archive, Corpus, Rows, Sounds, find_home, read_rows

COLUMNS = ("slice_file_name", "fsID", "salience", "fold", "class")


def read_urbansound8k(root: Path) -> Rows:
    """All clips. The group is the recording; its columns start and end are times in that, not in the file."""
    home, table = find_home(root, "UrbanSound8K", "metadata/UrbanSound8K.csv")
    sounds = {str(fold): Sounds(home, f"audio/fold{fold}") for fold in range(1, 11)}
    rows = Rows(home)
    for row in read_rows(home / table, COLUMNS):
        rows.add(
            row["slice_file_name"],
            sounds[row["fold"]].find(row["slice_file_name"]) if row["fold"] in sounds else "",
            [row["class"]],
            fold=row["fold"],
            group=row["fsID"],
            salience=row["salience"],
        )
    return rows


URBANSOUND8K = Corpus(
    name="urbansound8k",
    title="UrbanSound8K",
    homepage="https://urbansounddataset.weebly.com/urbansound8k.html",
    licence="CC BY-NC 3.0",
    obliges="non-commercial use only; name the authors and cite the paper (FREESOUNDCREDITS.txt lists them by clip)",
    citation=(
        "J. Salamon, C. Jacoby, J. P. Bello. A Dataset and Taxonomy for Urban Sound Research. "
        "Proc. ACM Multimedia, Orlando, 2014. doi:10.1145/2647868.2655045"
    ),
    archives=(
        Archive(
            "UrbanSound8K.tar.gz",
            "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz?download=1",
            n_bytes=6_023_741_708,
            md5="9aa69802bbf37fb986f71ec1483a196e",
        ),
    ),
    n_bytes=6_023_741_708,
    hours=8.8,
    n_classes=10,
    n_clips={
        "fold 1": 873,
        "fold 2": 888,
        "fold 3": 925,
        "fold 4": 990,
        "fold 5": 936,
        "fold 6": 823,
        "fold 7": 838,
        "fold 8": 806,
        "fold 9": 816,
        "fold 10": 837,
    },
    folder="urbansound8k",
    read=read_urbansound8k,
)
