"""The nearest neighbours: whose votes count, and what the file carries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from earmark.baselines import nearest
from earmark.baselines.nearest import TIE_BREAK, fit_knn
from earmark.errors import ConfigError


@pytest.mark.parametrize("number", [1, 5])
def test_votes_are_scikit_learns_but_for_the_nearest_ones_hundredth(make_examples, monkeypatch, number):
    monkeypatch.setattr(nearest, "NUMBERS", (number,))
    examples = make_examples()
    classifier = fit_knn(examples, seed=0)
    scaled = (examples.features - examples.features.mean(axis=0)) / examples.features.std(axis=0)
    truth = examples.targets.argmax(axis=1)
    held = make_examples(seed=1).features
    queries = (held - examples.features.mean(axis=0)) / examples.features.std(axis=0)

    def theirs(k: int) -> np.ndarray:
        return KNeighborsClassifier(k, metric="cosine").fit(scaled, truth).predict_proba(queries)

    expected = (1 - TIE_BREAK) * theirs(number) + TIE_BREAK * theirs(1)
    np.testing.assert_allclose(classifier.predict(held), expected, atol=1e-6)


def test_inner_scores_are_those_of_a_classifier_that_never_saw_the_fold(make_examples):
    examples = make_examples(several_windows=True)
    classifier = fit_knn(examples, seed=0)
    held = examples.parts == 2
    number = len(classifier.shares)
    for row in np.flatnonzero(held)[:5]:
        nearness = classifier.embeddings @ classifier.embeddings[row]
        order = [other for other in np.argsort(-nearness) if not held[other]][:number]
        expected = classifier.shares @ examples.targets[order]
        np.testing.assert_allclose(classifier.held_out[row], expected, atol=1e-6)


def test_the_number_of_neighbours_is_chosen_by_how_much_classes_mix(make_examples):
    apart, mixed = (fit_knn(make_examples(n_clips=300, distance=given), seed=0) for given in (8.0, 0.7))
    assert apart.facts["neighbours"] < mixed.facts["neighbours"]


def test_its_card_says_that_it_carries_the_training_embeddings(make_examples):
    classifier = fit_knn(make_examples(), seed=0)
    assert "embeddings of its 120 training windows" in classifier.facts["carries"]
    assert classifier.embeddings.shape == (120, 6)
    np.testing.assert_allclose(np.linalg.norm(classifier.embeddings, axis=1), 1, rtol=1e-5)


def test_windows_of_which_nothing_is_known_are_not_carried_and_unknown_labels_vote_as_usual(make_examples):
    examples = make_examples()
    weights = examples.weights.copy()
    weights[:10] = 0
    weights[10:, 1] = 0
    weights[10:40, 1] = 1
    classifier = fit_knn(replace(examples, weights=weights, multi_label=True), seed=0)
    assert len(classifier.embeddings) == 110
    share = examples.targets[10:40, 1].mean()
    np.testing.assert_allclose(classifier.votes[30:, 1], share, atol=0.02)
    np.testing.assert_array_equal(classifier.votes[:30, 1], examples.targets[10:40, 1])


def test_copies_of_a_clip_and_an_embedding_of_zeros_are_no_trouble(make_examples):
    examples = make_examples()
    twice = examples.select(np.repeat(np.arange(len(examples)), 2))
    classifier = fit_knn(twice, seed=0)
    alone, among = classifier.predict(examples.features[:1]), classifier.predict(examples.features)[:1]
    np.testing.assert_allclose(alone, among, atol=1e-6)
    assert np.isfinite(classifier.predict(classifier.standard.mean[None])).all()


def test_many_rows_are_compared_in_pieces(make_examples, monkeypatch):
    examples = make_examples()
    whole = fit_knn(examples, seed=0)
    monkeypatch.setattr(nearest, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(fit_knn(examples, seed=0).held_out, whole.held_out, atol=1e-6)


def test_more_embeddings_than_a_file_can_hold_are_refused(make_examples, monkeypatch):
    monkeypatch.setattr(nearest, "MAX_BYTES", 1000)
    with pytest.raises(ConfigError, match="a tagger would have to carry 120 windows of 6 features"):
        fit_knn(make_examples(), seed=0)
