"""Commands about pretrained networks: `models`, `models get`, `models check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.cli.console import messages, output, print_json, print_table, show_log

if TYPE_CHECKING:
    from earmark.models.pretrained.weights import Weights

MEGABYTE = 1_000_000
HEADER = ("name", "family", "parameters", "classes", "rate", "window", "size", "mAP", "licence", "verified", "here")
# What of `models get` is for what: anything else stands in the way of a mistake.
ADOPTION = ("name", "window", "hop", "replace")
OPTIONS = {
    "onnx:": (*ADOPTION, "rate", "input", "output", "axis", "scores", "labels", "one-label"),
    "hf:": (*ADOPTION, "layer"),
    "": ("from",),
}


def list_models(
    context: typer.Context,
    families: Annotated[
        bool, typer.Option("--families", help="Only the networks to be trained from scratch, with their costs.")
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print --families as the table of docs/models.md.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the first table, or --families, as JSON.")] = False,
) -> None:
    """The networks that can be had as taggers, those adopted, and which are here; then those to train from scratch.

    Examples:

      earmark models

      earmark models get mn04_as

      earmark models --families
    """
    if context.invoked_subcommand:
        return
    from earmark.cli.families import print_families

    if families or as_markdown:
        print_families("json" if as_json else "markdown" if as_markdown else "table")
        return
    from earmark.models.pretrained.weights import WEIGHTS
    from earmark.tagger.home import present

    entries = [_facts(weights) for weights in WEIGHTS.values()]
    entries += [_adopted(name) for name in present() if name not in WEIGHTS]
    if as_json:
        print_json(entries)
        return
    print_table(HEADER, [_cells(entry) for entry in entries])
    output.print("\nmAP: on AudioSet, as published. Verified: scores equal those of the original code; a day, where")
    output.print("`earmark models check` held them against it here.")
    output.print("`earmark models get NAME` brings one; then `earmark tag NAME street.wav`.\n")
    print_families(beside=True)


def get_model(
    name: Annotated[
        str, typer.Argument(help="Which; `earmark models` shows the names. Or onnx:FILE, hf:ID or hf:FOLDER.")
    ],
    local: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A copy of this machine: the file of weights, or a folder with it and the class names.",
        ),
    ] = None,
    called: Annotated[str | None, typer.Option("--name", help="What an adopted model is called from now on.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, help="Hz that FILE expects.", metavar="HZ")] = None,
    window: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds heard at once; needed where the model takes any.")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds from one window to the next; default the window.")
    ] = None,
    input: Annotated[str | None, typer.Option(help="FILE's input for the sound, where it has several.")] = None,
    output: Annotated[
        str | None, typer.Option(help="FILE's tensor to embed with, an inner one too; needed where several give it.")
    ] = None,
    axis: Annotated[
        int | None, typer.Option(min=0, help="Of that tensor, with the features; over the others goes the mean.")
    ] = None,
    scores: Annotated[str | None, typer.Option(help="FILE's output with the scores or logits of --labels.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names, one a line or a table with display_name; without, it only embeds.")
    ] = None,
    one_label: Annotated[
        bool, typer.Option("--one-label", help="Exactly one of --labels holds: logits become scores by a softmax.")
    ] = False,
    layer: Annotated[int | None, typer.Option(min=1, help="Layer of ID to embed with; default the last.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another adopted model of that name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was got as JSON.")] = False,
) -> None:
    """Make a pretrained network a tagger that needs no torch: download it, take a copy, or adopt any other model.

    A broken download goes on where it stopped when the same command is run again. EARMARK_HOME moves the folder that
    it goes to. An adopted model is a graph that takes a waveform (onnx:) or one of transformers (hf:); once it has its
    name, `earmark embed`, `similar` and `train --on` use it like any other.

    Examples:

      earmark models get mn04_as

      earmark models get yamnet --from downloads/

      earmark models get onnx:birds.onnx --name birds --rate 48000 --window 3

      earmark models get hf:facebook/wav2vec2-base --name wav2vec2 --window 5
    """
    kind = next(prefix for prefix in OPTIONS if name.startswith(prefix))
    told = {"from": local, "name": called, "rate": rate, "window": window, "hop": hop, "input": input}
    told |= {"output": output, "axis": axis, "scores": scores, "labels": labels, "layer": layer}
    told |= {"one-label": one_label or None, "replace": replace or None}
    told = {option: value for option, value in told.items() if value is not None}
    _refuse(kind, told, name)
    if kind == "":
        _get_published(name, local, as_json)
        return
    show_log()
    tagger = _adopt(kind, name.removeprefix(kind), told)
    if as_json:
        print_json(_adopted(told["name"]))
    else:
        messages.print(f"Licence: {_adopted(told['name'])['licence']}.")
        print(f"{tagger}  (`earmark embed {told['name']} DATA --out FILE` uses it)")


def check_model(
    name: Annotated[str, typer.Argument(help="A tagger that is here; `earmark models` shows the names.")],
    reference: Annotated[
        Path | None,
        typer.Option(help="File with arrays SOUND/waveform, SOUND/logits …, as the original code gave them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Hold a network against what its original code gave for some sounds, and write down that they agree.

    Without --reference: what was written down of it.

    Examples:

      earmark models check mn10_as --reference reference_io_mn10.npz

      earmark models check mn10_as
    """
    from dataclasses import asdict

    from earmark.errors import ConfigError
    from earmark.flows.reference_check import check, checked, require_here

    require_here(name)
    found = check(name, reference) if reference else checked(name)
    if found is None:
        raise ConfigError(
            f"{name}: has not been held against the original's numbers here. Give a file of them: --reference FILE.npz."
        )
    if as_json:
        print_json(asdict(found))
        return
    passed_over = f", {found.n_passed_over} of another length passed over" if found.n_passed_over else ""
    differences = {"scores": found.scores, "embeddings": found.embedding}
    told = " and ".join(f"{value:.1e} in {what}" for what, value in differences.items() if value is not None)
    output.print(
        f"{name}: agrees with {found.reference} on {found.n_windows} windows{passed_over}; largest difference {told} "
        f"({found.when})"
    )


