"""What `hf:` names: a model of the Hugging Face Hub, or a folder of this machine in the same form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from earmark.errors import ConfigError, FetchError, MissingExtraError
from earmark.lookup import did_you_mean

PREFIX = "hf:"
# model_type of a config.json → the class of transformers that gives its last layer.
FAMILIES = {
    "wav2vec2": "Wav2Vec2Model",
    "hubert": "HubertModel",
    "wavlm": "WavLMModel",
    "audio-spectrogram-transformer": "ASTModel",
}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
CONFIG = "config.json"
HEARING = ("preprocessor_config.json", "processor_config.json")  # newer versions nest the first in the second
ABOUT = (CONFIG, *HEARING, "README.md")
SAFETENSORS = ("model*.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")  # older ones; read with weights_only
FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)^---", re.DOTALL | re.MULTILINE)  # YAML before the text of a README
LICENCE = re.compile(r"^license:\s*['\"]?([^\s#'\"]+)", re.MULTILINE)


@dataclass(frozen=True)
class HubModel:
    """What the files of a model tell, without its weights.

    source: as it was asked for, the path of a folder made absolute. folder: where its files are.
    family: one of FAMILIES. hearing: settings of its feature extractor.
    licence: "" = unsaid. revision: commit on the hub; "" = a folder of this machine.
    """

    source: str
    folder: Path
    family: str
    hearing: Mapping[str, Any]
    licence: str
    revision: str

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.hearing["sampling_rate"]


def transformers() -> ModuleType:
    """The package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import transformers as package
    except ModuleNotFoundError as error:
        raise MissingExtraError("transformers", "use hf: models", "hf") from error
    return package


def describe(source: str, *, download: bool = False) -> HubModel:
    """What stands behind `hf:ID` or `hf:FOLDER`.

    Args:
        download: get what of it is not on this machine.

    Raises:
        ConfigError: no such folder, no model that can be used, or files that say too little.
        FetchError: the model is not on this machine, and not asked for or not to be had.
    """
    folder = locate(source, download=download)
    family = _read(folder / CONFIG).get("model_type", "nothing")
    if family not in FAMILIES:
        raise ConfigError(
            f"{source}: is a model of the type '{family}', which does not hear a waveform"
            f"{did_you_mean(str(family), FAMILIES)}. Known: {', '.join(FAMILIES)}."
        )
    revision = folder.name if folder.parent.name == "snapshots" else ""
    return HubModel(
        source=source if revision else f"{PREFIX}{folder.resolve()}",
        folder=folder,
        family=family,
        hearing=_hearing(source, folder),
        licence=_licence(folder / "README.md"),
        revision=revision,
    )


def locate(source: str, *, download: bool = False) -> Path:
    """The folder with the files of a model.

    Raises:
        ConfigError: it is a path, and there is no such folder, or no model in it.
        FetchError: it is not on this machine, and not asked for or not to be had.
    """
    name = source.removeprefix(PREFIX)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"{source}: the folder holds no {CONFIG}, so no model of transformers was saved there. Expected "
                f"{CONFIG}, {HEARING[0]} and model.safetensors."
            )
        return folder
    if not HUB_ID.fullmatch(name):
        raise ConfigError(f"{source}: is neither a folder nor the name of a model such as hf:facebook/wav2vec2-base.")
    found = _kept(name)
    if found is not None:
        return found
    by_hand = (
        f"Where there is a network, `hf download {name} --local-dir FOLDER` gets it too: bring FOLDER, "
        f"and pass {PREFIX}FOLDER."
    )
    if not download:
        raise FetchError(
            f"{source}: is not on this machine yet. `earmark models get {source} --name NAME` brings it. {by_hand}"
        )
    return _download(name, by_hand)


def _kept(name: str) -> Path | None:
    """The folder of a model in the hub's own cache, where everything of it is there."""
    hub = huggingface_hub()
    try:
        folder = Path(hub.snapshot_download(name, local_files_only=True, allow_patterns=[CONFIG]))
    except hub.errors.LocalEntryNotFoundError:
        return None
    return folder if (folder / CONFIG).is_file() and _has_weights(folder) else None


def _download(name: str, by_hand: str) -> Path:
    """Bring a model into the hub's own cache: weights that are pickled only where there are no others."""
    hub = huggingface_hub()
    try:
        folder = Path(hub.snapshot_download(name, allow_patterns=[*ABOUT, *SAFETENSORS]))
        if not _has_weights(folder):
            folder = Path(hub.snapshot_download(name, allow_patterns=[*ABOUT, *PICKLED]))
    except (OSError, ValueError) as error:  # what the hub raises are kinds of these
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FetchError(f"{PREFIX}{name}: cannot be downloaded ({reason}). {by_hand}") from error
    if not _has_weights(folder):
        raise FetchError(f"{PREFIX}{name}: holds no weights for torch (model.safetensors). Choose another model.")
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, in order: those in safetensors if there are any, else those that are pickled."""
    return sorted(folder.glob(SAFETENSORS[0])) or sorted(folder.glob(PICKLED[0]))


def _has_weights(folder: Path) -> bool:
    """Whether there are weights, and of those in several files all: a download may have been broken off."""
    needed = {file for index in folder.glob("*.index.json") for file in _read(index).get("weight_map", {}).values()}
    return bool(weight_files(folder)) and all((folder / file).is_file() for file in needed)


def huggingface_hub() -> ModuleType:
    """The package, which comes with transformers.

    Raises:
        MissingExtraError: it is not installed.
    """
    transformers()
    import huggingface_hub as package

    return package


def _hearing(source: str, folder: Path) -> Mapping[str, Any]:
    """The settings of the feature extractor: how the model heard what it learnt from."""
    for name in HEARING:
        if (folder / name).is_file():
            told = _read(folder / name)
            told = told.get("feature_extractor", told)
            if isinstance(told.get("sampling_rate"), int):
                return told
    raise ConfigError(
        f"{source}: nothing tells at which rate it hears (no sampling_rate in {HEARING[0]}). Copy that file from "
        f"where the model comes from into {folder}."
    )


def _licence(readme: Path) -> str:
    """What the head of a README says; "" = nothing."""
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    head = FRONT_MATTER.match(text)
    told = LICENCE.search(head[1]) if head else None
    return told[1] if told else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}). Copy the model again.") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds a list or a value, expected settings. Copy the model again.")
    return document
