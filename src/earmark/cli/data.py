"""Commands about sounds before training: `check`, `cache clear`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from earmark.cli.console import output, print_json, print_table, show_log


def check(
    data: Annotated[Path, typer.Argument(help="A table of files and labels, or a folder with a folder per class.")],
    audio_dir: Annotated[Path | None, typer.Option(help="Where the table's files are, if not beside it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings and summary as JSON.")] = False,
) -> None:
    """What is in here? Files that cannot be read, silence, copies, rates, lengths and classes.

    Exit code 1 when something needs attention.

    Example:

      earmark check sounds/
    """
    from earmark.data.check import check as run_check
    from earmark.data.readers import read_manifest
    from earmark.flows.progress import bar
    from earmark.tagger.tag_files import default_threads

    show_log()
    manifest = read_manifest(data, audio_dir=audio_dir)
    with bar("checking", len(manifest), "clips", shown=not as_json) as update:
        result = run_check(manifest, threads=default_threads(), progress=lambda done, _: update(done))
    if as_json:
        print_json(result.to_json())
    else:
        print_table(["", ""], [[name, describe(value)] for name, value in result.summary.items()])
        if result.findings:
            rows = [[finding.path, finding.problem, finding.detail, finding.remedy] for finding in result.findings]
            output.print()
            print_table(["path", "problem", "detail", "remedy"], rows)
    if result.needs_attention:
        raise typer.Exit(1)


def describe(value: Any) -> str:
    """A summary's value in words: counts by name, lengths in seconds."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {describe(item)}" for name, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def clear_cache(as_json: Annotated[bool, typer.Option("--json", help="Print what was freed as JSON.")] = False) -> None:
    """Delete the decoded sounds. They are made again when needed.

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
