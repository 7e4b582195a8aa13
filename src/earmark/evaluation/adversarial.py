"""Adversarial validation: how well can a classifier tell the test clips from the training clips, and by what?

Where it can, scores of held-out training clips say little of the test clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import StratifiedGroupKFold

from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import draw, interval

MIN_CLIPS, MIN_GROUPS = 10, 5  # of each side
MOST_CLIPS = 2000  # of each side: more make the answer no clearer, only slower
N_FOLDS = 5
N_TREES = 100
N_SHUFFLES = 3  # of each feature in each fold
N_TOP = 5
LEAST_SHARE = 0.05  # of the strongest feature's importance: what is weaker is not named
MIDDLE = 0.1  # a feature whose own AUC is nearer to 0.5 than this leans to neither side


@dataclass(frozen=True)
class Adversarial:
    """What the classifier found.

    auc: area under its ROC curve with a 95 % interval over groups: 0.5 = the sides look alike, 1 = quite different;
        nan where a side has too few clips.
    n_train, n_test: clips of each side.
    top: (feature, importance, direction) of what tells them apart, the strongest first; none where nothing does. The
        importance is by how much the squared error of the classifier's answer rises, on clips it did not learn from,
        when the feature is shuffled.
    too_few: what there is too little of, "" if there is enough.
    """

    auc: float
    low: float
    high: float
    n_train: int
    n_test: int
    top: tuple[tuple[str, float, str], ...] = ()
    too_few: str = ""

    @property
    def differ(self) -> bool:
        """Whether the sides can be told apart."""
        return bool(self.low > 0.5)

    @property
    def sentence(self) -> str:
        """In plain words.

        >>> Adversarial(0.51, 0.45, 0.57, 80, 20).sentence
        'Train and test cannot be told apart (AUC 0.51, 0.45 to 0.57).'
        """
        if self.too_few:
            return f"Whether train and test differ cannot be said: {self.too_few}."
        found = f"(AUC {self.auc:.2f}, {self.low:.2f} to {self.high:.2f})"
        if not self.differ:
            return f"Train and test cannot be told apart {found}."
        by = ", ".join(f"{name} ({direction})" for name, _, direction in self.top)
        return f"Train and test can be told apart {found}, by {by}."


def adversarial_validation(
    features: np.ndarray, names: Sequence[str], is_test: np.ndarray, groups: np.ndarray, seed: int = 0
) -> Adversarial:
    """Cross-validate a random forest on the question "test or train?", groups kept whole.

    Sides drawn from one distribution (50 groups of two clips a side, six features) were told apart in 5 of 100 tries.

    Args:
        features: (clips, features) of any scale; nan or infinite = not known.
        names: of the features.
        is_test: (clips,) bool.
        groups: (clips,) recording of each clip.
        seed: of the folds, the forest and the resamples.

    Raises:
        EarmarkError: the arrays do not fit together.
    """
    with np.errstate(over="ignore"):
        features, is_test = np.asarray(features, dtype=np.float32), np.asarray(is_test, dtype=bool)
    features = np.where(np.isfinite(features), features, np.float32(np.nan))  # the level of silence is −inf dB
    groups = np.asarray(groups).astype(str)
    if features.shape != (len(is_test), len(names)) or len(groups) != len(is_test):
        raise EarmarkError(
            f"adversarial validation: features {features.shape}, {len(names)} names, {len(is_test)} sides and "
            f"{len(groups)} groups do not fit together. Give a row per clip and a column per name."
        )
    counts = int((~is_test).sum()), int(is_test.sum())
    too_few = _too_few(is_test, groups)
    if too_few:
        return Adversarial(np.nan, np.nan, np.nan, *counts, too_few=too_few)
    rows = _sample(is_test, seed)
    features, is_test, groups = features[rows], is_test[rows], groups[rows]
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    folds, scores, forests = np.zeros(len(rows), dtype=int), np.zeros((len(rows), 1)), []
    for fold, (training, held_out) in enumerate(splitter.split(features, is_test, groups)):
        forest = RandomForestClassifier(N_TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        forests.append(forest.fit(features[training], is_test[training]))
        folds[held_out], scores[held_out, 0] = fold, forest.predict_proba(features[held_out])[:, 1]
    found = interval("roc_auc", is_test[:, None], scores, draw(groups, seed=seed), folds=folds)
    answer = Adversarial(found.value, found.low, found.high, *counts)
    if not answer.differ:
        return answer
    importances = _importances(forests, features, is_test, folds, seed)
    order = np.argsort(-importances, kind="stable")[:N_TOP]
    named = [column for column in order if importances[column] >= LEAST_SHARE * importances[order[0]]]
    top = tuple((names[c], float(importances[c]), _direction(features[:, c], is_test)) for c in named)
    return replace(answer, top=top)


def _too_few(is_test: np.ndarray, groups: np.ndarray) -> str:
    """What there is too little of; "" if there is enough."""
    for side, mine in (("train", ~is_test), ("test", is_test)):
        n_clips, n_groups = int(mine.sum()), len(np.unique(groups[mine]))
        if n_clips < MIN_CLIPS:
            return f"{side} has {n_clips} clips, {MIN_CLIPS} are needed"
        if n_groups < MIN_GROUPS:
            return f"{side} has {n_groups} groups, {MIN_GROUPS} are needed"
    return ""


def _sample(is_test: np.ndarray, seed: int) -> np.ndarray:
    """Positions of all clips, or of as many of a large side as are worth the time, ascending."""
    generator = np.random.default_rng(seed)
    sides = [generator.permutation(np.flatnonzero(side))[:MOST_CLIPS] for side in (~is_test, is_test)]
    return np.sort(np.concatenate(sides))


def _importances(
    forests: Sequence[RandomForestClassifier], features: np.ndarray, is_test: np.ndarray, folds: np.ndarray, seed: int
) -> np.ndarray:
    """(features,) mean over the folds' held-out clips of what shuffling a feature costs."""
    found = []
    for fold, forest in enumerate(forests):
        mine = folds == fold
        # Not by the AUC: one of 1 does not fall while a second feature tells the same.
        shuffled = permutation_importance(
            forest,
            features[mine],
            is_test[mine],
            scoring="neg_brier_score",
            n_repeats=N_SHUFFLES,
            random_state=seed,
        )
        found.append(shuffled.importances_mean)
    return np.mean(found, axis=0)


def _direction(values: np.ndarray, is_test: np.ndarray) -> str:
    """How a feature differs between the sides, in words."""
    known = ~np.isnan(values)
    missing = [float(np.mean(~known[side])) for side in (is_test, ~is_test)]
    if abs(missing[0] - missing[1]) > 0.5:
        return f"missing in {missing[0]:.0%} of test, {missing[1]:.0%} of train"
    test, train = values[known & is_test], values[known & ~is_test]
    if not len(test) or not len(train):
        return "seldom known"
    ranks = rankdata(np.concatenate([test, train]))[: len(test)]
    above = (ranks.sum() - len(test) * (len(test) + 1) / 2) / (len(test) * len(train))
    if abs(above - 0.5) < MIDDLE:
        return "spread otherwise in test"
    of_test, of_train, kind = np.median(test), np.median(train), "median"
    if of_test == of_train:
        of_test, of_train, kind = np.mean(test), np.mean(train), "mean"
    return f"{'higher' if above > 0.5 else 'lower'} in test, {kind} {of_test:.5g} against {of_train:.5g}"
