"""Commands that judge: `evaluate`, `thresholds`, `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_scorecard, print_table, show_log


def evaluate(
    tagger: Annotated[
        Path, typer.Argument(help="A tagger file or folder, a name of `earmark models`, or the folder of a run.")
    ],
    data: Annotated[Path, typer.Argument(help="Labelled sounds that the tagger was not trained on.")],
    out: Annotated[Path | None, typer.Option(help="Also write the scorecard here, as JSON.")] = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test. [default: test if the table has one, else all]")
    ] = None,
    fraction: options.Fraction = 1.0,
    views: Annotated[
        str | None, typer.Option(help="What it hears of a clip: sliding, ends, full, lengths. [default: its own]")
    ] = None,
    view_seconds: Annotated[
        str | None, typer.Option(help="With --views lengths: of its windows.", metavar="SECONDS,SECONDS,…")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Of what it hears: mean, max or geometric mean. [default: its own]")
    ] = None,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    as_json: options.AsJson = False,
) -> None:
    """Score a tagger file on labelled sounds it never saw, with intervals.

    Of a table with a test split only that is scored; if `earmark split` has locked it, the look is counted.

    Examples:

      earmark evaluate runs/birds/birds.tagger.onnx other-site/labels.csv

      earmark evaluate runs/birds other-site/labels.csv --views ends --pool geometric
    """
    from earmark.flows.evaluate import evaluate as run_evaluation

    show_log()
    evaluated = run_evaluation(
        tagger,
        data,
        split=split,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
        fraction=fraction,
        views=views,
        view_seconds=parse_seconds(view_seconds),
        pool=pool,
    )
    if out:
        evaluated.scorecard.save(out)
    if as_json:
        print_json(evaluated.scorecard.to_dict())
    else:
        print_scorecard(evaluated.scorecard)
    if evaluated.failures:
        messages.print(f"{len(evaluated.failures)} files could not be read:")
        for path, reason in evaluated.failures:
            messages.print(f"  {path}: {reason}")
        raise typer.Exit(1)


def parse_seconds(text: str | None) -> tuple[float, ...]:
    """Seconds between commas; none of None.

    Raises:
        ConfigError: they are no numbers.
    """
    from earmark.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise ConfigError(f"--view-seconds {text}: expected seconds between commas, such as 1,2.5.") from error


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
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
) -> None:
    """Write a run's report anew: one HTML page with the scores, and the errors to see and hear.

    Example:

      earmark report runs/birds
    """
    from earmark.report.report import write_report

    show_log()
    output.print(str(write_report(run)))
