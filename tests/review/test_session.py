"""The desk: a decision is on the disk before it is answered, what nobody saw is not decided, and undo goes back."""

from __future__ import annotations

import pytest

from earmark.data.corrections import Correction, append_correction, read_corrections
from earmark.review.session import Question, RefusedError, Session, StaleError
from earmark.tagger import Clip


@pytest.fixture
def desk(tmp_path):
    """`desk(several, *(clip, kind, label, given, suggested), **changes)`: a session about these questions."""

    def make(several: bool, *asked: tuple, **changes) -> Session:
        questions = [
            Question(Clip(f"{clip}.wav", clip_id=clip), clip, kind, label, given, suggested)
            for clip, kind, label, given, suggested in asked
        ]
        return Session(questions, ("cat", "dog", "rain"), tmp_path / "corrections.csv", "ann", several, **changes)

    return make


DOG = ("a", "given", "dog", ("dog",), ("cat",))
RAIN = ("a", "missing", "rain", ("dog",), ("dog", "rain"))
CAT = ("b", "given", "cat", ("cat",), ("dog",))


def versions(session: Session) -> list[int]:
    return [each["version"] for each in session.state()["questions"]]


def decisions(session: Session) -> list[str]:
    return [each["decision"] for each in session.state()["questions"]]


def test_a_decision_is_a_row_with_all_that_is_known(desk, tmp_path):
    desk(False, DOG).decide(0, 0, "relabel", ["cat"], "meows")
    (row,) = read_corrections(tmp_path / "corrections.csv")
    assert (row.who, row.clip_id, row.label, row.decision) == ("ann", "a", "dog", "relabel")
    assert (row.given, row.new_labels, row.why) == (("dog",), ("cat",), "meows")
    assert row.when.endswith("+00:00")


def test_what_was_seen_before_another_decision_on_the_clip_is_stale(desk):
    session = desk(True, DOG, RAIN, CAT)
    session.decide(0, 0, "keep")
    with pytest.raises(StaleError):
        session.decide(1, 0, "keep")
    session.decide(1, 1, "keep")
    session.decide(2, 0, "keep")  # another clip, which nobody has touched
    assert versions(session) == [2, 2, 1]


def test_another_process_that_wrote_to_the_file_is_noticed(desk, tmp_path):
    session = desk(False, DOG)
    append_correction(tmp_path / "corrections.csv", Correction("", "eve", "a", ("dog",), "dog", "drop"))
    with pytest.raises(StaleError):
        session.decide(0, 0, "keep")
    assert decisions(session) == ["drop"]


def test_after_a_restart_all_is_as_it_was(desk):
    desk(False, DOG, CAT).decide(0, 0, "unsure")
    again = desk(False, DOG, CAT)
    assert decisions(again) == ["unsure", ""]
    assert again.undo(1)["at"] == 0
    assert decisions(again) == ["", ""]


def test_undo_goes_back_step_by_step_to_the_question_that_it_was_about(desk):
    session = desk(False, DOG, CAT)
    session.decide(0, 0, "keep")
    session.decide(1, 0, "drop")
    assert session.undo(2)["at"] == 1
    with pytest.raises(StaleError):
        session.undo(2)
    assert session.undo(3)["at"] == 0
    with pytest.raises(RefusedError, match="nothing to undo"):
        session.undo(4)


@pytest.mark.parametrize(
    ("number", "decision", "labels", "reason"),
    [
        (9, "keep", [], "no question 9"),
        (-1, "keep", [], "no question -1"),
        (0, "label", ["cat"], "'label' is no decision here"),
        (0, "undo", [], "'undo' is no decision here"),
        (0, "relabel", ["owl"], "'owl' is none of the labels"),
        (0, "relabel", [], "a clip has one label here"),
        (0, "relabel", ["cat", "dog"], "a clip has one label here"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(desk, tmp_path, number, decision, labels, reason):
    with pytest.raises(RefusedError, match=reason):
        desk(False, DOG).decide(number, 0, decision, labels)
    assert not (tmp_path / "corrections.csv").exists()


def test_a_label_without_a_name_is_refused(desk):
    with pytest.raises(RefusedError, match="a label has a name"):
        desk(False, ("n", "label", "", (), ()), grows=True).decide(0, 0, "label", [" "])


def test_decisions_on_two_labels_of_one_clip_add_up(desk, tmp_path):
    session = desk(True, DOG, RAIN)
    session.decide(1, 0, "relabel", ["dog", "rain"])
    session.decide(0, 1, "relabel", ["rain"])
    assert session.state()["questions"][0]["labels"] == ("rain",)
    assert read_corrections(tmp_path / "corrections.csv")[-1].new_labels == ("rain",)


def test_to_keep_means_as_the_data_has_it(desk, tmp_path):
    session = desk(True, DOG, RAIN)
    session.decide(0, 0, "relabel", ["rain"])
    session.decide(0, 1, "keep")
    session.decide(1, 2, "keep")
    assert [set(row.new_labels) for row in read_corrections(tmp_path / "corrections.csv")[1:]] == [
        {"dog", "rain"},
        {"dog"},
    ]


def test_a_clip_that_is_dropped_or_relabelled_settles_its_other_questions(desk):
    session = desk(True, DOG, RAIN)
    session.decide(0, 0, "relabel", ["rain"])
    assert decisions(session) == ["relabel", "relabel"]
    session.decide(0, 1, "drop")
    assert decisions(session)[0] == "drop"
    assert session.counts() == {"drop": 1, "relabel": 1} or session.counts() == {"drop": 2}


def test_a_new_label_is_offered_from_then_on(desk):
    session = desk(False, ("n", "label", "", (), ()), ("m", "label", "", (), ()), grows=True)
    assert session.decide(0, 0, "label", ["owl"])["labels"] == ["cat", "dog", "rain", "owl"]
    session.decide(1, 0, "label", ["owl"])


def test_labels_that_no_cell_can_list_are_refused_and_not_written(desk, tmp_path):
    session = desk(True, ("n", "label", "", (), ()), grows=True)
    with pytest.raises(RefusedError, match="so a cell cannot list them"):
        session.decide(0, 0, "label", ["a;b", "c|d", "e,f"])
    assert not (tmp_path / "corrections.csv").exists()


def test_whoever_waits_for_decisions_is_called_after_each(desk):
    called = []
    session = desk(False, DOG, decided=lambda: called.append(1))
    session.decide(0, 0, "keep")
    session.undo(1)
    assert len(called) == 2
