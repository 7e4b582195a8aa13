"""How a score grows with the clips of each class: heads fitted on few clips, drawn again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from earmark.baselines.classifier import Classifier, Examples
from earmark.baselines.feature_graph import WindowFeatures
from earmark.baselines.inner import NEVER_HELD_OUT, draw_parts
from earmark.data.manifest import PRESENT
from earmark.errors import ConfigError
from earmark.evaluation.bootstrap import Interval, draw, resampled_values, summarise
from earmark.evaluation.compare import Comparison
from earmark.evaluation.scorecard import primary_metric

INNER_PARTS = 3
N_RESAMPLES = 1000

FitHead = Callable[..., Classifier]


@dataclass(frozen=True)
class LabelledClips:
    """What is known of clips.

    labels: names of the classes. targets: (clips, classes) float32 in [0, 1]. weights: (clips, classes) float32, 0 =
    unknown. folds: (clips,) int64, -1 = never held out. groups: (clips,) what must not straddle folds.
    multi_label: several labels may be right at once.
    """

    labels: tuple[str, ...]
    targets: np.ndarray
    weights: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    multi_label: bool

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def fold_numbers(self) -> list[int]:
        return sorted(set(self.folds[self.folds >= 0].tolist()))

    @property
    def holds(self) -> np.ndarray:
        """(clips, classes + 1) bool: which clips show which class, and last those that surely have none."""
        shows = (self.targets >= PRESENT) & (self.weights > 0)
        empty = ~(self.targets >= PRESENT).any(axis=1) & (self.weights > 0).all(axis=1)
        return np.column_stack([shows, empty])


@dataclass(frozen=True)
class Point:
    """The score after `shots` clips of each class.

    n_clips: the mean number of clips that were learnt from. draws: the score of each draw.
    """

    shots: int
    n_clips: float
    score: Interval
    draws: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """Scores of one kind of features, by the clips of each class."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class FewShot:
    """Curves over the same draws of clips, held out alike.

    comparisons: of the first curve with each other one, by shots. remarks: what a reader must know of the numbers.
    """

    data: str
    head: str
    metric: str
    n_clips: int
    n_classes: int
    n_folds: int
    n_draws: int
    curves: tuple[Curve, ...]
    comparisons: Mapping[int, tuple[Comparison, ...]]
    remarks: tuple[str, ...] = ()

    @property
    def shots(self) -> tuple[int, ...]:
        return tuple(point.shots for point in self.curves[0].points)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: a row per number of clips, a column per curve."""
        header = ["clips per class", *(curve.name for curve in self.curves)]
        rows = [
            [str(shots), *(curve.points[number].score.text for curve in self.curves)]
            for number, shots in enumerate(self.shots)
        ]
        return header, rows

    def notes(self) -> list[str]:
        """Sentences to stand below the table."""
        compared = [
            f"{shots} clip{'s' if shots > 1 else ''} per class: {each.sentence}"
            for shots, found in self.comparisons.items()
            for each in found
        ]
        return [*compared, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        document = {name: value for name, value in asdict(self).items() if name != "comparisons"}
        compared = {str(k): [each.to_dict() for each in found] for k, found in self.comparisons.items()}
        return {**document, "comparisons": compared}


def few_shot(
    clips: LabelledClips,
    features: Mapping[str, WindowFeatures],
    fit: FitHead,
    *,
    data: str,
    head: str,
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    n_draws: int = 5,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> FewShot:
    """Fit a head on k clips of each class and score the clips held out, for every k, fold, draw and kind of features.

    Every kind of features learns from the same clips and is scored on the same. Of every draw the clips for k are
    among those for 2k. The intervals are over resampled groups and draws at once.

    Args:
        features: name → windows of all clips; the first is compared with each other one.
        fit: as in BASELINES.
        data, head: what clips and head are called.
        shots: numbers of clips of each class; those that no class has on the training side of every fold are left out.
        n_draws: how often clips are drawn.
        progress: told how many fits are done, of `n_fits`.

    Raises:
        ConfigError: shots or draws make no sense, or no class has that many clips.
    """
    usable = usable_shots(clips, shots, n_draws)
    metric = primary_metric(clips.multi_label)
    scored = np.flatnonzero((clips.folds >= 0) & (clips.weights > 0).any(axis=1))
    scores = {
        (name, k): np.zeros((n_draws, *clips.targets.shape), dtype=np.float32) for name in features for k in usable
    }
    sizes: dict[int, list[int]] = {k: [] for k in usable}
    done = 0
    for fold, number, chosen in draws(clips, usable, n_draws, seed):
        held_out = clips.folds == fold
        for k, positions in chosen.items():
            sizes[k].append(len(positions))
            parts = np.full(len(clips), NEVER_HELD_OUT)
            parts[positions] = draw_parts(clips.groups[positions], clips.holds[positions, :-1], INNER_PARTS, seed)
            for name, values in features.items():
                classifier = fit(examples_of(clips, values, positions, parts), seed=seed)
                _score(classifier, values, held_out, scores[name, k][number])
                done += 1
                if progress:
                    progress(done)
    return _summarise(clips, scored, metric, scores, sizes, data=data, head=head, n_draws=n_draws, wanted=shots)


def n_fits(clips: LabelledClips, n_features: int, shots: Sequence[int], n_draws: int) -> int:
    """How many heads `few_shot` fits."""
    return len(clips.fold_numbers) * n_draws * len(usable_shots(clips, shots, n_draws)) * n_features


def usable_shots(clips: LabelledClips, shots: Sequence[int], n_draws: int) -> list[int]:
    """The numbers of clips, ascending, that some class has on the training side of every fold.

    Raises:
        ConfigError: a number below 1, or none that is left; fewer than two folds.
    """
    if not shots or min(shots) < 1 or n_draws < 1:
        raise ConfigError(
            f"--shots {','.join(map(str, shots))}, --draws {n_draws}: expected whole numbers from 1 on, such as "
            "--shots 1,2,4,8 --draws 5."
        )
    most = min((int(clips.holds[clips.folds != fold, :-1].sum(axis=0).max()) for fold in clips.fold_numbers), default=0)
    usable = [k for k in sorted(set(shots)) if k <= most]
    if not usable:
        raise ConfigError(
            f"--shots: no class has {min(shots)} clips on the training side of every fold (the most are {most}). "
            "Ask for fewer."
        )
    return usable


def draws(
    clips: LabelledClips, shots: Sequence[int], n_draws: int, seed: int
) -> Iterator[tuple[int, int, dict[int, np.ndarray]]]:
    """(fold, number of the draw, shots → positions of clips on the fold's training side), smaller ones in larger.

    A class's clips come from as many groups as there are: every group gives one before any gives its second, since
    two clips of one recording are one example heard twice.
    """
    holds = clips.holds
    for fold in clips.fold_numbers:
        training = np.flatnonzero(clips.folds != fold)
        for number in range(n_draws):
            generator = np.random.default_rng([seed, fold, number])
            order = _one_group_after_another(training, clips.groups, generator)
            yield fold, number, _nested(holds, order, shots)


def _one_group_after_another(positions: np.ndarray, groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The positions in random order, the first of every group before the second of any."""
    order = generator.permutation(positions)
    names = np.unique(groups[order].astype(str), return_inverse=True)[1]
    by_group = np.argsort(names, kind="stable")
    first = np.searchsorted(names[by_group], names[by_group])
    turn = np.empty(len(order), dtype=np.int64)
    turn[by_group] = np.arange(len(order)) - first
    return order[np.argsort(turn, kind="stable")]


def _nested(holds: np.ndarray, order: np.ndarray, shots: Sequence[int]) -> dict[int, np.ndarray]:
    """For each number of shots the clips, the first of the order that their class still needs."""
    chosen: list[int] = []
    taken = np.zeros(len(holds), dtype=bool)
    count = np.zeros(holds.shape[1], dtype=np.int64)
    queues = [iter(order[holds[order, column]].tolist()) for column in range(holds.shape[1])]
    found = {}
    for wanted in range(1, max(shots) + 1):
        for column, queue in enumerate(queues):
            while count[column] < wanted and (clip := next(queue, None)) is not None:
                if not taken[clip]:
                    taken[clip] = True
                    chosen.append(clip)
                    count += holds[clip]
        if wanted in shots:
            found[wanted] = np.sort(np.array(chosen, dtype=np.int64))
    return found


def examples_of(clips: LabelledClips, features: WindowFeatures, positions: np.ndarray, parts: np.ndarray) -> Examples:
    """The windows of the clips at `positions`; each clip weighs the same however many windows it has."""
    rows = np.flatnonzero(np.isin(features.clips, positions))
    owners = features.clips[rows]
    n_rows = np.bincount(owners, minlength=len(clips)).astype(np.float32)
    return Examples(
        features.values[rows],
        clips.targets[owners],
        clips.weights[owners] / n_rows[owners, None],
        owners,
        parts[owners],
        clips.multi_label,
    )


def _score(classifier: Classifier, features: WindowFeatures, held_out: np.ndarray, scores: np.ndarray) -> None:
    """Write the held-out clips' scores, the mean over their windows, into `scores` (clips, classes)."""
    rows = np.flatnonzero(held_out[features.clips])
    owners = features.clips[rows]
    n_rows = np.bincount(owners, minlength=len(scores))
    np.add.at(scores, owners, classifier.predict(features.values[rows]) / n_rows[owners, None].astype(np.float32))


def _summarise(
    clips: LabelledClips,
    scored: np.ndarray,
    metric: str,
    scores: Mapping[tuple[str, int], np.ndarray],
    sizes: Mapping[int, list[int]],
    *,
    data: str,
    head: str,
    n_draws: int,
    wanted: Sequence[int],
) -> FewShot:
    """Curves and comparisons, all on the same resamples of groups and the same picks among the draws."""
    targets = (clips.targets[scored] >= PRESENT).astype(np.float32)
    known = (clips.weights[scored] > 0).astype(np.float32)
    resamples = draw(clips.groups[scored], N_RESAMPLES)
    picks = np.random.default_rng(0).integers(n_draws, size=(n_draws, N_RESAMPLES))
    values, resampled, missing = {}, {}, 0
    for key, each in scores.items():
        found = [
            resampled_values(metric, targets, one[scored], resamples, folds=clips.folds[scored], weights=known)
            for one in each
        ]
        values[key] = tuple(value for value, _, _ in found)
        resampled[key] = np.take_along_axis(np.stack([column for _, column, _ in found]), picks, axis=0).mean(axis=0)
        missing = found[0][2]
    names = list(dict.fromkeys(name for name, _ in scores))

    def interval(value: float, columns: np.ndarray, least: float) -> Interval:
        return summarise(value, columns, missing, resamples.n_groups, least)

    curves = tuple(
        Curve(
            name,
            tuple(
                Point(
                    k,
                    float(np.mean(sizes[k])),
                    interval(float(np.mean(values[name, k])), resampled[name, k], 0.0),
                    values[name, k],
                )
                for k in sizes
            ),
        )
        for name in names
    )
    comparisons = {
        k: tuple(
            Comparison(
                names[0],
                other,
                metric,
                interval(
                    float(np.mean(values[names[0], k]) - np.mean(values[other, k])),
                    resampled[names[0], k] - resampled[other, k],
                    -1.0,
                ),
            )
            for other in names[1:]
        )
        for k in sizes
    }
    n_folds = len(clips.fold_numbers)
    remarks = tuple(_remarks(clips, sizes, wanted))
    return FewShot(data, head, metric, len(scored), len(clips.labels), n_folds, n_draws, curves, comparisons, remarks)


def _remarks(clips: LabelledClips, sizes: Mapping[int, list[int]], wanted: Sequence[int]) -> Iterator[str]:
    """What a reader must know of the numbers of clips."""
    left_out = sorted(set(wanted) - set(sizes))
    if left_out:
        yield f"Left out: {', '.join(map(str, left_out))} clips per class; no class has so many to learn from."
    fewest = np.min([clips.holds[clips.folds != fold, :-1].sum(axis=0) for fold in clips.fold_numbers], axis=0)
    for k in sizes:
        short = [label for label, n in zip(clips.labels, fewest, strict=True) if n < k]
        if short:
            shown = ", ".join(short[:5]) + (", …" if len(short) > 5 else "")
            yield f"{k} clips per class: all there are of {len(short)} classes that have fewer somewhere ({shown})."
