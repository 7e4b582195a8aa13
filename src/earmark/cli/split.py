"""The command that decides what is held out: `split`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_table, show_log

if TYPE_CHECKING:
    from earmark.data.manifest import Manifest
    from earmark.data.splits import Balance
    from earmark.flows.split import Audit, Split

SHOWN = 30  # classes and leaks printed before the rest is only counted


Method = Annotated[
    str | None,
    typer.Option(
        help="given, random, grouped, stratified, stratified_grouped, temporal or temporal:COLUMN. \\[default: what is "
        "given; else stratified, grouped if there are groups]"
    ),
]


def split(
    data: options.Data,
    out: Annotated[
        Path | None, typer.Option(help="The table to write. \\[default: nothing is written, only shown]")
    ] = None,
    test: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the clips for a test split, locked.")] = 0.0,
    validation: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share for a validation split.")] = 0.0,
    folds: Annotated[
        int | None, typer.Option(min=0, help="Folds of the rest, 0 for none. \\[default: 5; 0 with --validation]")
    ] = None,
    method: Method = None,
    group_by: Annotated[str, typer.Option(help="Column of the table whose equal values stay together.")] = "",
    group_regex: Annotated[str, typer.Option(help="What its parentheses find in the path stays together.")] = "",
    group_duplicates: Annotated[
        bool,
        typer.Option(
            "--group-duplicates/--no-group-duplicates",
            help="Copies stay together, also re-encoded or trimmed ones: every sound is listened to.",
        ),
    ] = True,
    audit: Annotated[
        bool, typer.Option("--audit", help="Only look for leaks in the data's own folds and splits.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    fraction: options.Fraction = 1.0,
    names_only: Annotated[
        bool,
        typer.Option("--names-only", help="Open no sound, nor ask whether it is there: a million rows in seconds."),
    ] = False,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    as_json: options.AsJson = False,
) -> None:
    """Hold out whole recordings, every class evenly: folds, or training, validation and test.

    A test split is locked: it is never changed afterwards, and every evaluation on it is counted. With --audit
    nothing is written, and the exit code is 1 if the data's own folds leak, unless they are those of a public data set.

    Examples:

      earmark split labels.csv --test 0.2 --out split.csv

      earmark split sounds/ --group-regex '(spk[0-9]+)_' --folds 5 --out folds.csv

      earmark split folds.csv --audit
    """
    from earmark.data.fraction import take_fraction
    from earmark.data.readers import read_manifest
    from earmark.errors import ConfigError
    from earmark.flows import split as flow
    from earmark.flows.progress import bar
    from earmark.tagger.tag_files import default_threads

    show_log()
    if names_only and audit:
        raise ConfigError("--names-only opens no sound, and leaks are found by listening. Leave one of them out.")
    if audit and out:
        raise ConfigError("--audit only looks at the folds there are, so nothing is written. Leave out --out.")
    listens = audit or (group_duplicates and not names_only)
    manifest = read_manifest(
        data,
        audio_dir=audio_dir,
        encoding=encoding,
        folder_tricks=folder_tricks,
        merge=merge,
        look_for_files=not names_only,
    )
    manifest = take_fraction(manifest, fraction, seed)
    with bar("listening", len(manifest), "clips", shown=listens and not as_json) as update:
        listening = {"threads": default_threads(), "progress": lambda done, _: update(done)}
        if audit:
            show_audit(flow.audit(manifest, **listening), manifest, as_json)
            return
        shares = flow.Shares(test, validation, folds if folds is not None else 0 if validation else 5)
        grouping = flow.Grouping(group_by, group_regex, duplicates=listens)
        made = flow.split(manifest, shares, out=out, method=method, grouping=grouping, seed=seed, **listening)
    show_split(made, out, as_json)


def show_split(made: Split, out: Path | None, as_json: bool) -> None:
    """What was done, how even it is, and patterns that would make groups."""
    from earmark.data.splits import class_balance

    balance = class_balance(made.manifest)
    if as_json:
        offers = [{"kind": offer.kind, "regex": offer.regex, "n_groups": offer.n_groups} for offer in made.offers]
        lock = made.lock and {"sha256": made.lock.sha256, "n_clips": made.lock.n_clips, "date": made.lock.date}
        document = {"out": out and str(out), "done": made.done, **balance.to_dict(), "offers": offers, "lock": lock}
        print_json({**document, "unread": made.unread})
    else:
        print_balance(balance)
        output.print()
        for sentence in made.done:
            output.print(sentence)
        if made.offers:
            output.print("\nNo groups were given, but file names show a pattern. If those belong together:")
            for offer in made.offers:
                output.print(f"  {offer}")
        if out:
            locked = f"; its test split is locked ({made.lock.sha256[:12]})" if made.lock else ""
            output.print(f"\n{out}{locked}")
    show_unread(made.unread)


def print_balance(balance: Balance) -> None:
    """Clips of each class on each side; "-" where a class is absent."""
    rows = [
        [label, *(str(count) if count else "-" for count in counts)]
        for label, counts in zip(balance.labels, balance.counts.tolist(), strict=True)
    ]
    total = ["all clips", *map(str, balance.sizes.tolist())]
    print_table(["class", *balance.sides], [*rows[:SHOWN], total])
    if len(rows) > SHOWN:
        output.print(f"… and {len(rows) - SHOWN} more classes (all with --json)")
    found = balance.to_dict()
    output.print(
        f"\nThe sides hold their due share of each class to within {found['max_deviation']:.2%} of the class "
        f"({found['mean_deviation']:.2%} on average)."
    )
    if absent := balance.absent:
        pairs = ", ".join(f"{label} (in {side})" for label, side in absent[:SHOWN])
        output.print(f"Absent: {pairs}" + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""))


def show_audit(found: Audit, manifest: Manifest, as_json: bool) -> None:
    """The leaks; exit code 1 if some are certain and no publisher's, or files could not be listened to."""
    from earmark.data.corpora.official import recognise
    from earmark.data.leakage import KINDS

    official = recognise(manifest)
    if as_json:
        leaks = [
            {"kind": leak.kind, "certain": leak.certain, "what": leak.what, "clips": leak.clip_ids, "sides": leak.sides}
            for leak in found.leaks
        ]
        print_json({"n_clips": len(manifest), "official": official, "leaks": leaks, "unread": found.unread})
    else:
        for kind, meaning in KINDS.items():
            leaks = [leak for leak in found.leaks if leak.kind == kind]
            if leaks:
                output.print(f"{kind}: {meaning} ({len(leaks)} times)")
                for leak in leaks[:SHOWN]:
                    output.print(f"  {leak}")
                if len(leaks) > SHOWN:
                    output.print(f"  … and {len(leaks) - SHOWN} more (all with --json)")
        n_certain = len(found.certain)
        if not n_certain:
            output.print(f"No leak among the sides of {len(manifest)} clips.")
        elif official:
            output.print(
                f"{n_certain} leaks in the folds of {official} as published: keep them to compare, and say so."
            )
        else:
            output.print(f"{n_certain} leaks. Give what belongs together one group, and draw the folds anew.")
    if found.certain and not official:
        raise typer.Exit(1)
    show_unread(found.unread)


def show_unread(unread: list[tuple[str, str]]) -> None:
    """Files that could not be listened to, and exit code 1 if there are some."""
    if unread:
        messages.print(f"{len(unread)} files could not be read, so that it is not known whether they are copies:")
        for _, reason in unread:
            messages.print(f"  {reason}")
        raise typer.Exit(1)
