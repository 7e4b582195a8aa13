"""Makes event_vectors.json: events and scores drawn at random, and what sed_eval and sed_scores_eval say of them.

    pip install sed_eval==0.2.1 sed_scores_eval==0.0.4 && python tests/evaluation/event_vectors.py

It stands beside the tests that read it, since not everybody who tests can install these libraries (decision 17).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).with_suffix(".json")
LABELS = ("dog", "rain", "siren")
SECONDS, STEP = 20.0, 0.5


def draw_events(generator: np.random.Generator, n_most: int) -> list[list[float]]:
    """Starts and ends that neither overlap nor stand on the edge of a segment, seconds."""
    n_events = int(generator.integers(0, n_most + 1))
    times = np.sort(generator.choice(np.arange(3, 1990), 2 * n_events, replace=False)) / 100 + 0.0013
    return times.reshape(-1, 2).round(4).tolist()


def near(generator: np.random.Generator, events: list[list[float]]) -> list[list[float]]:
    """The events as someone else would mark them: some moved, some left out, some more."""
    moved = [
        [start + generator.normal(0, 0.15), end + generator.normal(0, 0.3)]
        for start, end in events
        if generator.random() < 0.8
    ]
    kept = []
    for start, end in sorted(moved + draw_events(generator, 2)):
        start, end = max(start, kept[-1][1] + 0.01 if kept else 0.01), min(end, SECONDS)
        start, end = (round(round(time, 3) + 0.0005, 4) for time in (start, end))  # never a collar off to the last bit
        if end > start:
            kept.append([start, end])
    return kept


def draw_case(generator: np.random.Generator) -> dict:
    """Some recordings: their events, what was found, and scores over time."""
    names = [f"{number}.wav" for number in range(int(generator.integers(2, 6)))]
    truth = {name: {label: draw_events(generator, 4) for label in LABELS} for name in names}
    for label in LABELS:
        if not any(events[label] for events in truth.values()):
            truth[names[0]][label] = [[1.0013, 3.0013]]
    found = {name: {label: near(generator, events) for label, events in truth[name].items()} for name in names}
    scores = {}
    for name in names:
        edges = np.arange(0, SECONDS, STEP)
        columns = []
        for label in LABELS:
            there = np.zeros(len(edges))
            for start, end in truth[name][label]:
                there[(edges + STEP > start) & (edges < end)] = 1
            columns.append(np.clip(0.3 + 0.3 * there + generator.normal(0, 0.2, len(edges)), 0, 1).round(2))
        scores[name] = np.stack(columns, axis=1).tolist()
    return {"truth": truth, "found": found, "scores": scores}


def listed(events: dict) -> list[dict]:
    """As sed_eval takes events."""
    return [
        {"filename": name, "event_onset": start, "event_offset": end, "event_label": label}
        for name, by_label in events.items()
        for label, pairs in by_label.items()
        for start, end in pairs
    ]


def by_sed_eval(case: dict) -> dict:
    """True positives, found and true numbers of each label, and F1 over all."""
    import dcase_util
    import sed_eval

    metrics = {
        "segment": sed_eval.sound_event.SegmentBasedMetrics(list(LABELS), time_resolution=1.0),
        "onset": sed_eval.sound_event.EventBasedMetrics(
            list(LABELS), t_collar=0.2, evaluate_offset=False, event_matching_type="optimal"
        ),
        "event": sed_eval.sound_event.EventBasedMetrics(
            list(LABELS), t_collar=0.2, percentage_of_length=0.2, event_matching_type="optimal"
        ),
    }
    for name in case["truth"]:
        truth, found = (
            dcase_util.containers.MetaDataContainer(listed({name: case[side][name]})) for side in ("truth", "found")
        )
        for metric in metrics.values():
            metric.evaluate(truth, found)
    said = {}
    for name, metric in metrics.items():
        counts = {label: [metric.class_wise[label][key] for key in ("Ntp", "Nsys", "Nref")] for label in LABELS}
        said[name] = {
            "counts": {label: [int(value) for value in values] for label, values in counts.items()},
            "f1_micro": float(metric.results_overall_metrics()["f_measure"]["f_measure"]),
        }
    return said


def by_sed_scores_eval(case: dict) -> dict:
    """PSDS in both scenarios of DCASE 2022 task 4, over all and of each label."""
    from sed_scores_eval.base_modules.scores import create_score_dataframe
    from sed_scores_eval.intersection_based import psds

    edges = np.arange(0, SECONDS + STEP, STEP)
    scores = {
        name: create_score_dataframe(np.array(values), edges, list(LABELS)) for name, values in case["scores"].items()
    }
    truth = {
        name: [(start, end, label) for label, pairs in events.items() for start, end in pairs]
        for name, events in case["truth"].items()
    }
    known = {"scores": scores, "ground_truth": truth, "audio_durations": dict.fromkeys(truth, SECONDS)}
    common = {"alpha_st": 1.0, "unit_of_time": "hour"}
    # So short a set has few operating points below 100 false alarms an hour: the rate goes up to 1,000.
    said = {}
    for name, setting in {
        "psds1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_ct": 0.0},
        "psds2": {"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3, "alpha_ct": 0.5},
    }.items():
        for most in (100.0, 1000.0):
            value, per_label, *_ = psds(**known, **setting, **common, max_efpr=most)
            said[f"{name} {most:g}"] = {
                "value": float(value),
                "labels": {label: float(per_label[label]) for label in LABELS},
            }
    return said


def main() -> None:
    """Write the vectors."""
    cases = []
    for seed in range(25):
        case = draw_case(np.random.default_rng(seed))
        cases.append({**case, "sed_eval": by_sed_eval(case), "sed_scores_eval": by_sed_scores_eval(case)})
    OUT.write_text(json.dumps({"labels": LABELS, "seconds": SECONDS, "step": STEP, "cases": cases}), encoding="utf-8")


if __name__ == "__main__":
    main()
