"""card.md: the model card that travels with a tagger file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from earmark.baselines import BASELINES, TITLES
from earmark.config import read_yaml
from earmark.evaluation import Scorecard
from earmark.report.findings import PER_CLASS, Findings, findings_of
from earmark.report.reading import looks_text, read_run
from earmark.run import Run
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tagger import load_tagger

N_WEAKEST = 3
N_PAIRS = 5
FEW_CLIPS = 20
HOW_MADE = {
    "refit": "one network, trained again on all clips with the recipe that was scored",
    "ensemble": "the average of the networks of all folds",
}


def card_text(run: Run) -> str:
    """The model card of a run's tagger, as Markdown.

    Args:
        run: with its tagger, scorecard, predictions and settings written.

    Raises:
        TaggerFileError, RunError, ConfigError: one of these files is missing or damaged.
        ManifestError: the clips' files are not where the manifest says.
    """
    metadata, scorecard = load_tagger(run.tagger).metadata, Scorecard.load(run.scorecard)
    config, contents = read_yaml(run.config), read_run(run.folder)
    kind = "several labels can hold at once" if metadata.multi_label else "one label per clip"
    trained_on = metadata.trained_on
    unseen = "never saw it"
    if scorecard.has_leaks:
        unseen = "was not trained on it, but may have known its sound by the leaks below"
    parts = [
        f"# {_cell(metadata.name)}",
        f"Tags sounds with {len(metadata.labels)} labels ({kind}).",
        "## Use",
        f"Meant for sounds like those it was trained on: the same kinds of source, recorder and place. "
        f"It knows no other label, and gives every sound scores for these {len(metadata.labels)}. "
        "Check it on recordings of your own before you rely on it.",
        _bullets(
            f"input: any recording, brought to {metadata.sample_rate} Hz mono",
            f"heard in {metadata.heard}; a clip's score is the windows' {metadata.pool}",
            f"made as {how_made(config)}",
        ),
        "## Not for",
        _bullets(*_not_for(metadata)),
        "## Scores",
        f"Measured on {scorecard.n_clips:,} clips, each scored by a model that {unseen}. "
        "They are scores of the recipe, not of these weights: the file for use was not tested itself.",
        _scores_table(scorecard),
        _bullets(*(_cell(note) for note in [*scorecard.notes(), *looks_text(run)])),
        *_reliability(metadata.reliability),
        "## Known failures",
        "Of the models of the folds, on clips that they never saw. `report.html` lets them be heard.",
        _bullets(*(_cell(sentence) for sentence in known_failures(findings_of(contents)))),
        "## Labels",
        _labels_table(metadata, scorecard, metadata.scores["model"]),
        "## Data and licences",
        _bullets(
            *(f"{_cell(key)}: {_cell(str(trained_on[key]))}" for key in trained_on if key != "clips"),  # for machines
            *(_cell(licence) for licence in metadata.licences),
        ),
        "## Made with",
        f"    {contents.command}" if contents.command else "",
        _bullets(*(f"{package} {version}" for package, version in metadata.versions.items())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def known_failures(findings: Findings) -> Iterator[str]:
    """Where the report's model is weak, in sentences: classes, pairs, parts of the clips, scores, labels."""
    metric, main = PER_CLASS[findings.multi_label], findings.contents.main
    weakest = [row for row in findings.per_class if row["values"][main] < 1][:N_WEAKEST]
    if weakest:
        named = (f"{row['label']} {row['values'][main]:.2f} of {row['n_clips']} clips" for row in weakest)
        yield f"weakest classes ({metric}): {', '.join(named)}"
    few = [row["label"] for row in findings.per_class if row["n_clips"] < FEW_CLIPS]
    if few:
        yield f"fewer than {FEW_CLIPS} clips, so hardly measured: {', '.join(few[:12])}{', …' if len(few) > 12 else ''}"
    said = "with a false tag of" if findings.multi_label else "taken for"
    for given, heard, count, n_asked in findings.matrix.pairs[:N_PAIRS]:
        yield f"{given} {said} {heard}: {count} of {n_asked} clips"
    for part in findings.slices:
        if part.verdict == "worse":
            score = part.metrics[findings.contents.scorecard.primary_metric].text
            yield f"clips with {part.by} {part.name} score {score}, all others {part.without:.3f}"
    if not findings.calibration:
        off = findings.calibration_error.text
        yield f"scores as probabilities are off by {off} on average (expected calibration error)"
    if findings.suspects:
        n_clips = len({suspect.clip_id for suspect in findings.suspects})
        command = findings.review[1]
        yield f"the labels of {n_clips} clips look wrong, and count as errors here; {command} asks about them"


