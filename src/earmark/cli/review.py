"""The command that lets someone decide on labels: `review`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import output, print_json, show_log


def review(
    run: Annotated[Path | None, typer.Argument(help="A finished run's folder: which of its labels look wrong?")] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="In place of a run: a folder of sounds, what to label next.", metavar="DIR")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="With --unlabelled: a name of `earmark models` for its embeddings, or an own run or tagger file for "
            "its labels and scores too.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --unlabelled: where the labels go. \\[default: runs/NAME-labels]")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="With --unlabelled: labels to begin with; more can be typed in.", metavar="LABEL,LABEL,…"),
    ] = None,
    several: Annotated[
        bool, typer.Option("--several", help="With --unlabelled: a clip may have none or several labels.")
    ] = False,
    most: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many questions. \\[default: all that are suspicious; 50 clips to label]",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose out-of-fold scores are believed. \\[default: the best of the run]")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Find the suspects again although suspects.csv is there.")
    ] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page, or only write the table.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0 is any that is free.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    who: Annotated[str | None, typer.Option(help="The name that decisions bear. \\[default: the user's]")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Which labels look wrong, or what to label next: a page on this machine to hear each clip and decide by one key.

    The page is for this machine alone, at an address with a secret. Every decision is a row of corrections.csv at once;
    `earmark train DATA --corrections FILE` applies them, and touches no file of yours.

    Examples:

      earmark review runs/birds

      earmark review --unlabelled field/ --on mn04_as

      earmark review --unlabelled field/ --on runs/birds
    """
    show_log()
    _require_fit(run, unlabelled, {"--on": on, "--out": out, "--labels": labels, "--several": several}, model or anew)
    if unlabelled is not None:
        from earmark.flows.label_next import label_next

        names = [name.strip() for name in (labels or "").split(",") if name.strip()]
        how = {"labels": names, "several": several, "most": most or 50, "who": who, "progress": not as_json}
        found = label_next(unlabelled, on, out, **how)
    else:
        from earmark.flows.review import review as review_run

        found = review_run(run, model=model, most=most, anew=anew, who=who, progress=not as_json)
    if as_json:
        print_json({**found.session.facts(), "corrections": str(found.session.path), "train": found.command})
    if run is not None and not found.session.questions:
        if not as_json:
            output.print("No label looks wrong. --most 20 asks about those that the model agrees with least.")
        return
    if page:
        from earmark.flows.review import serve

        serve(found, port=port, open_browser=open_browser)
    if not as_json:
        show_counts(found)


def show_counts(found) -> None:
    """What was decided so far, where it stands, and what trains with it."""
    counts = found.session.counts()
    n_open = counts.pop("", 0) + counts.pop("skip", 0)
    told = ", ".join(f"{n} {decision}" for decision, n in sorted(counts.items()))
    output.print(f"{n_open} question{'s are' if n_open != 1 else ' is'} open" + (f"; decided: {told}" if told else ""))
    if told:
        output.print(f"decisions  {found.session.path}\ntrain      {found.command}")


def _require_fit(run: Path | None, unlabelled: Path | None, of_folders: dict[str, object], of_runs: object) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: there is neither a run nor a folder, or both, or an option of the other.
    """
    from earmark.errors import ConfigError

    if (run is None) == (unlabelled is None):
        raise ConfigError("review: give the folder of a run, or --unlabelled with a folder of sounds; one of them.")
    misplaced = [option for option, value in of_folders.items() if value]
    if run is not None and misplaced:
        raise ConfigError(f"{misplaced[0]}: is for --unlabelled, and a run is reviewed. Leave it away.")
    if unlabelled is not None and not of_folders["--on"]:
        raise ConfigError("--unlabelled: needs --on, a network whose embeddings tell sounds apart, such as mn04_as.")
    if unlabelled is not None and of_runs:
        raise ConfigError("--model and --anew: are for a run, and --unlabelled labels a folder. Leave them away.")
