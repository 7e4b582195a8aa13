"""`earmark augment preview`: what training does to sounds, on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import output, show_log


def preview(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("preview.html"),
    clips: Annotated[int, typer.Option(min=2, max=12, help="How many clips are shown.")] = 2,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the augmentations that are off, at a usual strength.")
    ] = False,
    recipe: options.Recipe = None,
    setting: options.Settings = None,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
) -> None:
    """Hear and see a few clips after each augmentation that is on, after all of them together, and as they were.

    docs/augmentation.md lists the augmentations and their settings.

    Examples:

      earmark augment preview sounds/ --out preview.html --all

      earmark augment preview sounds/ --set augment.reverb=0.5 --set augment.reverb_seconds=[0.3,2]
    """
    from earmark.flows.augment_preview import preview as write

    show_log()
    shown = write(
        data,
        out,
        n_clips=clips,
        everything=everything,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
        recipe=recipe,
        settings=setting or (),
    )
    output.print(f"{out}  ({', '.join(shown)})")
