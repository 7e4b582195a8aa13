"""check: what is wrong with each sound and row is a finding with its remedy, and never an exception."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.data import Manifest
from earmark.data.check import ATTENTION, INFORMATION, PROBLEMS, CheckResult, check, take_inventory
from earmark.errors import ManifestError

REAL = Path(__file__).parents[3] / "shared" / "data"
RATE = 16_000


def tone(seconds: float, rate: int = RATE, peak: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Six sounds of each of two classes, a second each, with nothing wrong."""
    for number in range(6):
        for label in ("cat", "dog"):
            audio.write(tmp_path / label / f"{number}.wav", noise(1.0, 10 * number + len(label) + ord(label[0])), RATE)
    return tmp_path


def found(result: CheckResult) -> set[tuple[str, str]]:
    return {(finding.path, finding.problem) for finding in result.findings}


def details(result: CheckResult) -> dict[tuple[str, str], str]:
    return {(finding.path, finding.problem): finding.detail for finding in result.findings}


def test_sound_data_have_no_finding_and_a_summary(folder):
    result = check(folder)
    assert result.findings == []
    assert result.attention == []
    summary = result.summary
    assert summary["hours"] == pytest.approx(12 / 3600)
    assert (summary["sample_rates"], summary["channels"], summary["formats"]) == ({RATE: 12}, {1: 12}, {"WAV": 12})
    assert summary["seconds"] == {"shortest": 1.0, "median": 1.0, "longest": 1.0}
    assert summary["classes"] == {"cat": 6, "dog": 6}
    assert (summary["n_groups"], summary["folds"], summary["splits"]) == (None, None, {})


def test_every_problem_has_a_remedy_and_needs_attention_or_does_not():
    assert set(ATTENTION) & set(INFORMATION) == set()
    assert set(PROBLEMS) == set(ATTENTION) | set(INFORMATION)
    assert all(remedy.endswith(".") for remedy in PROBLEMS.values())


def write_frames(path: Path, frames: np.ndarray, subtype: str = "FLOAT", rate: int = RATE) -> None:
    soundfile.write(path, frames, rate, subtype=subtype)


