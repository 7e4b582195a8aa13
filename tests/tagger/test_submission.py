"""Submissions: the sample's shape is kept, scores are those of tagging, what cannot be filled is said."""

from __future__ import annotations

import csv
import itertools
import logging
from pathlib import Path

import numpy as np
import pytest

from earmark.errors import AudioError, ConfigError, ManifestError, TaggerFileError
from earmark.tagger import Tagger, score_files
from earmark.tagger.submission import TRIAL_FILES, Budget, Sample, make_cells, read_sample, write_submission

HERTZ = {"b.wav": 300, "a.wav": 3000, "c.flac": 1000}


@pytest.fixture
def folder(make_tone):
    """Three files of one tone each."""
    return [make_tone(f"test/{name}", (hertz, 0.75)) for name, hertz in HERTZ.items()][0].parent


@pytest.fixture
def make_sample(tmp_path):
    """`make_sample("fname,low", "a.wav,0")`: a sample submission of these lines, read."""

    def make(*lines: str, encoding: str = "utf-8") -> Sample:
        path = tmp_path / "sample.csv"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
        return read_sample(path)

    return make


@pytest.fixture
def fill(make_tagger, folder, tmp_path):
    """Fill a sample; the rows of the submission, and the clips that passed."""

    def run(sample: Sample, tagger: Tagger | None = None, **options) -> tuple[list[list[str]], list]:
        out = tmp_path / "made" / "submission.csv"
        passed = list(write_submission(tagger or make_tagger(), folder, sample, out, **options))
        return list(csv.reader(out.read_text(encoding="utf-8").splitlines())), passed

    return run


def test_columns_ids_and_rows_stay_and_scores_are_taggings_to_the_last_bit(fill, make_sample, make_tagger, folder):
    rows, passed = fill(make_sample("fname,high,low", "c.flac,0,0", "b.wav,0,0", "a.wav,0,0"))
    assert rows[0] == ["fname", "high", "low"]
    assert [row[0] for row in rows[1:]] == ["c.flac", "b.wav", "a.wav"]
    expected, _ = score_files(make_tagger(), [folder / row[0] for row in rows[1:]])
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], dtype=np.float32), expected.scores[:, ::-1])
    assert [one.clip.path.name for one in passed] == ["c.flac", "b.wav", "a.wav"]


def test_a_byte_order_mark_quotes_and_empty_lines_are_no_part_of_what_is_written(fill, make_sample, tmp_path):
    fill(make_sample("\ufeffId,low,high", '"b.wav",0,0', ""))
    lines = (tmp_path / "made" / "submission.csv").read_bytes().split(b"\n")
    assert lines[0] == b"Id,low,high"
    assert lines[1].startswith(b"b.wav,")
    assert lines[2:] == [b""]


def test_ids_without_suffix_find_their_files(fill, make_sample):
    rows, passed = fill(make_sample("id,low,high", "c,0,0", "a,0,0"))
    assert [row[0] for row in rows] == ["id", "c", "a"]
    assert [one.clip.path.name for one in passed] == ["c.flac", "a.wav"]


@pytest.mark.parametrize(
    ("cell", "options", "expected"),
    [
        ("low high mid", {}, "high mid low"),
        ("mid", {}, "high"),
        ("", {}, "high mid low"),
        ("0", {}, "high mid low"),
        ("", {"top": 2}, "high mid"),
    ],
)
def test_a_column_of_labels_takes_the_best_as_many_as_the_samples_cells_hold(
    make_sample, make_tagger, cell, options, expected
):
    tagger = make_tagger(labels=("low", "mid", "high"))
    cells = make_cells(make_sample("fname,label", f"a.wav,{cell}"), tagger, **options)
    assert cells(np.array([0.1, 0.2, 0.7], dtype=np.float32)) == [expected]


def test_a_label_of_two_words_is_one_label(make_sample, make_tagger):
    tagger = make_tagger(labels=("bass drum", "cymbal"))
    cells = make_cells(make_sample("fname,label", "a.wav,bass drum"), tagger)
    assert cells(np.array([0.9, 0.1], dtype=np.float32)) == ["bass drum"]
    with pytest.raises(ConfigError, match="takes 2 labels a cell, .* labels hold blanks themselves, such as"):
        make_cells(make_sample("fname,label", "a.wav,bass drum"), tagger, top=2)


def test_a_name_in_the_samples_cells_that_is_no_label_is_said(make_sample, make_tagger, caplog):
    make_cells(make_sample("fname,label", "a.wav,low Hihg"), make_tagger())
    assert "name what is no label of the tagger: 'Hihg' (did you mean 'high'?)" in caplog.text


def test_what_cannot_be_read_gets_the_mean_of_the_others_and_it_is_said(fill, make_sample, folder, caplog):
    (folder / "broken.wav").write_bytes(b"no sound")
    rows, passed = fill(make_sample("fname,low,high", "a.wav,0,0", "broken.wav,0,0", "gone.wav,0,0", "b.wav,0,0"))
    scores = np.array([row[1:] for row in rows[1:]], dtype=np.float32)
    np.testing.assert_allclose(scores[[1, 2]], [scores[[0, 3]].mean(axis=0)] * 2, atol=1e-7)
    assert [one.clip.path.name for one in passed if one.error] == ["broken.wav", "gone.wav"]
    assert "2 of 4 rows are GUESSES" in caplog.text


def test_where_nothing_can_be_read_nothing_is_written(fill, make_sample, folder, tmp_path):
    (folder / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="is not written, for none of 2 files can be read"):
        fill(make_sample("fname,low,high", "broken.wav,0,0", "gone.wav,0,0"))
    assert list((tmp_path / "made").iterdir()) == []