def _refuse(kind: str, told: dict[str, Any], name: str) -> None:
    """Refuse options that are not for what is asked for, and the lack of one that must be there.

    Raises:
        ConfigError: there is such an option.
    """
    from earmark.errors import ConfigError

    for option in told:
        if option not in OPTIONS[kind]:
            wanted = " or ".join(prefix or "a published network" for prefix in OPTIONS if option in OPTIONS[prefix])
            raise ConfigError(f"--{option}: is for {wanted}, and {name} is not. Leave it out.")
    for option in ("name", "rate"):
        if kind and option in OPTIONS[kind] and option not in told:
            raise ConfigError(
                f"{name}: --{option} is missing. Say what an adopted model is called, and its rate in Hz."
            )


def _get_published(name: str, local: Path | None, as_json: bool) -> None:
    from earmark.models.pretrained.weights import find_weights

    weights = find_weights(name)
    show_log()
    messages.print(f"{name}, {weights.homepage}\nLicence: {weights.licence}. Please cite: {weights.citation}.")
    if not weights.verified:
        messages.print("Not verified: nobody has held its scores against those of the original code yet.")
    from earmark.flows.pretrained import get
    from earmark.flows.progress import bar

    with bar(f"downloading {name}", weights.n_bytes // MEGABYTE, "MB", shown=not as_json) as update:
        tagger = get(name, local=local, progress=lambda done: update(done // MEGABYTE))
    if as_json:
        print_json(_facts(weights))
    else:
        output.print(f"{tagger}  ({weights.n_classes} classes; `earmark tag {name} FILE` uses it)")


def _adopt(kind: str, source: str, told: dict[str, Any]) -> Path:
    """The tagger file of a model from elsewhere."""
    if kind == "hf:":
        from earmark.flows.adopt_hf import adopt_hf

        named = {"layer": told.get("layer"), "replaces": "replace" in told}
        return adopt_hf(kind + source, told["name"], told.get("window"), told.get("hop"), **named)
    from earmark.flows.adopt import adopt_onnx

    named = {option: told[option] for option in ("input", "output", "axis", "scores", "labels") if option in told}
    named |= {"one_label": "one-label" in told, "replaces": "replace" in told}
    return adopt_onnx(Path(source), told["name"], told["rate"], told.get("window"), told.get("hop"), **named)


def _facts(weights: Weights) -> dict[str, Any]:
    """What is known of a published network, and where its tagger is (None: not here)."""
    from earmark.tagger.home import converted

    tagger = converted(weights.name)
    return {
        "name": weights.name,
        "family": weights.family,
        "parameters": weights.n_parameters,
        "classes": weights.n_classes,
        "sample_rate": weights.sample_rate,
        "window_seconds": weights.window_seconds,
        "bytes": weights.file.n_bytes,
        "url": weights.file.url,
        "licence": weights.licence,
        "citation": weights.citation,
        "homepage": weights.homepage,
        "audioset_map": weights.published_map,
        "verified": weights.verified,
        "check": _check(weights.name),
        "tagger": str(tagger) if tagger.is_file() else None,
    }


def _adopted(name: str) -> dict[str, Any]:
    """The same of an adopted one, as its file tells it; a file that cannot be opened tells only why."""
    from earmark.errors import TaggerFileError
    from earmark.tagger import load_tagger
    from earmark.tagger.home import converted

    tagger = converted(name)
    known = {"name": name, "family": "adopted", "bytes": tagger.stat().st_size, "check": _check(name)}
    try:
        metadata = load_tagger(tagger).metadata
    except TaggerFileError as error:
        return known | {"error": str(error), "tagger": str(tagger)}
    return known | {
        "classes": len(metadata.labels),
        "sample_rate": metadata.sample_rate,
        "window_seconds": metadata.window_seconds,
        "licence": "; ".join(metadata.licences),
        "verified": False,
        "made_of": dict(metadata.trained_on),
        "tagger": str(tagger),
    }


def _check(name: str) -> dict[str, Any] | None:
    """What `models check` has written down of a tagger."""
    from dataclasses import asdict

    from earmark.flows.reference_check import checked

    found = checked(name)
    return asdict(found) if found else None


def _cells(entry: dict[str, Any]) -> list[str]:
    """A row of the list; of an adopted network, what its file tells."""
    n_bytes, parameters, precision = (entry.get(key) for key in ("bytes", "parameters", "audioset_map"))
    size = f"{n_bytes / 1e6:.0f} MB" if n_bytes else f"about {4 * parameters / 1e6:.0f} MB"
    day = entry["check"]["when"] if entry["check"] else None
    if "error" in entry:
        return [entry["name"], entry["family"], *[""] * 4, size, "", "cannot be opened", "no", "yes"]
    return [
        entry["name"],
        entry["family"],
        f"{parameters / 1e6:.2f} M" if parameters else "",
        str(entry["classes"] or "none"),
        f"{entry['sample_rate'] / 1000:g} kHz",
        f"{entry['window_seconds']:g} s",
        size,
        f"{precision:.3f}" if precision else "",
        entry["licence"],
        day or ("yes" if entry.get("verified") else "no"),
        "yes" if entry["tagger"] else "no",
    ]
