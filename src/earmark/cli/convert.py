"""`earmark data convert`: labelled sounds from one format into another, whole or cut into what sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, show_log


def convert(
    data: Annotated[Path, typer.Argument(help="Labelled sounds: a table, a folder, annotation files.")],
    out: Annotated[Path, typer.Option(help="The file to write; for audacity and raven a folder.")],
    to: Annotated[
        str | None,
        typer.Option(help="csv, tsv, parquet, audacity, raven or dcase; by the ending of --out unless given."),
    ] = None,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    background: Annotated[
        bool, typer.Option("--background", help="Also what is not annotated, as clips without a label.")
    ] = False,
    segment: options.Segment = None,
    threshold_db: Annotated[float, typer.Option(help="Of --segment: above the noise floor, dB.")] = 6.0,
    padding: Annotated[float, typer.Option(help="Of --segment: seconds kept around a stretch.")] = 0.1,
    minimum: Annotated[float, typer.Option(help="Of --segment: the shortest stretch, seconds.")] = 0.06,
) -> None:
    """Write labelled sounds in another format: regions, labels, and where the format holds them all the rest.

    Clips that --segment finds nothing in, or cannot read, are listed, and the exit code is 1.

    Examples:

      earmark data convert field/ --out clips.csv --background

      earmark data convert clips.csv --to audacity --out tracks/

      earmark data convert recordings/ --segment activity --out stretches.csv
    """
    from earmark.data.activity import SEGMENTATIONS
    from earmark.data.readers import read_manifest
    from earmark.data.readers.annotations import read_annotations
    from earmark.data.writers import write_manifest
    from earmark.errors import ConfigError, summarise_rows
    from earmark.flows.progress import bar
    from earmark.lookup import lookup
    from earmark.tagger.tag_files import default_threads

    show_log()
    if out.exists() and out.resolve() == data.resolve():
        raise ConfigError(f"{out}: would replace what is read. Choose another --out.")
    cut = lookup(SEGMENTATIONS, segment, "segmentation") if segment else None
    manifest = (
        read_annotations(data, audio_dir=audio_dir, background=True, encoding=encoding)
        if background
        else read_manifest(data, audio_dir=audio_dir, encoding=encoding, folder_tricks=folder_tricks, merge=merge)
    )
    failures = []
    if cut:
        with bar("cutting", len(manifest), "clips", shown=True) as update:
            manifest, failures = cut(
                manifest,
                threshold_db=threshold_db,
                padding_seconds=padding,
                minimum_seconds=minimum,
                threads=default_threads(),
                progress=lambda done, _: update(done),
            )
    written = write_manifest(manifest, out, to)
    output.print(f"{len(manifest)} clips in {out}" + (f" ({len(written)} files)" if len(written) > 1 else ""))
    if failures:
        shown = summarise_rows([reason for _, reason in failures])
        messages.print(f"{len(failures)} clips give no stretch:\n{shown}")
        raise typer.Exit(1)
