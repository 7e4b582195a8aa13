"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import output, print_json, print_table, show_log


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of finished runs, a run's predictions.MODEL.csv, evaluations, or tables of scores."
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="For tables of scores: the labelled clips that they are of.")
    ] = None,
    mapping: options.LabelMap = None,
    common: Annotated[
        bool, typer.Option("--common", help="Compare on the clips and labels that all have, and say how many.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page: the clips they disagree on, to see and hear.")
    ] = None,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    as_json: options.AsJson = False,
) -> None:
    """Which is better, and is it more than chance? On the same clips, paired over recordings (docs/evaluate.md).

    Runs that differ in nothing but the seed count as one. With several pairs or classes, p is corrected for how many.

    Examples:

      earmark compare runs/forest runs/heads --html compare.html

      earmark compare runs/seed-0 runs/seed-1 runs/other-0 runs/other-1

      earmark compare ours.csv theirs.csv --data labels.csv
    """
    from earmark.flows.compare import compare as run_comparison

    show_log()
    how = {"audio_dir": audio_dir, "encoding": encoding, "folder_tricks": folder_tricks, "merge": merge}
    found = run_comparison(sources, data=data, mapping=mapping, common=common, **how)
    if html:
        found.write_page(html)
    contest = found.contest
    if as_json:
        print_json(contest.to_dict())
        return
    output.print()
    print_table(*contest.table(), f"{contest.n_clips:,} clips, {contest.n_classes} classes")
    output.print()
    print_table(*contest.pair_table())
    for table in contest.part_tables():
        output.print()
        print_table(*table)
    output.print()
    for note in contest.notes():
        output.print(note)
    if html:
        output.print(f"page  {html}")
