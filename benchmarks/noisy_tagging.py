"""Few labels to trust and many doubtful ones: what of a system for FSDKaggle2019 pays, part by part.

    .venv/bin/python benchmarks/noisy_tagging.py ../shared/data/esc50 --work /tmp/noisy --screen
    .venv/bin/python benchmarks/noisy_tagging.py ../shared/data/esc50 --work /tmp/noisy --rows mixed,agreeing --seeds 3

Sounds as `noisy_tagging_data.py` makes them, rows as `noisy_tagging_rows.py` lists them. Every row is scored on the
test part by the exported tagger and held against its own reference row, paired, over test pools. What is done is read
again, so that the same command goes on after a kill, and rows can be added one by one; table and numbers in results/
are written after each. The smallest difference that such a table can show is computed first, and stands above it.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from noisy_tagging_data import make
from noisy_tagging_ensembles import KINDS, ensemble_rows, join_members
from noisy_tagging_rows import (
    LARGE_SIZE,
    REFERENCE,
    SMALL_SIZE,
    VIEWS,
    Row,
    Size,
    Stage,
    members_of,
    rows_of,
    stages_of,
)
from noisy_tagging_runs import folder_of, prepared, train_stages

from earmark.data.manifest import Manifest
from earmark.evaluation.bootstrap import Interval, Resamples, draw, resampled_values, summarise
from earmark.evaluation.compare import DETECTABLE_ERRORS
from earmark.predictions import Predictions
from earmark.run import write_json, write_text
from earmark.tagger import load_tagger, score_files

RESULTS = Path(__file__).parent / "results"
METRIC = "lwlrap"
Values = tuple[float, np.ndarray]  # the metric on all test clips, and on every draw of test pools
N_RESAMPLES = 2000
PARTS = {
    "parts": "What is trained on what",
    "losses": "Loss of the stage on noisy clips (binary cross-entropy)",
    "augmentation": "Augmentation of the stage on curated clips (the default)",
    "views": "How the network hears a test clip (sliding windows, mean)",
    "ensembles": "Several networks as one (the best of them by its out-of-fold scores)",
}


@dataclass(frozen=True)
class Bench:
    """Where it stands: the folder of all runs, how much is trained, the test clips, and their draws."""

    work: Path
    size: Size
    test: Manifest
    resamples: Resamples

    def values(self, scores: np.ndarray) -> Values:
        """The metric of scores (clips, classes), and of every draw of test pools."""
        value, values, _ = resampled_values(METRIC, self.test.present(), scores, self.resamples)
        return value, values

    def interval(self, found: Sequence[Values]) -> Interval:
        """Of the mean over seeds."""
        return summarise(*mean_of(found), 0, self.resamples.n_groups, least=0.0)

    def difference(self, found: Sequence[Values], other: Sequence[Values]) -> Interval:
        """Of the means over seeds, on the same draws."""
        (value, values), (its, theirs) = mean_of(found), mean_of(other)
        return summarise(value - its, values - theirs, 0, self.resamples.n_groups, least=-1.0)


def mean_of(found: Sequence[Values]) -> Values:
    """The mean over seeds."""
    return float(np.mean([value for value, _ in found])), np.mean([values for _, values in found], axis=0)


def scores_of(bench: Bench, row: Row) -> np.ndarray | None:
    """Clip scores of the test part, (clips, classes); None where the network is not trained yet."""
    run = folder_of(bench.work, row.stage)
    if not run.tagger.is_file():
        return None
    path = next(run.folder.glob("predictions.*.csv"))
    if row.views:
        path = run.folder / f"heard_{row.views}.csv"
        if not path.is_file():
            views, lengths, pool = VIEWS[row.views][1]
            tagger = load_tagger(run.tagger).with_views(views, lengths, pool)
            score_files(tagger, bench.test.clips(), threads=1)[0].save(path)
    return Predictions.load(path).align(bench.test.clip_ids).scores


def seed_spread(values: Mapping[str, Sequence[Values]]) -> float:
    """Standard deviation of the metric from seed to seed, pooled over the rows that have several; nan without any."""
    several = [np.array([value for value, _ in found]) for found in values.values() if len(found) > 1]
    squares = sum(float(np.square(each - each.mean()).sum()) for each in several)
    freedom = sum(len(each) - 1 for each in several)
    return float(np.sqrt(squares / freedom)) if freedom else float("nan")


def smallest_effect(two: Sequence[Values], spread: float) -> dict[str, float]:
    """What a difference must be to show four times in five, from two seeds of the reference: between two networks, and
    between trainings of one or of three seeds each."""
    (first, firsts), (second, seconds) = two[:2]
    error = float((firsts - seconds).std())
    found = {"between_seeds": first - second, "standard_error": error, "detectable": DETECTABLE_ERRORS * error}
    for name, n_seeds in (("of_trainings", 1), ("of_three", 3)):
        found[name] = DETECTABLE_ERRORS * float(np.hypot(error, spread * np.sqrt(2 / n_seeds)))
    return found


def table_of(bench: Bench, rows: Sequence[Row], scores: Mapping[str, Sequence[np.ndarray]]) -> dict:
    """All numbers: every row that has scores, with its difference to the row that it is held against.

    `low` and `high` know of the chance of the test pools alone, `error` of that of the seeds too; what is larger than
    twice that `shows`.
    """
    values = {name: [bench.values(each) for each in found] for name, found in scores.items() if found}
    spread = seed_spread(values)
    document: dict = {"seed_spread": spread, "rows": []}
    if len(values.get(REFERENCE, ())) > 1:
        document["smallest_effect"] = smallest_effect(values[REFERENCE], spread)
    for row in rows:
        if row.name not in values:
            continue
        found = values[row.name]
        entry = {"name": row.name, "part": row.part, "title": row.title, "seeds": len(found)}
        entry |= bench.interval(found).to_dict()
        if row.against in values:
            other = values[row.against]
            if row.part == "views":  # of the same networks, so that seeds are the same on both sides
                found, other, by_seed = found[: len(other)], other[: len(found)], 0.0
            else:
                by_seed = np.nan_to_num(spread) * np.sqrt(1 / len(found) + 1 / len(other))
            difference = bench.difference(found, other)
            error = float(np.hypot(difference.standard_error, by_seed))
            entry["against"] = {"name": row.against, "seeds": len(other), **difference.to_dict(), "error": error}
            entry["against"]["shows"] = bool(abs(difference.value) > 2 * error)
        document["rows"].append(entry)
    return document


def as_markdown(document: Mapping, command: str, facts: Mapping) -> str:
    """The page of the numbers."""
    clips, pools = facts["plan"]["clips"], facts["plan"]["pools"]
    lines = [
        "# Few labels to trust, many doubtful ones",
        "",
        f"`{command}`, and `--rows NAME,NAME --seeds 3` where a row has several seeds.",
        "",
        f"{clips['curated']:,} curated clips, {clips['noisy']:,} noisy, {clips['test']:,} of the test in "
        f"{pools['test']} pools; {len(facts['classes'])} classes. Of the noisy part's true labels "
        f"{facts['true_labels_missing']:.0%} are missing, of its given labels {facts['given_labels_wrong']:.0%} wrong, "
        f"{facts['clips_wholly_right']:.0%} of its clips wholly right.",
        "",
    ]
    if effect := document.get("smallest_effect"):
        lines += [
            f"**What can be seen.** Two seeds of the reference are {abs(effect['between_seeds']):.3f} apart, "
            f"the standard error of their difference over test pools is {effect['standard_error']:.3f}: a difference "
            f"between two networks shows four times in five (5 %, two-sided) if it is {effect['detectable']:.3f}. From "
            f"seed to seed the score varies by {document['seed_spread']:.3f} (standard deviation) on top: a difference "
            f"between two trainings shows from {effect['of_trainings']:.3f} on with one seed each, from "
            f"{effect['of_three']:.3f} on with three.",
            "",
        ]
    lines += [
        "Intervals are over test pools. *± seeds too*: twice the standard error that pools and seeds make together, as "
        "far as the spread of seeds is known. *Shows*: the difference is larger; all else is inside the noise.",
    ]
    for part, title in PARTS.items():
        entries = [entry for entry in document["rows"] if entry["part"] == part]
        if not entries:
            continue
        lines += ["", f"## {title}", "", "| row | seeds | lwlrap | against | difference | ± seeds too | shows |"]
        lines += ["|---|--:|--:|---|--:|--:|---|", *(line_of(entry) for entry in entries)]
    return "\n".join(lines) + "\n"


def line_of(entry: Mapping) -> str:
    """A line of the table."""
    value = f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"
    line = f"| {entry['title']} | {entry['seeds']} | {value} | "
    if not (against := entry.get("against")):
        return line + "| | | |"
    shown = ("better" if against["value"] > 0 else "worse") if against["shows"] else ""
    difference = f"{against['value']:+.3f} ({against['low']:+.3f} to {against['high']:+.3f})"
    return line + f"{against['name']} | {difference} | {2 * against['error']:.3f} | {shown} |"


def write_results(bench: Bench, facts: Mapping, seeds: int, out: Path) -> dict:
    """Read what is done, and write the table anew."""
    rows = rows_of(bench.size, 0)
    scores: dict[str, list[np.ndarray]] = {row.name: [] for row in rows}
    for seed in range(seeds):
        for row in rows_of(bench.size, seed):
            if len(scores[row.name]) == seed and (found := scores_of(bench, row)) is not None:
                scores[row.name].append(found)
    more, of_members = ensemble_rows(bench.work, bench.test)
    document = table_of(bench, [*rows, *more], {**scores, **of_members})
    large = " --large" if bench.size == LARGE_SIZE else ""
    of = {"command": f"benchmarks/noisy_tagging.py ../shared/data/esc50 --work DIR --screen{large}", "facts": facts}
    write_json(out.with_suffix(".json"), {**of, "machine": platform.machine(), **document})
    write_text(out.with_suffix(".md"), as_markdown(document, **of))
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of ESC-50")
    parser.add_argument("--work", type=Path, required=True, help="where sounds and runs go")
    parser.add_argument("--screen", action="store_true", help="every row, one seed, after two of the reference")
    parser.add_argument("--rows", default="", help="names of rows, commas between; ensembles: all of these")
    parser.add_argument("--seeds", type=int, default=1, help="of the rows that are named")
    parser.add_argument("--large", action="store_true", help="50 classes, 5 s, se_cnn, longer: for a GPU, or a night")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--out", type=Path, default=RESULTS / "noisy_tagging", help="the results, without suffix")
    given = parser.parse_args()
    size = LARGE_SIZE if given.large else SMALL_SIZE
    facts = make(given.work / "data", given.data, size.plan)
    manifest = prepared(given.work)
    test = manifest.select(manifest.scored)
    bench = Bench(given.work, size, test, draw(test.groups, N_RESAMPLES))
    seeds = max(3, given.seeds)

    def done() -> dict:
        return write_results(bench, facts, seeds, given.out)

    known = rows_of(size, 0)
    names = [row.name for row in known] if given.screen else [name for name in given.rows.split(",") if name]
    if wrong := sorted(set(names) - {row.name for row in known} - {KINDS}):
        there = ", ".join(row.name for row in known)
        parser.error(f"--rows: no row is called {', '.join(wrong)}. There are {there}, {KINDS}.")

    def make_stages(stages: Sequence[Stage]) -> None:
        train_stages(given.work, stages, size.plan.seconds, given.jobs, done)

    make_stages(stages_of([row for seed in (0, 1) for row in rows_of(size, seed) if row.name == REFERENCE]))
    effect = done()["smallest_effect"]
    print(f"{effect['detectable']:.3f} is the smallest difference that shows (2.8 x {effect['standard_error']:.4f})")
    print(f"{effect['of_trainings']:.3f} with the chance of seeds, {effect['of_three']:.3f} of three seeds", flush=True)
    make_stages(stages_of([row for seed in range(given.seeds) for row in rows_of(size, seed) if row.name in names]))
    if KINDS in names or given.screen:
        members = members_of(size)
        make_stages([each for last in members.values() for each in last.before])
        join_members(given.work, members, test)
        done()
    print(given.out.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
