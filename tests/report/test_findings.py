"""What the report finds: parts of the clips, tags as the tagger for use gives them, labels that look wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from earmark.data.manifest import Manifest
from earmark.evaluation.thresholds import ThresholdConfig
from earmark.flows.calibration import OutOfFold, calibrated
from earmark.predictions import Predictions
from earmark.report.findings import Findings, calibrated_scores
from earmark.report.reading import read_run
from earmark.review.suspects import find_suspects


def test_a_site_where_the_model_fails_is_found_and_columns_that_say_nothing_new_are_not(make_run):
    contents = read_run(make_run(n_per_class=16))
    manifest = contents.manifest
    n_clips = len(manifest)
    labels = [labels[0] for labels in manifest.table["labels"]]
    far = np.arange(n_clips) % 2 == 1
    table = manifest.table.assign(
        site=np.where(far, "far", "near"),
        number=np.arange(n_clips).astype(str),  # a name, not a kind
        code=[str(sorted(set(labels)).index(label)) for label in labels],  # the label by another name
        rare=np.where(np.arange(n_clips) < 5, "yes", "no"),
    )
    scores = manifest.present() * 0.9 + 0.05
    scores[far] = np.roll(scores[far], 1, axis=1)  # always wrong
    lengths = np.where(np.arange(n_clips) < n_clips // 2, 1.0, 4.0)
    changed = replace(contents, manifest=replace(manifest, table=table), scores={"se_cnn": scores}, lengths=lengths)
    found = Findings(changed).slices
    assert {(part.by, part.name) for part in found} == {
        ("site", "far"), ("site", "near"), ("rare", "no"), ("clip_seconds", "1 s"), ("clip_seconds", "4 s")
    }
    assert (found[0].by, found[0].name, found[0].n_clips, found[0].verdict) == ("site", "far", n_clips // 2, "worse")
    assert (found[0].metrics["accuracy"].value, found[0].without) == (0, 1)


def test_labels_look_wrong_as_review_has_them(make_run):
    contents = read_run(make_run())
    found = Findings(contents)
    assert found.suspects == find_suspects(contents.manifest, contents.scores[contents.scorecard.best])
    model, command = found.review
    assert model == contents.scorecard.best
    assert command == f"earmark review {contents.places[model][0].folder}"


def test_thresholds_are_held_against_scores_that_are_calibrated_as_in_the_file(tmp_path):
    """Windows of 60 clips with scores that are too sure, columns in another order than the manifest's."""
    generator = np.random.default_rng(0)
    labels = ("c", "a", "b")
    truth = generator.random((60, 3)) < 0.4
    names = [tuple(label for label, there in zip(labels, row, strict=True) if there) or ("a",) for row in truth]
    paths = [f"{number:02}.wav" for number in range(60)]
    manifest = Manifest.build(tmp_path, paths, names, folds=np.arange(60) % 4)
    owners = np.repeat(np.arange(60), 3)
    logits = 4 * (2 * truth[owners] - 1 + 1.5 * generator.normal(size=(180, 3)))
    starts = np.tile([0.0, 1.0, 2.0], 60)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    windows = Predictions(manifest.clip_ids[owners], starts, starts + 1, scores, labels, "window")
    scored = OutOfFold.of(manifest.with_vocabulary(labels), windows, "mean", multi_label=True)
    found = calibrated(scored, "auto", ThresholdConfig())
    assert "none" not in {level["kind"] for level in found.document["levels"].values()}
    some = manifest.select(np.arange(50)[::-1])
    expected = found.fit.scores(scored)["clip"][:50][::-1]
    np.testing.assert_array_equal(calibrated_scores(found.document, windows, some), expected[:, [1, 2, 0]])
