"""`evaluate --events`: what a tagger or a file finds, held against what is there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

from earmark import audio, load_tagger
from earmark.data.leakage import hash_contents
from earmark.data.lock import looks_path, make_lock, read_looks, write_lock
from earmark.data.readers import read_manifest
from earmark.data.seen import sketch
from earmark.errors import ConfigError, EarmarkError, ManifestError
from earmark.export.graph import stamp
from earmark.flows.evaluate import UNKNOWN_ORIGIN
from earmark.flows.evaluate_events import evaluate_events, evaluate_found
from earmark.flows.judging_events import FOUND, JSON
from earmark.predictions import Predictions, concatenate
from earmark.tagger.events import EventRule

RATE = 8000


@pytest.fixture
def forest(trained):
    """The tagger of a fold's forest: low, high, noise; one at a time."""
    return trained.run.fold(0, "forest").tagger


@pytest.fixture
def field(tmp_path, sound_of):
    """Three recordings of 8 s, with label tracks: a low and a high tone; a low one; nothing but a hiss."""
    folder = tmp_path / "field"
    tones = {"a": [("low", 1, 3), ("high", 5, 7)], "b": [("low", 2, 5)], "c": []}
    for number, (name, events) in enumerate(tones.items()):
        wave = np.tile(sound_of("noise", 200 + number), 16)[: 8 * RATE] * np.float32(1e-3)
        for label, start, end in events:
            tone = np.tile(sound_of(label, 300 + number), 16)[: (end - start) * RATE]
            wave[start * RATE : end * RATE] = tone
        audio.write(folder / f"{name}.wav", wave, RATE)
        (folder / f"{name}.txt").write_text("".join(f"{start}\t{end}\t{label}\n" for label, start, end in events))
    return folder


