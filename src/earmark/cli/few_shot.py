"""The command `few-shot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_table, show_log


def few_shot(
    data: options.Data,
    on: options.Backbones = None,
    shots: Annotated[str, typer.Option(help="Clips of each class.", metavar="N,N,…")] = "1,2,4,8,16",
    draws: Annotated[int, typer.Option(min=1, help="How often clips are drawn, for each fold.")] = 5,
    head: Annotated[str, typer.Option(help="logistic, svm, knn, mlp, forest, …")] = "logistic",
    out: Annotated[Path | None, typer.Option(help="Folder of what is written. \\[default: runs/NAME-few-shot]")] = None,
    recipe: options.Recipe = None,
    setting: options.Settings = None,
    fraction: options.Fraction = 1.0,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    allow_leak: options.AllowLeak = False,
    as_json: options.AsJson = False,
) -> None:
    """How many labelled clips of each class are enough? Scores after 1, 2, 4, … of them, on each kind of features.

    For each fold clips are drawn from the other folds, a head is fitted on them, and the fold is scored; beside
    pretrained networks the same on summary features. A page with the picture, a table, and JSON.

    Examples:

      earmark few-shot sounds/ --on mn04_as

      earmark few-shot labels.csv --on mn04_as --on yamnet --shots 1,2,4,8 --draws 10 --head svm
    """
    from earmark.flows.first_look import look

    look(data, recipe, setting or (), on or (), head)
    from earmark.flows.few_shot import show_few_shot

    show_log()
    shown = show_few_shot(
        data,
        out,
        on=on or (),
        head=head,
        shots=parse_shots(shots),
        n_draws=draws,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
        fraction=fraction,
        recipe=recipe,
        settings=setting or (),
        allow_leak=allow_leak,
        progress=not as_json,
    )
    found = shown.found
    if as_json:
        print_json(found.to_dict())
    else:
        output.print()
        print_table(*found.table(), f"{found.metric} of {found.head}, {found.n_clips} clips, {found.n_classes} classes")
        output.print()
        for note in found.notes():
            output.print(note)
        output.print(f"\npage  {shown.page}")
    if shown.n_failures:
        messages.print(f"{shown.n_failures} files could not be read and were left out: {shown.folder}/failures.csv")
        raise typer.Exit(1)


def parse_shots(text: str) -> list[int]:
    """Whole numbers from 1 on, between commas.

    Raises:
        ConfigError: it is something else.
    """
    from earmark.errors import ConfigError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise ConfigError(f"--shots {text}: expected whole numbers from 1 on between commas, such as 1,2,4,8.")
    return [int(part) for part in parts]