def damage(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_SOUNDS = {
    "unreadable": lambda path: path.write_bytes(b"RIFF nonsense"),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: (write_frames(path, noise(1.0, 99)), damage(path)),
    "not_finite": lambda path: write_frames(path, np.append(noise(1.0, 99), np.nan)),
    "silent": lambda path: write_frames(path, np.zeros(RATE)),
    "clipped": lambda path: write_frames(path, np.clip(20 * noise(1.0, 99), -1, 1), "PCM_16"),
    "over_full_scale": lambda path: write_frames(path, 40 * noise(1.0, 99)),
    "dc_offset": lambda path: write_frames(path, noise(1.0, 99) + 0.1),
    "antiphase": lambda path: write_frames(path, np.outer(noise(1.0, 99), [1, -1])),
    "too_short": lambda path: write_frames(path, noise(0.04, 99)),
    "odd_duration": lambda path: write_frames(path, noise(4.0, 99)),
}


@pytest.mark.parametrize("problem", BAD_SOUNDS)
def test_a_bad_sound_is_found_and_nothing_else(folder, problem):
    path = folder / "dog" / "bad.wav"
    BAD_SOUNDS[problem](path)
    by_itself = {"mixed_lengths", "mixed_channels", "odd_duration"} - {problem}
    result = check(folder, threads=2)
    assert {each for each in found(result) if each[1] not in by_itself} == {("dog/bad.wav", problem)}
    assert result.attention


def test_details_say_how_much(folder):
    for problem, make in BAD_SOUNDS.items():
        make(folder / "dog" / f"{problem}.wav")
    told = {name: text for (path, name), text in details(check(folder)).items() if path == f"dog/{name}.wav"}
    assert told["empty"].startswith("is empty (0 bytes)")
    assert told["truncated"] == "0.50 s of 1.00 s are there; the file ends within the sound"
    assert told["not_finite"] == "NaN or infinity in 1 sample, the first at 1.000 s"
    assert told["silent"] == "all zeros"
    assert told["dc_offset"] == "its mean is +0.100 of full scale"
    assert told["antiphase"] == "the mix of its 2 channels is silent, unlike they are"


def test_an_odd_length_is_told_beside_the_usual_one(folder):
    BAD_SOUNDS["odd_duration"](folder / "dog" / "bad.wav")
    assert details(check(folder))["dog/bad.wav", "odd_duration"] == "4 s, where most have 1 s"


def test_progress_is_told_for_every_file(folder):
    done = []
    check(folder, threads=2, progress=lambda n_done, n_all: done.append((n_done, n_all)))
    assert done == [(n, 12) for n in range(1, 13)]


def test_a_set_of_many_lengths_has_no_odd_ones(folder):
    for number in range(12):
        audio.write(folder / "dog" / f"{number}.wav", noise(0.5 * 1.4**number, 50 + number), RATE)
    assert "odd_duration" not in check(folder).counts


def test_mixed_rates_channels_and_lengths_are_information(folder):
    write_frames(folder / "dog" / "other.wav", np.stack([noise(1.2, 7, 8000), noise(1.2, 8, 8000)], axis=1), rate=8000)
    result = check(folder)
    assert found(result) == {("", "mixed_sample_rates"), ("", "mixed_channels"), ("", "mixed_lengths")}
    assert result.attention == []
    assert details(result)["", "mixed_sample_rates"] == "16000 Hz (12 clips), 8000 Hz (1 clip)"


def test_a_rate_that_gives_the_label_away_is_told(folder):
    for number in range(6):
        audio.write(folder / "owl" / f"{number}.wav", noise(1.0, 90 + number, 8000), 8000)
    assert details(check(folder))["", "mixed_sample_rates"].endswith("; 6 of 6 at 8000 Hz are 'owl', of the others 0 %")
    audio.write(folder / "owl" / "slow.wav", noise(1.0, 99), RATE)
    for number in range(6):
        audio.write(folder / "dog" / f"slow{number}.wav", noise(1.0, 70 + number, 8000), 8000)
    assert "owl" not in details(check(folder))["", "mixed_sample_rates"]


def test_sounds_from_a_lower_rate_are_information(folder):
    from earmark.audio.resample import resample

    audio.write(folder / "dog" / "narrow.wav", resample(noise(1.0, 5, 4000), 4000, RATE), RATE)
    result = check(folder)
    assert found(result) == {("", "band_limited")}
    assert "1 of 13 clips at 16000 Hz: nothing above 2" in details(result)["", "band_limited"]


def test_regions_of_one_file_are_heard_in_one_pass_each_on_its_own(tmp_path):
    audio.write(tmp_path / "long.wav", np.concatenate([noise(1.0), np.zeros(RATE, dtype=np.float32)]), RATE)
    manifest = Manifest.build(
        tmp_path, ["long.wav"] * 4, [("dog",)] * 4, starts=[0, 1.1, 1.5, 2.5], ends=[1, 2, 9, np.nan]
    )
    result = check(manifest)
    told = [(finding.problem, finding.detail, list(finding.clips)) for finding in result.findings if finding.path]
    assert told == [
        ("silent", "1.1 s to 2 s: all zeros", [1]),
        ("bad_row", "end 9 s is beyond its length of 2.000 s. Correct the end.", [2]),
        ("bad_row", "start 2.5 s is not before its end at 2.000 s. Correct the start.", [3]),
    ]
    assert result.summary["hours"] == pytest.approx(1.9 / 3600)


def test_a_file_that_cannot_be_read_is_one_finding_for_all_its_rows(tmp_path):
    (tmp_path / "long.wav").write_bytes(b"no sound")
    manifest = Manifest.build(tmp_path, ["long.wav"] * 3, [("dog",)] * 3, starts=[0, 1, 2], ends=[1, 2, 3])
    [finding] = [finding for finding in check(manifest).findings if finding.path]
    assert (finding.problem, list(finding.clips)) == ("unreadable", [0, 1, 2])


def test_rows_that_are_wrong_do_not_stop_the_check(folder):
    rows = [f"{label}/{number}.wav,{label}" for label in ("cat", "dog") for number in range(6)]
    table = folder / "labels.csv"
    table.write_text("\n".join(["path,label", *rows, "dog/none.wav,dog", "dog/0.wav,cat"]), encoding="utf-8")
    result = check(table)
    assert ("dog/none.wav", "missing_file") in found(result)
    assert "row 14" in details(result)["dog/none.wav", "missing_file"]
    assert result.summary["n_clips"] == 12


def test_files_that_no_row_names_are_heard_too(folder):
    rows = [f"{label}/{number}.wav,{label}" for label in ("cat", "dog") for number in range(5)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    (folder / "dog" / "5.wav").write_bytes(b"no sound")
    (folder / "dog" / ".hidden.wav").write_bytes(b"")
    (folder / "dog" / "notes.txt").write_text("barks")
    (folder / "cat" / "5.wav").rename(folder / "cat" / "nameless")
    result = check(folder)
    unlisted = {("cat/nameless", "unlisted_file"), ("dog/5.wav", "unlisted_file")}
    assert found(result) == {*unlisted, ("dog/5.wav", "unreadable")}
    assert result.attention == []  # nobody trains on what a table does not name
    assert (result.summary["n_hidden"], result.summary["n_others"]) == (1, 2)
    assert len(result.clips) == 12
    assert (result.summary["n_clips"], result.summary["sample_rates"]) == (10, {RATE: 10})


def test_a_folder_of_sounds_without_labels_is_checked_and_said_to_be_unlabelled(tmp_path):
    audio.write(tmp_path / "1.wav", noise(1.0, 1), RATE)
    audio.write(tmp_path / "2.wav", np.zeros(RATE, dtype=np.float32), RATE)
    result = check(tmp_path)
    assert found(result) == {("", "unlabelled"), ("2.wav", "silent")}
    assert [finding.problem for finding in result.attention] == ["silent"]
    assert (result.summary["n_clips"], result.inventory.manifest) == (2, None)


def test_sounds_in_no_class_folder_are_heard_too_and_their_faults_need_attention(folder):
    (folder / "loose.wav").write_bytes(b"no sound")
    result = check(folder)
    assert found(result) == {("loose.wav", "unlisted_file"), ("loose.wav", "unreadable")}
    assert [finding.problem for finding in result.attention] == ["unreadable"]


def test_names_of_sounds_without_labels_are_only_counted(tmp_path):
    (tmp_path / "1.wav").write_bytes(b"no sound")
    result = check(take_inventory(tmp_path, names_only=True))
    assert (found(result), result.summary["n_clips"]) == ({("", "unlabelled")}, 1)


def test_what_labels_might_have_been_is_not_passed_over(tmp_path):
    audio.write(tmp_path / "1.wav", noise(1.0, 1), RATE)
    with pytest.raises(ManifestError, match="--encoding is for tables"):
        take_inventory(tmp_path, encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path,label\n1.wav,a\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="holds several tables"):
        take_inventory(tmp_path)


def test_a_folder_without_sounds_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ManifestError, match="no sound"):
        check(tmp_path)


def test_a_folder_that_cannot_be_opened_is_refused(folder, monkeypatch):
    closed = os.fspath(folder / "dog")
    scan = os.scandir

    def refuse(path):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scan(path)

    monkeypatch.setattr("earmark.data.check.inventory.os.scandir", refuse)
    with pytest.raises(ManifestError, match="dog: cannot be opened .Permission denied.. Check its permissions"):
        take_inventory(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
@pytest.mark.timeout(30)
def test_pipes_and_links_in_circles_are_findings_and_nothing_hangs(folder):
    os.mkfifo(folder / "dog" / "pipe.wav")
    os.mkfifo(folder / "dog" / "nameless")
    (folder / "dog" / "loop.wav").symlink_to(folder / "dog" / "loop.wav")
    (folder / "dog" / "up").symlink_to(folder, target_is_directory=True)
    result = check(folder)
    assert details(result)["dog/pipe.wav", "unreadable"].startswith("is a pipe or device")
    assert ("dog/loop.wav", "missing_file") in found(result)
    assert len(result.clips) == 14


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_utf8_is_heard_and_can_be_printed(folder):
    path = os.fsencode(folder / "dog") + b"/\xff.wav"
    os.rename(folder / "dog" / "0.wav", path)
    result = check(folder)
    assert (r"dog/\xff.wav", "unlisted_file") in found(result)
    assert all(finding.path.encode() is not None for finding in result.findings)


def test_with_names_only_no_file_is_opened(tmp_path):
    rows = [f"{number}.wav,{label}" for number, label in enumerate(["dog"] * 20 + ["Dog"] + ["cat"] * 9)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    result = check(take_inventory(tmp_path / "labels.csv", names_only=True))
    assert set(result.counts) == {"label_typo", "few_clips"}
    assert (result.summary["n_clips"], "hours" in result.summary, result.clips) == (30, False, [])


def test_a_fraction_is_heard_but_all_labels_are_read(folder):
    audio.write(folder / "owl" / "1.wav", noise(1.0, 77), RATE)
    inventory = take_inventory(folder, fraction=0.34)
    result = check(inventory)
    assert len(result.clips) < 10
    assert result.summary["classes"] == {"cat": 6, "dog": 6, "owl": 1}
    assert details(result) == {("", "few_clips"): "class 'owl' has 1 clip"}


def test_a_share_of_unlabelled_files_is_taken(tmp_path):
    for number in range(10):
        audio.write(tmp_path / f"{number}.wav", noise(0.2, number), RATE)
    assert len(take_inventory(tmp_path, fraction=0.25).unlisted) == 3


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")
def test_ordinary_recordings_are_not_drowned_in_findings():
    result = check(REAL / "drums/manifest.csv", threads=2)
    assert result.summary["hours"] * 3600 == pytest.approx(447, abs=2)
    assert {finding.problem for finding in result.attention} == {"few_clips"}
