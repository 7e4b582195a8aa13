"""Splitting and auditing as flows: what is heard in one pass, groups of copies, and a table that is locked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.audio.cache import Cache
from earmark.data import Manifest, read_manifest
from earmark.data.fingerprint import fingerprint
from earmark.data.fraction import take_fraction
from earmark.data.lock import lock_path, read_lock, verify
from earmark.data.matches import SURE, find_matches
from earmark.errors import ConfigError, ManifestError
from earmark.flows.classifier_folds import inner_parts
from earmark.flows.prepare import deal
from earmark.flows.run_config import RunConfig
from earmark.flows.split import Grouping, Shares, audit, listen, split

RATE = 16000


def noise(seed: int, seconds: float = 4.0) -> np.ndarray:
    """Bursts of coloured noise, like nothing else."""
    generator = np.random.default_rng(seed)
    sound = generator.normal(0, 0.1, int(seconds * RATE)) * generator.uniform(0.2, 1, int(seconds * 10)).repeat(
        RATE // 10
    )
    return np.convolve(sound, generator.normal(0, 0.5, 8), "same").astype(np.float32)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Eight recordings of two classes: 4.wav holds part of 0.wav at another rate and level, 5.wav is 1.wav again."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(8):
        audio.write(folder / f"{number}.wav", noise(number), RATE)
    part = noise(0)[RATE // 2 :]
    audio.write(folder / "4.wav", 0.4 * np.interp(np.arange(0, len(part), 2 / 3), np.arange(len(part)), part), 24000)
    (folder / "5.wav").write_bytes((folder / "1.wav").read_bytes())
    return folder


def make(root: Path, **columns) -> Manifest:
    paths = [f"{number}.wav" for number in range(8)]
    return Manifest.build(root, paths, [("dog",), ("cat",)] * 4, **columns)


def test_copies_are_found_across_folds_by_content_and_by_fingerprint(sounds):
    found = audit(make(sounds, folds=[0, 0, 0, 0, 1, 1, 1, 1]), threads=2)
    assert found.unread == []
    assert [(leak.kind, leak.clip_ids) for leak in found.certain] == [
        ("content", ("1.wav", "5.wav")),
        ("recording", ("0.wav", "4.wav")),
    ]
    assert audit(make(sounds, folds=[0, 1, 0, 1, 0, 1, 0, 1])).leaks == []


@pytest.mark.parametrize("given", [{"splits": ["train"] * 6 + ["validation"] * 2}, {"folds": [0, 1, 2, 1, 0, 1, 2, 2]}])
def test_training_groups_copies_encoded_anew_whoever_drew_the_folds(sounds, tmp_path, given):
    """So they do not straddle what is drawn within the training side, to choose a head or an epoch by."""
    dealt, *_ = deal(make(sounds, **given), RunConfig(), Cache(tmp_path), False)
    training = dealt.select(np.flatnonzero(dealt.folds != 0)) if "splits" in given else dealt
    groups = dict(zip(training.table["path"], training.groups, strict=True))
    assert groups["0.wav"] == groups["4.wav"]
    assert groups["1.wav"] == groups["5.wav"]
    assert len(set(training.groups)) == len(training) - 2
    if "splits" in given:
        parts = dict(zip(training.table["path"], inner_parts(training, 0), strict=True))
        assert parts["0.wav"] == parts["4.wav"]
    with pytest.raises(ManifestError, match="one recording, encoded or cut differently"):
        deal(make(sounds, folds=[0, 1, 0, 1, 1, 1, 0, 0]), RunConfig(), Cache(tmp_path), False)


def test_nothing_can_straddle_one_side(sounds):
    with pytest.raises(ManifestError, match="has no folds and no test split, so nothing can straddle them"):
        audit(make(sounds))


def test_a_file_that_cannot_be_read_is_listed_and_the_others_are_heard(sounds, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    paths = [str(sounds / "0.wav"), "broken.wav", "gone.wav", str(sounds / "4.wav")]
    manifest = Manifest.build(tmp_path, paths, [("dog",), ("cat",)] * 2, folds=[0, 0, 1, 1])
    told = []
    found = audit(manifest, threads=2, progress=lambda done, total: told.append((done, total)))
    assert [path for path, _ in found.unread] == ["broken.wav", "gone.wav"]
    assert [leak.kind for leak in found.leaks] == ["recording"]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_regions_of_a_file_are_heard_in_one_pass_as_if_alone(sounds, monkeypatch):
    opened = []
    monkeypatch.setattr("earmark.audio.blocks", lambda *args, blocks=audio.blocks: opened.append(args) or blocks(*args))
    starts, ends = [2.0, 0.5, 1.0, 3.0], [3.25, 2.5, np.nan, 9.0]
    manifest = Manifest.build(sounds, ["0.wav"] * 4, [("dog",)] * 4, starts=starts, ends=ends)
    heard = listen(manifest)
    assert len(opened) == 1
    waveform = audio.load(sounds / "0.wav", RATE)
    for found, start, end in zip(heard.fingerprints, starts, [3.25, 2.5, 4.0, 4.0], strict=True):
        alone = fingerprint(waveform[round(start * RATE) : round(end * RATE)], RATE)
        assert found.seconds == alone.seconds
        assert (found.signs == alone.signs).all()


def test_duplicates_become_groups_and_join_those_there_are(sounds):
    manifest = make(sounds, groups=["", "", "g", "g", "", "g", "", ""])
    made = split(manifest, Shares(n_folds=2), grouping=Grouping(), threads=2)
    groups = made.manifest.groups
    assert groups.tolist() == ["0.wav", "1.wav", "1.wav", "1.wav", "0.wav", "1.wav", "6.wav", "7.wav"]
    assert audit(made.manifest).leaks == []


def test_groups_come_from_a_column_or_a_pattern_but_not_both(sounds):
    manifest = make(sounds, extras={"site": list("aabbccdd")})
    assert split(
        manifest, Shares(n_folds=2), grouping=Grouping("site", duplicates=False)
    ).manifest.groups.tolist() == list("aabbccdd")
    by_name = split(manifest, Shares(n_folds=2), grouping=Grouping(regex="([0-3]|[4-7])", duplicates=False)).manifest
    assert by_name.groups.tolist() == list("01234567")
    with pytest.raises(ConfigError, match="groups come from a column or from a pattern, and both were given"):
        split(manifest, Shares(), grouping=Grouping("site", "(.)"))


def test_a_split_is_written_with_its_lock_and_read_back(sounds, tmp_path):
    out = tmp_path / "split.csv"
    made = split(make(sounds), Shares(test=0.25, n_folds=3), out=out, seed=1, grouping=Grouping(duplicates=False))
    assert made.done[0] == "train 6 clips (75.0%), test 2 clips (25.0%); stratified."
    assert made.done[1].startswith("3 folds, stratified by class; 2 clips each.")
    assert read_manifest(out) == made.manifest
    assert verify(out, read_manifest(out)) == made.lock == read_lock(out)
    assert (made.lock.method, made.lock.seed, made.lock.n_clips) == ("stratified", 1, 2)


def test_a_locked_table_is_written_again_only_with_the_same_test_rows(sounds, tmp_path):
    out = tmp_path / "split.csv"
    lock = split(make(sounds), Shares(test=0.25, n_folds=3), out=out).lock
    written = out.read_bytes()
    assert split(make(sounds), Shares(test=0.25, n_folds=3), out=out).lock == lock
    assert out.read_bytes() == written
    for shares in (Shares(test=0.5, n_folds=0), Shares(n_folds=2)):
        with pytest.raises(ManifestError, match="has a test split of 2 clips, locked on"):
            split(make(sounds), shares, out=out)
    assert out.read_bytes() == written
    # From the table itself: its test split is given, and only the folds are new.
    again = split(read_manifest(out), Shares(test=0.25, n_folds=2), out=out, method=None)
    assert again.lock == lock
    assert again.done[0].endswith("test 2 clips (25.0%); given in the data.")
    lock_path(out).unlink()
    assert split(make(sounds), Shares(test=0.5, n_folds=0), out=out).lock.n_clips == 4


def test_patterns_are_offered_only_without_groups(sounds, tmp_path):
    paths = [f"spk{number % 4}_{number}.wav" for number in range(8)]
    manifest = Manifest.build(tmp_path, paths, [("dog",), ("dog",), ("cat",), ("cat",)] * 2, folds=[0, 1] * 4)
    assert [offer.kind for offer in split(manifest, Shares()).offers] == ["speaker"]
    assert split(manifest, Shares(), grouping=Grouping(regex=r"(spk\d)")).offers == []


def test_a_fraction_is_split(sounds):
    manifest = Manifest.build(Path("root"), [f"{n}.wav" for n in range(100)], [("dog",), ("cat",)] * 50)
    assert len(split(take_fraction(manifest, 0.1), Shares(n_folds=2)).manifest) == 10


def test_the_fingerprints_of_one_pass_match_as_those_of_whole_files(sounds):
    heard = listen(make(sounds), threads=2)
    pairs = {(match.first, match.second) for match in find_matches(heard.fingerprints, SURE)}
    assert pairs == {(0, 4), (1, 5)}
    assert len(heard.hashes) == 8


def test_given_folds_that_tear_copies_apart_are_said_with_the_way_to_others(sounds, tmp_path):
    torn = make(sounds, folds=[0, 1, 0, 1, 1, 1, 0, 0])
    made = split(torn, Shares(), grouping=Grouping())
    assert "1 leak in these folds, such as one group on several sides ('0.wav')" in made.done[-1]
    assert made.done[-1].endswith("`earmark train` will refuse them: --method stratified_grouped draws folds without.")
    anew = split(torn, Shares(n_folds=2), grouping=Grouping(), method="stratified_grouped")
    assert "leak" not in anew.done[-1]
    assert audit(anew.manifest).leaks == []


def test_folds_of_a_public_data_set_are_its_own_beside_a_test_split_of_ours(sounds, tmp_path):
    """Their leaks are kept for comparison's sake; one that our own test split tears apart is not."""
    names = [f"{number // 2 % 2 + 1}-{number}-A-{number % 2}.wav" for number in range(8)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes((sounds / f"{number}.wav").read_bytes())
    (tmp_path / names[4]).write_bytes((sounds / "3.wav").read_bytes())  # a copy of 3, in the other fold
    manifest = Manifest.build(tmp_path, names, [("dog",), ("cat",)] * 4, folds=[1, 1, 2, 2] * 2)
    aside = manifest.with_splits(["train"] * 6 + ["test"] * 2).with_folds([1, 1, 2, 2, 1, 1, -1, -1])
    made = split(aside, Shares(), grouping=Grouping())
    assert made.done[-1].endswith("They are a publisher's and kept; --method stratified_grouped draws folds without.")
    dealt, _, leaks, _ = deal(made.manifest, RunConfig(), Cache(tmp_path / "cache"), False)
    assert {leak.clip_ids for leak in leaks} == {(names[3], names[4])}
    assert len(dealt) == 6
    torn = manifest.with_splits(["train"] * 4 + ["test"] + ["train"] * 3).with_folds([1, 1, 2, 2, -1, 1, 2, 2])
    with pytest.raises(ManifestError, match="1 leak: the same sound would be trained on and held out"):
        deal(torn, RunConfig(), Cache(tmp_path / "cache"), False)
