"""Sounds for `noisy_tagging.py`: a few clips with labels to trust, four times as many with doubtful ones, and a test.

A stand-in for FSDKaggle2019, made from ESC-50. A clip holds one to three sounds. Clips are made within small pools of
source recordings; no recording is in two pools, a pool is a group, and each part (curated, noisy, test) has pools of
its own. Labels of the noisy part are dropped, swapped and added, and it was recorded otherwise: in rooms, over
sounds of no class, through filters, overdriven inputs and codecs, at other levels. What is true is written beside.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator

from earmark import audio
from earmark.augment.damage import Codec, Overdrive
from earmark.augment.filters import Filter
from earmark.augment.noise import Background
from earmark.augment.room import Reverb
from earmark.augment.waveform import Sometimes
from earmark.data.acoustics import filtered_noise
from earmark.run import to_json, write_atomically, write_json

RATE = 16_000
DUPLICATES = Path(__file__).parent / "results" / "duplicates.json"
PARTS = ("curated", "test", "noisy")  # the noisy part gets what the others leave
SOURCES_A_POOL = 4
N_SOUNDS_SHARES = (0.45, 0.35, 0.2)  # of clips with 1, 2, 3 sounds
BLOCK = RATE // 50  # 20 ms: the piece whose level counts
SOUNDING_DB = 40.0  # a sound begins and ends this far below its loudest 20 ms
EVENT_SHARES = (0.2, 0.8)  # of a clip's length
EVENT_DB = (-12.0, 0.0)  # of the loudest 20 ms of a clip's sounds among one another
FLOOR_DB = (-60.0, -40.0)  # pink noise of the recorder, below full scale
PEAK_DB = {"curated": (-12.0, -1.0), "test": (-12.0, -1.0), "noisy": (-30.0, 0.0)}
N_FOLDS = 4  # of the curated part, for ensembles


@dataclass(frozen=True)
class Plan:
    """What is made.

    clips, pools: of each part. seconds: of a clip.
    dropped, swapped: share of a noisy clip's labels that are left out, or are another class. added: share of noisy
    clips with a label too many.
    """

    seed: int = 0
    n_classes: int = 20
    seconds: float = 3.0
    clips: dict[str, int] = field(default_factory=lambda: {"curated": 480, "test": 480, "noisy": 1920})
    pools: dict[str, int] = field(default_factory=lambda: {"curated": 40, "test": 48, "noisy": 80})
    dropped: float = 0.15
    swapped: float = 0.25
    added: float = 0.15


LARGE = Plan(
    n_classes=50,
    seconds=5.0,
    clips={"curated": 1200, "test": 960, "noisy": 4800},
    pools={"curated": 100, "test": 96, "noisy": 160},
)


@dataclass(frozen=True)
class Source:
    """A recording: its class and the files cut from it."""

    name: str
    label: str
    files: tuple[str, ...]


def known_copies() -> dict[str, str]:
    """Names of recordings of ESC-50 that are the same recording under another name, as `duplicates.py` has found them,
    by the other name."""
    found = json.loads(DUPLICATES.read_text(encoding="utf-8"))["real"]["esc50"]
    pairs = [each[:2] for each in found["exhaustive_strong"]] + [each["clips"] for each in found["found"]]
    same: dict[str, str] = {}
    for pair in sorted(pairs):
        first, second = (name.split("-")[1] for name in pair)
        first, second = same.get(first, first), same.get(second, second)
        same |= dict.fromkeys((second, *(other for other in same if same[other] == second)), first)
    return same


def read_sources(table: Path, n_classes: int) -> tuple[list[Source], list[Source]]:
    """Recordings of the classes that have most of them, and those of the other classes.

    A recording cut into clips of two classes is one of the first class only.
    """
    found: dict[str, Source] = {}
    same = known_copies()
    with open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = same.get(row["src_file"], row["src_file"])
            known = found.setdefault(name, Source(name, row["category"], ()))
            if known.label == row["category"]:
                found[name] = Source(name, known.label, (*known.files, row["filename"]))
    labels = [source.label for source in found.values()]
    chosen = sorted(set(labels), key=lambda label: (-labels.count(label), label))[:n_classes]
    inside = [source for source in found.values() if source.label in chosen]
    return inside, [source for source in found.values() if source.label not in chosen]


def deal_pools(sources: Sequence[Source], pools: dict[str, int], seed: int) -> dict[str, list[list[Source]]]:
    """Pools of sources of distinct classes for each part; every source is in one pool at most.

    The classes of curated and test pools are as even as can be; noisy pools take first what is left most of.
    """
    generator = np.random.default_rng([seed, 0])
    labels = sorted({source.label for source in sources})
    left = {label: [source for source in sources if source.label == label] for label in labels}
    for each in left.values():
        generator.shuffle(each)
    dealt: dict[str, list[list[Source]]] = {}
    for part in PARTS:
        counts = dict.fromkeys(labels, 0)
        dealt[part] = []
        for _ in range(pools[part]):
            chances = dict(zip(labels, generator.random(len(labels)), strict=True))
            order = [label for label in sorted(labels, key=chances.__getitem__) if left[label]]
            if part == "noisy":
                order.sort(key=lambda label: -len(left[label]))
            else:
                order.sort(key=counts.__getitem__)
            chosen = order[:SOURCES_A_POOL]
            if len(chosen) < SOURCES_A_POOL:
                raise SystemExit(f"{len(sources)} sources do not fill {sum(pools.values())} pools. Plan fewer.")
            for label in chosen:
                counts[label] += 1
            dealt[part].append([left[label].pop() for label in chosen])
    return dealt


def sounding(waveform: np.ndarray) -> tuple[int, int, int]:
    """First and last sample of what sounds, and where it is loudest."""
    blocks = np.square(waveform[: len(waveform) // BLOCK * BLOCK]).reshape(-1, BLOCK).mean(axis=1)
    loud = np.flatnonzero(blocks > blocks.max() * 10 ** (-SOUNDING_DB / 10))
    return loud[0] * BLOCK, (loud[-1] + 1) * BLOCK, int(blocks.argmax()) * BLOCK


def cut_event(generator: Generator, waveform: np.ndarray, seconds: tuple[float, float]) -> np.ndarray:
    """A stretch of a recording that holds its loudest 20 ms, which have a level of 1; faded at both ends."""
    first, last, loudest = sounding(waveform)
    length = min(round(generator.uniform(*seconds) * RATE), last - first)
    earliest, latest = max(first, loudest + BLOCK - length), min(loudest, last - length)
    start = int(generator.integers(earliest, latest + 1))
    event = waveform[start : start + length].astype(np.float64)
    fade = np.minimum(1, np.arange(length) / BLOCK)
    return event * fade * fade[::-1] / np.sqrt(np.square(waveform[loudest : loudest + BLOCK]).mean())


def mix(generator: Generator, recordings: Sequence[np.ndarray], seconds: float) -> np.ndarray:
    """One event of each recording, at times and levels of their own, over a faint floor; its peak is about 1."""
    n_samples = round(seconds * RATE)
    clip = np.zeros(n_samples)
    for recording in recordings:
        event = cut_event(generator, recording, tuple(share * seconds for share in EVENT_SHARES))
        start = int(generator.integers(0, n_samples - len(event) + 1))
        clip[start : start + len(event)] += event * 10 ** (generator.uniform(*EVENT_DB) / 20)
    clip /= np.abs(clip).max()
    floor = filtered_noise(generator, n_samples, RATE, lambda hertz: np.maximum(hertz, 40) ** -0.5)
    return clip + floor * 10 ** (generator.uniform(*FLOOR_DB) / 20)


def recorded_otherwise(clips: np.ndarray, background: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Clips (clips, samples) as other people's equipment hears them, over `background` (samples,)."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    behind = torch.from_numpy(np.resize(background, clips.shape[1]).astype(np.float32))[None]
    waveform = torch.from_numpy(clips.astype(np.float32))
    for step in (
        Sometimes(Reverb(RATE, (0.2, 1.0), (0.2, 0.6)), 0.5),
        Sometimes(Background(behind, (3.0, 20.0)), 0.6),
        Sometimes(Filter(RATE), 0.5),
        Sometimes(Overdrive((0.0, 15.0)), 0.2),
        Sometimes(Codec(RATE), 0.4),
    ):
        waveform = step(waveform, generator)
    return waveform.numpy()


def doubtful(generator: Generator, labels: Sequence[str], names: Sequence[str], plan: Plan) -> list[str]:
    """The labels that a noisy clip is given: some left out, some another class, one too many; never none."""
    given = []
    absent = [name for name in names if name not in labels]
    generator.shuffle(absent)
    for label in labels:
        fate = generator.random()
        if fate < plan.dropped:
            continue
        given.append(absent.pop() if fate < plan.dropped + plan.swapped else label)
    if not given or generator.random() < plan.added:
        given.append(absent.pop())
    return sorted(given)


def make(folder: Path, data: Path, plan: Plan) -> dict:
    """Write audio/, labels.csv and folds.csv, or finish what was begun; the facts of what was made, read if it is done.

    Args:
        data: the folder of ESC-50.
    """
    facts = folder / "facts.json"
    if facts.is_file():
        known = json.loads(facts.read_text(encoding="utf-8"))
        if known["plan"] != json.loads(to_json(asdict(plan))):
            raise SystemExit(f"{folder}: holds sounds of another plan. Choose another --work, or delete it.")
        return known
    sources, others = read_sources(data / "esc50.csv", plan.n_classes)
    names = sorted({source.label for source in sources})
    rows = []
    dealt = deal_pools(sources, plan.pools, plan.seed)
    backgrounds = np.random.default_rng([plan.seed, 1]).permutation(len(others or sources))
    for part in PARTS:
        for number, pool in enumerate(dealt[part]):
            fold = number % N_FOLDS if part == "curated" else -1
            n_clips = plan.clips[part] // plan.pools[part]
            behind = others[backgrounds[number % len(others)]] if part == "noisy" and others else None
            for name, true, given in make_pool(folder, data, part, number, pool, n_clips, behind, names, plan):
                rows.append((name, part, f"{part}_{number:03d}", fold, true, given))
    write_tables(folder, rows)
    document = {"plan": asdict(plan), "n_sources": sum(len(p) for each in dealt.values() for p in each)}
    doubted = [(true, given) for _, part, *_, true, given in rows if part == "noisy"]
    document |= {"classes": names, **label_noise(doubted)}
    write_json(facts, document)
    return document


def make_pool(
    folder: Path,
    data: Path,
    part: str,
    number: int,
    pool: Sequence[Source],
    n_clips: int,
    behind: Source | None,
    names: Sequence[str],
    plan: Plan,
) -> list[tuple[str, list[str], list[str]]]:
    """Write a pool's clips: file, true and given labels of each. Drawn by pool, none of which depends on the others."""
    generator = np.random.default_rng([plan.seed, 2, PARTS.index(part), number])
    sounds = {source: [audio.load(data / "audio" / name, RATE) for name in source.files] for source in pool}
    clips, rows = [], []
    for clip in range(n_clips):
        size = 1 + int(generator.choice(len(N_SOUNDS_SHARES), p=N_SOUNDS_SHARES))
        # The first source of each clip in turn, so that all are heard about as often.
        others = [source for source in pool if source != pool[clip % len(pool)]]
        heard = [pool[clip % len(pool)], *(others[each] for each in generator.permutation(len(others))[: size - 1])]
        chosen = [sounds[source][generator.integers(len(sounds[source]))] for source in heard]
        clips.append(mix(generator, chosen, plan.seconds))
        true = sorted(source.label for source in heard)
        given = doubtful(generator, true, names, plan) if part == "noisy" else true
        rows.append((f"audio/{part}_{number:03d}_{clip:02d}.wav", true, given))
    waveforms = np.stack(clips)
    if part == "noisy":
        background = audio.load(data / "audio" / behind.files[0], RATE) if behind else waveforms.ravel()[::-1]
        waveforms = recorded_otherwise(waveforms, background, [plan.seed, 3, number])
    peaks = 10 ** (generator.uniform(*PEAK_DB[part], len(waveforms)) / 20)
    waveforms = waveforms * (peaks / np.abs(waveforms).max(axis=1))[:, None]
    for (name, *_), waveform in zip(rows, waveforms, strict=True):
        if not (folder / name).exists():
            audio.write(folder / name, waveform.astype(np.float32), RATE)
    return rows


