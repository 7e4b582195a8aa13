"""The card says what a tagger is, how good its recipe was, and what it must not be taken for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from earmark.errors import TaggerFileError
from earmark.evaluation import Scorecard
from earmark.report import card_text
from earmark.run import Run
from earmark.tagger import load_tagger
from earmark.tagger.metadata import TaggerMetadata


@pytest.fixture
def make_card_run(make_run, write_tagger):
    """`make_card_run(multi_label=False)`: a run with a tagger for use."""

    def make(multi_label: bool = False) -> Run:
        run = Run(make_run(multi_label=multi_label))
        labels = tuple(Scorecard.load(run.scorecard).models["se_cnn"].per_class)
        metadata = TaggerMetadata(
            "farm_yard",
            labels,
            1000,
            0.2,
            0.1,
            multi_label=multi_label,
            thresholds={"clip": (0.25 if multi_label else 0.0,) * len(labels)},  # 0: the best is always named
            trained_on={"n_clips": 48, "data": "farm", "content_hash": "abc"},
            versions={"torch": "2.13"},
            scores={"model": "se_cnn"},
            licences=("CC BY 4.0",),
        )
        write_tagger(run.tagger, metadata)
        return run

    return make


def label_rows(text: str) -> list[str]:
    return text.split("## Labels")[1].split("## ")[0].strip().splitlines()[2:]


def test_the_card_holds_facts_scores_and_limits(make_card_run):
    run = make_card_run()
    text = card_text(run)
    assert text.startswith("# farm\\_yard\n")
    assert "scores of the recipe, not of these weights" in text
    parts = (
        "1000 Hz",
        "windows of 0.2 s",
        "n\\_clips: 48",
        "CC BY 4.0",
        "torch 2.13",
        "- Four folds, drawn.",
    )
    for part in parts:
        assert part in text
    for model in Scorecard.load(run.scorecard).models.values():
        assert model.metrics["accuracy"].text in text


@pytest.mark.parametrize("multi_label", [False, True])
def test_every_label_has_a_row_that_markdown_cannot_break(make_card_run, labels, multi_label):
    rows = label_rows(card_text(make_card_run(multi_label)))
    assert len(rows) == len(labels)
    n_bars = 5 if multi_label else 4
    assert all(row.count("|") - row.count("\\|") == n_bars for row in rows)
    assert any("\\<b\\>bold" in row for row in rows)


def test_what_the_scores_mean_stands_in_the_card(make_card_run, write_tagger):
    run = make_card_run(multi_label=True)
    known = load_tagger(run.tagger).metadata
    measured = {"value": 0.031, "low": 0.01, "high": 0.05}
    facts = {
        "calibration": {"clip": {"kind": "platt", "ece_before": {**measured, "value": 0.12}, "ece": measured}},
        "tags": {
            "goal": "precision",
            "least": 0.9,
            "clip": {"precision": dict.fromkeys(measured), "recall": {**measured, "low": None}},
        },
        "false_tags_per_hour": {"silence": 0.0, "white noise": 12.5},
    }
    thresholds = {"clip": (None, *known.thresholds["clip"][1:])}
    write_tagger(run.tagger, replace(known, reliability=facts, thresholds=thresholds))
    text = card_text(run)
    assert "clip scores are off by 0.031 (0.010 to 0.050) on average" in text
    assert "meant to keep a precision of 0.9 of each label): precision –, recall 0.031" in text
    assert "silence 0, white noise 12.5" in text
    assert label_rows(text)[0].endswith("| never |")


def test_thresholds_stand_in_the_card_where_they_decide(make_card_run):
    assert all(row.endswith("| 0.25 |") for row in label_rows(card_text(make_card_run(multi_label=True))))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("model: se_cnn\nship: refit\n", "trained again on all clips"),
        ("model: se_cnn\nship: ensemble\n", "average of the networks of all folds"),
        ("model: forest\nship: refit\n", "a random forest"),
    ],
)
def test_the_card_says_how_the_file_was_made(make_card_run, settings, said):
    run = make_card_run()
    run.config.write_text(settings, encoding="utf-8")
    assert said in card_text(run).split("## Scores")[0]


def test_without_a_tagger_there_is_no_card(make_run):
    with pytest.raises(TaggerFileError, match="demo.tagger.onnx"):
        card_text(Run(make_run()))


def test_the_card_says_what_it_fails_at_and_what_it_is_not_for(make_card_run):
    run = make_card_run()
    text = card_text(run)
    failures = text.split("## Known failures")[1].split("## ")[0]
    scores = Scorecard.load(run.scorecard).models["se_cnn"].per_class
    weakest = min(scores.values(), key=lambda row: row["recall"])
    assert f"{weakest['recall']:.2f} of {weakest['n_clips']} clips" in failures
    assert "fewer than 20 clips, so hardly measured" in failures
    assert "taken for" in failures
    assert "expected calibration error" in failures
    assert "it always names one" in text.split("## Not for")[1].split("## ")[0]
    assert "counting" in card_text(make_card_run(multi_label=True)).split("## Not for")[1].split("## ")[0]


def test_the_card_names_the_command_that_made_it(make_card_run):
    assert "    earmark train sounds --out 'demo <1>'\n" in card_text(make_card_run()).split("## Made with")[1]
