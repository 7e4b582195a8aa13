"""`earmark export`: taggers as a page that tags in the browser. Never needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli import options
from earmark.cli.console import output, print_json


def export(
    taggers: Annotated[
        list[Path],
        typer.Argument(help="NAME.tagger.onnx, or names that `earmark models` lists; the first is shown first."),
    ],
    web: Annotated[Path, typer.Option(help="The folder to write: a page for any host of static files.", metavar="DIR")],
    onnxruntime_web: Annotated[
        Path | None,
        typer.Option(
            help="The npm package onnxruntime-web as a folder. \\[default: fetched once with npm]",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """A page that tags files and the microphone in the visitor's browser: no server, and no sound leaves it.

    The folder holds the page, the taggers and ONNX Runtime Web. An earlier export in its place is replaced.

    Examples:

      earmark export birds.tagger.onnx --web site/

      earmark export mn04_as yamnet --web site/ --onnxruntime-web node_modules/onnxruntime-web
    """
    from earmark.flows.web_export import export_web

    written = export_web(taggers, web, onnxruntime_web)
    if as_json:
        print_json({"folder": str(written.folder), "taggers": list(written.taggers), "bytes": written.n_bytes})
        return
    output.print(f"{', '.join(written.taggers)} in {written.folder} ({written.n_bytes / 1e6:.0f} MB)")
    output.print(f"try it    python -m http.server 8000 --bind 127.0.0.1 --directory {written.folder}")
