"""What to label next: clips that a model is unsure of, unlike one another, of labels that are rare so far."""

from __future__ import annotations

import numpy as np


def uncertainty(scores: np.ndarray, multi_label: bool) -> np.ndarray:
    """How unsure scores (clips, classes) are, (clips,) in [0, 1].

    One label: 1 - the lead of the best over the second. Several: of the label that is nearest to a coin's throw.

    >>> uncertainty(np.array([[0.9, 0.1], [0.5, 0.5]]), False).round(2).tolist()
    [0.2, 1.0]
    """
    if multi_label:
        return 1 - np.abs(2 * scores - 1).min(axis=1)
    if scores.shape[1] < 2:
        return np.ones(len(scores))
    best = np.sort(scores, axis=1)
    return 1 - (best[:, -1] - best[:, -2])


def rarity(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How rare what scores (clips, classes) expect is among the clips labelled so far, (clips,) in (0, 1].

    Args:
        counts: (classes,) labelled clips of each.

    >>> rarity(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([9, 0])).tolist()
    [0.1, 1.0]
    """
    shares = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)
    return shares @ (1.0 / (1.0 + counts))


def typical(vectors: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Positions of n vectors that stand for all: the one nearest to the middle of each of n clusters, largest first.

    Args:
        vectors: (clips, features); only their directions count.

    Returns:
        (at most n,) int64.

    Source: Hacohen et al., ICML 2022: with few labels typical examples teach more than far or unsure ones
    (benchmarks/label_queue.py).

    >>> typical(np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.0, 1.0]]), 2).tolist()
    [1, 3]
    """
    from sklearn.cluster import KMeans

    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    n = min(n, len(np.unique(units, axis=0)))
    if n < 1:
        return np.zeros(0, dtype=np.int64)
    found = KMeans(n, n_init=1, random_state=seed).fit(units)
    distances = found.transform(units)
    sizes = np.bincount(found.labels_, minlength=n)
    nearest = [np.where(found.labels_ == cluster, distances[:, cluster], np.inf).argmin() for cluster in range(n)]
    return np.array(nearest, dtype=np.int64)[np.argsort(-sizes, kind="stable")]


def queue(vectors: np.ndarray, n: int, worth: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Positions of at most n clips in the order in which to label them.

    Args:
        vectors: (clips, features), embeddings of clips without a label.
        worth: (clips,), how much the label of each would tell; the typical ones of the better half are taken. None =
            nothing is known yet: the typical ones of all.
    """
    if worth is None:
        return typical(vectors, n, seed)
    better = np.argsort(-worth, kind="stable")[: max(n, len(worth) // 2)]
    return better[typical(vectors[better], n, seed)]
