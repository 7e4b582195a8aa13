"""What a network has learnt before must not be held out: found by content, by recording, by group, by digest."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.audio.cache import Cache
from earmark.config import to_yaml
from earmark.data.leakage import hash_contents
from earmark.data.manifest import Manifest
from earmark.data.seen import sketch
from earmark.errors import ManifestError, TaggerFileError
from earmark.flows.run_config import FINETUNED, BackboneConfig, RunConfig
from earmark.flows.source_audit import UNNAMED, audit_all, audit_source, refuse_seen
from earmark.flows.split import listen
from earmark.run import Run, write_text
from earmark.tagger.home import converted
from earmark.tagger.metadata import TaggerMetadata

RATE = 16000


def melody(number: int, seconds: float = 4.0) -> np.ndarray:
    """Notes of a scale in an order of their own, in noise: what a fingerprint can tell from others."""
    generator = np.random.default_rng(number)
    time = np.arange(RATE // 4) / RATE
    notes = 220.0 * 2 ** (generator.integers(0, 36, round(4 * seconds)) / 12)
    sound = np.concatenate([np.sin(2 * np.pi * note * time) * np.exp(-6 * time) for note in notes])
    return (0.3 * sound + 0.01 * generator.standard_normal(len(sound))).astype(np.float32)


def make_sounds(folder: Path, numbers: range) -> list[str]:
    """A file per number; their names."""
    folder.mkdir(exist_ok=True)
    names = [f"{number}.wav" for number in numbers]
    for number, name in zip(numbers, names, strict=True):
        audio.write(folder / name, melody(number), RATE)
    return names


def write_run(folder: Path, manifest: Manifest, on: str = "") -> Run:
    """What a run leaves of what it was trained on."""
    run = Run(folder)
    config = RunConfig(model=FINETUNED, backbone=BackboneConfig(on=on)) if on else RunConfig()
    write_text(run.config, to_yaml(config))
    manifest.write(run.manifest)
    return run


def labels(n: int) -> list[tuple[str, ...]]:
    return [("a",) if number % 2 else ("b",) for number in range(n)]


@pytest.fixture
def old(tmp_path) -> Run:
    """A run on melodies 0 to 5."""
    names = make_sounds(tmp_path / "old", range(6))
    return write_run(tmp_path / "runs" / "before", Manifest.build(tmp_path / "old", names, labels(6)))


def new_data(folder: Path, numbers: range = range(10, 16), **columns) -> Manifest:
    """Melodies that nobody has heard, in two folds."""
    names = make_sounds(folder, numbers)
    columns.setdefault("folds", [number % 2 for number in numbers])
    return Manifest.build(folder, names, labels(len(names)), **columns)


def audited(source, manifest) -> list:
    return audit_source(str(source), manifest, hash_contents(manifest))


def test_other_sounds_are_no_leak(old, tmp_path):
    assert audited(old.folder, new_data(tmp_path / "new")) == []
    refuse_seen([], "nothing")


def test_a_copy_under_another_name_is_found_and_stops(old, tmp_path):
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    [leak] = leaks = audited(old.folder, manifest)
    assert leak.kind == "content"
    assert leak.sides == (str(old.folder), "fold 0")
    assert leak.clip_ids == ("3.wav", "10.wav")
    with pytest.raises(ManifestError, match=r"was trained on sounds that are held out here \(1 leak\)"):
        refuse_seen(leaks, str(old.folder))


def test_each_leak_says_what_it_is_and_names_the_network_once(old, tmp_path):
    """The very file, a region of it, a copy, a recording: as a user reads it."""
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    audio.write(tmp_path / "new" / "12.wav", 0.5 * melody(2)[RATE // 3 :], RATE)
    regions = {"starts": [0, 1, 0], "ends": [None, 3, None]}
    same = Manifest.build(tmp_path / "old", ["0.wav", "1.wav", "3.wav"], labels(3), folds=[0, 0, 1], **regions)
    said = sorted(str(leak) for leak in [*audited(old.folder, manifest), *audited(old.folder, same)])
    where = f"({old.folder})"
    assert said == [
        f"copies of one file on several sides ('{tmp_path}/old/3.wav'): 3.wav {where}, 10.wav (fold 0)",
        f"one file on several sides ('{tmp_path}/old/0.wav'): 0.wav {where}, 0.wav (fold 0)",
        f"one file on several sides ('{tmp_path}/old/3.wav'): 3.wav {where}, 3.wav (fold 1)",
        f"one recording, encoded or cut differently, on several sides ('{tmp_path}/old/2.wav'): "
        f"2.wav {where}, 12.wav (fold 0)",
        f"overlapping regions of one file on several sides ('{tmp_path}/old/1.wav'): 1.wav {where}, 1.wav#1-3 (fold 0)",
    ]


def test_what_is_only_trained_on_here_may_be_known(old, tmp_path):
    manifest = new_data(tmp_path / "new", folds=[-1, 0, 1, 0, 1, 0])
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    assert audited(old.folder, manifest) == []


def test_a_recording_that_is_louder_and_cut_is_found(old, tmp_path):
    manifest = new_data(tmp_path / "new")
    audio.write(tmp_path / "new" / "12.wav", 0.5 * melody(2)[RATE // 3 :], RATE)
    [leak] = audited(old.folder, manifest)
    assert (leak.kind, leak.clip_ids[-1]) == ("recording", "12.wav")
    heard = listen(manifest)
    assert audit_source(str(old.folder), manifest, heard.hashes, heard.fingerprints) == [leak]


def test_the_group_of_a_copy_is_known_too(old, tmp_path):
    groups = ["walk", "", "walk", "", "", ""]
    manifest = new_data(tmp_path / "new", groups=groups, folds=[0, 1, 0, 1, 0, 1])
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    content, group = audited(old.folder, manifest)
    assert (content.kind, content.clip_ids[-1]) == ("content", "10.wav")
    assert (group.kind, group.clip_ids[-1]) == ("group", "12.wav")


@pytest.mark.parametrize(("in_one_folder", "n_leaks"), [(True, 1), (False, 0)])
def test_names_of_groups_mean_the_same_in_one_folder_only(tmp_path, in_one_folder, n_leaks):
    first, second = tmp_path / "sounds", tmp_path / ("sounds" if in_one_folder else "others")
    names = make_sounds(first, range(6))
    groups = [f"site {number}" for number in range(6)]
    run = write_run(tmp_path / "runs" / "before", Manifest.build(first, names, labels(6), groups=groups))
    manifest = new_data(second, groups=["site 4", *(f"place {number}" for number in range(5))])
    leaks = audited(run.folder, manifest)
    assert len(leaks) == n_leaks
    assert all((leak.kind, leak.what, leak.clip_ids[-1]) == ("group", "site 4", "10.wav") for leak in leaks)


def test_what_the_source_itself_was_started_from_counts(old, tmp_path):
    names = make_sounds(tmp_path / "middle", range(20, 24))
    manifest = Manifest.build(tmp_path / "middle", names, labels(4))
    middle = write_run(tmp_path / "runs" / "middle", manifest, on=str(old.folder))
    mine = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    [leak] = audited(middle.folder, mine)
    assert leak.sides == (str(old.folder), "fold 0")


def test_an_ancestor_that_is_gone_is_said_and_stops_nothing(old, tmp_path, caplog):
    names = make_sounds(tmp_path / "middle", range(20, 24))
    manifest = Manifest.build(tmp_path / "middle", names, labels(4))
    middle = write_run(tmp_path / "runs" / "middle", manifest, on=str(old.folder))
    shutil.rmtree(old.folder)
    mine = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "middle" / "21.wav", tmp_path / "new" / "10.wav")
    [leak] = audited(middle.folder, mine)
    assert leak.clip_ids[-1] == "10.wav"
    assert f"{middle.folder}: what it was started from is gone and cannot be compared" in caplog.text


def test_a_source_that_is_gone_itself_is_an_error(tmp_path):
    with pytest.raises(TaggerFileError, match="nowhere"):
        audited(tmp_path / "nowhere", new_data(tmp_path / "new", range(10, 12), folds=[0, 1]))
    with pytest.raises(TaggerFileError, match="nowhere: is neither a file nor a pretrained tagger"):
        audited("nowhere", new_data(tmp_path / "new", range(10, 12), folds=[0, 1]))


def test_a_test_split_is_held_out_too(old, tmp_path):
    manifest = new_data(tmp_path / "new", splits=["test", "train", "train", "train", "train", "train"])
    manifest = manifest.with_folds(np.array([-1, 0, 1, 0, 1, -1]))
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    shutil.copy(tmp_path / "old" / "4.wav", tmp_path / "new" / "11.wav")
    shutil.copy(tmp_path / "old" / "5.wav", tmp_path / "new" / "15.wav")  # which is only trained on
    tested, held_out = sorted(audited(old.folder, manifest), key=lambda leak: leak.clip_ids[-1])
    assert (tested.clip_ids[-1], tested.sides) == ("10.wav", (str(old.folder), "test"))
    assert (held_out.clip_ids[-1], held_out.sides) == ("11.wav", (str(old.folder), "fold 0"))


def tagger_at(path: Path, manifest: Manifest, monkeypatch) -> Path:
    """A tagger file that knows the digests of what it was trained on."""
    metadata = TaggerMetadata(
        *("known", ("a", "b"), RATE, 1.0, 0.5),
        multi_label=False,
        trained_on={"clips": sketch(manifest, hash_contents(manifest))},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a graph")

    class Opened:
        def __init__(self, metadata: TaggerMetadata):
            self.metadata = metadata

    monkeypatch.setattr("earmark.flows.source_audit.load_tagger", lambda _: Opened(metadata))
    return path


def test_a_tagger_file_alone_knows_its_clips_by_digest(old, tmp_path, monkeypatch):
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    theirs = Manifest.build(tmp_path / "old", [f"{number}.wav" for number in range(6)], labels(6))
    tagger = tagger_at(tmp_path / "alone" / "known.tagger.onnx", theirs, monkeypatch)
    [leak] = audited(tagger, manifest)
    assert (leak.kind, leak.clip_ids, leak.sides) == ("content", (UNNAMED, "10.wav"), (str(tagger), "fold 0"))


def test_a_tagger_beside_its_run_is_that_run(old, tmp_path, monkeypatch):
    manifest = new_data(tmp_path / "new")
    audio.write(tmp_path / "new" / "12.wav", 0.5 * melody(2)[RATE // 3 :], RATE)
    theirs = Manifest.build(tmp_path / "old", [f"{number}.wav" for number in range(6)], labels(6))
    [leak] = audited(tagger_at(old.tagger, theirs, monkeypatch), manifest)
    assert leak.kind == "recording"


def test_clips_that_are_gone_are_known_by_digest(old, tmp_path, monkeypatch):
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    theirs = Manifest.build(tmp_path / "old", [f"{number}.wav" for number in range(6)], labels(6))
    tagger_at(old.tagger, theirs, monkeypatch)
    (tmp_path / "old" / "3.wav").unlink()
    [leak] = audited(old.folder, manifest)
    assert (leak.kind, leak.clip_ids[-1]) == ("content", "10.wav")


def test_a_tagger_file_in_a_runs_folder_that_is_not_the_runs_is_known_by_digest(old, tmp_path, monkeypatch):
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    others = Manifest.build(tmp_path / "new", ["12.wav"], [("a",)])
    tagger = tagger_at(old.folder / "guest.tagger.onnx", others, monkeypatch)
    [leak] = audited(tagger, manifest)
    assert leak.clip_ids == (UNNAMED, "12.wav")


def test_a_name_in_the_home_folder_goes_before_a_runs_folder(old, tmp_path, monkeypatch):
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(old.folder.parent)
    [leak] = audited("before", manifest)
    assert leak.clip_ids == ("3.wav", "10.wav")
    tagger_at(converted("before"), Manifest.build(tmp_path / "new", ["12.wav"], [("a",)]), monkeypatch)
    [leak] = audited("before", manifest)
    assert leak.clip_ids == (UNNAMED, "12.wav")


def test_a_home_tagger_that_is_a_link_to_a_runs_is_that_run(old, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    theirs = Manifest.build(tmp_path / "old", ["0.wav"], [("a",)])
    converted("linked").parent.mkdir(parents=True)
    converted("linked").symlink_to(tagger_at(old.tagger, theirs, monkeypatch))
    manifest = new_data(tmp_path / "new")
    audio.write(tmp_path / "new" / "12.wav", 0.5 * melody(2)[RATE // 3 :], RATE)
    assert [leak.kind for leak in audited("linked", manifest)] == ["recording"]


def test_all_sources_are_asked_once_and_stop_what_is_not_allowed(old, tmp_path, monkeypatch):
    manifest = new_data(tmp_path / "new")
    shutil.copy(tmp_path / "old" / "3.wav", tmp_path / "new" / "10.wav")
    cache, name = Cache(tmp_path / "cache"), str(old.folder)
    monkeypatch.chdir(old.folder.parent)
    with pytest.raises(ManifestError, match=f"{name}: was trained on sounds that are held out here"):
        audit_all(["mn04_as", name], manifest, cache, allow_leak=False)
    assert len(audit_all([name, name], manifest, cache, allow_leak=True)) == 1
    assert audit_all(["before", "mn04_as"], manifest, cache, allow_leak=False, audited=name) == []
    assert audit_all([], manifest, cache, allow_leak=False) == []


@pytest.mark.parametrize("source", ["mn04_as", "hf:facebook/wav2vec2-base"])
def test_published_networks_tell_nothing(tmp_path, source):
    assert audited(source, new_data(tmp_path / "new", range(10, 12), folds=[0, 1])) == []
