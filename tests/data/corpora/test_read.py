"""Each public data set is read as its own tables say, and what is missing is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from earmark.data.corpora import CORPORA, find_corpus
from earmark.data.corpora.get import read
from earmark.errors import ConfigError, ManifestError

SHARED = Path(__file__).parents[4] / "shared" / "data"
# Recordings with clips of two classes (hen and rooster, tick and alarm of a clock) in two of ESC-50's official folds.
STRADDLING = {"131943", "134049", "209698", "234879"}


def column(manifest, name):
    return manifest.column(name).tolist()


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_esc50_has_its_folds_and_the_source_recording_as_group(copy):
    made = copy("esc50")
    manifest = read(made.corpus, made.folder)
    assert manifest.clip_ids.tolist()[0] == "audio/1-100032-A-0.wav"
    assert manifest.folds.tolist() == [1, 1, 2, 2, 2]
    assert column(manifest, "group") == ["100032", "100038", "100210", "100210", "5"]
    assert column(manifest, "take") == ["A", "A", "A", "B", "A"]
    assert not manifest.multi_label


def test_esc10_is_the_marked_part_of_esc50(copy):
    made = copy("esc10")
    manifest = read(made.corpus, made.folder)
    assert column(manifest, "labels") == [("dog",), ("dog",)]
    assert manifest.folds.tolist() == [1, 2]


def test_urbansound8k_has_ten_folds_and_no_times(copy):
    made = copy("urbansound8k")
    manifest = read(made.corpus, made.folder)
    assert column(manifest, "path")[0] == "audio/fold5/100032-3-0-0.wav"
    assert manifest.folds.tolist() == [5, 5, 5, 10]
    assert column(manifest, "group") == ["100032", "100263", "100263", "99812"]
    assert manifest.table["start"].eq(0).all()
    assert manifest.table["end"].isna().all()


def test_fsdkaggle2018_is_curated_where_verified(copy):
    made = copy("fsdkaggle2018")
    manifest = read(made.corpus, made.folder)
    assert column(manifest, "split") == ["train", "train", "test", "test"]
    assert column(manifest, "subset") == ["noisy", "curated", "", ""]
    assert column(manifest, "usage") == ["", "", "Private", "Public"]
    assert column(manifest, "group")[0] == "28739"
    assert not manifest.has_folds


def test_fsdkaggle2019_has_several_labels_in_three_parts(copy):
    made = copy("fsdkaggle2019")
    manifest = read(made.corpus, made.folder)
    assert column(manifest, "labels")[1] == ("Raindrop", "Walk_and_footsteps")
    assert column(manifest, "split") == ["train", "train", "train", "test", "test"]
    assert column(manifest, "subset") == ["curated", "curated", "noisy", "", ""]
    assert column(manifest, "group")[2] == "https://www.flickr.com/photos/1"
    assert manifest.multi_label


def test_fsd50k_has_its_split_and_uploaders(copy):
    made = copy("fsd50k")
    manifest = read(made.corpus, made.folder)
    assert column(manifest, "split") == ["train", "train", "validation", "test"]
    assert column(manifest, "labels")[0] == ("Electric_guitar", "Guitar", "Music")
    assert column(manifest, "mids")[0] == "/m/02sgy,/m/0342h,/m/04rlf"
    assert column(manifest, "group") == ["person 6", "person 1", "person 1", "person 3"]
    assert column(manifest, "path")[3] == "FSD50K.eval_audio/37199.wav"


def test_fsd50k_without_its_metadata_has_no_groups(copy):
    made = copy("fsd50k")
    for path in (made.folder / "FSD50K.metadata").iterdir():
        path.unlink()
    assert column(read(made.corpus, made.folder), "group") == [""] * 4


def test_fsd50k_with_broken_metadata_is_refused(copy):
    made = copy("fsd50k")
    (made.folder / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").write_text("{")
    with pytest.raises(ManifestError, match="is not valid JSON"):
        read(made.corpus, made.folder)


def test_speech_commands_follow_the_official_lists_and_group_by_speaker(copy):
    made = copy("speech_commands")
    manifest = read(made.corpus, made.folder)
    splits = dict(zip(column(manifest, "path"), column(manifest, "split"), strict=True))
    assert splits == {
        "no/0132a06d_nohash_2.wav": "validation",
        "no/0a7c2a8d_nohash_0.wav": "train",
        "yes/004ae714_nohash_0.wav": "test",
        "yes/0a7c2a8d_nohash_0.wav": "train",
        "yes/0a7c2a8d_nohash_1.wav": "train",
    }
    assert column(manifest, "group").count("0a7c2a8d") == 3
    assert manifest.vocabulary.labels == ("no", "yes")  # background noise is no word


def test_speech_commands_tell_what_is_listed_but_missing(copy):
    made = copy("speech_commands")
    (made.folder / "speech_commands_v0.02" / "yes" / "004ae714_nohash_0.wav").unlink()
    with pytest.raises(ManifestError, match=r"1 of 5 files are missing: yes/004ae714_nohash_0"):
        read(made.corpus, made.folder)


@pytest.mark.parametrize("name", CORPORA)
def test_a_copy_in_another_format_is_the_same_data_set(copy, name):
    made = copy(name)
    before = read(made.corpus, made.folder)
    for path in made.folder.rglob("*.wav"):
        path.rename(path.with_suffix(".flac"))
    after = read(made.corpus, made.folder)
    assert [str(path.with_suffix(".wav")) for path in after.files] == [str(path) for path in before.files]
    assert column(after, "labels") == column(before, "labels")
    assert column(after, "split") == column(before, "split")


@pytest.mark.parametrize("name", CORPORA)
def test_a_missing_sound_is_told(copy, name):
    made = copy(name)
    # For words, the files themselves are the table.
    expected = r"train: 2 rows \(expected 3\)" if name == "speech_commands" else "1 of .* files are missing: "
    first = read(made.corpus, made.folder).files[1 if name == "speech_commands" else 0]
    first.unlink()
    with pytest.raises(ManifestError, match=rf"is not the whole of .*\n{expected}"):
        read(made.corpus, made.folder)


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_that_holds_something_else_is_told(name, tmp_path):
    with pytest.raises(ManifestError, match="is no copy of .* up to 2 folders below"):
        read(CORPORA[name], tmp_path)


def test_all_that_is_wrong_is_told_at_once(copy):
    made = copy("esc50")
    edit(made.folder / "ESC-50-master/meta/esc50.csv", "1-100038-A-14.wav,1,14,chirping_birds", "1-9-A-0.wav,2,0,dog")
    with pytest.raises(ManifestError) as error:
        read(made.corpus, made.folder)
    told = str(error.value).splitlines()[1:]
    assert told == [
        "1 of 5 files are missing: 1-9-A-0.wav",
        "fold 1: 1 rows (expected 2)",
        "fold 2: 4 rows (expected 3)",
        "2 classes (expected 3)",
    ]


def test_a_fold_that_is_none_has_no_files(copy):
    made = copy("urbansound8k")
    edit(made.folder / "UrbanSound8K/metadata/UrbanSound8K.csv", ",2,10,1,car_horn", ",2,11,1,car_horn")
    with pytest.raises(ManifestError, match=r"fold 10: 0 rows \(expected 1\)\nfold 11: 1 rows \(expected 0\)"):
        read(made.corpus, made.folder)


def test_a_table_that_is_missing_or_of_another_kind_is_told(copy):
    made = copy("fsdkaggle2018")
    train = made.folder / "FSDKaggle2018.meta" / "train_post_competition.csv"
    edit(train, "manually_verified", "verified")
    with pytest.raises(ManifestError, match=r"has no column manually_verified \(found: fname, label, verified"):
        read(made.corpus, made.folder)
    edit(train, "verified", "manually_verified")
    (made.folder / "FSDKaggle2018.meta" / "test_post_competition_scoring_clips.csv").unlink()
    with pytest.raises(ManifestError, match="this table of the data set is missing"):
        read(made.corpus, made.folder)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("dog,True", "dog", "row 2: has too few or too many cells"),
        ("dog,True", "dog,True,,", "row 2: has too few or too many cells"),
        ("1-100032-A-0.wav,1,", "1-100032-A-0.wav,one,", r"fold -1: 1 rows \(expected 0\)"),
        ("dog,True", "d\udcf6g,True", r"cannot be read as a table \('utf-8' codec"),
    ],
)
def test_a_damaged_table_is_told(copy, old, new, text):
    made = copy("esc50")
    table = made.folder / "ESC-50-master" / "meta" / "esc50.csv"
    table.write_bytes(table.read_bytes().replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1))
    with pytest.raises(ManifestError, match=text):
        read(made.corpus, made.folder)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"'esc5' is not a known data set \(did you mean 'esc50'\?\)"):
        find_corpus("esc5")


@pytest.mark.parametrize(("name", "folder"), [("esc50", "esc50"), ("esc10", "esc10"), ("esc10", "esc50")])
def test_real_copies_in_another_format_are_whole(name, folder):
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no {folder} in {SHARED}")
    corpus = CORPORA[name]
    manifest = read(corpus, SHARED / folder)
    assert len(manifest) == sum(corpus.n_clips.values())
    n_folds = manifest.table.groupby("group")["fold"].nunique()
    assert set(n_folds.index[n_folds > 1]) == (STRADDLING if name == "esc50" else set())
    counts = manifest.table.groupby(["fold", "labels"]).size()
    assert set(counts) == {8}


def test_a_part_of_the_real_data_is_not_the_whole():
    if not (SHARED / "esc10").is_dir():
        pytest.skip(f"no esc10 in {SHARED}")
    with pytest.raises(ManifestError, match=r"fold 1: 80 rows \(expected 400\)"):
        read(CORPORA["esc50"], SHARED / "esc10")


@pytest.mark.parametrize(
    ("name", "n_clips"),
    [
        ("esc50", 2000),
        ("esc10", 400),
        ("urbansound8k", 8732),
        ("fsdkaggle2018", 11073),
        ("fsdkaggle2019", 29266),
        ("fsd50k", 51197),
        ("speech_commands", 105829),
    ],
)
def test_the_parts_add_up_to_the_published_whole(name, n_clips):
    assert sum(CORPORA[name].n_clips.values()) == n_clips


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=list(CORPORA))
def test_the_facts_of_a_data_set_are_complete_and_well_formed(corpus):
    assert CORPORA[corpus.name] is corpus
    assert all((corpus.title, corpus.licence, corpus.obliges, corpus.citation, corpus.homepage.startswith("https://")))
    known = [archive.n_bytes for archive in corpus.archives]
    assert None in known or sum(known) == corpus.n_bytes
    for archive in corpus.archives:
        assert archive.url.startswith("https://")
        assert archive.md5 is None or len(bytes.fromhex(archive.md5)) == 16
        assert archive.sha256 is None or len(bytes.fromhex(archive.sha256)) == 32
    assert len({replace(archive, url="") for archive in corpus.archives}) == len(corpus.archives)