def _not_for(metadata: TaggerMetadata) -> Iterator[str]:
    """What a tagger must not be used for."""
    yield "sounds of other places, recorders or distances than those of its data, unless you have measured it there"
    yield "decisions about people, safety or the law, claims that a sound is absent: a score is no proof"
    if metadata.multi_label:
        yield "counting: a tag says that a sound is there, not how often"
    else:
        yield "recordings that hold several of its sounds, or none: it always names one, whatever it hears"


def how_made(config: Mapping[str, Any]) -> str:
    """What the tagger is, of a run's settings as they stand in its folder."""
    head, backbone = config["model"], Path(config.get("backbone", {}).get("on", "")).name
    if head not in BASELINES:
        start = f", started from {backbone}" if backbone else ""
        return HOW_MADE[config["ship"]] + start
    return f"{TITLES[head]} on {f'what {backbone} makes of a window' if backbone else 'summary features'} of all clips"


def _scores_table(scorecard: Scorecard) -> str:
    """The scores of all models, best first, with 95 % intervals."""
    header, rows = scorecard.table()
    return _table([f"{header[0]} (95 % interval)", *header[1:]], rows)


def _reliability(facts: Mapping[str, Any]) -> list[str]:
    """What the scores mean and what the tags keep, as far as it was measured."""
    lines = []
    for level, found in facts.get("calibration", {}).items():
        before, after = (_measured(found[name]) for name in ("ece_before", "ece"))
        lines.append(
            f"{level} scores are off by {after} on average (expected calibration error; before calibration {before}; "
            f"kind: {found['kind']})"
        )
    tags = facts.get("tags", {})
    for level in ("window", "clip"):
        if level in tags:
            wanted = "best F1"
            if "least" in tags:
                wanted = f"meant to keep a {tags['goal']} of {tags['least']:g} of each label"
            precision, recall = (_measured(tags[level][name]) for name in ("precision", "recall"))
            lines.append(f"{level} tags ({wanted}): precision {precision}, recall {recall}")
    if heard := facts.get("false_tags_per_hour"):
        said = ", ".join(f"{_cell(name)} {number:g}" for name, number in heard.items())
        lines.append(f"tags an hour of sounds that are nothing, heard by this very file: {said}")
    return ["## What the scores mean", _bullets(*lines)] if lines else []


def _measured(facts: Mapping[str, Any]) -> str:
    """A value with its interval, as it stands in metadata; a dash where there is none."""
    if facts["value"] is None:
        return "–"
    if facts["low"] is None:
        return f"{facts['value']:.3f}"
    return f"{facts['value']:.3f} ({facts['low']:.3f} to {facts['high']:.3f})"


def _labels_table(metadata: TaggerMetadata, scorecard: Scorecard, model: str) -> str:
    """Each label with its clips, its score and, where not always the best is named, the clip score that it takes."""
    metric = "lwlrap" if scorecard.multi_label else "recall"
    per_class = scorecard.models[model].per_class
    header = ["label", "clips", metric]
    rows = [
        [label, str(per_class[label]["n_clips"]), _two_digits(per_class[label][metric])]
        for label in metadata.labels
    ]
    thresholds = metadata.thresholds["clip"]
    if any(thresholds) or None in thresholds:  # else the best is always named
        header.append("named from a score of")
        rows = [
            [*row, "never" if threshold is None else f"{threshold:.2f}"]
            for row, threshold in zip(rows, thresholds, strict=True)
        ]
    return _table(header, rows)


def _two_digits(value: float) -> str:
    """A score in two digits; a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _bullets(*lines: str) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def _cell(text: str) -> str:
    """`text` so that Markdown shows it as it is, on one line."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
