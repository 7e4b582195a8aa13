"""The JSON document: what is refused, what is passed over, and calibration."""

import json

import numpy as np
import pytest

from earmark.errors import TaggerFileError
from earmark.tagger import TaggerMetadata
from earmark.tagger.metadata import calibrate


def test_document_survives_json_with_every_field(make_metadata):
    metadata = make_metadata(
        thresholds={"window": (0.1, 0.2), "clip": (0.3, 0.4)},
        calibration={"window": None, "clip": {"kind": "platt", "scale": [1.0, 2.0], "bias": [0.0, -1.0]}},
        clip_seconds_max=5.0,
        trained_on={"n_clips": 3, "label": "Vögel"},
        scores={"lwlrap": {"value": 0.9}},
        licences=("CC0-1.0",),
    )
    assert TaggerMetadata.from_json(metadata.to_json()) == metadata
    assert "\n" not in metadata.to_json()


def test_thresholds_default_to_a_half_on_both_levels(make_metadata):
    assert make_metadata().thresholds == {"window": (0.5, 0.5), "clip": (0.5, 0.5)}
    assert make_metadata(thresholds={"clip": [0.2, 0.3]}).thresholds["window"] == (0.5, 0.5)


def test_what_only_embeds_has_no_labels(make_metadata):
    metadata = make_metadata(labels=())
    assert metadata.thresholds == {"window": (), "clip": ()}
    assert TaggerMetadata.from_json(metadata.to_json()) == metadata


def test_half_a_sample_is_rounded_up_as_in_every_language(make_metadata):
    metadata = make_metadata(sample_rate=22050, window_seconds=0.25, hop_seconds=0.75)
    assert (metadata.window_samples, metadata.hop_samples) == (5513, 16538)


def test_a_label_that_is_never_named_needs_version_three_and_nothing_else_does(make_metadata):
    assert make_metadata(reliability={"tags": {"goal": "f1"}}).format_version == 1
    never = make_metadata(thresholds={"clip": (None, 0.4)})
    assert (never.format_version, json.loads(never.to_json())["thresholds"]["clip"]) == (3, [None, 0.4])
    assert TaggerMetadata.from_json(never.to_json()) == never


def test_unknown_fields_are_passed_over(make_metadata):
    document = json.loads(make_metadata().to_json()) | {"from_the_future": [1]}
    assert TaggerMetadata.from_json(json.dumps(document)) == make_metadata()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 4}, "format version 4, and this Earmark reads up to 3. pip install --upgrade"),
        ({"format_version": "1"}, "format_version is '1' .expected a whole number"),
        ({"format_version": 0}, "format_version is 0"),
        ({"format": "other"}, 'is not an object with "format": "earmark-tagger"'),
        ({"labels": ["a", "a"]}, "labels is .* .expected every name once"),
        ({"labels": [""]}, "labels is .* .expected a list of names"),
        ({"labels": ["a", 1]}, "expected a list of names"),
        ({"labels": "ab"}, "labels is 'ab' .expected a list"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"sample_rate": True}, "sample_rate is True .expected a whole number"),
        ({"sample_rate": 8000.5}, "sample_rate is 8000.5 .expected a whole number"),
        ({"sample_rate": 10**400}, "sample_rate is 1000"),
        ({"window_seconds": 1e-9}, "window_seconds is 0"),
        ({"hop_seconds": -1}, "hop_seconds is -8000 .expected more than 0"),
        ({"window_seconds": float("nan")}, "window_seconds is nan"),
        ({"multi_label": 1}, "multi_label is 1 .expected true or false"),
        ({"padding": "mirror"}, "padding is 'mirror' .expected zeros or repeat"),
        ({"pool": "median"}, "pool is 'median' .expected mean or max or geometric"),
        ({"views": "all"}, "views is 'all' .expected sliding or ends or full or lengths"),
        ({"views": "lengths"}, r"view_seconds is \(\) .expected numbers above 0 with the views lengths"),
        ({"view_seconds": [1.0]}, "view_seconds is .* .expected numbers above 0"),
        ({"views": "lengths", "view_seconds": [1.0, 0]}, "view_seconds is .* .expected numbers above 0"),
        ({"thresholds": {"window": [0.5, 0.5]}}, "thresholds.clip is missing"),
        (
            {"thresholds": {"window": [0.5], "clip": [0.5, 0.5]}},
            "thresholds.window is .* .expected 2 numbers",
        ),
        (
            {"thresholds": {"window": [0.5, "0.5"], "clip": [0.5, 0.5]}},
            "thresholds.window is .* .expected 2 numbers or null",
        ),
        (
            {"calibration": {"window": {"kind": "platt"}, "clip": None}},
            "calibration.window .* belongs in the graph",
        ),
        (
            {"calibration": {"window": None, "clip": {"kind": "isotonic"}}},
            "kind is 'isotonic' .expected platt or temp",
        ),
        ({"calibration": {"window": None, "clip": "platt2"}}, "kind is 'platt2'"),
        (
            {"calibration": {"window": None, "clip": {"kind": "platt", "scale": [1, 1]}}},
            "calibration.clip.bias is None",
        ),
        (
            {"calibration": {"window": None, "clip": {"kind": "temperature", "temperature": 0}}},
            "temperature is 0",
        ),
        ({"clip_seconds_max": 0}, "clip_seconds_max is 0"),
        ({"clip_seconds_max": "5"}, "clip_seconds_max is '5' .expected a whole number or a number or null"),
        ({"trained_on": []}, "trained_on is .. .expected an object"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(make_metadata, changes, message):
    document = json.loads(make_metadata().to_json()) | changes
    with pytest.raises(TaggerFileError, match=message):
        TaggerMetadata.from_json(json.dumps(document))


def test_missing_fields_are_named_all_at_once(make_metadata):
    document = json.loads(make_metadata().to_json())
    for name in ("labels", "pool", "clip_seconds_max", "scores"):
        del document[name]
    with pytest.raises(TaggerFileError, match="metadata: labels, pool is missing"):
        TaggerMetadata.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[1]", "null"])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(TaggerFileError, match="metadata: is not"):
        TaggerMetadata.from_json(text)


def test_platt_is_a_logistic_of_the_logit():
    scores = np.array([[0.2, 0.9]])
    found = calibrate(scores, {"kind": "platt", "scale": [2.0, 1.0], "bias": [0.5, 0.0]}, True)
    logit = np.log(0.2 / 0.8)
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-(2 * logit + 0.5))), 0.9]])


def test_temperature_of_a_softmax_divides_its_logits():
    logits = np.array([[1.0, -0.5, 2.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    expected = np.exp(logits / 3) / np.exp(logits / 3).sum()
    np.testing.assert_allclose(
        calibrate(softmax, {"kind": "temperature", "temperature": 3.0}, False), expected
    )


@pytest.mark.parametrize("multi_label", [True, False])
def test_calibrating_certain_scores_stays_finite_and_keeps_their_order(multi_label):
    found = calibrate(np.array([[0.0, 0.5, 1.0]]), {"kind": "temperature", "temperature": 0.1}, multi_label)
    assert np.isfinite(found).all()
    assert (np.diff(found[0]) > 0).all()


def test_no_calibration_changes_nothing():
    scores = np.array([[0.0, 1.0]])
    assert calibrate(scores, None, True) is scores
