"""read_manifest: folders and tables as people have them, and one clear error for each thing that is wrong."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from earmark.data import read_manifest
from earmark.errors import ManifestError

REAL = Path("../shared/data")
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def table(root: Path, text: str, name: str = "t.csv", n_files: int = 4) -> Path:
    """A table beside files 1.wav, 2.wav, …"""
    touch(root, *(f"{number}.wav" for number in range(1, n_files + 1)))
    (root / name).write_bytes(text.encode())
    return root / name


def deny(*_, **__):
    raise PermissionError(13, "Permission denied", "somewhere")


# Tables


@pytest.mark.parametrize(
    "header",
    [
        "file,label",
        "filename,labels",
        "fname,category",
        "PATH,Class",
        "recording,event_label",
        "file_name,target",
    ],
)
def test_column_aliases(tmp_path, header):
    manifest = read_manifest(table(tmp_path, f"{header}\n1.wav,dog\n2.wav,cat\n"))
    assert manifest.table["labels"].tolist() == [("dog",), ("cat",)]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_delimiter_is_told_by_content_and_a_byte_order_mark_is_no_matter(tmp_path, delimiter):
    text = "\ufefffile,label,fold,group\r\n1.wav,Größe,1,a\r\n\r\n2.wav,犬,2,b\r\n".replace(",", delimiter)
    manifest = read_manifest(table(tmp_path, text))
    assert manifest.vocabulary.labels == ("Größe", "犬")
    assert manifest.folds.tolist() == [1, 2]
    assert manifest.groups.tolist() == ["a", "b"]


def test_labels_stay_text(tmp_path):
    manifest = read_manifest(table(tmp_path, "file,label\n1.wav,NA\n2.wav,on\n3.wav,001\n4.wav,1.0\n"))
    assert manifest.table["labels"].tolist() == [("NA",), ("on",), ("001",), ("1.0",)]


def test_name_wins_over_class_number(tmp_path):
    manifest = read_manifest(table(tmp_path, "filename,target,category\n1.wav,0,dog\n2.wav,1,cat\n"))
    assert manifest.vocabulary.labels == ("cat", "dog")


def test_several_labels_or_none_make_it_multi_label(tmp_path):
    assert read_manifest(table(tmp_path, "file,labels\n1.wav,dog;cat\n2.wav,\n")).multi_label
    assert read_manifest(table(tmp_path, "file,labels\n1.wav,dog;\n2.wav,;\n")).multi_label
    assert not read_manifest(table(tmp_path, "file,labels\n1.wav,dog\n2.wav,cat\n")).multi_label


def test_one_hot_columns(tmp_path):
    manifest = read_manifest(table(tmp_path, "file,dog,cat,fold,length\n1.wav,1,1,0,2.5\n2.wav,0,0,1,7\n"))
    assert manifest.table["labels"].tolist() == [("dog", "cat"), ()]
    assert manifest.vocabulary.labels == ("cat", "dog")


def test_regions(tmp_path):
    manifest = read_manifest(table(tmp_path, "file,onset,offset,label\n1.wav,0.5,2,dog\n1.wav,2,,cat\n2.wav,,,dog\n"))
    assert manifest.table["start"].tolist() == [0.5, 2.0, 0.0]
    assert [str(end) for end in manifest.table["end"]] == ["2.0", "nan", "nan"]
    assert manifest.clip_ids.tolist() == ["1.wav#0.5-2", "1.wav#2-", "2.wav"]


def test_urbansound_times_are_of_the_source_recording_and_ignored(tmp_path):
    header = "slice_file_name,fsID,start,end,fold,classID,class"
    text = f"{header}\n1.wav,77,20.5,24.5,1,0,dog\n2.wav,77,30,34,2,1,cat\n"
    manifest = read_manifest(table(tmp_path, text))
    assert manifest.table["start"].tolist() == [0, 0]
    assert all(math.isnan(end) for end in manifest.table["end"])
    assert manifest.groups.tolist() == ["77", "77"]
    assert manifest.vocabulary.labels == ("cat", "dog")


# Tables in folders


def test_folder_with_one_labelled_table_is_read_by_the_table(tmp_path, caplog):
    touch(tmp_path, "audio/1.wav", "audio/2.wav")
    table(tmp_path, "filename,category\n1.wav,dog\n2.wav,cat\n", n_files=0)
    table(tmp_path, "name,licence\n1.wav,CC0\n", "licences.csv", n_files=0)
    with caplog.at_level(logging.INFO):
        manifest = read_manifest(tmp_path)
    assert manifest.table["path"].tolist() == ["audio/1.wav", "audio/2.wav"]
    assert "reading the table t.csv" in caplog.text


def test_faults_of_the_only_table_of_a_folder_are_told_not_hidden(tmp_path):
    touch(tmp_path, "audio/1.wav")
    table(tmp_path, "filename,category\n1.wav\n", n_files=0)
    with pytest.raises(ManifestError, match="row 2: 1 cells"):
        read_manifest(tmp_path)


def test_folder_with_two_labelled_tables_asks_for_one(tmp_path):
    table(tmp_path, "file,label\n1.wav,dog\n", "a.csv")
    table(tmp_path, "file,dog,cat\n1.wav,0,1\n", "b.tsv")
    with pytest.raises(ManifestError, match=r"several tables of labelled files \(a.csv, b.tsv\)"):
        read_manifest(tmp_path)


# Where files are


def test_files_are_found_beside_below_absolute_and_in_the_audio_folder(tmp_path):
    touch(tmp_path, "data/wav/deep/1.wav", "sounds/x/2.wav", "sounds/3.wav")
    text = "file,label\n1.wav,dog\nwav/deep/1.wav,dog\n"
    with pytest.raises(ManifestError, match="the same clip as row 2"):
        read_manifest(table(tmp_path / "data", text, n_files=0))
    manifest = read_manifest(
        table(tmp_path / "data", f"file,label\nx/2.wav,dog\n{tmp_path}/sounds/3.wav,cat\n", n_files=0),
        audio_dir=tmp_path / "sounds",
    )
    assert manifest.table["path"].tolist() == ["x/2.wav", "3.wav"]
    assert manifest.root == tmp_path / "sounds"


def test_a_folder_in_the_name_must_agree(tmp_path):
    touch(tmp_path, "audio/cat/1.wav", "audio/2.wav")
    path = table(tmp_path, "file,label\ndog/1.wav,dog\nESC-50/audio/2.wav,cat\n", n_files=0)
    with pytest.raises(ManifestError, match="row 2: file 'dog/1.wav' is missing") as caught:
        read_manifest(path)
    assert "2.wav' is missing" not in str(caught.value)


def test_name_that_stands_for_two_files_is_refused(tmp_path):
    touch(tmp_path, "a/1.wav", "b/1.wav")
    with pytest.raises(ManifestError, match=r"row 2: '1.wav' stands for 2 files \('a/1.wav' and 'b/1.wav'\)"):
        read_manifest(table(tmp_path, "file,label\n1.wav,dog\n", n_files=0))


def test_names_without_suffix_are_found_by_stem(tmp_path):
    touch(tmp_path, "dev/64760.wav", "dev/21.5.wav", "dev/21.5.txt")
    manifest = read_manifest(table(tmp_path, "fname,labels\n64760,Bark\n21.5,Rain\n", n_files=0))
    assert manifest.table["path"].tolist() == ["dev/64760.wav", "dev/21.5.wav"]


def test_when_no_file_is_found_the_audio_folder_is_asked_for(tmp_path):
    path = table(tmp_path, "file,label\n8.wav,dog\n9.wav,cat\n")
    with pytest.raises(ManifestError, match="No file was found below .*--audio-dir"):
        read_manifest(path)
    with pytest.raises(ManifestError, match="is no folder"):
        read_manifest(path, audio_dir=tmp_path / "nowhere")


# What can be wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv: is empty"),
        ("file,label\n", "has a header but no rows"),
        (
            "sound,label\n1.wav,dog\n",
            r"no column holds file names \(found: sound, label\). Name one of them: path, fi",
        ),
        (
            "file,klass\n1.wav,dog\n",
            r"no column holds labels \(found: file, klass\).* Or give one 0/1 column per class",
        ),
        ("file,label,label\n1.wav,dog,cat\n", r"columns stand more than once \(label\)"),
        (
            "file,label\n1.wav,dog,3\n2.wav\n",
            r"2 rows have too few(?s:.*)row 2: 3 cells \(expected 2\)\nrow 3: 1 cells",
        ),
        ("file,label\n1.wav,dog\n2.wav,\n", "row 3: no label"),
        ("file,label\n1.wav,\n2.wav,\n", "every cell is empty"),
        ("file,label\n,dog\n1.wav,cat\n", "row 2: no file name"),
        ("file,label\n1.wav,dog\n9.wav,cat\n", "1 of 2 rows are wrong(?s:.*)row 3: file '9.wav' is missing"),
        ("file,label,start,end\n1.wav,dog,-1,2\n", "row 2: start -1 s is negative"),
        ("file,label,start,end\n1.wav,dog,2,2\n", "row 2: start 2 s is not before end 2 s"),
        ("file,label,start\n1.wav,dog,0:30\n", "row 2: start '0:30' is no time in seconds"),
        ("file,label,end\n1.wav,dog,inf\n", "row 2: end 'inf' is no time in seconds"),
        ("file,label,fold\n1.wav,dog,a\n", "row 2: fold 'a' is not a whole number"),
        ("file,label,fold\n1.wav,dog,1.5\n", "row 2: fold '1.5' is not a whole number"),
        ("file,label,fold\n1.wav,dog,-2\n", "row 2: fold '-2' is not a whole number"),
        ("file,label\n1.wav,dog\n2.wav,cat\n./1.wav,dog\n", "row 4: the same clip as row 2"),
        ("clip_id,file,label\nx,1.wav,dog\nx,2.wav,cat\n", "row 3: the same clip_id as row 2"),
        ("file,dog,cat\n1.wav,1,0\n2.wav,0,x\n", "row 3: 'x' in class column 'cat' is neither 0 nor 1 nor"),
        ("file,label\n1.wav,Speech, loud\n", "too few or too many"),
        ('file,label\n1.wav,"Speech, loud"\n', "cannot be told whether the comma in 'Speech, loud'"),
    ],
)
def test_each_fault_of_a_table_has_its_error(tmp_path, text, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(table(tmp_path, text))


def test_all_bad_rows_are_told_at_once(tmp_path):
    rows = "".join(f"{number}.wav,dog,{number}\n" for number in range(5, 12)) + "1.wav,,x\n"
    with pytest.raises(ManifestError) as caught:
        read_manifest(table(tmp_path, "file,label,fold\n2.wav,cat,0\n" + rows))
    lines = str(caught.value).splitlines()
    assert "8 of 9 rows are wrong" in lines[0]
    assert lines[1:3] == ["row 3: file '5.wav' is missing", "row 4: file '6.wav' is missing"]
    assert lines[-1] == "… and 4 more"  # two more files, and both faults of the last row


def test_cells_that_hold_line_breaks_do_not_shift_row_numbers(tmp_path):
    with pytest.raises(ManifestError, match="row 4: file '9.wav' is missing"):
        read_manifest(table(tmp_path, 'file,label,note\n1.wav,dog,"two\nlines"\n9.wav,cat,\n'))


def test_path_that_does_not_exist(tmp_path):
    with pytest.raises(ManifestError, match="does not exist"):
        read_manifest(tmp_path / "nothing.csv")


def test_table_without_permission(tmp_path, monkeypatch):
    path = table(tmp_path, "file,label\n1.wav,dog\n")
    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(ManifestError, match="cannot be read .*Permission denied"):
        read_manifest(path)


def test_file_that_is_no_text_table(tmp_path):
    with pytest.raises(ManifestError, match="is no table .field larger than field limit"):
        read_manifest(table(tmp_path, "x" * 200_000))


def test_options_of_tables_are_refused_without_a_table_and_those_of_folders_with_one(tmp_path):
    touch(tmp_path, "dog/1.wav", "cat/1.wav")
    with pytest.raises(ManifestError, match="--audio-dir is for tables"):
        read_manifest(tmp_path, audio_dir=tmp_path / "dog")
    with pytest.raises(ManifestError, match="--encoding is for tables"):
        read_manifest(tmp_path, encoding="cp1252")
    with pytest.raises(ManifestError, match="--folder-tricks is for a folder per class"):
        read_manifest(table(tmp_path, "file,label\n1.wav,dog\n"), folder_tricks=True)


def test_a_table_of_something_else_is_passed_over(tmp_path):
    touch(tmp_path, "dog/1.wav", "cat/1.wav")
    (tmp_path / "notes.csv").write_bytes("Bemerkung: schön".encode("cp1252"))
    assert len(read_manifest(tmp_path)) == 2


def test_a_table_in_a_folder_that_cannot_be_read_is_passed_over_and_said(tmp_path, caplog):
    touch(tmp_path, "dog/1.wav", "cat/1.wav")
    (tmp_path / "notes.csv").write_bytes(b"\x81\xff\xff")
    assert len(read_manifest(tmp_path)) == 2
    assert "it cannot be told what else" in caplog.text
    assert "It is passed over." in caplog.text


def test_annotations_beside_recordings_are_read_as_such(tmp_path):
    touch(tmp_path, "night/dusk.wav")
    (tmp_path / "night/dusk.txt").write_text("0.5\t1.25\towl\n")
    for path in (tmp_path / "night", tmp_path / "night/dusk.txt"):
        manifest = read_manifest(path)
        assert manifest.clip_ids.tolist() == ["dusk.wav#0.5-1.25"]
        assert manifest.vocabulary.labels == ("owl",)
    with pytest.raises(ManifestError, match="--folder-tricks is for a folder per class, and this is none"):
        read_manifest(tmp_path / "night", folder_tricks=True)


# Real data


@real
@pytest.mark.parametrize(
    ("name", "n_clips", "n_classes", "multi_label", "n_folds", "n_groups"),
    [
        ("esc10", 400, 10, False, 5, 304),
        ("esc50/esc50.csv", 2000, 50, False, 5, 1524),
        ("instruments", 300, 10, False, 0, 0),
        ("esc10-mixtures/manifest.csv", 500, 10, True, 5, 0),
        ("drums/manifest.csv", 17, 6, True, 0, 13),
    ],
)
def test_real_data_reads_as_its_readme_says(name, n_clips, n_classes, multi_label, n_folds, n_groups):
    manifest = read_manifest(REAL / name)
    assert (len(manifest), len(manifest.vocabulary), manifest.multi_label) == (
        n_clips,
        n_classes,
        multi_label,
    )
    assert (len(set(manifest.folds)) if manifest.has_folds else 0) == n_folds
    assert (len(set(manifest.groups)) if manifest.has_groups else 0) == n_groups
    assert all(file.is_file() for file in manifest.files)


@real
def test_real_events_become_clips_of_their_recordings():
    manifest = read_manifest(REAL / "esc10-mixtures/events.csv")
    assert len(manifest) == 1070
    assert manifest.clip_ids[0] == "audio/mix_f1_000.opus#6.426-8.388"
    assert manifest.groups[0] == "audio/mix_f1_000.opus"
