"""The synthetic data set: labelled as it sounds, grouped, seeded, resumable."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.data import read_manifest, synthetic
from earmark.data.sources import SOUNDS
from earmark.data.synthetic import Event, draw_scene, make_dataset, make_recording, record
from earmark.errors import ConfigError

RATE = 16000
SMALL = {"n_clips": 12, "seconds": 0.6, "takes": 4, "classes": ["kick", "rain", "siren"]}


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def labels(cell: str) -> list[str]:
    return [label for label in cell.split(";") if label]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "set", n_clips=112, seconds=1.5)


def test_the_manifest_reads_every_clip(table):
    manifest = read_manifest(table)
    assert len(manifest) == 112
    assert list(manifest.vocabulary) == sorted(SOUNDS)
    assert manifest.multi_label
    assert manifest.has_groups
    assert [";".join(names) for names in manifest.table["labels"]] == [row["labels"] for row in rows(table)]


def test_there_are_clips_with_none_one_and_several_labels(table):
    counts = np.bincount([len(labels(row["labels"])) for row in rows(table)])
    assert len(counts) == 4
    assert (counts > 0).all()
    assert counts[0] < 0.15 * counts.sum()


def test_every_class_occurs_enough_and_in_several_groups(table):
    found = {name: [row["group"] for row in rows(table) if name in labels(row["labels"])] for name in SOUNDS}
    share = 112 * np.dot(synthetic.N_EVENTS_SHARES, range(4)) / len(SOUNDS)
    assert min(len(groups) for groups in found.values()) > 0.5 * share
    assert min(len(set(groups)) for groups in found.values()) >= 3


def test_each_scene_has_few_sources_and_as_many_takes_as_asked(table):
    for group in {row["group"] for row in rows(table)}:
        takes = [row for row in rows(table) if row["group"] == group]
        assert len(takes) == 8
        assert len({name for row in takes for name in labels(row["labels"])}) <= synthetic.SOURCES_PER_SCENE


def test_groups_share_no_source():
    scenes = [
        draw_scene(np.random.default_rng([0, 1, scene]), ["kick", "siren"], RATE) for scene in range(50)
    ]
    for label in ("kick", "siren"):
        sources = [tuple(scene.sources[label].values()) for scene in scenes]
        assert len(set(sources)) == len(scenes)


def test_clips_are_finite_sounding_and_do_not_clip(table):
    peaks = []
    for row in rows(table):
        waveform = audio.load(table.parent / row["filename"], RATE)
        assert waveform.shape == (1.5 * RATE,)
        assert np.isfinite(waveform).all()
        peaks.append(np.abs(waveform).max())
    assert max(peaks) < 1
    assert min(peaks) > 0.09
    assert max(peaks) > 3 * min(peaks)


def test_a_label_is_heard_where_its_event_is_and_nowhere_else():
    # The same generator draws the same background, so what differs is the event.
    scene = draw_scene(np.random.default_rng(5), sorted(SOUNDS), RATE)
    level = {}
    for label in SOUNDS:
        event = Event(1.0, 1.8, label)
        mix = record(np.random.default_rng(1), scene, [event], 3.0, RATE, snr_db=(20, 20))
        energy = np.square(mix).reshape(30, -1).mean(axis=1)
        level[label] = energy[10:18].max() / np.median(energy[:9])
    assert min(level.values()) > 10 ** (12 / 10), level


def test_same_seed_same_bytes_other_seed_other_sound(tmp_path):
    tables = [make_dataset(tmp_path / str(k), **SMALL, seed=seed) for k, seed in enumerate((3, 3, 4))]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    for row in rows(tables[0]):
        one, same, other = (table.parent / row["filename"] for table in tables)
        assert one.read_bytes() == same.read_bytes()
        assert one.read_bytes() != other.read_bytes()


def test_an_interrupted_set_is_finished_as_if_it_had_not_been(tmp_path):
    table = make_dataset(tmp_path / "set", **SMALL)
    files = sorted((tmp_path / "set" / "audio").iterdir())
    whole = [file.read_bytes() for file in files]
    kept = files[0].stat().st_mtime_ns
    labels_before = table.read_bytes()
    for file in (*files[2:5], table):
        file.unlink()
    make_dataset(tmp_path / "set", **SMALL)
    assert [file.read_bytes() for file in files] == whole
    assert table.read_bytes() == labels_before
    assert files[0].stat().st_mtime_ns == kept


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_wrong_labels_change_the_asked_share_and_keep_the_truth(tmp_path, share):
    right = rows(make_dataset(tmp_path / "right", **SMALL))
    wrong = rows(make_dataset(tmp_path / "wrong", **SMALL, wrong_labels=share))
    assert [row["true_labels"] for row in wrong] == [";".join(labels(row["labels"])) for row in right]
    changed = [row for row in wrong if set(labels(row["labels"])) != set(labels(row["true_labels"]))]
    assert len(changed) == round(share * len(wrong))
    assert "true_labels" not in right[0]


def test_wrong_labels_do_not_change_the_sound(tmp_path):
    right = make_dataset(tmp_path / "right", **SMALL)
    make_dataset(tmp_path / "wrong", **SMALL, wrong_labels=0.5)
    for row in rows(right):
        ours, theirs = (tmp_path / name / row["filename"] for name in ("right", "wrong"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_set_of_one_class_with_silent_clips_can_be_read(tmp_path):
    table = make_dataset(tmp_path / "set", n_clips=40, seconds=0.5, classes=["kick"])
    manifest = read_manifest(table)
    assert len(manifest) == 40
    assert set(manifest.table["labels"]) == {(), ("kick",)}


def test_a_recording_holds_its_events_in_sequence(tmp_path):
    events = make_recording(tmp_path / "field.wav", 20.0, seed=2)
    assert audio.probe(tmp_path / "field.wav").seconds == 20.0
    assert len(events) > 4
    for (_, end, _), (start, _, _) in zip(events, events[1:], strict=False):
        assert start > end
    assert all(0 < start < end <= 20 and label in SOUNDS for start, end, label in events)
    assert len({label for _, _, label in events}) == min(len(events), len(SOUNDS))


def test_a_recording_is_louder_where_its_events_are(tmp_path):
    events = make_recording(tmp_path / "field.wav", 20.0, seed=2)
    waveform = audio.load(tmp_path / "field.wav", RATE)
    inside = np.zeros(len(waveform), bool)
    for start, end, _ in events:
        inside[round(start * RATE) : round(end * RATE)] = True
    assert (
        np.square(waveform[inside]).mean() > 5 * np.square(waveform[: round(events[0].start * RATE)]).mean()
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"classes": ["kik"]}, r"'kik' is not a synthetic sound \(did you mean 'kick'\?\)"),
        ({"n_clips": 0}, r"n_clips is 0 \(expected 1 to inf\)"),
        ({"seconds": 0.1}, r"seconds is 0.1 \(expected 0.5"),
        ({"wrong_labels": 1.5}, r"wrong_labels is 1.5 \(expected 0 to 1\)"),
        ({"wrong_labels": 0.1, "classes": ["kick"]}, r"number of classes is 1 \(expected 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        make_dataset(tmp_path / "set", **settings)
    assert not (tmp_path / "set").exists()


def test_a_set_made_otherwise_is_never_overwritten(tmp_path):
    make_dataset(tmp_path / "set", **SMALL)
    with pytest.raises(ConfigError, match="made with other settings"):
        make_dataset(tmp_path / "set", **SMALL, seed=1)


def test_a_folder_of_other_things_is_never_written_to(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no synthetic set"):
        make_dataset(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
