"""The trials of a sweep before they are run: models, settings varied one at a time, parts switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from earmark.baselines import BASELINES, SEQUENCE_HEADS
from earmark.errors import ConfigError
from earmark.flows.first_look import require_backbone
from earmark.flows.run_config import FINETUNED, RunConfig, backbone_name
from earmark.flows.settings import layered
from earmark.lookup import did_you_mean, require_name
from earmark.models.huggingface.source import PREFIX
from earmark.models.pretrained.weights import WEIGHTS
from earmark.models.tagging_net import MODELS
from earmark.tagger.home import present

HEAD = "choice"  # on a backbone, where none is named
OF_ONE_MODEL = ("model_options", "head", "branches")  # settings that another model would not understand
# What --ablate switches off: part → its settings and what each is without it. On is what has another value.
PARTS: dict[str, dict[str, Any]] = {
    "roll": {"augment.roll": "false"},
    "audiomentations": {"augment.audiomentations": []},
    "gain": {"augment.gain_db": "0"},
    "warp": {"augment.warp_time": "0", "augment.warp_mel": "0", "augment.warp_shift": "0"},
    "equalise": {"augment.equalise_db": "0"},
    "mask": {"augment.mask_mel": "0", "augment.mask_time": "0"},
    "crop": {"augment.crop": "0"},
    "polarity": {"augment.polarity": "0"},
    "noise": {"augment.noise": "0"},
    "background": {"augment.background": "0"},
    "filter": {"augment.filter": "0"},
    "peaks": {"augment.peaks": "0"},
    "speed": {"augment.speed": "0"},
    "reverb": {"augment.reverb": "0"},
    "overdrive": {"augment.overdrive": "0"},
    "codec": {"augment.codec": "0"},
    "dropouts": {"augment.dropouts": "0"},
    "cutout": {"augment.cutout": "0"},
    "mixup": {"augment.mixup_probability": "0"},
    "bc": {"augment.bc_probability": "0"},
    "crossfade": {"augment.crossfade_probability": "0"},
    "timemix": {"augment.timemix_probability": "0"},
    "freqmix": {"augment.freqmix_probability": "0"},
    "cutmix": {"augment.cutmix_probability": "0"},
    "off_for_last": {"augment.off_for_last": "0"},
    "training padding": {"augment.padding": ""},
    "trimming": {"augment.trim_db": "0"},
    "ema": {"optim.ema_decay": "0"},
    "swa": {"optim.swa_epochs": "0"},
    "smoothing": {"optim.smoothing": "0"},
    "weight decay": {"optim.weight_decay": "0"},
    "gradient clipping": {"optim.clip_gradient": "0"},
    "balance": {"optim.balance": "0"},
    "layer decay": {"optim.layer_decay": "1"},
    "unfreezing": {"optim.unfreeze_epochs": "0"},
    "noisy loss": {"optim.noisy_loss": ""},
    "noisy mask": {"optim.noisy_mask": "0"},
    "branches": {"branches": []},
    "deltas": {"frontend.n_deltas": "0"},
    "frontend noise": {"frontend.noise": "0"},
    "learning frontend": {"frontend.learns": []},
}
ALL_AUGMENTATION = "augmentation"  # the part that is all that changes a sound


@dataclass(frozen=True)
class Planned:
    """A trial before it is run.

    kind: as of `Trial`. settings: all that differ from the defaults, nested, as in a recipe. changes: setting → value,
    what it differs in from the given settings.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    changes: Mapping[str, str] = field(default_factory=dict)


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name as nested ones.

    >>> nested({"optim.epochs": "3", "model": "forest"})
    {'optim': {'epochs': '3'}, 'model': 'forest'}
    """
    found: dict[str, Any] = {}
    for name, value in changes.items():
        for key in reversed(name.split(".")):
            value = {key: value}
        found = layered(found, value)
    return found


def value_of(config: RunConfig, name: str) -> Any:
    """What a setting of a dotted name is."""
    found: Any = config
    for key in name.split("."):
        found = getattr(found, key)
    return found


def of_models(given: Mapping[str, Any], names: Sequence[str]) -> list[Planned]:
    """A trial for each model: a name in MODELS or BASELINES, a backbone, or BACKBONE+HEAD; classifiers first.

    Args:
        given: the settings all share; options of the model that they name go to no other.

    Raises:
        ConfigError: there is no such model or head, or two trials would have one name.
        TaggerFileError: a backbone is not on this machine.
    """
    found = {}
    for name in dict.fromkeys(names):
        title, chosen = model_settings(name)
        if title in found:
            raise ConfigError(f"--models: two trials would be called {title}. Rename a file, or leave one out.")
        below = given
        if chosen["model"] != given.get("model", RunConfig.model):
            below = {key: value for key, value in given.items() if key not in OF_ONE_MODEL}
        found[title] = Planned(title, "model", layered(below, chosen), {"model": title})
    return sorted(found.values(), key=lambda each: each.settings["model"] not in BASELINES)


def model_settings(name: str) -> tuple[str, dict[str, Any]]:
    """What the trial of a model is called, and the settings that make it; raises as `of_models`."""
    if name in MODELS or (name in BASELINES and name not in SEQUENCE_HEADS):
        return name, {"model": name, "backbone": {"on": ""}}
    on, _, head = (name, "", "") if Path(name).exists() else name.partition("+")
    known = [*present(), *WEIGHTS]
    if not Path(on).exists() and on not in known and not on.startswith(PREFIX):
        raise ConfigError(
            f"'{name}' is not a model{did_you_mean(name, [*BASELINES, *MODELS, *known])}. Give a network, a "
            "classifier, a pretrained network (`earmark models` lists them) or one with a head, such as mn04_as+svm."
        )
    head = head or HEAD
    require_backbone(on, finetuned=head == FINETUNED)
    require_name({**BASELINES, FINETUNED: ""}, head, "head")
    if Path(on).exists():
        on = str(Path(on).resolve())  # which holds wherever the sweep goes on
    return f"{backbone_name(on)}+{head}", {"model": head, "backbone": {"on": on}}


def parse_varied(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Setting → values, of "key=value,value": text, or lists of text where they stand in brackets.

    Raises:
        ConfigError: there is no value, or a setting is given twice.

    >>> parse_varied(["frontend.n_mels=64,128", "augment.snr_db=[5, 20],[0, 10]"])
    {'frontend.n_mels': ['64', '128'], 'augment.snr_db': [['5', '20'], ['0', '10']]}
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        for part in text.split(" ") if "[" not in text else [text]:
            if not part:
                continue
            key, _, listed = part.partition("=")
            values = _listed(listed)
            if not key or not values:
                raise ConfigError(f"--vary {part}: expected key=value,value such as --vary frontend.n_mels=64,128.")
            if key == "seed" or key.startswith("data."):
                raise ConfigError(f"--vary {key}: all trials share their clips, folds and seeds. --seeds 5 takes more.")
            if key in found:
                raise ConfigError(f"--vary {key}: is given twice. Give all its values in one list.")
            found[key] = values
    return found


def _listed(text: str) -> list[Any]:
    """The values between commas; none where they cannot be read."""
    try:
        values = yaml.load(f"[{text}]", Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return []
    return values if all(isinstance(value, str | list) for value in values) else []


def varied(base: Planned, varying: Mapping[str, Sequence[Any]]) -> list[Planned]:
    """A trial for each value of each setting, all else as in the base."""
    return [
        _changed(base, f"{key}={_worded(value)}", "varied", {key: value})
        for key, values in varying.items()
        for value in values
    ]


def ablated(base: Planned, config: RunConfig) -> list[Planned]:
    """A trial without each part that is on in the base's settings; without all augmentation where there are several.

    Raises:
        ConfigError: nothing is on that can be switched off.
    """
    if config.model in BASELINES:
        raise ConfigError(f"--ablate: {config.model} has no part to switch off. Give a network with --models.")
    on = [name for name, off in PARTS.items() if any(is_on(value_of(config, key), value) for key, value in off.items())]
    if config.model == FINETUNED:  # which hears through its network's own front end
        on = [name for name in on if not any(key.startswith("frontend.") for key in PARTS[name])]
    if not on:
        raise ConfigError("--ablate: no part is on that could be switched off. Switch some on with --set.")
    found = [_changed(base, f"without {name}", "ablated", PARTS[name]) for name in on]
    sounds = [name for name in on if all(key.startswith("augment.") for key in PARTS[name])]
    if len(sounds) > 1:
        changes = {key: value for name in sounds for key, value in PARTS[name].items()}
        found.append(_changed(base, f"without {ALL_AUGMENTATION}", "ablated", changes))
    return found


def is_on(value: Any, off: Any) -> bool:
    """Whether a setting's value differs from what it is when it is off.

    >>> is_on(0.15, "0"), is_on(1.0, "1"), is_on("", ""), is_on(("mel",), [])
    (True, False, False, True)
    """
    return bool(value) if isinstance(value, bool | str | tuple) else value != float(off)


def _changed(base: Planned, name: str, kind: str, changes: Mapping[str, Any]) -> Planned:
    return Planned(
        name,
        kind,
        layered(base.settings, nested(changes)),
        {key: _worded(value) for key, value in changes.items()},
    )


def _worded(value: Any) -> str:
    """A value as it is written behind --set."""
    return f"[{', '.join(value)}]" if isinstance(value, list) else value
