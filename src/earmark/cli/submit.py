"""`earmark submit`: a competition's sample submission filled. Never needs torch."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import output, show_log
from earmark.cli.options import TaggerName, Threads
from earmark.cli.progress import count
from earmark.cli.tag import follow, tell


def submit(
    tagger: TaggerName,
    test_dir: Annotated[Path, typer.Argument(help="The folder of the files that the sample names.")],
    sample: Annotated[
        Path,
        typer.Option(help="The competition's: a column of files, then one per class, or one of labels."),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("submission.csv"),
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Labels in each cell of a column of labels. \\[default: as in the sample]", metavar="N"
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="How long it may take, such as 30m: refused if the first files tell of more.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Fill a competition's sample submission with scores; its columns, ids and rows stay as they are.

    Files that cannot be read get the mean of the others' scores and a row of NAME.failures.csv beside --out, and the
    exit code is 1.

    Examples:

      earmark submit runs/fsd test/ --sample sample_submission.csv

      earmark submit runs/fsd test/ --sample sample_submission.csv --out submission.csv --budget 30m
    """
    from earmark.durations import parse_time
    from earmark.tagger import load_tagger
    from earmark.tagger.submission import Budget, read_sample, write_submission

    show_log()
    limit = Budget(parse_time(budget)) if budget else None
    wanted = read_sample(sample)
    written = write_submission(load_tagger(tagger), test_dir, wanted, out, top=top, budget=limit, threads=threads)
    with closing(written):
        failures, warnings = follow(count(written, len(wanted.ids), "tagging"))
    tell(failures, warnings, len(wanted.ids), out)
    output.print(f"{out}: {len(wanted.ids)} rows, {len(wanted.header)} columns")
    if failures:
        raise typer.Exit(1)
