"""Commands about sounds before training: `check`, `cache clear`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.cli.console import messages, output, print_json, show_log
from earmark.cli.options import AudioDir, Encoding, FolderTricks, Fraction, Merge
from earmark.run import to_json

if TYPE_CHECKING:
    from earmark.data.check import CheckResult

SHOWN = 5  # findings of each problem on the terminal
LISTED = 20  # names in a line


def check(
    data: Annotated[
        Path,
        typer.Argument(help="A table of files and labels, a folder with a folder per class, or any folder of sounds."),
    ],
    audio_dir: AudioDir = None,
    encoding: Encoding = None,
    folder_tricks: FolderTricks = False,
    merge: Merge = True,
    names_only: Annotated[
        bool, typer.Option("--names-only", help="Open no sound: rows and labels alone, a million in seconds.")
    ] = False,
    fraction: Fraction = 1.0,
    html: Annotated[Path | None, typer.Option(help="Write a page to see and hear the findings.")] = None,
    write_clean: Annotated[
        Path | None,
        typer.Option(help="Write a table of the rows that can be used; NAME.left-out.csv beside it has the others."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a finding, a line each.")] = False,
) -> None:
    """What is in here? Every sound heard once, rows and labels read: what is wrong, and what to do about it.

    Exit code 1 when something needs attention. docs/check.md lists the problems.

    Example:

      earmark check sounds/ --html check.html
    """
    from earmark.data.check import write_clean as write_table
    from earmark.data.readers import table_of
    from earmark.errors import ConfigError
    from earmark.flows.check import check as run_check

    show_log()
    if write_clean is not None and (fraction < 1 or names_only):
        raise ConfigError("--write-clean is for data that was heard whole. Leave out --fraction and --names-only.")
    table = table_of(data, encoding) if write_clean else None
    if table and write_clean.resolve() == table.resolve():
        raise ConfigError(f"{write_clean}: is the table that is read, and would be lost. Choose another --write-clean.")
    result = run_check(
        data,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
        names_only=names_only,
        fraction=fraction,
        html=html,
        progress=not as_json,
    )
    if as_json:
        for finding in result.findings:
            print(to_json(finding.to_json()))
    else:
        print_check(result)
    if write_clean is not None:
        n_kept, left_out = write_table(result, write_clean)
        messages.print(f"{n_kept} rows are in {write_clean}, what was left out is in {left_out}")
    if result.attention:
        raise typer.Exit(1)


def print_check(result: CheckResult) -> None:
    """The summary, then the findings by problem, a few of each."""
    for name, value in result.summary.items():
        if value:
            output.print(f"{name.replace('_', ' '):<22}{describe(value)}")
    for problem, n_findings in result.counts.items():
        found = [finding for finding in result.findings if finding.problem == problem]
        output.print(f"\n{problem} ({n_findings}). {found[0].remedy}", style="bold")
        for finding in found[:SHOWN]:
            output.print(f"  {finding.path}  {finding.detail}" if finding.path else f"  {finding.detail}")
        if n_findings > SHOWN:
            output.print(f"  … and {n_findings - SHOWN} more; --json prints all")
    if result.inventory.names_only:
        output.print("\nOnly rows and labels were read: no file was looked for.")
    if not result.findings:
        output.print("\nNothing is wrong.")


def describe(value: Any) -> str:
    """A summary's value in words: counts by name, lengths in seconds."""
    if isinstance(value, dict):
        items = [
            f"{name} {item:.3g} s" if isinstance(item, float) else f"{name} ({item})" for name, item in value.items()
        ]
        return ", ".join(items[:LISTED]) + (f", … and {len(items) - LISTED} more" if len(items) > LISTED else "")
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def clear_cache(as_json: Annotated[bool, typer.Option("--json", help="Print what was freed as JSON.")] = False) -> None:
    """Delete the decoded sounds and the embeddings. They are made again when needed.

    Example:

      earmark cache clear
    """
    from earmark.audio.cache import Cache

    cache = Cache()
    freed = cache.clear()
    if as_json:
        print_json({"freed_bytes": freed, "folder": str(cache.folder)})
    else:
        output.print(f"{freed / 1e6:.1f} MB freed in {cache.folder}")
