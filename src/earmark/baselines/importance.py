"""What a classifier on named features leans on: groups of features shuffled, single ones held against a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from earmark.baselines.classifier import Examples
from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import Interval, draw, resampled_values, summarise
from earmark.evaluation.metrics import TITLES

N_REPEATS = 5  # shuffles of each group
CHANCE = 0.05  # how often the best of all features may reach `Strength.by_chance` though none tells anything


@dataclass(frozen=True)
class Importance:
    """What the score loses when a group of features says nothing any more.

    group: of the features. n_features: in it. metric: a name in METRICS.
    loss: score as it is minus score with the group shuffled, the mean of the shuffles.
    """

    group: str
    n_features: int
    metric: str
    loss: Interval

    @property
    def beyond_noise(self) -> bool:
        """The score surely falls without the group."""
        return bool(self.loss.low > 0)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "beyond_noise": self.beyond_noise}


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    clips: np.ndarray,
    columns: Sequence[str],
    *,
    recordings: np.ndarray,
    folds: np.ndarray,
    metric: str,
    n_resamples: int = 1000,
    seed: int = 0,
) -> list[Importance]:
    """Loss of score when one group of features after the other is exchanged between clips, most important first.

    A clip gets the group's features of another clip of its fold, all its windows from the same one, so that averaging
    over windows does not undo it. Groups that say the same stand in for one another: each then seems to add nothing.

    Args:
        predict: features (rows, n) to scores (rows, classes). To be out of fold, each row must be scored by a
            classifier that did not learn from its clip.
        features: (rows, n) float32, a row per window.
        targets: (clips, classes) float32, in [0, 1]; present from 0.5 on.
        weights: (clips, classes), 0 = unknown.
        clips: (rows,) the clip of each row, a position in `targets`; every clip has a row.
        columns: (n,) the group of each feature.
        recordings: (clips,) what is resampled for the interval.
        folds: (clips,) fold that held each clip out.
        metric: a name in METRICS.
        n_resamples: of the recordings.
        seed: of shuffles and resamples.

    Raises:
        EarmarkError: features and the names of their groups are not as many.

    Source: Breiman, Random Forests (2001), §10; by group: Au et al., Grouped Feature Importance (2022).
    """
    _check_named(features, columns)
    present, known = (targets >= 0.5).astype(np.float64), (weights > 0).astype(np.float64)
    resamples = draw(recordings, n_resamples, seed)
    rows_of = _rows_of(clips)

    def score(values: np.ndarray) -> tuple[float, np.ndarray, int]:
        scores = _clip_means(predict(values), rows_of)
        return resampled_values(metric, present, scores, resamples, folds=folds, weights=known)

    value, resampled, n_nan = score(features)
    generator = np.random.default_rng(seed)
    exchanges = [_exchange(rows_of, folds, generator) for _ in range(N_REPEATS)]
    found = []
    for group in dict.fromkeys(columns):
        chosen = np.array([column == group for column in columns])
        shuffled = []
        for rows in exchanges:
            changed = features.copy()
            changed[:, chosen] = features[rows][:, chosen]
            shuffled.append(score(changed)[:2])
        losses = resampled - np.mean([values for _, values in shuffled], axis=0)
        loss = value - float(np.mean([without for without, _ in shuffled]))
        interval = summarise(loss, losses, n_nan, resamples.n_groups, least=-1.0)
        found.append(Importance(group, int(chosen.sum()), metric, interval))
    return sorted(found, key=lambda importance: -importance.loss.value)


def statement(importances: Sequence[Importance]) -> str:
    """Which groups add to the score and which do not, in words.

    >>> some, none = (Interval(value, value - 0.02, value + 0.02, 40, False, 0, 0.01) for value in (0.1, 0.01))
    >>> statement([Importance("mfcc", 180, "accuracy", some), Importance("chroma", 108, "accuracy", none)])
    'Shuffled alone, mfcc costs accuracy (0.10). Nothing beyond the noise: chroma.'
    """
    title = TITLES.get(importances[0].metric, importances[0].metric) if importances else ""
    adding = [f"{each.group} costs {title} ({each.loss.value:.2f})" for each in importances if each.beyond_noise]
    idle = [each.group for each in importances if not each.beyond_noise]
    sentences = [f"Shuffled alone, {', '.join(adding)}."] if adding else []
    if idle:
        sentences.append(f"Nothing beyond the noise: {', '.join(idle)}.")
    return " ".join(sentences)


@dataclass(frozen=True)
class Strength:
    """How well one feature alone tells a class from all others.

    effect: rank-biserial correlation, 2 · AUC - 1: 1 = higher in every clip of the class than in any other, -1 = lower.
    by_chance: size of effect that the best of all features reaches in one class of twenty though none tells anything.
    """

    feature: str
    group: str
    effect: float
    by_chance: float


def strongest(examples: Examples, names: Sequence[str], groups: Sequence[str], n: int = 5) -> list[list[Strength]]:
    """The features that tell each class best alone, of each group only the best: its neighbours say the same.

    A clip counts once, with the mean of its windows. Classes with no clip, or no other, have none.

    Args:
        examples: features (rows, n), which classes their clips hold.
        names: (n,) of the features. groups: (n,) of each feature.
        n: how many per class.

    Returns:
        A list per class, strongest first.

    Raises:
        EarmarkError: features and names or groups are not as many.

    Source: Wendt, Dealing with a common problem in social science (1972); Mason and Graham (2002) for AUC from ranks.
    """
    _check_named(examples.features, names)
    _check_named(examples.features, groups)
    rows_of = _rows_of(examples.clips)
    features = _clip_means(examples.features, rows_of)
    first = [rows[0] for rows in rows_of]
    targets = examples.targets[first].astype(np.float64)
    known = (examples.weights[first] > 0).astype(np.float64)
    effects = _rank_biserial(features, targets, known)
    group_columns = [
        np.array([column for column, each in enumerate(groups) if each == group]) for group in dict.fromkeys(groups)
    ]
    found = []
    for label, by_chance in enumerate(_by_chance(targets, known, len(names))):
        effect = effects[label]
        if not np.isfinite(by_chance):
            found.append([])
            continue
        best = [int(columns[np.abs(effect[columns]).argmax()]) for columns in group_columns]
        best.sort(key=lambda column: -abs(effect[column]))
        found.append([Strength(names[column], groups[column], float(effect[column]), by_chance) for column in best[:n]])
    return found


def _rank_biserial(features: np.ndarray, targets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(classes, n): for each class among the clips where it is known; 0 where it has no clip or no other.

    With mid-ranks r that start at 0, the positives' ranks sum to the pairs they win against negatives plus the
    half of their pairs among themselves, P² / 2.
    """
    effects = np.zeros((targets.shape[1], features.shape[1]))
    patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):  # one, where everything is known
        rows, labels = np.flatnonzero(pattern), np.flatnonzero(pattern_of == number)
        positive = targets[np.ix_(rows, labels)]
        n_positive = positive.sum(axis=0)
        pairs = n_positive * (len(rows) - n_positive)
        wins = positive.T @ _mid_ranks(features[rows]) - (n_positive**2 / 2)[:, None]
        np.divide(2 * wins, pairs[:, None], out=wins, where=pairs[:, None] > 0)
        effects[labels] = np.where(pairs[:, None] > 0, wins - 1, 0.0)
    return effects


