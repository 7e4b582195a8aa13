"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import output, show_log


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="A run's folder; others of the same clips stand beside it.", metavar="RUN...")
    ],
    out: Annotated[Path | None, typer.Option(help="The page. [default: report.html in the first folder]")] = None,
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
