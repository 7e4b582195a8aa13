"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import output, show_log


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
