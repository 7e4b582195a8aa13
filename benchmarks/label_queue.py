"""What to label next: the test score after so many labels, by the queue of `earmark review --unlabelled` and by chance.

    .venv/bin/python benchmarks/label_queue.py ../shared/data/esc50/esc50.csv --on mn04_as

In turn each fold is the test and the others are without labels. Fifty are labelled at a time, truly; a logistic
regression on the embeddings of what is labelled so far is tested, and chooses the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from earmark.baselines.classifier import Examples
from earmark.baselines.linear import fit_logistic
from earmark.data import read_manifest
from earmark.review.queue import queue, rarity, uncertainty
from earmark.run import write_json, write_text
from earmark.tagger import load_tagger
from earmark.tagger.embed import collect, embed_files

RESULTS = Path(__file__).parent / "results"
AT_ONCE, ROUNDS = 50, 4

# (vectors, scores or None, counts of labels so far, generator) → positions to label next
Chooser = Callable[[np.ndarray, np.ndarray | None, np.ndarray, np.random.Generator], np.ndarray]


def by_queue(vectors, scores, counts, generator):
    worth = None if scores is None else uncertainty(scores, False) * rarity(scores, counts)
    return queue(vectors, AT_ONCE, worth)


def by_queue_without_rarity(vectors, scores, counts, generator):
    return queue(vectors, AT_ONCE, None if scores is None else uncertainty(scores, False))


def by_uncertainty(vectors, scores, counts, generator):
    if scores is None:
        return by_chance(vectors, scores, counts, generator)
    return np.argsort(-uncertainty(scores, False), kind="stable")[:AT_ONCE]


def by_chance(vectors, scores, counts, generator):
    return generator.permutation(len(vectors))[:AT_ONCE]


CHOOSERS: dict[str, Chooser] = {
    "queue": by_queue,
    "queue, rare labels no sooner": by_queue_without_rarity,
    "least sure": by_uncertainty,
    "chance": by_chance,
}


def curve(vectors: np.ndarray, targets: np.ndarray, pool: np.ndarray, test: np.ndarray, chooser: Chooser, seed: int):
    """Accuracy on the test after each round."""
    generator = np.random.default_rng(seed)
    chosen, left, scores, found = np.zeros(0, np.int64), pool, None, []
    for _ in range(ROUNDS):
        counts = targets[chosen].sum(axis=0)
        new = left[chooser(vectors[left], scores, counts, generator)]
        chosen, left = np.concatenate([chosen, new]), np.setdiff1d(left, new)
        weights, unheld = np.ones_like(targets[chosen]), np.full(len(chosen), -1)
        examples = Examples(vectors[chosen], targets[chosen], weights, chosen, unheld, False)
        head = fit_logistic(examples, seed=0, balanced=False)
        found.append(float((head.predict(vectors[test]).argmax(1) == targets[test].argmax(1)).mean()))
        scores = head.predict(vectors[left])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--on", default="mn04_as")
    given = parser.parse_args()
    manifest = read_manifest(given.data)
    vectors = collect(embed_files(load_tagger(given.on), manifest.clips())).vectors
    targets, folds = manifest.present(), manifest.folds
    rows, lines = [], []
    for name, chooser in CHOOSERS.items():
        curves = np.array(
            [
                curve(vectors, targets, np.flatnonzero(folds != fold), np.flatnonzero(folds == fold), chooser, fold)
                for fold in manifest.fold_numbers
            ]
        )
        error = 2 * curves.std(axis=0, ddof=1) / np.sqrt(len(curves))
        rows.append({"by": name, "accuracy": curves.mean(axis=0).tolist(), "error": error.tolist()})
        cells = [f"{mean:.3f} ± {each:.3f}" for mean, each in zip(curves.mean(axis=0), error, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    numbers = [AT_ONCE * (number + 1) for number in range(ROUNDS)]
    command = " ".join(["benchmarks/label_queue.py", *sys.argv[1:]])
    text = [
        "# Which clips to label next\n",
        f"`{command}`: {len(manifest)} clips, {len(manifest.vocabulary)} labels. Accuracy on the test fold, mean of "
        f"{len(manifest.fold_numbers)} ± 2 standard errors, after so many labels.\n",
        f"| chosen by | {' | '.join(map(str, numbers))} |",
        "|---|" + "--:|" * len(numbers),
        *lines,
    ]
    write_text(RESULTS / "label_queue.md", "\n".join(text) + "\n")
    write_json(RESULTS / "label_queue.json", {"command": command, "labels": numbers, "rows": rows})


if __name__ == "__main__":
    main()
