"""Commands about public data sets: `data list`, `data get`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import messages, output, print_json, print_table, show_log

MEGABYTE = 1_000_000


def list_corpora(as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False) -> None:
    """The public data sets that `earmark data get` knows.

    Example:

      earmark data list
    """
    from earmark.data.corpora import CORPORA

    corpora = CORPORA.values()
    if as_json:
        print_json(
            [
                {
                    "name": corpus.name,
                    "clips": sum(corpus.n_clips.values()),
                    "parts": dict(corpus.n_clips),
                    "classes": corpus.n_classes,
                    "hours": corpus.hours,
                    "bytes": corpus.n_bytes,
                    "licence": corpus.licence,
                    "obliges": corpus.obliges,
                    "homepage": corpus.homepage,
                }
                for corpus in corpora
            ]
        )
        return
    print_table(
        ["name", "clips", "classes", "hours", "size", "licence"],
        [
            [
                corpus.name,
                str(sum(corpus.n_clips.values())),
                str(corpus.n_classes),
                f"{corpus.hours:g}",
                f"{corpus.n_bytes / 1e9:.1f} GB",
                corpus.licence,
            ]
            for corpus in corpora
        ],
    )


def get_corpus(
    name: Annotated[str, typer.Argument(help="Which; `earmark data list` shows the names.")],
    root: Annotated[
        Path, typer.Option(help="Folder for data sets: sounds go to a folder in it, the table to NAME.csv.")
    ],
    local: Annotated[
        Path | None,
        typer.Option("--from", help="A copy of this machine: its folder (read where it is), or its archives."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was got as JSON.")] = False,
) -> None:
    """Download a public data set, or take a copy of this machine; check it, and write its table.

    The table has the official folds or splits, and groups that must not be torn apart. A broken download goes on
    where it stopped when the same command is run again.

    Example:

      earmark data get esc50 --root data
    """
    from earmark.data.corpora import find_corpus

    corpus = find_corpus(name)
    show_log()
    messages.print(f"{corpus.title}, {corpus.homepage}\nLicence: {corpus.licence}. It asks: {corpus.obliges}.")
    messages.print(f"Please cite: {corpus.citation}")
    from earmark.data.corpora.get import get
    from earmark.flows.progress import bar

    with bar(f"downloading {name}", corpus.n_bytes // MEGABYTE, "MB", shown=local is None and not as_json) as update:
        table = get(corpus, root, local=local, progress=lambda done: update(done // MEGABYTE))
    if as_json:
        print_json({"name": name, "manifest": str(table), "licence": corpus.licence, "obliges": corpus.obliges})
    else:
        output.print(f"{table}  ({sum(corpus.n_clips.values())} clips, {corpus.n_classes} classes)")
