"""`earmark plot`: a recording and what a tagger hears in it, over time, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import output


def plot(
    tagger: Annotated[Path, typer.Argument(help="NAME.tagger.onnx, or a name that `earmark models` lists.")],
    recording: Annotated[Path, typer.Argument(help="A sound file.")],
    out: Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.")] = Path("plot.png"),
    top: Annotated[int, typer.Option(min=1, help="Labels to show, those with the highest scores.")] = 10,
) -> None:
    """Draw a recording: waveform, spectrogram, and below them the scores of the strongest labels over time.

    Example:

      earmark plot yamnet street.wav --out street.png
    """
    from earmark.report.plot import plot as draw
    from earmark.tagger import load_tagger

    labels = draw(load_tagger(tagger), recording, out, top=top)
    output.print(f"{out}  ({', '.join(labels)})")
