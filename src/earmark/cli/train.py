"""Commands that make a tagger: `demo`, `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from earmark.cli import options
from earmark.cli.console import messages, output, print_json, print_scorecard, print_table, show_log

On = Annotated[
    str | None,
    typer.Option(
        help="Stand on this network's features: a name of `earmark models`, a tagger file, a run's folder.",
        show_default=False,
    ),
]
Head = Annotated[
    str | None,
    typer.Option(
        help="With --on: logistic, svm, knn, mlp, forest, boosting, attention, gru, … "
        "\\[default: choice, the best of four by inner folds]. With --model NETWORK: mean, max, avemax, attention, "
        "gem, pixel_shuffle \\[default: the family's own]",
        show_default=False,
    ),
]
Finetune = Annotated[
    bool, typer.Option("--finetune", help="With --on: train the network itself, beside a head on it as it is.")
]
FromScratch = Annotated[
    bool,
    typer.Option(
        "--or-from-scratch",
        help="With --on, or backbone.on in a recipe: where that network cannot be had, train the default one, and say "
        "so.",
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Start from this run's network, whatever its labels; as --on RUN --finetune.",
        show_default=False,
        metavar="RUN",
    ),
]
FindRate = Annotated[
    bool,
    typer.Option(
        "--find-lr",
        help="Train nothing yet: let the learning rate rise on the first fold's training clips, suggest one, draw the "
        "curve.",
    ),
]
Diagnose = Annotated[
    bool,
    typer.Option(
        "--diagnose",
        help="First try the network: gradients, two clips learnt by heart, silence, the time of each stage; batch.html "
        "shows what it hears. Stops only where training would surely be in vain.",
    ),
]


def train(
    data: options.Data,
    out: Annotated[Path | None, typer.Option(help="The run's folder. \\[default: runs/NAME]")] = None,
    model: Annotated[
        str | None, typer.Option(help="A network such as se_cnn, or a classifier such as forest. \\[default: se_cnn]")
    ] = None,
    on: On = None,
    head: Head = None,
    finetune: Finetune = False,
    start: Start = None,
    or_from_scratch: FromScratch = False,
    seed: Annotated[int | None, typer.Option(help="Of everything random but the folds. \\[default: 0]")] = None,
    precision: options.Precision = None,
    recall: options.Recall = None,
    recipe: options.Recipe = None,
    setting: options.Settings = None,
    fraction: options.Fraction = 1.0,
    segment: options.Segment = None,
    audio_dir: options.AudioDir = None,
    encoding: options.Encoding = None,
    folder_tricks: options.FolderTricks = False,
    merge: options.Merge = True,
    allow_leak: options.AllowLeak = False,
    corrections: options.Corrections = None,
    find_lr: FindRate = False,
    diagnose: Diagnose = False,
    as_json: options.AsJson = False,
) -> None:
    """Train on labelled sounds: folds, baseline, network, scores with intervals, one tagger file, a report.

    The same command again goes on where it was stopped. Clips of a test split are set aside; copies stay in one fold.

    Examples:

      earmark train sounds/

      earmark train labels.csv --audio-dir wav --out runs/birds --seed 1

      earmark train sounds/ --set optim.epochs=30 --set window.seconds=2

      earmark train sounds/ --on mn04_as --finetune

      earmark train sounds/ --precision 0.9

      earmark train sounds/ --fraction 0.05 --out runs/quick

      earmark train sounds/ --corrections runs/sounds/corrections.csv --out runs/corrected

      earmark train sounds/ --find-lr

      earmark train labels.csv --recipe recipes/fsdkaggle2019.yaml

      earmark train sounds/ --diagnose
    """
    show_log()
    from earmark.flows.first_look import has_stages, look

    short = {"model": model, "seed": seed, **_backbone(model, on, head, finetune, start, or_from_scratch)}
    short |= _thresholds(precision, recall)
    settings = [*(setting or []), *(f"{key}={value}" for key, value in short.items() if value is not None)]
    stands_on, tuned = [each for each in (on, start) if each], finetune or start is not None
    look(data, recipe, settings, stands_on, head if on else None, finetuned=tuned, or_from_scratch=or_from_scratch)
    how = {
        "audio_dir": audio_dir,
        "encoding": encoding,
        "folder_tricks": folder_tricks,
        "merge": merge,
        "fraction": fraction,
        "segment": segment,
        "recipe": recipe,
        "settings": settings,
        "allow_leak": allow_leak,
        "corrections": corrections or (),
        "progress": not as_json,
    }
    for_one = {"find_lr": find_lr, "diagnose": diagnose, "or_from_scratch": or_from_scratch}
    if has_stages(recipe):
        _train_stages(data, out, any(for_one.values()), how, as_json)
    else:
        _train_once(data, out, short.get("model"), how, as_json, **for_one)


def _train_once(
    data: Path,
    out: Path | None,
    model: str | None,
    how: dict[str, Any],
    as_json: bool,
    *,
    find_lr: bool,
    diagnose: bool,
    or_from_scratch: bool,
) -> None:
    """Train, or look for a learning rate, and show what was found."""
    if diagnose:
        _require_network("--diagnose", model)
    if find_lr:
        _require_network("--find-lr", model, or_from_scratch)
        from earmark.flows.learning_rate import find_learning_rate

        show_rate(find_learning_rate(data, out, **how), as_json)
        return
    from earmark.flows.train import train as run_training

    show_trained(run_training(data, out, or_from_scratch=or_from_scratch, diagnose=diagnose, **how), as_json)


def _backbone(
    model: str | None,
    on: str | None,
    head: str | None,
    finetune: bool,
    start: str | None,
    or_from_scratch: bool = False,
) -> dict[str, str]:
    """The settings that --on, --head, --finetune and --from stand for.

    Raises:
        ConfigError: they contradict each other or --model.
    """
    from earmark.errors import ConfigError

    if start is not None and on is not None:
        raise ConfigError("--from starts from one network and --on stands on another. Give one of them.")
    if model is not None and (on is not None or start is not None):
        raise ConfigError("--model is trained from the waveform. With --on choose a --head, or --finetune.")
    if head is not None and (finetune or start is not None):
        raise ConfigError("--head is for the network as it is, --finetune and --from train it. Give one of them.")
    if or_from_scratch and start is not None:
        raise ConfigError("--or-from-scratch: is for a network of --on that cannot be had. Leave it or --from out.")
    if on is None and start is None:
        if head is not None and model is not None and not finetune and _is_network(model):
            return {"head": head}
        if head is not None or finetune:
            raise ConfigError(f"--{'finetune' if finetune else 'head'} needs --on NAME. `earmark models` lists them.")
        return {}
    tuned = finetune or start is not None
    return {"backbone.on": on or start, "model": "finetuned" if tuned else head or "choice"}


def _train_stages(data: Path, out: Path | None, for_one: bool, how: dict[str, Any], as_json: bool) -> None:
    """Train what a recipe of several trainings says.

    Args:
        for_one: something is asked for that is for one training.
    """
    from earmark.errors import ConfigError
    from earmark.flows.stages import train_stages

    if for_one:
        raise ConfigError("--find-lr, --diagnose and --or-from-scratch are for one training. The recipe has several.")
    show_stages(train_stages(data, out, **how), as_json)


def _thresholds(precision: float | None, recall: float | None) -> dict[str, str]:
    """The settings that --precision and --recall stand for."""
    if precision is None and recall is None:
        return {}
    from earmark.evaluation.thresholds import ThresholdConfig

    wanted = ThresholdConfig.keeping(precision, recall)
    return {"thresholds.goal": wanted.goal, "thresholds.least": f"{wanted.least:g}"}


def _require_network(option: str, model: str | None, or_from_scratch: bool = False) -> None:
    """Refuse an option that is for networks where there is none, before anything is heard.

    Raises:
        ConfigError: the model is no network, or what it is shall be decided later.
    """
    from earmark.baselines import BASELINES
    from earmark.errors import ConfigError

    if model in BASELINES:
        raise ConfigError(f"{option} is for networks, and {model} is none. Leave {option} away.")
    if or_from_scratch:
        raise ConfigError(f"{option} is for one network. Leave --or-from-scratch away.")


def _is_network(model: str) -> bool:
    """Whether a model has a head that can be chosen; what it takes torch to know."""
    from earmark.models.tagging_net import MODELS

    return model in MODELS


def demo(
    out: Annotated[Path, typer.Option(help="Where the sounds and the run go.")] = Path("earmark-demo"),
    seed: Annotated[int, typer.Option(help="Of the sounds and of the training.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """No data yet: make a labelled sound set, then check, split, train, score, report and tag, in a few minutes.

    Example:

      earmark demo --out /tmp/demo
    """
    from earmark.flows.demo import demo as run_demo

    show_log()
    shown = run_demo(out, seed=seed, progress=not as_json)
    if not as_json:
        output.print(f"\nTags of {shown.recording}:")
        for tag in shown.tags:
            output.print(f"  {tag.start:5.1f} to {tag.end:5.1f} s  {tag.label}  {tag.score:.2f}")
    show_trained(shown.trained, as_json)


def show_rate(found, as_json: bool) -> None:
    """The learning rate that is suggested, and where the curve is."""
    suggested = found.curve.suggested
    if as_json:
        print_json({"suggested": suggested, "set": found.set, "curve": str(found.run.rate_curve)})
        return
    text = f"--set optim.learning_rate={suggested:.1e}" if suggested else "none: the loss never fell"
    output.print(f"\nlearning rate  {text}  (set now: {found.set:.1e})\ncurve          {found.run.rate_plot}")


def show_stages(staged, as_json: bool) -> None:
    """Each stage's score, what it gained on the one before, and the last one's paths."""
    if as_json:
        print_json({name: each.scorecard.to_dict() for name, each in staged.trained.items()})
        return
    from earmark.evaluation.metrics import TITLES

    metric = staged.last.scorecard.primary_metric
    rows = []
    for name, each in staged.trained.items():
        found = each.scorecard.models[each.model].metrics[metric]
        rows.append((name, f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})", str(each.scorecard.n_clips)))
    output.print()
    print_table(("stage", TITLES.get(metric, metric), "clips"), rows, "stages")
    for each in staged.comparisons:
        output.print(each.sentence)
    last = staged.last.run
    output.print(f"\ntagger  {staged.run.tagger}  ({last.name})\nreport  {last.report}\ncard    {last.card}")


def show_trained(trained, as_json: bool) -> None:
    """The scores, the paths of what was made, and exit code 1 when some files could not be read."""
    run = trained.run
    if as_json:
        print_json(trained.scorecard.to_dict())
    else:
        print_scorecard(trained.scorecard)
        best = trained.scorecard.best
        which = trained.model if best == trained.model else f"{trained.model}; {best} scored higher"
        output.print(f"\ntagger  {run.tagger}  ({which})\nreport  {run.report}\ncard    {run.card}")
    if trained.n_failures:
        messages.print(f"{trained.n_failures} files could not be read and were left out: {run.failures}")
        raise typer.Exit(1)
