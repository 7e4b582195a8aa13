"""The command `ladder`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_table, show_log

if TYPE_CHECKING:
    from earmark.baselines.ladder import Ladder

HEADER = ["rung", "score (95 % interval)", "training", "× realtime", "from files", "MB", ""]


def ladder(
    data: options.Data,
    out: Annotated[Path | None, typer.Option(help="The ladder's folder. \\[default: runs/NAME-ladder]")] = None,
    on: options.Backbones = None,
    rungs: Annotated[
        str | None, typer.Option(help="Only these, such as prior,forest,mn04_as,blend. \\[default: all]")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="How long all may take, such as 10m: what will not fit is left out and said.")
    ] = None,
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
    """What does each kind of model score here, and what does it cost? From label shares to a pretrained network.

    All on the same folds. The cheapest model that is not worse than the best is marked. The same command again goes on
    where it was stopped. With --fraction it tells what all the data would take.

    Examples:

      earmark ladder sounds/ --budget 10m

      earmark ladder labels.csv --audio-dir wav --on mn04_as --on yamnet

      earmark ladder sounds/ --fraction 0.2 --out runs/quick-ladder
    """
    from earmark.flows.first_look import look

    look(data, recipe, setting or (), on or ())
    from earmark.flows.ladder import ladder as run_ladder

    show_log()
    climbed = run_ladder(
        data,
        out,
        on=on or (),
        rungs=[name.strip() for name in rungs.split(",") if name.strip()] if rungs else (),
        budget=budget,
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
        print_json(climbed.ladder.to_dict())
    else:
        print_ladder(climbed.ladder)
        output.print(f"\npage  {climbed.page}")
    if climbed.n_failures:
        messages.print(f"{climbed.n_failures} files could not be read and were left out: {climbed.folder}/failures.csv")
        raise typer.Exit(1)


def print_ladder(found: Ladder) -> None:
    """The rungs in their order, what is inside the noise, what was left out, and the rule behind the mark."""
    from earmark.baselines.ladder import CHEAPEST_RULE
    from earmark.durations import duration

    card = found.scorecard
    rows = []
    for rung in found.climbed:
        score, cost = card.models[rung.name].metrics[card.primary_metric], rung.cost
        says = "" if found.is_level(rung.name) else "worse than the best"
        if rung == found.best:
            says = "best"
        if rung == found.cheapest:
            says = "best, cheapest" if says == "best" else "cheapest not worse"
        rows.append(
            [
                rung.name,
                score.text,
                duration(cost.training_seconds),
                f"{cost.realtime:,.0f}",
                f"{cost.realtime_from_files:,.0f}",
                f"{cost.megabytes:.2f}",
                says or "inside the noise",
            ]
        )
    output.print()
    print_table(HEADER, rows, f"{card.n_clips} clips, {card.n_classes} classes, {card.primary_metric}")
    output.print()
    for rung in found.rungs:
        if rung.reason:
            about = f" All folds would take about {duration(rung.estimate_seconds)}." if rung.estimate_seconds else ""
            output.print(f"{rung.name}: {rung.reason}{about}")
    if found.share < 1:
        seconds = sum(found.full_seconds(rung) for rung in found.climbed if rung.kind != "blend")
        output.print(f"All of the data would take about {duration(seconds)}, as if everything grew with it.")
    for note in (*card.remarks, *card.models[card.best].notes(), CHEAPEST_RULE):
        output.print(note)