def _mid_ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each row in its column: how many are below it, and half of those that equal it, itself too."""
    ordered = np.sort(values, axis=0)
    below, up_to = (
        np.stack([np.searchsorted(ordered[:, c], values[:, c], side) for c in range(values.shape[1])], axis=1)
        for side in ("left", "right")
    )
    return (below + up_to) / 2


def _by_chance(targets: np.ndarray, known: np.ndarray, n_features: int) -> list[float]:
    """Per class, the size of effect that chance alone seldom exceeds in any feature; nan where there is no effect.

    Where ranks say nothing the AUC is nearly normal with variance (P + N + 1) / (12 · P · N); n features take the
    Bonferroni bound.
    """
    deviations = NormalDist().inv_cdf(1 - CHANCE / (2 * n_features))
    positive = (targets * known).sum(axis=0)
    negative = known.sum(axis=0) - positive
    pairs = positive * negative
    variance = np.divide(positive + negative + 1, 12 * pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return np.minimum(2 * deviations * np.sqrt(variance), 1.0).tolist()


def _rows_of(clips: np.ndarray) -> list[np.ndarray]:
    """The rows of each clip, clips by rising number."""
    _, first = np.unique(np.sort(clips), return_index=True)
    return np.split(np.argsort(clips, kind="stable"), first[1:])


def _clip_means(values: np.ndarray, rows_of: list[np.ndarray]) -> np.ndarray:
    return np.stack([values[rows].mean(axis=0) for rows in rows_of])


def _exchange(rows_of: list[np.ndarray], folds: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """For each row the row it gets its features from: clips of a fold trade places, windows in turn."""
    source = np.zeros(sum(map(len, rows_of)), dtype=np.int64)
    for fold in np.unique(folds):
        clips = np.flatnonzero(folds == fold)
        for clip, giver in zip(clips, generator.permutation(clips), strict=True):
            source[rows_of[clip]] = np.resize(rows_of[giver], len(rows_of[clip]))
    return source


def _check_named(features: np.ndarray, names: Sequence[str]) -> None:
    if features.shape[1] != len(names):
        raise EarmarkError(
            f"features: {features.shape[1]} columns, but {len(names)} names or groups. "
            "Take those of the very features that were computed."
        )
