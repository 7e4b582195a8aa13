"""A labelled sound set made from physics: for a first look at Earmark, for tutorials and for tests.

Clips are grouped by scene: one room and microphone, one background noise, and a few sources that occur in no
other scene. A clip holds none to three of its scene's sounds, each at its own time and distance.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from earmark import audio
from earmark.data.acoustics import convolve, drift, filter_fixed, filtered_noise, high_pass, low_pass
from earmark.data.sources import SOUNDS
from earmark.data.synthesis import Source
from earmark.errors import ConfigError
from earmark.lookup import did_you_mean
from earmark.run import to_json, write_atomically, write_text

LABELS_FILE = "labels.csv"
SETTINGS_FILE = "synthetic.json"
AUDIO_FOLDER = "audio"
RECIPE = 1  # raise when the same settings would give other sounds

SOURCES_PER_SCENE = 4
N_EVENTS_SHARES = (0.04, 0.60, 0.26, 0.10)  # of clips with 0, 1, 2, 3 labels
SNR_DB = (6.0, 28.0)  # an event's loudest tenth of a second above the background
PEAK_DB = (-20.0, -1.0)


class Event(NamedTuple):
    """A sound heard in a recording, in seconds from its beginning."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Scene:
    """What the clips of one group have in common.

    sources: label → the parameters of the one bell, engine or speaker heard here.
    response: impulse response of the room (samples,).
    microphone: its low and high cutoff in Hz and the tilt between them, a power of frequency.
    noise_slope: the background falls by 3·slope dB per octave (0 white, 1 pink, 2 brown).
    hum_hz: mains hum in the background. hum: its level against the noise.
    """

    sources: dict[str, Source]
    response: np.ndarray
    microphone: tuple[float, float, float]
    noise_slope: float
    hum_hz: float
    hum: float


def draw_scene(generator: Generator, labels: Sequence[str], sample_rate: int) -> Scene:
    """A room with one source of each label.

    >>> scene = draw_scene(np.random.default_rng(0), ["kick", "rain"], 16000)
    >>> sorted(scene.sources), scene.response.ndim
    (['kick', 'rain'], 1)
    """
    reverberation = float(np.exp(generator.uniform(np.log(0.08), np.log(0.7))))
    t = np.arange(round(reverberation * sample_rate)) / sample_rate
    # Sound energy falls by 60 dB within the reverberation time.
    tail = generator.standard_normal(len(t)) * 10 ** (-3 * t / reverberation)
    response = generator.uniform(0.1, 0.6) * tail / np.linalg.norm(tail)
    response[0] = 1.0
    return Scene(
        sources={label: SOUNDS[label].draw_source(generator) for label in labels},
        response=response,
        microphone=(generator.uniform(30, 90), generator.uniform(4500, 9000), generator.uniform(-0.25, 0.25)),
        noise_slope=generator.uniform(0.0, 2.0),
        hum_hz=float(generator.choice([50.0, 60.0])),
        hum=max(0.0, generator.uniform(-0.5, 0.5)),
    )


def record(
    generator: Generator,
    scene: Scene,
    events: Sequence[Event],
    seconds: float,
    sample_rate: int,
    snr_db: tuple[float, float] = SNR_DB,
) -> np.ndarray:
    """Play the events in the scene, over its background.

    Args:
        snr_db: each event's loudest tenth of a second against the background, drawn evenly from this range.

    Returns:
        float32 (samples,), its peak at −20 to −1 dB of full scale.
    """
    n_samples = round(seconds * sample_rate)
    mix = _background(generator, scene, n_samples, sample_rate)
    level = float(np.std(mix))
    dry = np.zeros(n_samples)
    for event in events:
        sound = SOUNDS[event.label].play(
            generator, event.end - event.start, sample_rate, scene.sources[event.label]
        )
        first = round(event.start * sample_rate)
        gain = level * 10 ** (generator.uniform(*snr_db) / 20) / _loudness(sound, sample_rate)
        sound = sound[: n_samples - first]
        dry[first : first + len(sound)] += gain * sound
    mix = filter_fixed(mix + convolve(dry, scene.response), sample_rate, _microphone_gain(scene))
    peak = 10 ** (generator.uniform(*PEAK_DB) / 20)
    return (peak * mix / np.abs(mix).max()).astype(np.float32)


