"""Commands on leaderboard.csv: `leaderboard add`, `leaderboard show`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import output, print_json, print_table


def add(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    score: Annotated[float, typer.Option(help="The score that its tagger got outside, 0 to 1.")],
    name: Annotated[str, typer.Option(help="Where that score is from.")] = "outside",
    metric: Annotated[str, typer.Option(help="Of the run's scorecard; default: the one that ranks its models.")] = "",
) -> None:
    """Keep a run's validation score beside a score from outside, in leaderboard.csv beside the run.

    The same run and name again replace the old score. The pairs judge the validation; they choose no run.

    Example:

      earmark leaderboard add runs/birds --score 0.71 --name public
    """
    from earmark.evaluation.leaderboard import FILE, add_pair

    pair, old = add_pair(run, score, name=name, metric=metric)
    replaced = f" (replaces {old.outside:.4f})" if old else ""
    output.print(f"{pair.run}: {pair.metric} {pair.validation:.4f}, {pair.name} {pair.outside:.4f}{replaced}")
    output.print(str(run.resolve().parent / FILE))


def show(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print pairs and what they say as JSON.")] = False,
) -> None:
    """Say how well validation tracks the scores from outside, and which gains came true there.

    Example:

      earmark leaderboard show runs
    """
    from earmark.evaluation.leaderboard import read_pairs, track

    pairs = read_pairs(folder)
    tracking = track(pairs)
    if as_json:
        print_json({"pairs": [asdict(pair) for pair in pairs], "tracking": [each.to_dict() for each in tracking]})
        return
    header = ["run", "model", "metric", "validation", "outside", "from"]
    rows = [
        [
            pair.run + (" (leak)" if pair.leak else ""),
            pair.model,
            pair.metric,
            f"{pair.validation:.4f}",
            f"{pair.outside:.4f}",
            pair.name,
        ]
        for pair in pairs
    ]
    print_table(header, rows)
    for each in tracking:
        output.print()
        for sentence in each.sentences:
            output.print(sentence)