def write_tables(folder: Path, rows: Sequence[tuple[str, str, str, int, list[str], list[str]]]) -> None:
    """labels.csv, its test part held out as the one fold; and folds.csv, the curated part in folds of pools, the test
    part set aside."""
    columns = ("file", "labels", "subset", "group", "split")
    for table in ("labels.csv", "folds.csv"):
        in_folds = table == "folds.csv"
        held_out = "test" if in_folds else "validation"
        with write_atomically(folder / table) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*columns, *(["fold"] if in_folds else []), "true_labels"])
            for name, part, group, fold, true, given in rows:
                if in_folds and part == "noisy":
                    continue
                split, subset = (held_out, "curated") if part == "test" else ("train", part)
                folds = ["" if fold < 0 else fold] if in_folds else []
                writer.writerow([name, ";".join(given), subset, group, split, *folds, ";".join(true)])


def label_noise(labels: Sequence[tuple[list[str], list[str]]]) -> dict[str, float]:
    """How wrong the labels of the noisy part are: pairs of the true and the given labels of each clip."""
    n_true, n_given = sum(len(true) for true, _ in labels), sum(len(given) for _, given in labels)
    n_right = sum(len(set(true) & set(given)) for true, given in labels)
    return {
        "true_labels_missing": 1 - n_right / n_true,
        "given_labels_wrong": 1 - n_right / n_given,
        "clips_wholly_right": sum(true == given for true, given in labels) / len(labels),
    }
