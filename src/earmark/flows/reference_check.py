"""The story of `earmark models check`: a tagger of the home folder held against what the original code gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from earmark.audio.cache import content_hash
from earmark.audio.probe import is_sound
from earmark.errors import ConfigError, TaggerFileError
from earmark.fetch.checksum import digest
from earmark.lookup import did_you_mean
from earmark.run import write_json
from earmark.tagger import load_tagger
from earmark.tagger.home import converted, find_tagger, present
from earmark.tagger.tagger import Tagger

TOLERANCE = 1e-3  # of scores, and of embeddings by their largest number
ARRAYS = "SOUND/waveform and SOUND/logits, SOUND/scores or SOUND/embedding"
# What the arrays of a reference may be called: the first that a name begins with holds.
WAVEFORM, LOGITS, SCORES, EMBEDDING = ("wave",), ("logits",), ("scores",), ("embedding", "features")


@dataclass(frozen=True)
class Check:
    """That a tagger gave what a reference holds.

    when: the day. reference, sha256: the reference's file. tagger: what the tagger's file holds (`content_hash`).
    n_windows: compared. n_passed_over: of another length than the tagger's window.
    scores, embedding: largest difference (of embeddings by their largest number); None where there was nothing to hold
    against.
    """

    when: str
    reference: str
    sha256: str
    tagger: str
    n_windows: int
    n_passed_over: int
    scores: float | None
    embedding: float | None


@dataclass(frozen=True)
class Expected:
    """One sound of a reference: waveform (samples,), scores (classes,), embedding (features,) or None."""

    waveform: np.ndarray
    scores: np.ndarray | None
    embedding: np.ndarray | None


def check(name: str, reference: Path) -> Check:
    """Hold a tagger of the home folder against a reference, and write down beside it that it agrees.

    Args:
        name: what the tagger is called.
        reference: .npz file with arrays `SOUND/wave…` (samples,) at the tagger's rate, and `SOUND/logits…` or
            `SOUND/scores…` (classes,) and `SOUND/embedding…` or `SOUND/features…` (features,), as the original code
            gave them. Sounds of another length than the tagger's window are passed over.

    Raises:
        ConfigError: there is no tagger of that name, or the file is no reference for it.
        TaggerFileError: they differ by more than TOLERANCE.
    """
    path = require_here(name)
    tagger = load_tagger(path)
    sounds = _read(reference, tagger.metadata.multi_label)
    fitting = [sound for sound in sounds if len(sound.waveform) == tagger.window_samples]
    if not fitting:
        lengths = sorted({len(sound.waveform) for sound in sounds})
        raise ConfigError(
            f"{reference}: has no sound of {tagger.window_samples} samples, the window of {name} (found {lengths}). "
            "Make another reference."
        )
    scores, embedding = _differences(tagger, fitting, reference)
    apart = np.max([difference for difference in (scores, embedding) if difference is not None])
    if not apart <= TOLERANCE:
        raise TaggerFileError(
            f"{name}: differs from {reference} by {_told(scores)} in scores and {_told(embedding)} in embeddings (at "
            f"most {TOLERANCE:g} is allowed). Either is not what it seems to be; get both again."
        )
    found = Check(
        when=date.today().isoformat(),
        reference=reference.name,
        sha256=digest(reference, "sha256"),
        tagger=content_hash(path),
        n_windows=len(fitting),
        n_passed_over=len(sounds) - len(fitting),
        scores=scores,
        embedding=embedding,
    )
    write_json(_record(name), asdict(found))
    return found


def require_here(name: str) -> Path:
    """The file of a tagger of the home folder.

    Raises:
        ConfigError: there is no tagger of that name there.
        TaggerFileError: it is a published one that is not here yet, or nothing at all.
    """
    path = find_tagger(name)
    if path != converted(name):
        raise ConfigError(f"{name}: is not a tagger of the home folder{did_you_mean(name, present())}. Give its name.")
    return path


def checked(name: str) -> Check | None:
    """What was written down of a tagger of the home folder, if it is still the same file."""
    try:
        found = Check(**json.loads(_record(name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if converted(name).is_file() and content_hash(converted(name)) == found.tagger else None


def _record(name: str) -> Path:
    return converted(name).with_name(f"{name}.check.json")


def _told(difference: float | None) -> str:
    return "nothing" if difference is None else f"{difference:.2g}"


def _read(path: Path, multi_label: bool) -> list[Expected]:
    """The sounds of a reference.

    Raises:
        ConfigError: it is no .npz file, or has no sounds with something to hold a tagger against.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file. Check the path.")
    if not is_zipfile(path):  # which every .npz is
        what = "is a sound, and no reference" if is_sound(path) else "is no .npz file"
        raise ConfigError(
            f"{path}: {what}. A reference holds what the original code gave for some sounds: arrays {ARRAYS}, written "
            "by numpy.savez."
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as a reference ({error}). Write it again.") from error
    sounds: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        sound, _, part = key.rpartition("/")
        sounds.setdefault(sound, {})[part] = array
    found = []
    for parts in sounds.values():
        waveform, logits, scores, embedding = (_part(parts, names) for names in (WAVEFORM, LOGITS, SCORES, EMBEDDING))
        if logits is not None:
            powers = np.exp(logits.astype(np.float64) - logits.max())
            scores = 0.5 + 0.5 * np.tanh(logits / 2) if multi_label else powers / powers.sum()
        if waveform is not None and (scores is not None or embedding is not None):
            found.append(Expected(waveform, scores, embedding))
    if not found:
        raise ConfigError(
            f"{path}: has no sounds (arrays {', '.join(list(arrays)[:5])}). A reference has {ARRAYS}."
        )
    return found


def _part(parts: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((array.ravel() for part, array in sorted(parts.items()) if part.startswith(names)), None)


def _differences(tagger: Tagger, sounds: list[Expected], reference: Path) -> tuple[float | None, float | None]:
    """The largest of scores and of embeddings; None where the reference has none or the tagger names no classes.

    Raises:
        ConfigError: they have other numbers of classes or features, or nothing in common.
    """
    heard = tagger.backend.run(np.stack([sound.waveform for sound in sounds]).astype(np.float32))
    of_scores, of_embeddings = [], []
    for sound, row, vector in zip(sounds, *heard, strict=True):
        pairs = [(sound.scores, row, of_scores)] if tagger.labels else []
        for expected, found, differences in [*pairs, (sound.embedding, vector, of_embeddings)]:
            if expected is None:
                continue
            if expected.shape != found.shape:
                raise ConfigError(
                    f"{reference}: has {len(expected)} numbers where {tagger.metadata.name} gives {len(found)}. "
                    "Is it the reference of another network?"
                )
            scale = 1.0 if differences is of_scores else max(1.0, float(np.abs(expected).max()))
            differences.append(float(np.abs(found - expected).max()) / scale)
    if not of_scores and not of_embeddings:
        raise ConfigError(f"{reference}: holds scores, and {tagger.metadata.name} only embeds. Add SOUND/embedding.")
    # Not Python's max, which passes over what is not a number.
    scores, embedding = (float(np.max(found)) if found else None for found in (of_scores, of_embeddings))
    return scores, embedding
