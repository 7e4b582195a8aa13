"""How well are events found: on mixtures of sounds that the taggers never heard, and on the onsets of drums?

Each recording is heard by the tagger of its fold, which was trained on none of its sounds. Rules and thresholds are the
defaults; nothing is fitted on what is scored. Beside them stands what a perfect tagger of the same windows would get.

    EARMARK_HOME=... .venv/bin/python benchmarks/events.py ../shared/data --work /tmp/events

Resumable: the same command goes on after a kill. mn04_as must be adopted in EARMARK_HOME. Of results/events.{json,md}.
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.data.event_truth import EventTruth, RawEvents, gather_events
from earmark.data.readers import read_manifest
from earmark.evaluation.events import COLLAR_SECONDS, merge_events
from earmark.evaluation.psds import Heard
from earmark.flows.judging_events import Detected, EventsEvaluated, judge_events
from earmark.predictions import Predictions
from earmark.run import Run, write_json, write_text
from earmark.tagger import load_tagger, score_files
from earmark.tagger.events import EventRule, find_events, step_scores

RESULTS = Path(__file__).parent / "results"
# The one recording of ESC-10 that two of its folds share, in two cuts: neither is trained on.
SHARED = ("3-151080-A-20", "5-151085-A-20")
N_NOISES, RATE = 40, 32_000
WINDOW_SECONDS, HOP_SECONDS = 0.5, 0.25  # by the ceilings: longer ones cannot tell an edge to 0.2 s
# Of heads that answer step by step: windows long enough to compare, patches short enough to tell an edge.
STEPPED_SECONDS, STEP_PATCH_SECONDS, STEP_HOP_SECONDS = 5.0, 0.5, 0.25
PATCH_SECONDS = 1.0  # that the network hears at once: at the 10 s it was made for, a window costs ten times as much
DRUM_SECONDS, DRUM_COLLAR, DRUM_FOLDS = 0.05, 0.05, 5
# (window, hop) in seconds, of which the ceilings are told.
MIXTURE_WINDOWS = ((5.0, 2.5), (2.0, 1.0), (1.0, 1.0), (1.0, 0.5), (0.5, 0.25), (0.2, 0.1))
DRUM_WINDOWS = ((1.0, 0.5), (0.2, 0.1), (0.1, 0.1), (0.1, 0.05), (0.05, 0.05), (0.05, 0.025), (0.025, 0.025))


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """A table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def clip_table(data: Path, work: Path) -> Path:
    """ESC-10 in its folds, and pink noise without a label: a tagger that has never heard nothing names something."""
    generator, rows = np.random.default_rng(0), []
    with open(data / "esc10" / "esc50.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if Path(row["filename"]).stem not in SHARED:
                sound = (data / "esc10" / "audio" / row["filename"]).resolve()
                rows.append([sound, f"{row['category']};", row["fold"], row["src_file"]])
    frequencies = np.fft.rfftfreq(5 * RATE, 1 / RATE)
    for number in range(N_NOISES):
        bins = generator.normal(size=len(frequencies)) + 1j * generator.normal(size=len(frequencies))
        wave = np.fft.irfft(np.where(frequencies > 0, bins / np.sqrt(np.maximum(frequencies, 1e-9)), 0))
        wave *= 10 ** (generator.uniform(-60, -35) / 20) / np.sqrt(np.mean(wave**2))
        path = work / "noise" / f"{number}.wav"
        audio.write(path, wave.astype(np.float32), RATE)
        rows.append([path.resolve(), ";", number % 5 + 1, f"noise {number}"])
    return write_rows(work / "clips.csv", ["path", "labels", "fold", "group"], rows)


def onset_table(truth: EventTruth, path: Path, seconds: float, folds: np.ndarray) -> Path:
    """Recordings cut into windows, each with the labels that begin in it."""
    rows = []
    columns = truth.recordings.files, truth.events, folds.tolist(), truth.recordings.groups.tolist()
    for file, events, fold, group in zip(*columns, strict=True):
        n_windows = math.floor(audio.probe(file).seconds / seconds + 1e-6)
        edges = np.arange(n_windows + 1) * seconds
        present = {label: inside(edges[:-1], edges[1:], pairs, True) for label, pairs in events.items()}
        for number in range(n_windows):
            labels = ";".join(label for label, each in sorted(present.items()) if each[number])
            place = f"{edges[number]:.6f}", f"{edges[number + 1]:.6f}"
            rows.append([file.resolve(), *place, f"{labels};", fold, group])
    return write_rows(path, ["path", "start", "end", "labels", "fold", "group"], rows)


def inside(starts: np.ndarray, ends: np.ndarray, events: np.ndarray, onsets: bool) -> np.ndarray:
    """Which windows a label begins in, or sounds in for half of them, boolean (windows,)."""
    if onsets:
        return ((events[:, :1] >= starts) & (events[:, :1] < ends)).any(axis=0)
    covered = np.minimum(events[:, 1:], ends) - np.maximum(events[:, :1], starts)
    return np.maximum(covered, 0).sum(axis=0) >= (ends - starts) / 2


def train(table: Path, out: Path, *options: str) -> Run:
    """The run of a command, which is printed; one that is done is taken as it is."""
    words = [sys.executable, "-m", "earmark", "train", str(table), "--out", str(out), *options]
    print("+ earmark", *words[3:], flush=True)
    if not Run(out).scorecard.exists():
        subprocess.run(words, check=True)
    return Run(out)


def settings(*each: str) -> list[str]:
    """As the command takes them."""
    return [word for one in each for word in ("--set", one)]


def hear(run: Run, model: str, truth: EventTruth, folds: np.ndarray, *, steps: bool = False) -> Detected:
    """What the tagger of each recording's fold finds in it, by its windows or their steps."""
    by_recording: dict[str, tuple[RawEvents, Heard]] = {}
    labels: tuple[str, ...] = ()
    for fold in np.unique(folds).tolist():
        tagger = load_tagger(run.fold(fold, model).tagger)
        tagger, labels = tagger.with_steps() if steps else tagger, tagger.labels
        for clip in truth.recordings.select(folds == fold).clips():
            scores = score_files(tagger, [clip], level="window")[0]
            found = tagger.events(scores, EventRule())
            by_recording[clip.clip_id] = by_label(found), Heard(*step_scores(scores))
    parts = [by_recording[name] for name in truth.recordings.clip_ids]
    name = f"{model} on {run.folder.name}{', by steps' if steps else ''}"
    return Detected(name, labels, [each for each, _ in parts], [each for _, each in parts])


def perfect(truth: EventTruth, seconds: float, hop: float, *, onsets: bool) -> Detected:
    """What windows of a length would give if each told exactly what is in it."""
    labels = tuple(truth.recordings.vocabulary)
    events = []
    for file, those in zip(truth.recordings.files, truth.events, strict=True):
        length = audio.probe(file).seconds
        starts = np.arange(max(1, math.ceil((length - seconds) / hop - 1e-6) + 1)) * hop
        ends = np.minimum(starts + seconds, length)
        scores = np.zeros((len(starts), len(labels)), dtype=np.float32)
        for column, label in enumerate(labels):
            if label in those:
                scores[:, column] = inside(starts, ends, those[label], onsets)
        ids = np.full(len(starts), file.name, dtype=object)
        windows = Predictions(ids, starts, ends, scores, labels, "window")
        events.append(by_label(find_events(windows, np.full(len(labels), 0.5), EventRule())))
    return Detected(f"perfect windows of {seconds:g} s every {hop:g} s", labels, events, None)


def by_label(events: Iterable) -> RawEvents:
    """Label → start and end."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in events:
        found.setdefault(each.label, []).append((each.start, each.end))
    return {label: np.array(pairs) for label, pairs in found.items()}


def edges(detected: Detected, truth: EventTruth) -> str:
    """Where the found events that overlap a true one begin and end, and in how many pieces they are."""
    starts, ends, n_split = [], [], 0
    for there, heard in zip(truth.events, detected.events, strict=True):
        for label, pairs in there.items():
            found = heard.get(label, np.empty((0, 2)))
            for start, end in merge_events(pairs):
                over = found[(found[:, 0] < end) & (found[:, 1] > start)]
                if len(over):
                    starts.append(over[0, 0] - start)
                    ends.append(over[-1, 1] - end)
                    n_split += len(over) > 1
    first, last = (
        " / ".join(f"{each:+.2f}" for each in np.quantile(those, [0.25, 0.5, 0.75])) for those in (starts, ends)
    )
    return (
        f"{len(starts)} true events are overlapped by found ones, {n_split} by several. These begin {first} s from the "
        f"true start and end {last} s from the true end (quartiles)."
    )


def judge(detected: Detected, truth: EventTruth, collar: float) -> EventsEvaluated:
    """Every number, and a line of it."""
    remarks = () if detected.heard is None or truth.onsets_only else (edges(detected, truth),)
    judged = judge_events(detected, truth, collar=collar, rule=EventRule(), remarks=remarks, failures=[])
    values = {kind: found["f1_micro"].text for kind, found in judged.scores.items()}
    values |= {name: found.text for name, found in judged.psds.items()}
    print(f"{detected.name}: {values}", flush=True)
    return judged


def mixtures(data: Path, work: Path) -> dict[str, list[EventsEvaluated]]:
    """Events in mixtures: of a tagger that learnt from single clips, and of perfect windows."""
    folder = data / "esc10-mixtures"
    rows = read_manifest(folder / "events.csv", events=True)
    truth = gather_events(rows, read_manifest(folder / "manifest.csv"))
    folds = truth.recordings.folds
    short = settings(f"window.seconds={WINDOW_SECONDS}", f"window.hop_seconds={HOP_SECONDS}")
    on = ["--on", "mn04_as", "--head", "logistic", *settings(f"backbone.patch_seconds={PATCH_SECONDS}")]
    on += settings("baseline=false")
    clips = clip_table(data, work)
    heads = train(clips, work / "clips", "--segment", "activity", *on, *short)
    found = [hear(heads, "mn04_as+logistic", truth, folds)]
    on = ["--on", "mn04_as", "--head", "attention", *settings("baseline=false")]
    on += settings(f"backbone.patch_seconds={STEP_PATCH_SECONDS}", f"backbone.patch_hop_seconds={STEP_HOP_SECONDS}")
    stepped = train(clips, work / "steps", "--segment", "activity", *on, *settings(f"window.seconds={STEPPED_SECONDS}"))
    found += [hear(stepped, "mn04_as+attention", truth, folds, steps=each) for each in (False, True)]
    ceilings = [perfect(truth, *each, onsets=False) for each in MIXTURE_WINDOWS]
    return {
        "taggers": [judge(each, truth, COLLAR_SECONDS) for each in found],
        "ceilings": [judge(each, truth, COLLAR_SECONDS) for each in ceilings],
    }


def drums(data: Path, work: Path) -> dict[str, list[EventsEvaluated]]:
    """Onsets of drums: of a forest on windows of 50 ms taught by the other songs, and of perfect windows."""
    folder = data / "drums"
    rows = read_manifest(folder / "onsets.csv", events=True)
    truth = gather_events(rows, read_manifest(folder / "manifest.csv"))
    songs = np.unique(truth.recordings.groups)
    folds = np.searchsorted(songs, truth.recordings.groups) % DRUM_FOLDS + 1
    cut = onset_table(truth, work / "drums.csv", DRUM_SECONDS, folds)
    short = settings(f"window.seconds={DRUM_SECONDS}", f"window.hop_seconds={DRUM_SECONDS}")
    forest = train(cut, work / "drums", "--model", "forest", "--allow-leak", *short)
    ceilings = [perfect(truth, *each, onsets=True) for each in DRUM_WINDOWS]
    return {
        "taggers": [judge(hear(forest, "forest", truth, folds), truth, DRUM_COLLAR)],
        "ceilings": [judge(each, truth, DRUM_COLLAR) for each in ceilings],
    }


def markdown(results: dict[str, dict[str, list[EventsEvaluated]]], command: str) -> str:
    """The tables that docs/events.md tells of."""
    lines = ["# Events", "", f"`{command}`", ""]
    for name, parts in results.items():
        first = parts["taggers"][0]
        lines += [f"## {name}: {first.n_recordings} recordings, {first.n_true} events, collar {first.collar:g} s", ""]
        kinds = [*first.scores, *first.psds]
        lines += [f"| | found | {' | '.join(kinds)} |", f"|---|---|{'---|' * len(kinds)}"]
        for each in [*parts["taggers"], *parts["ceilings"]]:
            values = {kind: found["f1_micro"].text for kind, found in each.scores.items()}
            values |= {kind: found.text for kind, found in each.psds.items()}
            cells = [values.get(kind, "–") for kind in kinds]
            lines.append(f"| {each.name} | {each.n_found} | {' | '.join(cells)} |")
        lines.append("")
        for each in parts["taggers"]:
            header, rows, _ = each.label_table()
            lines += [f"### {each.name}", "", *(f"- {remark}" for remark in each.remarks), ""]
            lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
            lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)


def report(results: dict[str, dict[str, list[EventsEvaluated]]]) -> None:
    """Write the numbers into results/."""
    document = {
        name: {part: [each.to_dict() for each in judged] for part, judged in parts.items()}
        for name, parts in results.items()
    }
    facts = {"machine": platform.machine(), "python": platform.python_version()}
    write_json(RESULTS / "events.json", facts | document)
    command = "python benchmarks/events.py ../shared/data --work /tmp/events"
    write_text(RESULTS / "events.md", markdown(results, command))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with esc10, esc10-mixtures and drums")
    parser.add_argument("--work", type=Path, required=True, help="where the runs go")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    report(
        {
            "esc10-mixtures": mixtures(arguments.data, arguments.work),
            "drums": drums(arguments.data, arguments.work),
        }
    )


if __name__ == "__main__":
    main()
