"""Commands about pretrained networks: `models`, `models get`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.console import messages, output, print_json, print_table, show_log

if TYPE_CHECKING:
    from earmark.models.pretrained.weights import Weights

MEGABYTE = 1_000_000


def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """The pretrained networks that can be had as taggers, and which are here; `earmark tag NAME` uses one.

    Examples:

      earmark models

      earmark models get mn04_as
    """
    if context.invoked_subcommand:
        return
    from earmark.models.pretrained.weights import WEIGHTS
    from earmark.tagger.home import converted

    if as_json:
        print_json([_facts(weights) for weights in WEIGHTS.values()])
        return
    header = ["name", "family", "parameters", "classes", "rate", "window", "size", "mAP", "licence", "verified", "here"]
    print_table(
        header,
        [
            [
                weights.name,
                weights.family,
                f"{weights.n_parameters / 1e6:.2f} M",
                str(weights.n_classes),
                f"{weights.sample_rate / 1000:g} kHz",
                f"{weights.window_seconds:g} s",
                ("" if weights.file.n_bytes else "about ") + f"{weights.n_bytes / 1e6:.0f} MB",
                f"{weights.published_map:.3f}",
                weights.licence,
                "yes" if weights.verified else "no",
                "yes" if converted(weights.name).is_file() else "no",
            ]
            for weights in WEIGHTS.values()
        ],
    )
    output.print("\nmAP: on AudioSet, as published. Verified: scores equal those of the original code.")
    output.print("`earmark models get NAME` brings one; then `earmark tag NAME street.wav`.")


def get_model(
    name: Annotated[str, typer.Argument(help="Which; `earmark models` shows the names.")],
    local: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A copy of this machine: the file of weights, or a folder with it and the class names.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was got as JSON.")] = False,
) -> None:
    """Download a pretrained network, or take a copy of this machine, and make it a tagger that needs no torch.

    A broken download goes on where it stopped when the same command is run again. EARMARK_HOME moves the folder that
    it goes to.

    Examples:

      earmark models get mn04_as

      earmark models get yamnet --from downloads/
    """
    from earmark.models.pretrained.weights import find_weights

    weights = find_weights(name)
    show_log()
    messages.print(f"{name}, {weights.homepage}\nLicence: {weights.licence}. Please cite: {weights.citation}.")
    if not weights.verified:
        messages.print("Not verified: nobody has held its scores against those of the original code yet.")
    from earmark.flows.pretrained import get
    from earmark.flows.progress import bar

    with bar(f"downloading {name}", weights.n_bytes // MEGABYTE, "MB", shown=not as_json) as update:
        tagger = get(name, local=local, progress=lambda done: update(done // MEGABYTE))
    if as_json:
        print_json(_facts(weights))
    else:
        output.print(f"{tagger}  ({weights.n_classes} classes; `earmark tag {name} FILE` uses it)")


def _facts(weights: Weights) -> dict:
    """What is known of a network, and where its tagger is (None: not here)."""
    from earmark.tagger.home import converted

    tagger = converted(weights.name)
    return {
        "name": weights.name,
        "family": weights.family,
        "parameters": weights.n_parameters,
        "classes": weights.n_classes,
        "sample_rate": weights.sample_rate,
        "window_seconds": weights.window_seconds,
        "bytes": weights.file.n_bytes,
        "url": weights.file.url,
        "licence": weights.licence,
        "citation": weights.citation,
        "homepage": weights.homepage,
        "audioset_map": weights.published_map,
        "verified": weights.verified,
        "tagger": str(tagger) if tagger.is_file() else None,
    }