def make_dataset(
    folder: str | Path,
    *,
    n_clips: int = 480,
    seconds: float = 3.0,
    sample_rate: int = 16000,
    seed: int = 0,
    takes: int = 8,
    wrong_labels: float = 0.0,
    classes: Sequence[str] | None = None,
) -> Path:
    """Make a multi-label sound set, or finish one that was begun with the same settings.

    Args:
        folder: gets audio/*.wav and labels.csv (filename, labels joined by ";", group; with wrong labels also
            true_labels).
        takes: clips per scene; a scene is a group.
        wrong_labels: share of clips whose label is wrong: one that is heard is taken for one that is not.
        classes: names from SOUNDS; all of them if None.

    Returns:
        The path of labels.csv, which `read_manifest` reads.

    Raises:
        ConfigError: a setting makes no sense, or the folder holds something else.
    """
    folder = Path(folder)
    names = _check_settings(n_clips, seconds, sample_rate, takes, wrong_labels, classes)
    settings = {
        "recipe": RECIPE,
        "n_clips": n_clips,
        "seconds": seconds,
        "sample_rate": sample_rate,
        "seed": seed,
        "takes": takes,
        "wrong_labels": wrong_labels,
        "classes": names,
    }
    _claim(folder, to_json(settings, indent=2) + "\n")
    rows = []
    for scene, cast in enumerate(_casts(names, -(-n_clips // takes), seed)):
        n_takes = min(takes, n_clips - scene * takes)
        rows += _record_scene(folder / AUDIO_FOLDER, scene, cast, n_takes, seconds, sample_rate, seed)
    table = folder / LABELS_FILE
    _write_table(table, rows, _mistake(rows, names, wrong_labels, seed) if wrong_labels else None)
    return table


def make_recording(
    path: str | Path,
    seconds: float = 60.0,
    *,
    sample_rate: int = 16000,
    seed: int = 1,
    classes: Sequence[str] | None = None,
) -> list[Event]:
    """Write one longer recording in which sounds follow one another, from sources of its own.

    Returns:
        What is heard when, in order of time.

    Raises:
        ConfigError: a setting makes no sense.
    """
    names = _check_settings(1, seconds, sample_rate, 1, 0.0, classes)
    generator = np.random.default_rng([seed, 3])
    scene = draw_scene(generator, names, sample_rate)
    events: list[Event] = []
    now = generator.uniform(0.3, 1.0)
    order: list[str] = []
    while True:
        order = order or [str(name) for name in generator.permutation(names)]
        label = order.pop()
        length = generator.uniform(*SOUNDS[label].seconds)
        if now + length > seconds:
            break
        events.append(Event(now, now + length, label))
        now += length + generator.uniform(0.3, 1.5)
    audio.write(
        path, record(generator, scene, events, seconds, sample_rate, snr_db=(12.0, 28.0)), sample_rate
    )
    return events


def _check_settings(
    n_clips: int,
    seconds: float,
    sample_rate: int,
    takes: int,
    wrong_labels: float,
    classes: Sequence[str] | None,
) -> list[str]:
    """The class names, once every setting makes sense."""
    names = sorted(SOUNDS if classes is None else set(classes))
    for name in names:
        if name not in SOUNDS:
            raise ConfigError(
                f"'{name}' is not a synthetic sound{did_you_mean(name, SOUNDS)}. Known: {', '.join(SOUNDS)}."
            )
    for what, value, low, high in (
        ("n_clips", n_clips, 1, np.inf),
        ("seconds", seconds, 0.5, np.inf),
        ("sample_rate", sample_rate, 8000, np.inf),
        ("takes", takes, 1, np.inf),
        ("wrong_labels", wrong_labels, 0, 1),
        ("number of classes", len(names), 2 if wrong_labels else 1, np.inf),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{what} is {value} (expected {low} to {high:g}). Choose another value.")
    return names


def _claim(folder: Path, settings: str) -> None:
    """Take an empty folder for these settings, or one that was taken for the same."""
    stamp = folder / SETTINGS_FILE
    if stamp.is_file():
        if stamp.read_text(encoding="utf-8") != settings:
            raise ConfigError(
                f"{folder}: holds a synthetic set made with other settings ({stamp}). "
                "Choose another folder, or delete this one."
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty and holds no synthetic set. Choose a new folder.")
    else:
        write_text(stamp, settings)


def _casts(names: Sequence[str], n_scenes: int, seed: int) -> list[list[str]]:
    """The labels of each scene, every class in about as many scenes as any other."""
    return _deal(np.random.default_rng([seed, 0]), names, [SOURCES_PER_SCENE] * n_scenes)


def _deal(generator: Generator, names: Sequence[str], sizes: Sequence[int]) -> list[list[str]]:
    """Hands of distinct names, always of those dealt least so far, ties broken by chance."""
    counts = np.zeros(len(names))
    hands = []
    for size in sizes:
        chosen = np.lexsort((generator.random(len(names)), counts))[:size]
        counts[chosen] += 1
        hands.append([names[k] for k in sorted(chosen)])
    return hands


def _record_scene(
    folder: Path, scene: int, cast: Sequence[str], n_takes: int, seconds: float, sample_rate: int, seed: int
) -> list[tuple[str, list[str], str]]:
    """Write the takes of one scene that are not there yet: (file name, labels, group) of each."""
    generator = np.random.default_rng([seed, 1, scene])
    place = draw_scene(generator, cast, sample_rate)
    sizes = generator.choice(len(N_EVENTS_SHARES), n_takes, p=N_EVENTS_SHARES)
    group = f"scene_{scene:03d}"
    rows = []
    for take, labels in enumerate(_deal(generator, cast, sizes.tolist())):
        path = folder / f"{group}_take_{take:02d}.wav"
        if not path.exists():
            # A generator of its own, so that a take does not depend on which others were there.
            fresh = np.random.default_rng([seed, 2, scene, take])
            events = [_place(fresh, label, seconds) for label in labels]
            audio.write(path, record(fresh, place, events, seconds, sample_rate), sample_rate)
        rows.append((f"{AUDIO_FOLDER}/{path.name}", labels, group))
    return rows


def _place(generator: Generator, label: str, seconds: float) -> Event:
    """One performance at a random time, whole within the clip."""
    length = min(generator.uniform(*SOUNDS[label].seconds), 0.9 * seconds)
    start = generator.uniform(0, seconds - length)
    return Event(start, start + length, label)


def _microphone_gain(scene: Scene) -> Callable[[np.ndarray], np.ndarray]:
    """What the scene's microphone does to each frequency."""
    low_hz, high_hz, tilt = scene.microphone
    return lambda f: high_pass(f, low_hz, 1) * low_pass(f, high_hz, 2) * np.maximum(f / 1000, 0.05) ** tilt


def _background(generator: Generator, scene: Scene, n_samples: int, sample_rate: int) -> np.ndarray:
    """Coloured noise that swells a little, and hum."""
    noise = filtered_noise(
        generator, n_samples, sample_rate, lambda hertz: np.maximum(hertz, 40) ** (-scene.noise_slope / 2)
    )
    t = np.arange(n_samples) / sample_rate
    hum = sum(np.sin(2 * np.pi * scene.hum_hz * k * t) / k for k in (1, 2, 3))
    return noise * np.exp(0.2 * drift(generator, n_samples, sample_rate, 0.7)) + scene.hum * hum


def _loudness(sound: np.ndarray, sample_rate: int) -> float:
    """Root mean square of the loudest tenth of a second."""
    block = sample_rate // 10
    padded = np.pad(sound, (0, -len(sound) % block)).reshape(-1, block)
    return float(np.sqrt(np.square(padded).mean(axis=1).max()))


def _mistake(
    rows: Sequence[tuple[str, list[str], str]], names: Sequence[str], share: float, seed: int
) -> list[list[str]]:
    """The labels of each row, a `share` of rows wrong: one label taken for another, or heard in nothing."""
    generator = np.random.default_rng([seed, 4])
    written = [list(labels) for _, labels, _ in rows]
    for row in generator.permutation(len(rows))[: round(share * len(rows))]:
        labels = written[row]
        absent = [name for name in names if name not in labels]
        if labels:
            labels.remove(str(generator.choice(labels)))
        if absent:
            labels.append(str(generator.choice(absent)))
        labels.sort()
    return written


def _write_table(
    path: Path, rows: Sequence[tuple[str, list[str], str]], written: Sequence[Sequence[str]] | None
) -> None:
    """labels.csv; with `written` labels, the true ones stand in a column of their own."""
    shown = [labels for _, labels, _ in rows] if written is None else written
    # Where no cell holds two labels, a separator at the end says that an empty cell means silence.
    close = "" if any(len(labels) > 1 for labels in shown) else ";"
    with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["filename", "labels", "group", *([] if written is None else ["true_labels"])])
        for (name, labels, group), seen in zip(rows, shown, strict=True):
            truth = [] if written is None else [";".join(labels)]
            table.writerow([name, ";".join(seen) + close, group, *truth])
