"""The command `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_table, show_log

if TYPE_CHECKING:
    from earmark.flows.sweep import Swept

Models = Annotated[
    str | None,
    typer.Option(
        help="Such as forest,se_cnn,mn04_as,mn04_as+svm: networks, classifiers, pretrained networks with a head. "
        "\\[default: forest, tiny_cnn, se_cnn and the best small pretrained network here; with --vary or --ablate one, "
        "that of the settings]",
        show_default=False,
    ),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        help="One setting's values, each tried with all else as it is, such as --vary frontend.n_mels=64,128. More may "
        "follow after a space.",
        metavar="KEY=VALUE,VALUE",
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        help="Settings to draw around the best model, once all models are done. \\[default: as many as the budget "
        "holds, none without one]",
        show_default=False,
    ),
]
Ablate = Annotated[
    bool, typer.Option("--ablate", help="Switch off each part that is on (masks, mixup, ema, …), one at a time.")
]
More = Annotated[list[str] | None, typer.Argument(help="More of --vary.", metavar="[KEY=VALUE,VALUE]...")]


def sweep(
    data: options.Data,
    more: More = None,
    out: Annotated[Path | None, typer.Option(help="The sweep's folder. \\[default: runs/NAME-sweep]")] = None,
    models: Models = None,
    seeds: Annotated[int, typer.Option(help="Runs of each trial, from seed to seed.")] = 3,
    budget: Annotated[
        str | None, typer.Option(help="How long all may take, such as 2h: no run is begun that would not be done.")
    ] = None,
    draws: Draws = None,
    vary: Vary = None,
    ablate: Ablate = False,
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
    """Which model, which settings, and is the difference more than noise? Every trial from several seeds, on one set of
    folds.

    Models first, then settings drawn around the best one; or with --vary and --ablate one change at a time against a
    base. What cannot be told apart is said, and the cheapest of it proposed. The same command again goes on where it
    was stopped.

    Examples:

      earmark sweep sounds/ --models forest,se_cnn,mn04_as --seeds 3 --budget 2h

      earmark sweep sounds/ --vary frontend.n_mels=64,128 window.seconds=1,3,5

      earmark sweep sounds/ --models tiny_cnn --ablate --set augment.mixup_probability=0.5

      earmark sweep sounds/ --models se_cnn --draws 10 --seeds 2
    """
    from earmark.flows.first_look import look

    look(data, recipe, setting or ())
    from earmark.flows.sweep import sweep as run_sweep

    show_log()
    swept = run_sweep(
        data,
        out,
        models=[name.strip() for name in models.split(",") if name.strip()] if models else (),
        n_seeds=seeds,
        budget=budget,
        n_draws=draws,
        vary=[*(vary or ()), *(more or ())],
        ablate=ablate,
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
    if as_json:
        print_json(swept.found.to_dict())
    else:
        print_sweep(swept)
    if swept.n_failures:
        messages.print(f"{swept.n_failures} files could not be read and were left out: {swept.folder}/failures.csv")
        raise typer.Exit(1)


def print_sweep(swept: Swept) -> None:
    """The trials, what was found and what to do, and where the page is."""
    found = swept.found
    output.print()
    print_table(*found.table(), f"{found.n_clips} clips, {found.n_classes} classes")
    output.print()
    for note in found.notes():
        output.print(note)
    output.print(f"\npage    {swept.page}\nrecipe  {swept.recipe}  (of {found.to_take.name})")
