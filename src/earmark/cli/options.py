"""Options that several commands share, each worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(help="A table of files and labels, a folder with a folder per class, or one with annotation files."),
]
AudioDir = Annotated[Path | None, typer.Option(help="Where the table's files are, if not beside it.")]
Encoding = Annotated[
    str | None, typer.Option(help="The table's text encoding, such as cp1252. \\[default: found out and said]")
]
FolderTricks = Annotated[
    bool,
    typer.Option(
        "--folder-tricks",
        help="Folder names: 'a,b' two labels, '-a' surely not a, noise, background, other, silence no label.",
    ),
]
Merge = Annotated[
    bool, typer.Option("--merge/--no-merge", help="One sound under several labels becomes one clip with all of them.")
]
Fraction = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Only this share of the data, whole groups of every class: a quick try."),
]
Segment = Annotated[
    str | None, typer.Option(help="activity: cut clips into their sounding stretches, all of one group.")
]
LabelMap = Annotated[
    Path | None, typer.Option("--map", help="A table of labels: `from` as the scores call them, `to` as the data does.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as --set optim.epochs=30. May be repeated.", metavar="KEY=VALUE"),
]
Recipe = Annotated[Path | None, typer.Option(help="YAML of settings that differ from the defaults.")]
Backbones = Annotated[
    list[str] | None,
    typer.Option(
        "--on", help="A pretrained network, tagger file or run. May be repeated. \\[default: the best small one here]"
    ),
]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Go on although one sound is in several folds; the scores are marked.")
]
Precision = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Name a label only where so many of its tags are right, such as 0.9; else the sound is unknown.",
        show_default=False,
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Name a label so readily that so many of its sounds are found, such as 0.9.",
        show_default=False,
    ),
]
Corrections = Annotated[
    list[Path] | None,
    typer.Option(help="Decisions of `earmark review`, applied to the rows, never to their files. May be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TaggerName = Annotated[Path, typer.Argument(help="NAME.tagger.onnx, or a name that `earmark models` lists.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Recordings heard at once; one per core unless given.", show_default=False)
]
OwnThreshold = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="Instead of the tagger's own thresholds.", metavar="SCORE"),
]
Steps = Annotated[
    bool, typer.Option("--steps", help="Of the steps of each window, where its head answers step by step.")
]
KeepShare = Annotated[
    float | None,
    typer.Option(
        help="An event goes on down to this share of its label's threshold. \\[default: 0.5]",
        metavar="SHARE",
        show_default=False,
    ),
]
MinSeconds = Annotated[
    float | None, typer.Option(help="Leaves out events that are shorter.", metavar="SECONDS", show_default=False)
]
JoinSeconds = Annotated[
    float | None, typer.Option(help="Joins events of a label no further apart.", metavar="SECONDS", show_default=False)
]
