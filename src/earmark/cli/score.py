"""Commands on a finished run: `thresholds`, `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import output, print_json, print_table, show_log


def thresholds(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    precision: options.Precision = None,
    recall: options.Recall = None,
    as_json: options.AsJson = False,
) -> None:
    """Other thresholds for a finished run, from its out-of-fold scores: nothing is trained. Without an option: best F1.

    Its tagger, card and report say so from then on. What is shown was measured on folds that the thresholds never saw.

    Examples:

      earmark thresholds runs/birds --precision 0.9

      earmark thresholds runs/birds --recall 0.95
    """
    from earmark.flows.thresholds import refit_thresholds

    show_log()
    found = refit_thresholds(run, precision=precision, recall=recall)
    if as_json:
        print_json(found.calibrated.document)
        return
    output.print()
    print_table(*found.table())
    output.print()
    for sentence in found.calibrated.sentences:
        output.print(sentence)
    output.print(f"\ntagger  {found.run.tagger}\ncard    {found.run.card}")


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="A run's folder; others of the same clips stand beside it.", metavar="RUN...")
    ],
    out: Annotated[Path | None, typer.Option(help="The page. \\[default: report.html in the first folder]")] = None,
    light: Annotated[bool, typer.Option("--light", help="Without players: a small page, to send.")] = False,
) -> None:
    """Write a run's report anew: one HTML page of what it found, to see and to hear, and a picture of it.

    Of several runs it is about the first, with the models of the others beside its own on the clips they share.

    Examples:

      earmark report runs/birds

      earmark report runs/birds --light --out birds.html

      earmark report runs/large runs/small runs/head
    """
    from earmark.report.report import write_report

    show_log()
    output.print(str(write_report(runs, out, light=light)))
