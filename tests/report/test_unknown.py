"""What nobody knows of a clip is neither a mistake nor a confusion in the report."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from earmark.data.manifest import Manifest
from earmark.report.findings import Findings
from earmark.report.held_out import HeldOut
from earmark.report.mistakes import worst
from earmark.report.shown_clips import ShownClip, show_clips
from earmark.run import Run


def contents_of(manifest: Manifest, scores: np.ndarray) -> SimpleNamespace:
    """What of a run's contents says which clip has which score."""
    return SimpleNamespace(
        manifest=manifest,
        scores={"se_cnn": scores},
        main="se_cnn",
        lengths=np.ones(len(manifest)),
        scorecard=SimpleNamespace(multi_label=manifest.multi_label),
    )


def shown(manifest: Manifest, scores: np.ndarray) -> list[ShownClip]:
    """All clips, the worst first."""
    positions = worst(manifest.present(), scores, manifest.label_weights(), manifest.multi_label, len(manifest))
    held_out = HeldOut(Run(manifest.root), "se_cnn")
    return list(show_clips(contents_of(manifest, scores), positions, held_out, is_played=True))


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    """Three clips without sound; the first may hold a siren or not, the last is of the noisy subset."""
    return Manifest.build(
        tmp_path,
        ["a.wav", "b.wav", "c.wav"],
        [("dog",), ("rain", "siren"), ("rain",)],
        unsure=[("siren",), (), ()],
        subsets=["curated", "curated", "noisy"],
        folds=[0, 1, 1],
    )


def test_an_unsure_label_is_neither_heard_nor_shown_nor_counted_against_the_clip(manifest):
    scores = np.array([[0.6, 0.1, 0.99], [0.9, 0.3, 0.4], [0.1, 0.9, 0.2]])
    first, second, third = shown(manifest, scores)
    assert [mistake.where for mistake in (first, second, third)] == ["b.wav", "a.wav", "c.wav"]
    assert (second.given, second.heard) == (("dog",), ())
    assert [label for label, _, _ in second.tags] == ["dog", "rain"]
    assert first.heard == ("dog",)


def test_the_matrix_asks_for_known_labels_alone(manifest):
    scores = np.array([[0.6, 0.1, 0.99], [0.9, 0.3, 0.4], [0.9, 0.1, 0.2]])
    found = Findings(contents_of(manifest, scores), [0.5, 0.5, 0.5]).matrix
    counts = {
        (row, column): cell[0] for row, cells in found.rows for column, cell in zip(found.labels, cells, strict=True)
    }
    assert counts["dog", "dog"] == 1
    assert counts["dog", "siren"] == 0
    assert (counts["rain", "dog"], counts["siren", "dog"]) == (2, 1)
    assert {(given, taken): (n, of) for given, taken, n, of in found.pairs}["rain", "dog"] == (2, 2)


def test_a_soft_label_is_given_from_one_half_on(tmp_path):
    manifest = Manifest.build(tmp_path, ["a.wav"], [("dog", "rain")], strengths=[(0.5, 0.4)], folds=[0])
    [mistake] = shown(manifest, np.array([[0.9, 0.8]]))
    assert (mistake.given, mistake.heard) == (("dog",), ("rain",))
