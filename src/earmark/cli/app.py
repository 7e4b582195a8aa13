"""The command line's table of contents."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark import __version__
from earmark.cli import data, score, tag, train

app = typer.Typer(
    name="earmark",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for us, and is best plain
)
cache = typer.Typer(help="The sounds that training keeps decoded.", no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a pile of sounds to a tagger you can trust and run anywhere."""


app.command()(train.demo)
app.command()(data.check)
app.command()(train.train)
app.command()(score.evaluate)
app.command()(score.report)
app.command()(tag.tag)
app.add_typer(cache, name="cache")
cache.command("clear")(data.clear_cache)
