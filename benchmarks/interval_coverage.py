"""How often 95 % intervals hold the truth: paired differences, and parts of the data, of recordings drawn at random.

python benchmarks/interval_coverage.py        # about two minutes; writes benchmarks/results/interval_coverage.json
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earmark.evaluation import metrics, paired_difference
from earmark.evaluation.slices import score_slices
from earmark.run import write_json

N_WORLDS = 400
N_RESAMPLES = 300
N_GROUPS = (40, 150)
METRICS = ("accuracy", "lwlrap", "map_macro")


def world(generator: np.random.Generator, n_groups: int):
    """Two clips of each recording, which share most of their luck, as two models do; one has more skill."""
    groups = np.repeat(np.arange(n_groups), 2)
    targets = np.eye(4)[generator.integers(4, size=n_groups)][groups]
    luck = generator.normal(size=(n_groups, 4))[groups]
    a, b = (skill * targets + luck + 0.7 * generator.normal(size=targets.shape) for skill in (2.0, 1.6))
    return targets, a, b, groups


def main() -> None:
    """Measure and write."""
    generator = np.random.default_rng(0)
    targets, a, b, _ = world(generator, 200_000)
    truth = {name: getattr(metrics, name)(targets, a) - getattr(metrics, name)(targets, b) for name in METRICS}
    own = metrics.accuracy(targets, a)
    found = {"worlds": N_WORLDS, "resamples": N_RESAMPLES, "groups": {}}
    for n_groups in N_GROUPS:
        hits, parts, n_parts, alarms = dict.fromkeys(METRICS, 0), 0, 0, 0
        for seed in range(N_WORLDS):
            targets, a, b, groups = world(generator, n_groups)
            for name in METRICS:
                paired = paired_difference(
                    targets, a, b, metric=name, groups=groups, n_resamples=N_RESAMPLES, seed=seed
                )
                hits[name] += paired.low <= truth[name] <= paired.high
            sites = [f"site {group % 3}" for group in groups]
            slices = score_slices(
                "site", sites, targets, a, groups=groups, metrics=("accuracy",), n_resamples=N_RESAMPLES, seed=seed
            )
            for each in slices:
                parts += each.metrics["accuracy"].low <= own <= each.metrics["accuracy"].high
                n_parts += 1
            alarms += any(each.verdict for each in slices)
        found["groups"][n_groups] = {
            "paired_coverage": {name: hits[name] / N_WORLDS for name in METRICS},
            "parts_coverage": parts / n_parts,
            "any_of_three_equal_parts_called_different": alarms / N_WORLDS,
        }
    write_json(Path(__file__).parent / "results" / "interval_coverage.json", found)
    print(found)


if __name__ == "__main__":
    main()
