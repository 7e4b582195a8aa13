"""The command `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_scorecard, print_table, show_log
from earmark.cli.tag import event_rule

if TYPE_CHECKING:
    from earmark.flows.judging import Evaluated
    from earmark.flows.judging_events import EventsEvaluated

By = Annotated[
    list[str] | None,
    typer.Option(help="Also each part: a column of the table, group, clip_seconds, loudness. May be repeated."),
]
Split = Annotated[
    str | None, typer.Option(help="train, validation or test. \\[default: test if the table has one, else all]")
]
Views = Annotated[
    str | None, typer.Option(help="What it hears of a clip: sliding, ends, full, lengths. \\[default: its own]")
]
ViewSeconds = Annotated[
    str | None, typer.Option(help="With --views lengths: of its windows.", metavar="SECONDS,SECONDS,…")
]
Pool = Annotated[str | None, typer.Option(help="Of what it hears: mean, max or geometric mean. \\[default: its own]")]


Tagger = Annotated[
    Path,
    typer.Argument(
        help="A tagger file or folder, a name of `earmark models`, or a run's folder; with --predictions, DATA instead."
    ),
]
Data = Annotated[
    Path | None, typer.Argument(help="Labelled sounds that the tagger was not trained on.", show_default=False)
]
Predictions = Annotated[Path | None, typer.Option(help="Instead of a tagger, scores that another tool has written.")]
Common = Annotated[
    bool, typer.Option("--common", help="Only labels that both sides know, and clips that have scores.")
]
Threshold = Annotated[
    float | None, typer.Option(help="From which a score is a tag. \\[default: as stored; for --predictions 0.5]")
]
Out = Annotated[
    Path | None, typer.Option(help="Also write NAME.json, or a folder that `earmark compare` reads.")
]
Scores = Annotated[Path | None, typer.Option(help="Also write the clips' scores: a CSV, or .npz.")]
Audit = Annotated[
    bool, typer.Option("--audit", help="Also hear what a run was trained on, for copies encoded or cut otherwise.")
]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Go on with clips it was trained on; the score is marked.")
]
Events = Annotated[
    bool, typer.Option("--events", help="From when to when: DATA has starts and ends of labels (docs/events.md).")
]
Recordings = Annotated[
    Path | None, typer.Option(help="With --events: a table of all recordings, those without an event, too.")
]
Collar = Annotated[
    float | None,
    typer.Option(help="With --events: a start or end may be off by so much. \\[default: 0.2]", metavar="SECONDS"),
]


def evaluate(
    tagger: Tagger,
    data: Data = None,
    predictions: Predictions = None,
    by: By = None,
    mapping: options.LabelMap = None,
    common: Common = False,
    threshold: Threshold = None,
    out: Out = None,
    scores: Scores = None,
    audit: Audit = False,
    allow_leak: AllowLeak = False,
    split: Split = None,
    fraction: options.Fraction = 1.0,
    views: Views = None,
    view_seconds: ViewSeconds = None,
    pool: Pool = None,
    events: Events = False,
    recordings: Recordings = None,
    collar: Collar = None,
    steps: options.Steps = False,
    keep_share: options.KeepShare = None,
    min_seconds: options.MinSeconds = None,
    join_seconds: options.JoinSeconds = None,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    as_json: options.AsJson = False,
) -> None:
    """Score a tagger file, or a table of scores, on labelled sounds it never saw, with intervals (docs/evaluate.md).

    Of a table with a test split only that is scored; if `earmark split` has locked it, the look is counted.

    Examples:

      earmark evaluate runs/birds/birds.tagger.onnx other-site/labels.csv --by site --by loudness

      earmark evaluate other-site/labels.csv --predictions submission.csv --out judged/

      earmark evaluate runs/birds other-site/labels.csv --views ends --pool geometric

      earmark evaluate runs/birds field/ --events --min-seconds 0.5
    """
    show_log()
    how = {"split": split, "mapping": mapping, "common": common, "threshold": threshold}
    how |= {"audio_dir": audio_dir, "encoding": encoding}
    own = {"audit": audit, "allow_leak": allow_leak}
    heard = {"views": views, "view_seconds": parse_seconds(view_seconds)}
    require_sides(data, predictions, heard | own | {"steps": steps})
    rule = event_rule(events, False, keep_share, min_seconds, join_seconds)
    if events:
        asked = {"by": by, "fraction": fraction < 1, "pool": pool, "scores": scores, **heard}
        require_kind(events, {**asked, "folder_tricks": folder_tricks, "no_merge": not merge})
        no_rule = (keep_share, min_seconds, join_seconds) == (None, None, None)
        how |= {"recordings": recordings, "collar": collar, "rule": None if no_rule else rule}
        evaluated = judge_events(tagger, data, predictions, how, own | {"steps": steps})
    else:
        require_kind(events, {"recordings": recordings, "collar": collar is not None, "steps": steps})
        how |= {"by": by or (), "fraction": fraction, "pool": pool, "folder_tricks": folder_tricks, "merge": merge}
        evaluated = judge_clips(tagger, data, predictions, how, heard | own)
    if out:
        evaluated.save(out)
    if scores:
        evaluated.predictions.save(scores)
    if as_json:
        print_json(evaluated.to_dict())
    else:
        (print_events if events else print_evaluation)(evaluated)
    if evaluated.failures:
        messages.print(f"{len(evaluated.failures)} files could not be read:")
        for path, reason in evaluated.failures:
            messages.print(f"  {path}: {reason}")
        raise typer.Exit(1)


def judge_clips(
    tagger: Path, data: Path | None, predictions: Path | None, how: dict[str, Any], own: dict[str, Any]
) -> Evaluated:
    """Clips by their labels. own: what is of a tagger alone."""
    from earmark.flows.evaluate import evaluate, evaluate_predictions

    return evaluate_predictions(predictions, tagger, **how) if predictions else evaluate(tagger, data, **how, **own)


def judge_events(
    tagger: Path, data: Path | None, predictions: Path | None, how: dict[str, Any], own: dict[str, Any]
) -> EventsEvaluated:
    """Recordings by their events. own: what is of a tagger alone."""
    from earmark.flows.evaluate_events import evaluate_events, evaluate_found

    if how["collar"] is None:
        del how["collar"]
    return evaluate_found(predictions, tagger, **how) if predictions else evaluate_events(tagger, data, **how, **own)


def require_kind(events: bool, asked: Mapping[str, Any]) -> None:
    """Refuse options of events where clips are judged, and of clips where events are.

    Raises:
        ConfigError: there is one.
    """
    from earmark.errors import ConfigError

    for name, value in asked.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            if events:
                raise ConfigError(f"{option}: is of clips, and --events judges recordings. Leave out one of them.")
            raise ConfigError(f"{option}: is of events. Add --events.")


def require_sides(data: Path | None, predictions: Path | None, heard: Mapping[str, Any]) -> None:
    """Refuse a call that does not name one thing to judge and one to judge it by.

    Raises:
        ConfigError: there are too many or too few, or what only a tagger can do is asked of a table.
    """
    from earmark.errors import ConfigError

    if predictions is None and data is None:
        raise ConfigError("evaluate: on what? Give a tagger and labelled sounds, or labelled sounds and --predictions.")
    if predictions is None:
        return
    if data is not None:
        raise ConfigError("--predictions: stands instead of a tagger. Give the labelled sounds alone beside it.")
    asked = [name.replace("_", "-") for name, value in heard.items() if value]
    if asked:
        raise ConfigError(f"--{asked[0]}: is for a tagger, and --predictions is a table. Leave one of them out.")


def print_evaluation(evaluated: Evaluated) -> None:
    """Scores and what must be known of them, the weakest classes, the parts."""
    print_scorecard(evaluated.scorecard)
    for table in (evaluated.class_table(), *map(evaluated.slice_table, evaluated.slices)):
        output.print()
        print_table(*table)


def print_events(evaluated: EventsEvaluated) -> None:
    """Scores of events and what must be known of them, then the labels."""
    output.print()
    print_table(*evaluated.table())
    output.print()
    for remark in evaluated.remarks:
        output.print(remark)
    output.print()
    print_table(*evaluated.label_table())


def parse_seconds(text: str | None) -> tuple[float, ...]:
    """Seconds between commas; none of None.

    Raises:
        ConfigError: they are no numbers.
    """
    from earmark.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise ConfigError(f"--view-seconds {text}: expected seconds between commas, such as 1,2.5.") from error
