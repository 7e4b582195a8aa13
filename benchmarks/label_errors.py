"""Planted label errors: how many of them the list of suspects finds, and what mending its top is worth on a test.

    .venv/bin/python benchmarks/label_errors.py --on mn04_as --esc50 ../shared/data/esc50/esc50.csv \
        --mixtures ../shared/data/esc10-mixtures/manifest.csv

Heads are logistic regressions on the embedding. In turn each fold is the test: errors are planted in the labels of the
others, those are scored out of fold, and the top k suspects of each list get their true labels back; then a head is
fitted on all of them and tested on the clean fold. Test scores are pooled over the folds; intervals are over
recordings.

Errors are symmetric (any other class; a label of several left out or added at random) or confusable (the class that a
head on clean labels takes the clip for; of several, the label it is least sure of).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from earmark.baselines.classifier import Examples
from earmark.baselines.linear import fit_logistic
from earmark.data import Manifest, read_manifest
from earmark.evaluation.compare import paired_difference
from earmark.evaluation.metrics import METRICS
from earmark.lookup import lookup
from earmark.review.label_errors import estimated_errors, label_quality
from earmark.run import write_json, write_text
from earmark.tagger import load_tagger
from earmark.tagger.embed import collect, embed_files

RESULTS = Path(__file__).parent / "results"
RATES = (0.1, 0.3)
KINDS = ("symmetric", "confusable")
SHARES = (0.5, 1.0, 2.0)  # of the number of planted errors: so many suspects are looked at


def head_scores(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, multi_label: bool, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Scores (test, classes) of a head fitted on the rows `train`."""
    weights = np.ones((len(train), targets.shape[1]), np.float32)
    examples = Examples(features[train], targets[train], weights, train, folds[train], multi_label)
    return fit_logistic(examples, seed=0, balanced=False).predict(features[test])


def out_of_fold(features: np.ndarray, targets: np.ndarray, folds: np.ndarray, multi_label: bool) -> np.ndarray:
    """Scores (clips, classes), each by a head that did not learn from the clip's fold."""
    scores = np.zeros(targets.shape)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        scores[test] = head_scores(features, targets, folds, multi_label, train, test)
    return scores


def plant(
    targets: np.ndarray, clean: np.ndarray, rate: float, kind: str, multi_label: bool, rng: np.random.Generator
) -> np.ndarray:
    """Targets with errors in a share of the clips.

    Args:
        clean: out-of-fold scores of a head on clean labels: what is confusable.
    """
    wrong = targets.copy()
    rows = rng.permutation(len(targets))[: round(rate * len(targets))]
    for row in rows:
        if multi_label:
            doubt = np.abs(clean[row] - targets[row]) + 1e-6
            chances = doubt / doubt.sum() if kind == "confusable" else None
            column = rng.choice(targets.shape[1], p=chances)
            wrong[row, column] = 1 - wrong[row, column]
            continue
        others = np.flatnonzero(targets[row] == 0)
        chances = clean[row, others] / clean[row, others].sum() if kind == "confusable" else None
        wrong[row] = 0
        wrong[row, rng.choice(others, p=chances)] = 1
    return wrong


