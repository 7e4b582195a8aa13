"""The families of networks that are trained from scratch, and what each costs: a part of `models`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from earmark.cli.console import output, print_json, print_table

if TYPE_CHECKING:
    from earmark.models.costs import Costs

HEADER = ("model", "parameters", "multiply-adds /s", "receptive field", "whole window by", "what it is")
LEGEND = (
    "At default options and front end, for 5 s of 32 kHz; parameters without the last layer, multiply-adds without the",
    "front end. Receptive field: what one step of the features depends on through convolutions and pooling.",
)


def print_families(form: str = "table", *, beside: bool = False) -> None:
    """Print the families of MODELS with their costs, or a sentence where torch, which tells them, is not there.

    Args:
        form: "table", "json" or "markdown".
        beside: another table, which is what was asked for.

    Raises:
        ModuleNotFoundError: there is no torch, and nothing else was asked for.
    """
    try:
        from earmark.models.costs import family_costs
        from earmark.models.tagging_net import MODELS
    except ModuleNotFoundError as error:
        if not beside or error.name != "torch":
            raise
        output.print("Networks to train from scratch, and what they cost: torch tells. pip install 'earmark[train]'")
        return
    costs = [family_costs(family) for family in MODELS]
    if form == "json":
        print_json([asdict(each) for each in costs])
    elif form == "markdown":
        for row in markdown_rows(costs):
            print(row)
    else:
        output.print("To be trained from scratch, with `earmark train --model NAME` (docs/models.md):")
        print_table(HEADER[:-1], [_cells(each)[:-1] for each in costs])
        output.print()
        for line in LEGEND:
            output.print(line)


def markdown_rows(costs: list[Costs]) -> Iterator[str]:
    """The lines of docs/models.md's table."""
    yield f"| {' | '.join(HEADER)} |"
    yield "|---|--:|--:|--:|---|---|"
    for each in costs:
        name, *others = _cells(each)
        yield f"| {' | '.join([f'`{name}`', *others])} |"


def _cells(costs: Costs) -> list[str]:
    return [
        costs.family,
        f"{costs.n_parameters / 1e6:.2f} M",
        f"{costs.multiply_adds / 1e6:.0f} M",
        f"{costs.receptive_seconds:.2f} s",
        ", ".join(costs.whole_window),
        costs.about,
    ]