def test_files_and_labels_that_the_sample_does_not_have_are_left_out_and_said(fill, make_sample, caplog):
    rows, _ = fill(make_sample("fname,high", "b.wav,0"))
    assert len(rows) == 2
    assert "2 files of" in caplog.text
    assert "are not in the sample and left out: a.wav, …" in caplog.text
    assert "1 labels of the tagger are no classes of the sample and left out: low" in caplog.text


def test_classes_that_are_no_labels_are_refused_with_the_nearest(make_sample, make_tagger):
    with pytest.raises(ConfigError) as refused:
        make_cells(make_sample("fname,low,High,purr", "a.wav,0,0,0"), make_tagger())
    assert "2 of its 3 classes are unknown to fake. Take a tagger" in str(refused.value)
    assert "'High' is no label (did you mean 'high'?)" in str(refused.value)
    assert str(refused.value).endswith("Labels that the sample does not have: high")


def test_top_is_for_labels_alone(make_sample, make_tagger):
    with pytest.raises(ConfigError, match="is for a column of labels, and .* wants scores"):
        make_cells(make_sample("fname,low,high", "a.wav,0,0"), make_tagger(), top=3)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty .expected a row for each file"),
        (["fname,low,high"], "names no files below its header"),
        (["fname", "a.wav"], "its columns are to be the file and then each class once .found only 'fname'"),
        (["fname,low,low", "a.wav,0,0"], "found these twice: low"),
        (["fname,low", "a.wav,0", "a.wav,0"], "row 3: 'a.wav' stands in row 2, too"),
        (["fname,low", "a.wav", ",0"], "2 of 2 rows cannot be filled.*\nrow 2: 1 cells .expected 2.\nrow 3: names"),
    ],
)
def test_a_sample_that_cannot_be_filled_is_refused(make_sample, lines, message):
    with pytest.raises(ManifestError, match=message):
        make_sample(*lines)


def test_a_sample_that_cannot_be_read_is_refused(make_sample, tmp_path):
    with pytest.raises(ManifestError, match="Give the competition's sample submission with --sample"):
        read_sample(tmp_path / "absent.csv")
    with pytest.raises(ManifestError, match="is no CSV in UTF-8 .*Fetch it again, or save it so"):
        make_sample("fname,Tür", "a.wav,0", encoding="cp1252")


def test_a_folder_that_does_not_hold_the_files_is_refused(make_sample, make_tagger, folder, make_tone, tmp_path):
    def write(sample: Sample, folder: Path, out: str = "out.csv"):
        write_submission(make_tagger(), folder, sample, tmp_path / out)

    sample = make_sample("fname,low,high", "b.wav,0,0")
    with pytest.raises(ConfigError, match="a.wav: is not a folder. Give the one with the files that"):
        write(sample, folder / "a.wav")
    with pytest.raises(ConfigError, match="holds none of the 1 files .* such as 'b.wav' .found 'test/a.wav'."):
        write(sample, tmp_path)
    with pytest.raises(ConfigError, match="is the sample itself. Give the file to write the submission to"):
        write(sample, folder, "sample.csv")
    with pytest.raises(ConfigError, match="is a folder. Give the file to write"):
        write(sample, folder, "test")
    make_tone("test/b.flac", (300, 0.5))
    with pytest.raises(ConfigError, match="several files go by one id. Leave one of each.\n'b' is b.flac or b.wav"):
        write(make_sample("id,low,high", "b,0,0"), folder)


def test_scores_out_of_range_are_refused_and_leave_nothing(fill, make_sample, make_tagger, tmp_path):
    class Logits:
        """Gives what no sigmoid has seen."""

        def __init__(self, metadata):
            self.metadata_json, self.input_samples, self.n_classes = metadata.to_json(), None, 2

        def run(self, windows):
            return np.full((len(windows), 2), 3.0, dtype=np.float32), windows

    tagger = Tagger(Logits(make_tagger().metadata), make_tagger().metadata)
    with pytest.raises(TaggerFileError, match="gives scores from 3 to 3 that must lie between 0 and 1"):
        fill(make_sample("fname,low,high", "a.wav,0,0"), tagger)
    assert list((tmp_path / "made").iterdir()) == []


class TestBudget:
    """Of a clock that goes on by a second whenever it is asked: once for each file."""

    N_FILES = 2 * TRIAL_FILES

    @pytest.fixture
    def spend(self, fill, make_sample, make_tone):
        """Fill a sample of N_FILES within seconds of that clock."""
        names = [f"n{number}.wav" for number in range(self.N_FILES)]
        for name in names:
            make_tone(f"test/{name}", (300, 0.1))

        def run(seconds: float):
            sample = make_sample("fname,low,high", *(f"{name},0,0" for name in names))
            clock = itertools.count().__next__
            return fill(sample, budget=Budget(seconds, clock), threads=1)[0]

        return run

    def test_enough_is_enough(self, spend, caplog):
        caplog.set_level(logging.INFO, logger="earmark")
        assert len(spend(self.N_FILES + 1)) == 1 + self.N_FILES
        assert f"by the first {TRIAL_FILES} of {self.N_FILES} files, all take about 41 s" in caplog.text

    def test_more_than_the_budget_is_told_by_the_first_files(self, spend, tmp_path):
        message = f"40 s will not do: by the first {TRIAL_FILES} of {self.N_FILES} files, all take about 41 s. Give"
        with pytest.raises(ConfigError, match=message):
            spend(self.N_FILES)
        assert list((tmp_path / "made").iterdir()) == []

    def test_at_its_end_all_stops_and_nothing_is_written(self, spend, tmp_path):
        with pytest.raises(ConfigError, match="5.0 s are over, with 5 of 40 files heard, and nothing is written"):
            spend(5)
        assert list((tmp_path / "made").iterdir()) == []