def rankings(
    wrong: np.ndarray, scores: np.ndarray, multi_label: bool, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Flat positions (clip, label), the most suspicious first, by each method; and those of `earmark review`."""
    everything = np.ones_like(wrong)
    measures = {
        "self-confidence": label_quality(wrong, everything, scores, multi_label).ravel(),
        "normalised by class": label_quality(wrong, everything, scores, multi_label, normalised=True).ravel(),
    }
    asked = np.flatnonzero(~np.isnan(measures["self-confidence"]))
    ranked = {name: asked[np.argsort(quality[asked], kind="stable")] for name, quality in measures.items()}
    n_listed = estimated_errors(wrong, everything, scores, multi_label)
    return ranked | {"random": rng.permutation(asked), "listed": ranked["self-confidence"][:n_listed]}


def mended(wrong: np.ndarray, truth: np.ndarray, places: np.ndarray, multi_label: bool) -> np.ndarray:
    """Targets with the truth back at some places: of one label per clip, in the whole row."""
    targets = wrong.copy()
    rows, columns = np.unravel_index(places, wrong.shape)
    if multi_label:
        targets[rows, columns] = truth[rows, columns]
    else:
        targets[rows] = truth[rows]
    return targets


def rounds(manifest: Manifest, features: np.ndarray) -> Iterator[dict]:
    """One line per rate, kind of error, test fold, method and number looked at; and the test scores behind it."""
    truth, folds, several = manifest.present(), manifest.folds, manifest.multi_label
    clean = out_of_fold(features, truth, folds, several)
    for rate in RATES:
        for kind in KINDS:
            for fold in manifest.fold_numbers:
                rng = np.random.default_rng([int(100 * rate), KINDS.index(kind), fold])
                mine, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                inner, own = folds[mine], truth[mine]
                wrong = plant(own, clean[mine], rate, kind, several, rng)
                planted = (wrong != own).ravel() if several else ((wrong != own) & (wrong > 0)).ravel()
                scores = out_of_fold(features[mine], wrong, inner, several)
                ranked = rankings(wrong, scores, several, rng)
                n_errors = int(planted.sum())

                def tested(targets, mine=mine, test=test, inner=inner):
                    learnt = np.concatenate([targets, np.zeros((len(test), targets.shape[1]))]).astype(np.float32)
                    both = np.concatenate([features[mine], features[test]])
                    rows = np.arange(len(mine))
                    parts = np.concatenate([inner, np.full(len(test), -1)])
                    return head_scores(both, learnt, parts, several, rows, len(mine) + np.arange(len(test)))

                same = {"rate": rate, "kind": kind, "fold": fold, "n_errors": n_errors, "test": test}
                yield same | {"method": "left as they are", "k": 0, "scores": tested(wrong)}
                yield same | {"method": "all errors mended", "k": n_errors, "scores": tested(own)}
                listed = ranked.pop("listed")
                yield same | {
                    "method": "listed",
                    "k": len(listed),
                    "hits": int(planted[listed].sum()),
                    "scores": tested(mended(wrong, own, listed, several)),
                }
                for share in SHARES:
                    k = round(share * n_errors)
                    for method, places in ranked.items():
                        line = same | {"method": method, "k": k, "share": share, "hits": int(planted[places[:k]].sum())}
                        if share == 1.0:
                            line["scores"] = tested(mended(wrong, own, places[:k], several))
                        yield line


def summary(manifest: Manifest, lines: list[dict], metric: str) -> list[dict]:
    """Lines pooled over the test folds: precision, recall, test score and its difference to leaving the errors.

    The interval of recall is over test folds (each with errors of its own): mean ± 2 standard errors.
    """
    present, measure = manifest.present(), lookup(METRICS, metric, "metric")
    found = []
    keys = dict.fromkeys((line["rate"], line["kind"], line["method"], line.get("share")) for line in lines)

    def pooled(rate: float, kind: str, method: str) -> np.ndarray:
        scores = np.zeros(present.shape)
        for line in lines:
            if (line["rate"], line["kind"], line["method"]) == (rate, kind, method) and "scores" in line:
                scores[line["test"]] = line["scores"]
        return scores

    for rate, kind, method, share in keys:
        key = (rate, kind, method, share)
        mine = [line for line in lines if (line["rate"], line["kind"], line["method"], line.get("share")) == key]
        row = {"rate": rate, "kind": kind, "method": method, "share": share}
        row["k"] = float(np.mean([line["k"] for line in mine]))
        if "hits" in mine[0]:
            recalls = np.array([line["hits"] / line["n_errors"] for line in mine])
            row["precision"] = float(np.mean([line["hits"] / max(line["k"], 1) for line in mine]))
            row["recall"] = float(recalls.mean())
            row["recall_error"] = float(2 * recalls.std(ddof=1) / np.sqrt(len(recalls)))
        if "scores" in mine[0]:
            scores = pooled(rate, kind, method)
            row["test"] = float(measure(present, scores))
            against = paired_difference(
                present, scores, pooled(rate, kind, "left as they are"), metric=metric, groups=manifest.groups
            )
            row["gain"], row["low"], row["high"] = against.value, against.low, against.high
        found.append(row)
    return found


def embedded(manifest: Manifest, on: str) -> np.ndarray:
    """(clips, features), the mean over each clip's windows."""
    vectors = collect(embed_files(load_tagger(on), manifest.clips())).vectors
    if len(vectors) != len(manifest):
        raise SystemExit(f"{len(manifest) - len(vectors)} clips cannot be read")
    return vectors


def table(name: str, rows: list[dict], metric: str) -> list[str]:
    """A Markdown table of one data set."""
    lines = [
        f"\n## {name}\n",
        f"| errors | list | looked at | precision | recall (± over folds) | {metric} on the clean test | gain |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        share = "" if row["share"] is None else f" ({row['share']:g} × errors)"
        hits = f"{row['precision']:.2f} | {row['recall']:.2f} ± {row['recall_error']:.2f}" if "recall" in row else "|"
        test = "|"
        if "test" in row:
            test = f"{row['test']:.3f} | {row['gain']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        if row["method"] == "left as they are":
            test = f"{row['test']:.3f} |"
        lines.append(
            f"| {100 * row['rate']:.0f} % {row['kind']} | {row['method']} | {row['k']:.0f}{share} | {hits} | {test} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", default="mn04_as")
    parser.add_argument("--esc50", type=Path, help="single-label: each clip has one of 50 labels")
    parser.add_argument("--mixtures", type=Path, help="multi-label: each clip has several of 10 labels")
    given = parser.parse_args()
    result: dict = {"command": " ".join(["benchmarks/label_errors.py", *sys.argv[1:]])}
    text = [
        "# Planted label errors\n",
        f"`{result['command']}`. Heads on {given.on}, {os.cpu_count()} cores. What each list means: the script's first "
        "lines. *listed* is what `earmark review` shows unless told otherwise: by self-confidence, as many as the "
        "confident joint estimates. *normalised by class*: cleanlab's ranking with adjusted scores.",
    ]
    for name, data, metric in (("ESC-50", given.esc50, "accuracy"), ("mixtures", given.mixtures, "lwlrap")):
        if data is None:
            continue
        manifest = read_manifest(data)
        rows = summary(manifest, list(rounds(manifest, embedded(manifest, given.on))), metric)
        result[name] = {"clips": len(manifest), "metric": metric, "rows": rows}
        text += table(f"{name}: {len(manifest)} clips, {len(manifest.vocabulary)} labels", rows, metric)
        print("\n".join(text), flush=True)
    write_json(RESULTS / "label_errors.json", result)
    write_text(RESULTS / "label_errors.md", "\n".join(text) + "\n")


if __name__ == "__main__":
    main()
