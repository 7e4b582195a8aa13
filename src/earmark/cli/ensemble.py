"""The command `ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import output, print_json, print_table, show_log


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs on the same clips, labels and folds.")],
    out: Annotated[Path, typer.Option(help="The ensemble's folder.")] = Path("runs/ensemble"),
    how: Annotated[str, typer.Option(help="mean, geometric, rank, greedy, weights, stack or all.")] = "all",
    seed: Annotated[int, typer.Option(help="Of the stacker.")] = 0,
    precision: options.Precision = None,
    recall: options.Recall = None,
    as_json: options.AsJson = False,
) -> None:
    """Are several models together better than the best of them? Nested scores, and one tagger of all.

    Whatever an ensemble fits, it fits without the fold that it is scored on. Of all kinds the simplest is shipped that
    is within one standard error of the best. The same command again reads the fits that are done.

    Examples:

      earmark ensemble runs/forest runs/mn04 --out runs/both

      earmark ensemble runs/a runs/b runs/c --out runs/stacked --how stack
    """
    from earmark.flows.ensemble import ensemble as run_ensemble

    show_log()
    found = run_ensemble(runs, out, how=how, seed=seed, precision=precision, recall=recall)
    if as_json:
        print_json(found.to_dict())
        return
    card = found.scorecard
    output.print()
    print_table(*found.table(), f"{card.n_clips} clips, {card.n_classes} classes")
    output.print()
    rows = [[name, *map("{:.2f}".format, row)] for name, row in zip(found.members, found.correlations, strict=True)]
    print_table(["errors alike", *found.members], rows)
    output.print()
    for note in found.notes():
        output.print(note)
    output.print(f"\ntagger  {found.tagger}  ({found.shipped})")
