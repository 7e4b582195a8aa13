"""Decisions on labels: written so that nothing is lost, read with all faults at once, applied to rows alone."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data import Manifest, read_manifest
from earmark.data.corrected import apply_corrections, label_table
from earmark.data.corrections import (
    COLUMNS,
    Correction,
    append_correction,
    cell_labels,
    hash_corrections,
    labels_cell,
    read_corrections,
    standing,
    verdicts,
)
from earmark.errors import ManifestError

NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=",;"), min_size=1, max_size=8)


def decision(clip: str, label: str, decided: str, new: tuple[str, ...] = (), given=None, why: str = "") -> Correction:
    return Correction("2026-01-01T00:00:00+00:00", "ann", clip, given or (label,), label, decided, new, why)


@pytest.fixture
def written(tmp_path):
    """`written(*corrections)`: their file."""

    def write(*corrections: Correction) -> Path:
        for each in corrections:
            append_correction(tmp_path / "corrections.csv", each)
        return tmp_path / "corrections.csv"

    return write


@pytest.fixture
def single(tmp_path):
    """Four clips of one label each."""
    return Manifest.build(tmp_path, [f"{n}.wav" for n in range(4)], [("dog",), ("cat",), ("dog",), ("cat",)])


@pytest.fixture
def several(tmp_path):
    """Three clips of several labels, one of them there in part."""
    labels = [("cat", "dog"), ("rain",), ()]
    return Manifest.build(tmp_path, ["0.wav", "1.wav", "2.wav"], labels, strengths=[(1.0, 0.4), (), ()])


def labels_of(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    return dict(zip(manifest.clip_ids, manifest.table["labels"], strict=True))


@given(st.lists(NAMES, max_size=4, unique=True))
def test_labels_survive_their_cell(labels):
    assert cell_labels(labels_cell(labels)) == tuple(labels)


def test_labels_that_hold_every_separator_are_refused():
    with pytest.raises(ManifestError, match="so a cell cannot list them. Rename one"):
        labels_cell(["a;b", "c|d", "e,f"])


def test_two_that_began_the_file_at_once_leave_two_headers_and_lose_nothing(written):
    path = written(decision("a", "dog", "keep", ("dog",)), decision("b", "cat", "drop"))
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, header, *rows]))
    assert [(each.clip_id, each.row) for each in read_corrections(path)] == [("a", 3), ("b", 4)]


def test_a_row_is_read_as_it_was_written(written):
    row = decision("a b.wav", "Bark, dog", "relabel", ("cat", "rain"), why='two\nlines, "quoted"')
    (found,) = read_corrections(written(row))
    assert found.why == 'two lines, "quoted"'
    assert (found.clip_id, found.label, found.given, found.new_labels) == (
        "a b.wav", "Bark, dog", ("Bark, dog",), ("cat", "rain"),
    )
    assert found.row == 2


@pytest.mark.parametrize("n_bytes", [1, 5, 30, 60])
def test_a_row_that_a_power_cut_left_unfinished_is_dropped_and_the_next_one_is_whole(written, n_bytes, caplog):
    path = written(decision("0.wav", "dog", "keep", ("dog",)), decision("1.wav", "cat", "drop"))
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[: last + n_bytes] if n_bytes < len(whole) - last - 9 else whole[: last + 40])
    with caplog.at_level(logging.WARNING, logger="earmark"):
        assert [row.clip_id for row in read_corrections(path)] == ["0.wav"]
    assert "cut off" in caplog.text
    written(decision("2.wav", "dog", "unsure"))
    assert [row.clip_id for row in read_corrections(path)] == ["0.wav", "2.wav"]


def test_a_row_that_was_cut_amid_a_letter_or_a_header_is_cut_off_whole(written):
    path = written(decision("0.wav", "dog", "keep", ("dog",)), decision("雨.wav", "雨", "drop"))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index("雨".encode()) + 1])
    written(decision("2.wav", "dog", "drop"))
    assert [row.clip_id for row in read_corrections(path)] == ["0.wav", "2.wav"]
    for n_bytes in (3, whole.index(b"\n")):
        path.write_bytes(whole[:n_bytes])
        assert read_corrections(path) == []
        written(decision("3.wav", "dog", "drop"))
        assert [row.clip_id for row in read_corrections(path)] == ["3.wav"]


def test_a_last_row_without_a_line_end_is_kept(written):
    path = written(decision("0.wav", "dog", "keep", ("dog",)))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    written(decision("1.wav", "cat", "drop"))
    assert [row.decision for row in read_corrections(path)] == ["keep", "drop"]


def test_undo_takes_back_the_last_decision_on_that_label_alone(written):
    rows = read_corrections(
        written(
            decision("0.wav", "dog", "keep", ("dog",)),
            decision("0.wav", "dog", "drop"),
            decision("1.wav", "cat", "drop"),
            decision("0.wav", "dog", "undo"),
        )
    )
    assert [(row.clip_id, row.decision) for row in standing(rows)] == [("0.wav", "keep"), ("1.wav", "drop")]


def test_of_several_decisions_on_one_label_the_last_counts():
    rows = [decision("a", "dog", "drop"), decision("a", "dog", "keep", ("dog",)), decision("a", "dog", "skip")]
    found = verdicts(rows)["a"]
    assert (found.dropped, found.labels) == (False, ("dog",))


def test_a_label_that_is_given_again_is_unsure_no_longer():
    rows = [
        Correction("", "", "a", ("dog",), "dog", "unsure", row=2),
        Correction("", "", "a", ("dog",), "cat", "relabel", ("dog", "cat"), row=3),
    ]
    assert verdicts(rows)["a"].unsure == set()


def test_what_is_no_file_of_corrections_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="corrections cannot be read"):
        read_corrections(tmp_path / "none.csv")
    other = tmp_path / "labels.csv"
    other.write_text("path,label\na.wav,dog\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="has no column clip_id and decision, so it holds no corrections"):
        read_corrections(other)


def test_unknown_decisions_are_listed_together(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("clip_id,decision\na,kep\nb,keep\nc,gone\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"2 rows are wrong(.|\n)*row 2: 'kep'.*'keep'(.|\n)*row 4: 'gone'"):
        read_corrections(path)


def test_an_empty_file_corrects_nothing(tmp_path, single):
    (tmp_path / "c.csv").write_text("", encoding="utf-8")
    assert apply_corrections(single, tmp_path / "c.csv").manifest == single


def test_one_label_is_replaced_dropped_or_left_out_as_unknown(single, written):
    path = written(
        decision("0.wav", "dog", "relabel", ("cat",)),
        decision("1.wav", "cat", "drop"),
        decision("2.wav", "dog", "unsure"),
        decision("3.wav", "cat", "keep", ("cat",)),
    )
    found = apply_corrections(single, path)
    assert labels_of(found.manifest) == {"0.wav": ("cat",), "3.wav": ("cat",)}
    assert not found.manifest.multi_label
    assert "1 relabelled, 1 left out, 1 unsure, 1 kept" in found.remarks[0]


def test_an_unsure_label_of_several_counts_neither_as_present_nor_as_absent(several, written):
    path = written(
        decision("0.wav", "dog", "unsure", given=("cat", "dog")),
        decision("2.wav", "dog", "relabel", ("dog",), given=()),
        Correction("", "", "1.wav", ("rain",), "cat", "unsure"),
    )
    found = apply_corrections(several, path).manifest
    assert labels_of(found) == {"0.wav": ("cat",), "1.wav": ("rain",), "2.wav": ("dog",)}
    column = found.vocabulary.index
    known = found.label_weights()
    assert known[0, column("dog")] == known[1, column("cat")] == 0
    assert known.sum() == known.size - 2


def test_strengths_of_labels_that_stay_are_kept(several, written):
    path = written(decision("0.wav", "rain", "relabel", ("cat", "dog", "rain"), given=("cat", "dog")))
    found = apply_corrections(several, path).manifest
    assert found.targets()[0].tolist() == pytest.approx([1.0, 0.4, 1.0])


def test_a_corrected_manifest_reads_back_equal(several, written, tmp_path):
    for name in several.table["path"]:
        (tmp_path / name).write_bytes(b"")
    path = written(decision("0.wav", "dog", "unsure", given=("cat", "dog")), decision("2.wav", "", "drop", given=()))
    found = apply_corrections(several, path).manifest
    found.write(tmp_path / "table.csv")
    assert read_manifest(tmp_path / "table.csv") == found


def test_rows_about_other_clips_are_listed(single, written):
    path = written(decision("9.wav", "dog", "drop"), decision("8.wav", "dog", "keep", ("dog",)))
    with pytest.raises(ManifestError, match=r"2 corrections are about clips that are not in(.|\n)*row 3: '8.wav'"):
        apply_corrections(single, path)
    assert apply_corrections(single, path, absent={"8.wav", "9.wav"}).manifest == single
    assert apply_corrections(single, path, partial=True).manifest == single


def test_rows_with_labels_that_the_data_does_not_know_are_listed(single, written):
    path = written(decision("0.wav", "dog", "relabel", ("cta",)), decision("1.wav", "cat", "relabel", ("dog", "cat")))
    with pytest.raises(
        ManifestError,
        match=r"2 corrections have labels that do not go with(.|\n)*'cta' is no label of the data.*'cat'(.|\n)*row 3",
    ):
        apply_corrections(single, path)


def test_corrections_may_not_leave_nothing(single, written):
    path = written(*(decision(f"{n}.wav", "dog", "drop") for n in range(4)))
    with pytest.raises(ManifestError, match="leaves no clip to train on"):
        apply_corrections(single, path)


def test_a_label_that_changed_in_the_data_since_is_said(single, written, caplog):
    path = written(decision("0.wav", "rain", "keep", ("rain",)), decision("1.wav", "cat", "relabel", ("dog",)))
    changed = Manifest.build(single.root, single.table["path"], [("dog",), ("cat",), ("rain",), ("cat",)])
    with caplog.at_level(logging.WARNING, logger="earmark"):
        found = apply_corrections(changed, path)
    assert "1 clips have changed since. 0.wav: was 'rain' when it was decided, and is 'dog' now" in caplog.text
    assert "1 clips have other labels in the data" in found.remarks[1]


def test_clips_of_no_data_set_become_rows_and_a_table_of_their_own(single, written, tmp_path):
    single = single.with_folds(np.array([0, 1, 0, 1]))
    path = written(
        decision("new/owl.wav", "", "label", ("owl",), given=()),
        decision("3.wav", "", "label", ("dog",), given=()),
        decision("new/noise.wav", "", "drop", given=()),
        decision("new/hm.wav", "", "unsure", given=()),
    )
    with pytest.raises(ManifestError, match="corrections are about clips"):
        apply_corrections(single, path)  # those that nobody labelled are of no data
    path.unlink()
    path = written(
        decision("new/owl.wav", "", "label", ("owl",), given=()), decision("3.wav", "", "label", ("dog",), given=())
    )
    found = apply_corrections(single, path).manifest
    assert labels_of(found)["new/owl.wav"] == ("owl",)
    assert labels_of(found)["3.wav"] == ("dog",)
    assert found.folds.tolist() == [0, 1, 0, 1, -1]  # learnt from, and never scored
    table = label_table(path, multi_label=False)
    assert sorted(file.name for file in table.files) == ["3.wav", "owl.wav"]
    assert label_table(tmp_path / "none.csv", multi_label=False) is None


def test_the_hash_is_of_what_the_files_hold(written, tmp_path):
    path = written(decision("0.wav", "dog", "keep", ("dog",)))
    before = hash_corrections([path])
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    assert hash_corrections([copy]) == before
    written(decision("1.wav", "dog", "drop"))
    assert hash_corrections([path]) != before
    assert hash_corrections([]) == ""


def test_the_columns_are_those_of_the_documents(written):
    path = written(decision("0.wav", "dog", "keep", ("dog",)))
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)
