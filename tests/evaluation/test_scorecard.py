"""The scorecard: what it holds, what it says, and that its file keeps it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from earmark.errors import EarmarkError, RunError
from earmark.evaluation import Scorecard, evaluate, make_scorecard, metrics, paired_difference
from earmark.evaluation.scorecard import MULTI_LABEL_METRICS, SINGLE_LABEL_METRICS

LABELS = ("dog", "rain", "雨", "siren")


def single_label(n_clips=100, seed=0):
    generator = np.random.default_rng(seed)
    targets = np.eye(4)[generator.integers(4, size=n_clips)]
    strong, weak = (strength * targets + generator.normal(size=targets.shape) for strength in (3, 1))
    groups = np.arange(n_clips) // 2
    return targets, {"forest": weak, "se_cnn": strong}, {"groups": groups, "folds": groups % 5}


def card(multi_label=False, **changes):
    targets, scores, where = single_label()
    settings = {"labels": LABELS, "multi_label": multi_label, "n_resamples": 100} | where | changes
    return make_scorecard(targets, scores, **settings)


def test_single_label_data_are_ranked_by_accuracy_and_multi_label_data_by_lwlrap():
    single, multi = card(), card(multi_label=True)
    assert (single.primary_metric, tuple(single.models["forest"].metrics)) == (
        "accuracy",
        SINGLE_LABEL_METRICS,
    )
    assert (multi.primary_metric, tuple(multi.models["forest"].metrics)) == ("lwlrap", MULTI_LABEL_METRICS)
    assert "recall" in single.models["forest"].per_class["dog"]
    assert "recall" not in multi.models["forest"].per_class["dog"]


def test_the_better_model_is_best_and_compared_with_the_other_on_the_same_resamples():
    found = card()
    assert found.best == "se_cnn"
    (comparison,) = found.comparisons
    targets, scores, where = single_label()
    expected = paired_difference(
        targets, scores["se_cnn"], scores["forest"], metric="accuracy", n_resamples=100, **where
    )
    assert (comparison.a, comparison.b, comparison.interval) == ("se_cnn", "forest", expected)
    assert comparison.sentence.startswith("se_cnn is better than forest by")


def test_evaluate_gives_the_same_numbers_as_the_scorecard():
    targets, scores, where = single_label()
    alone = evaluate(targets, scores["forest"], labels=LABELS, multi_label=False, n_resamples=100, **where)
    assert alone == card().models["forest"]


def test_values_are_the_metrics_and_the_classes_average_to_them():
    targets, scores, where = single_label()
    found = card().models["forest"]
    assert found.metrics["accuracy"].value == pytest.approx(metrics.accuracy(targets, scores["forest"]))
    assert found.metrics["lwlrap"].value == pytest.approx(metrics.lwlrap(targets, scores["forest"]))
    for metric, column in (("map_macro", "average_precision"), ("roc_auc", "roc_auc")):
        mean = np.mean([row[column] for row in found.per_class.values()])
        assert found.metrics[metric].value == pytest.approx(mean)
        assert found.metrics[metric].value == pytest.approx(np.mean([fold[metric] for fold in found.folds]))
    assert [row["n_clips"] for row in found.per_class.values()] == targets.sum(axis=0).tolist()


def test_each_fold_has_its_own_numbers():
    targets, scores, where = single_label()
    rows = card().models["forest"].folds
    assert [row["fold"] for row in rows] == [0, 1, 2, 3, 4]
    mine = where["folds"] == 3
    assert rows[3]["n_clips"] == mine.sum()
    assert rows[3]["lwlrap"] == pytest.approx(metrics.lwlrap(targets[mine], scores["forest"][mine]))
    assert card(folds=None).models["forest"].folds == ()


def test_without_groups_every_clip_is_its_own():
    assert card(groups=None).models["forest"].metrics["accuracy"].n_groups == 100


def test_the_file_has_the_promised_keys_and_comes_back_the_same(tmp_path):
    found = card()
    path = tmp_path / "scorecard.json"
    found.save(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert {"n_clips", "n_classes", "multi_label", "models", "best", "comparisons", "primary_metric"} <= set(
        document
    )
    assert (document["n_clips"], document["n_classes"], document["best"]) == (100, 4, "se_cnn")
    model = document["models"]["se_cnn"]
    assert {"metrics", "per_class", "folds"} <= set(model)
    expected = {"value", "low", "high", "n_groups", "too_few_groups", "n_nan"}
    assert all(expected <= set(each) for each in model["metrics"].values())
    assert set(model["per_class"]) == set(LABELS)
    assert Scorecard.load(path) == found


def test_a_class_without_clips_is_null_in_the_file_and_said(tmp_path):
    targets, scores, where = single_label()
    keep = targets[:, 2] == 0
    found = make_scorecard(
        targets[keep],
        {"forest": scores["forest"][keep]},
        labels=LABELS,
        multi_label=True,
        n_resamples=50,
        groups=where["groups"][keep] // 4,
        folds=where["folds"][keep],
    )
    path = tmp_path / "scorecard.json"
    found.save(path)
    model = json.loads(path.read_text(encoding="utf-8"))["models"]["forest"]
    assert model["per_class"]["雨"] == {
        "n_clips": 0, "lwlrap": None, "average_precision": None, "roc_auc": None,
    }  # fmt: skip
    assert model["missing_classes"] == ["雨"]
    assert model["metrics"]["map_macro"]["n_nan"] == 50
    assert np.isnan(Scorecard.load(path).models["forest"].per_class["雨"]["lwlrap"])
    assert "1 of 4 classes have no clip and do not count: 雨." in found.notes()
    assert any(note.startswith("Too few groups: 13 recordings") for note in found.notes())


def test_a_class_that_is_a_fold_of_its_own_adds_no_perfect_average_precision():
    targets = np.repeat(np.eye(3), 8, axis=0)
    folds = np.where(np.arange(24) < 8, 0, 1 + np.arange(24) % 2)
    scores = np.random.default_rng(0).random(targets.shape)
    scores[:8, 0] = 0.0  # never learned, never named
    found = make_scorecard(
        targets, {"forest": scores}, labels=LABELS[:3], groups=None, folds=folds, multi_label=False, n_resamples=20
    )
    model = found.models["forest"]
    parts = [
        [average_precision_score(targets[folds == fold, label], scores[folds == fold, label]) for fold in (1, 2)]
        for label in (1, 2)
    ]
    assert model.metrics["map_macro"].value == pytest.approx(np.mean(parts))
    assert model.per_class[LABELS[0]]["recall"] == 0.0
    assert np.isnan(model.folds[0]["map_macro"])
    said = f"1 of 3 classes have no mAP and no ROC-AUC, all clips scored together have them: {LABELS[0]}."
    assert said in found.notes()


def test_unknown_labels_do_not_count():
    targets, scores, where = single_label()
    weights = np.ones(targets.shape)
    weights[:, 1] = 0
    found = card(weights=weights).models["forest"]
    assert found.per_class["rain"]["n_clips"] == 0
    known = [0, 2, 3]
    expected = metrics.lwlrap(targets[:, known], scores["forest"][:, known])
    assert found.metrics["lwlrap"].value == pytest.approx(expected)


def test_the_table_stands_best_first_with_intervals_as_text():
    found = card()
    header, rows = found.table()
    assert header == ["model", "accuracy", "lwlrap", "mAP", "mAP (micro)", "ROC-AUC"]
    assert [row[0] for row in rows] == ["se_cnn", "forest"]
    assert rows[0][1] == found.models["se_cnn"].metrics["accuracy"].text
    assert found.models["se_cnn"].rows()[0] == ("accuracy", rows[0][1])
    assert found.notes()[0] == found.comparisons[0].sentence


def test_input_that_does_not_fit_is_refused():
    with pytest.raises(EarmarkError, match="there are 3 labels"):
        card(labels=LABELS[:3])
    with pytest.raises(EarmarkError, match="no model to score"):
        make_scorecard(np.eye(4), {}, labels=LABELS, groups=None, multi_label=False)


def test_a_file_that_is_no_scorecard_is_refused(tmp_path):
    with pytest.raises(RunError, match="there is no scorecard"):
        Scorecard.load(tmp_path / "scorecard.json")
    for text in ("{", "{}", "[]"):
        path = tmp_path / "broken.json"
        path.write_text(text)
        with pytest.raises(RunError, match="not a scorecard"):
            Scorecard.load(path)