def table(path, *rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


TRUTH = ("path,start,end,label", "a.wav,1,3,dog", "a.wav,5,7,owl", "b.wav,2,5,dog", "c.wav,,,")


@pytest.fixture
def truth(tmp_path):
    """The same events as a table, of recordings that are not there."""
    return table(tmp_path / "truth.csv", *TRUTH)


def test_a_tagger_is_scored_on_the_events_that_it_finds(forest, field):
    found = evaluate_events(forest, field)
    tagger = load_tagger(forest)
    listed = [
        (f"{name}.wav", each.label, each.start, each.end)
        for name in "abc"
        for each in tagger.events(tagger.score(field / f"{name}.wav"))
    ]
    assert sorted(found.events) == sorted(listed)
    assert (found.n_recordings, found.n_true) == (3, 3)
    assert found.hours == pytest.approx(24 / 3600)
    # Windows of half a second and more tell tones from hiss, but no edge to 0.2 s.
    assert found.per_label["low"]["segment_f1"].value > 0.5
    assert found.scores["onset"]["f1_micro"].value >= found.scores["event"]["f1_micro"].value
    assert set(found.psds) == {"psds1", "psds2"}
    said = " ".join(found.remarks)
    assert "In 1 of 3 recordings nothing sounds" in said and "one label at a time" in said and "Too few groups" in said
    assert "1 of 3 labels have no event" in said


def test_a_recording_that_cannot_be_read_is_a_failure_and_does_not_count(forest, field):
    (field / "b.wav").write_bytes(b"no sound")
    found = evaluate_events(forest, field)
    assert [path for path, _ in found.failures] == [str(field / "b.wav")]
    assert (found.n_recordings, found.n_true) == (2, 2)
    for name in "ac":
        (field / f"{name}.wav").write_bytes(b"no sound")
    with pytest.raises(EarmarkError, match="no recording can be read"):
        evaluate_events(forest, field)


def test_recordings_that_a_tagger_was_trained_on_are_refused(trained, forest, tmp_path):
    manifest = read_manifest(trained.run.manifest)
    used = manifest.select(manifest.folds != 0)
    rows = [f"{file},0.1,0.2,{labels[0]}" for file, labels in zip(used.files[:3], used.table["labels"], strict=False)]
    data = table(tmp_path / "known.csv", "path,start,end,label", *rows)
    with pytest.raises(EarmarkError, match="was trained on 3 of these 3 clips"):
        evaluate_events(forest, data)
    found = evaluate_events(forest, data, allow_leak=True)
    assert found.remarks[0].startswith("Leak: ")


def test_events_that_a_tagger_was_trained_on_are_refused_in_longer_recordings(forest, field, tmp_path):
    rows, metadata = read_manifest(field, events=True), load_tagger(forest).metadata
    model, known = onnx.load(forest), sketch(rows.select(np.arange(2)), hash_contents(rows))
    stamp(model, replace(metadata, trained_on={**metadata.trained_on, "clips": known}))
    onnx.save(model, tmp_path / "taught.tagger.onnx")
    with pytest.raises(EarmarkError, match="was trained on 2 of these 4 clips"):
        evaluate_events(tmp_path / "taught.tagger.onnx", field)


def test_copies_of_what_a_run_was_trained_on_are_heard(trained, tmp_path):
    manifest = read_manifest(trained.run.manifest)
    for file, labels in list(zip(manifest.files, manifest.table["labels"], strict=True))[::6]:
        name = f"{labels[0]} {file.stem}"
        audio.write(tmp_path / "copies" / f"{name}.wav", 0.5 * audio.load(file, RATE), RATE)
        (tmp_path / "copies" / f"{name}.txt").write_text(f"0\t0.2\t{labels[0]}\n")
    with pytest.raises(EarmarkError, match=r"its training shares \d+ sounds or recordings with this data"):
        evaluate_events(trained.run.folder, tmp_path / "copies", audit=True)


def test_labels_under_other_names_are_mapped(forest, field, tmp_path):
    names = table(tmp_path / "names.csv", "from,to", "low,tone", "high,tone", "noise,")
    for file in field.glob("*.txt"):
        file.write_text(file.read_text().replace("low", "tone").replace("high", "tone"))
    with pytest.raises(ManifestError, match="1 labels are not among the 3 expected"):
        evaluate_events(forest, field)
    found = evaluate_events(forest, field, mapping=names)
    assert list(found.per_label) == ["tone"] and found.per_label["tone"]["n_true"] == 3
    assert {label for _, label, *_ in found.events} == {"tone"}


def test_a_map_may_name_what_a_list_of_events_never_found(truth, tmp_path):
    found = table(tmp_path / "f.csv", "path,start,end,label", "a.wav,1,3,Dog", "b.wav,2,5,Dog")
    names = table(tmp_path / "names.csv", "from,to", "Dog,dog", "Tawny owl,owl")
    for common in (False, True):  # the tool knows owls, so that those it missed count
        judged = evaluate_found(found, truth, mapping=names, common=common)
        assert judged.per_label["dog"]["event_f1"].value == 1
        assert judged.per_label["owl"]["event_f1"].value == 0
        assert "1 names of the map are never found: Tawny owl." in judged.remarks


def test_the_same_events_in_a_table_are_perfect_and_in_any_form(truth, tmp_path):
    rows = ["a.wav,1,3,dog,0.9", "a.wav,5,7,owl,0.8", "b.wav,2,5,dog,0.7", "c.wav,0,9,unknown,"]
    found = evaluate_found(table(tmp_path / "f.csv", "path,start,end,label,score", *rows), truth)
    assert {kind: each["f1_macro"].value for kind, each in found.scores.items()} == dict.fromkeys(found.scores, 1.0)
    assert UNKNOWN_ORIGIN in found.remarks and found.psds == {} and found.hours is None
    lines = [
        {"path": "a.wav", "start": 1, "end": 3, "tags": [{"label": "dog", "score": 0.9}], "error": None},
        {"path": "a.wav", "start": 5, "end": 7, "tags": [{"label": "owl", "score": 0.8}], "error": None},
        {"path": "b.wav", "start": 2, "end": 5, "tags": [{"label": "dog", "score": 0.7}], "error": None},
        {"path": "c.wav", "start": 0, "end": 9, "tags": [], "unknown": True, "error": None},
    ]
    jsonl = table(tmp_path / "f.jsonl", *map(json.dumps, lines))
    dcase = table(tmp_path / "f.tsv", "filename\tonset\toffset\tevent_label", "a.wav\t1\t3\tdog", "a.wav\t5\t7\towl",
                  "b.wav\t2\t5\tdog", "c.wav\t\t\t")  # fmt: skip
    for other in (jsonl, dcase):
        assert evaluate_found(other, truth).scores == found.scores


def test_label_tracks_of_another_tool_are_judged_by_those_of_hand(field, tmp_path):
    (tmp_path / "theirs").mkdir()
    for name in "abc":
        (tmp_path / "theirs" / f"{name}.txt").write_text((field / f"{name}.txt").read_text())
    found = evaluate_found(tmp_path / "theirs", field)
    assert found.scores["event"]["f1_micro"].value == 1 and found.n_found == 3


def test_windows_become_events_by_the_rule_and_have_psds(forest, field, tmp_path):
    tagger = load_tagger(forest)
    scores = concatenate([tagger.score(field / f"{name}.wav") for name in "abc"])
    ids = np.array([name.rpartition("/")[2] for name in scores.clip_ids], dtype=object)
    windows = tmp_path / "windows.csv"
    Predictions(ids, scores.starts, scores.ends, scores.scores, scores.labels, "window").save(windows)
    rule = EventRule(keep_share=1.0, min_seconds=0.3)
    there = evaluate_found(windows, field, rule=rule, threshold=0.6)
    heard = evaluate_events(forest, field, rule=rule, threshold=0.6)
    assert there.psds == heard.psds and there.rule == rule
    assert all(end - start >= 0.3 for *_, start, end in there.events)
    fewer = evaluate_found(windows, field, threshold=0.99)
    assert fewer.n_found <= there.n_found


def test_recordings_without_an_event_count_where_their_table_names_them(tmp_path):
    truth = table(tmp_path / "truth.csv", "path,start,end,label", "a.wav,1,3,dog")
    found = table(tmp_path / "f.csv", "path,start,end,label,score", "a.wav,1,3,dog,1", "c.wav,2,3,dog,1")
    assert evaluate_found(found, truth).scores["event"]["precision_micro"].value == 1
    whole = table(tmp_path / "all.csv", "path,labels,group", "a.wav,dog;,north", "b.wav,;,north", "c.wav,;,south")
    judged = evaluate_found(found, truth, recordings=whole)
    assert judged.n_recordings == 3 and judged.scores["event"]["precision_micro"].value == 0.5
    assert judged.scores["event"]["f1_micro"].n_groups == 2
    assert any("1 of 3 recordings are not named" in remark for remark in judged.remarks)


def test_onsets_without_ends_are_judged_as_onsets(tmp_path):
    truth = table(tmp_path / "truth.csv", "path,onset_s,label", "a.wav,1,kick", "a.wav,1,snare", "a.wav,1.5,kick")
    found = table(tmp_path / "f.csv", "path,start,end,label", "a.wav,1.04,1.1,kick", "a.wav,1.6,1.7,kick")
    judged = evaluate_found(found, truth, collar=0.05)
    assert list(judged.scores) == ["onset"] and judged.primary_metric == "onset_f1_micro"
    assert judged.value == pytest.approx(0.4)
    assert any("without ends" in remark for remark in judged.remarks)
    turned = evaluate_found(truth, found, collar=0.05)
    assert list(turned.scores) == ["onset"] and turned.value == pytest.approx(0.4)


def test_points_of_a_label_track_are_onsets(field):
    for name in "abc":
        lines = (field / f"{name}.txt").read_text().splitlines()
        cut = [f"{line.split()[0]}\t{line.split()[0]}\t{line.split()[2]}\n" for line in lines]
        (field / f"{name}.txt").write_text("".join(cut))
    judged = evaluate_found(field, field)
    assert list(judged.scores) == ["onset"] and judged.value == 1


def test_an_event_without_length_among_others_is_said_and_psds_leaves_it_out(truth, tmp_path):
    table(truth, *TRUTH, "b.wav,1,1,owl")
    windows = table(tmp_path / "w.csv", "path,start,end,dog,owl", *(
        f"{name}.wav,{n},{n + 1},{int(dog)},{int(owl)}"
        for name, dogs, owls in (("a", (1, 2), (5, 6)), ("b", (2, 3, 4), ()), ("c", (), ()))
        for n in range(8) for dog, owl in [(n in dogs, n in owls)]
    ))  # fmt: skip
    judged = evaluate_found(windows, truth)
    assert judged.psds["psds1"].value == 1 and judged.scores["event"]["recall_micro"].value == 0.75
    assert any("1 true events have no length" in remark for remark in judged.remarks)


def test_events_that_overlap_count_as_one_on_both_sides(tmp_path):
    truth = table(tmp_path / "t.csv", "path,start,end,label", "a.wav,1,3,dog", "a.wav,2,5,dog", "a.wav,2,4,owl")
    judged = evaluate_found(truth, truth)
    assert (judged.n_true, judged.n_found) == (2, 2)
    assert any("1 true events overlap" in remark for remark in judged.remarks)


def test_a_list_is_joined_and_thinned_only_if_asked(truth, tmp_path):
    pieces = [f"a.wav,{n},{n + 1},dog,0.9" for n in (1, 2)] + ["a.wav,6,6.2,owl,0.3", "b.wav,2,5,dog,0.2"]
    found = table(tmp_path / "f.csv", "path,start,end,label,confidence", *pieces)
    assert evaluate_found(found, truth).n_found == 4
    joined = evaluate_found(found, truth, rule=EventRule(join_seconds=0.1, min_seconds=0.5))
    assert joined.n_found == 2 and joined.scores["event"]["precision_micro"].value == 1
    assert evaluate_found(found, truth, threshold=0.25).n_found == 3
    with pytest.raises(ConfigError, match="--keep-share: is of scores of windows"):
        evaluate_found(found, truth, rule=EventRule(keep_share=0.7))


def test_a_label_that_is_found_and_not_there_is_a_false_alarm_unless_left_out(truth, tmp_path):
    found = table(tmp_path / "f.csv", "path,start,end,label", "a.wav,1,3,dog", "a.wav,1,3,fox")
    judged = evaluate_found(found, truth)
    assert judged.per_label["fox"]["n_found"] == 1 and np.isnan(judged.per_label["fox"]["event_f1"].value)
    assert judged.scores["event"]["precision_micro"].value == 0.5
    assert list(evaluate_found(found, truth, common=True).per_label) == ["dog"]
    with pytest.raises(ManifestError, match="shares no label with the data"):
        evaluate_found(table(tmp_path / "f.csv", "path,start,end,label", "a.wav,1,3,fox"), truth)


def test_windows_of_some_recordings_are_refused_unless_those_alone_are_to_count(truth, tmp_path):
    windows = table(tmp_path / "w.csv", "path,start,end,dog,owl", "a.wav,0,4,0.9,0.1", "b.wav,0,4,0.9,0.1")
    with pytest.raises(ManifestError, match="1 of 3 recordings have no scores"):
        evaluate_found(windows, truth)
    assert evaluate_found(windows, truth, common=True).n_recordings == 2


def test_a_look_at_a_locked_test_split_is_counted(tmp_path):
    for name in "ab":
        audio.write(tmp_path / f"{name}.wav", np.zeros(RATE, dtype=np.float32), RATE)
    rows = "path,start,end,label,split", "a.wav,0.1,0.3,dog,test", "b.wav,0.2,0.5,dog,train"
    truth = table(tmp_path / "truth.csv", *rows)
    write_lock(truth, make_lock(truth, read_manifest(truth), "random", 0))
    judged = evaluate_found(truth, truth)
    assert judged.n_recordings == 1 and judged.remarks[0].startswith("The test split: 1 of 2")
    assert judged.remarks[-1].startswith("Look 1 at this locked test split")
    (look,) = read_looks(looks_path(truth))
    assert (look.metric, look.value) == ("event_f1_micro", 1.0)


def test_an_evaluation_is_kept_as_a_folder_or_one_file(truth, tmp_path):
    judged = evaluate_found(truth, truth)
    judged.save(tmp_path / "judged")
    document = json.loads((tmp_path / "judged" / JSON).read_text(encoding="utf-8"))
    assert document["scores"]["event"]["f1_micro"]["value"] == 1 and document["per_label"]["dog"]["n_true"] == 2
    again = evaluate_found(tmp_path / "judged" / FOUND, truth)
    assert again.events == judged.events
    judged.save(tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text(encoding="utf-8")) == document


@pytest.mark.parametrize("collar", [-0.1, np.inf, np.nan])
def test_a_collar_that_is_no_time_is_refused(truth, collar):
    with pytest.raises(ConfigError, match="--collar: is"):
        evaluate_found(truth, truth, collar=collar)
