"""The command line's table of contents."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark import __version__
from earmark.cli import (
    augment,
    compare,
    convert,
    corpora,
    data,
    embed,
    ensemble,
    evaluate,
    export,
    few_shot,
    ladder,
    leaderboard,
    listen,
    models,
    plot,
    review,
    score,
    serve,
    split,
    submit,
    sweep,
    tag,
    train,
)

app = typer.Typer(
    name="earmark",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for us, and is best plain
)
data_sets = typer.Typer(help="Public data sets, and tables from one format into another.", no_args_is_help=True)
augmentation = typer.Typer(help="What training does to sounds before it hears them.", no_args_is_help=True)
board = typer.Typer(help="Validation scores beside scores from outside.", no_args_is_help=True)
pretrained = typer.Typer(invoke_without_command=True)
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
app.command()(split.split)
app.command()(train.train)
app.command()(ladder.ladder)
app.command()(sweep.sweep)
app.command("few-shot")(few_shot.few_shot)
app.command()(ensemble.ensemble)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(score.thresholds)
app.command()(score.report)
app.command()(review.review)
app.command()(tag.tag)
app.command()(listen.listen)
app.command()(export.export)
app.command()(serve.serve)
app.command()(submit.submit)
app.command()(plot.plot)
app.command()(embed.embed)
app.command()(embed.similar)
app.add_typer(pretrained, name="models")
pretrained.callback()(models.list_models)
pretrained.command("get")(models.get_model)
pretrained.command("check")(models.check_model)
app.add_typer(data_sets, name="data")
data_sets.command("list")(corpora.list_corpora)
data_sets.command("get")(corpora.get_corpus)
data_sets.command("convert")(convert.convert)
app.add_typer(augmentation, name="augment")
augmentation.command("preview")(augment.preview)
app.add_typer(board, name="leaderboard")
board.command("add")(leaderboard.add)
board.command("show")(leaderboard.show)
app.add_typer(cache, name="cache")
cache.command("clear")(data.clear_cache)
