"""The same recording found again: planted copies, the real copies in ESC-50, 100,000 recordings, and Chromaprint.

    .venv/bin/python benchmarks/duplicates.py PART --data ../shared/data [--work /tmp/duplicates]

PART is planted, real, scale or chromaprint (needs --library libchromaprint.so). Each writes its share of
benchmarks/results/duplicates.json and the page duplicates.md anew. One thread. Parameters were chosen with
copies planted in ESC-50's folds 1 to 3 (the length of the whitening on 60 clips of all folds); here they are planted
in clips of folds 4 and 5, instruments and drums.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pickle
import platform
import re
import resource
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import scipy.fft
from duplicates_copies import ESC_RATE, KINDS, Sound, collections, make_copies, rows_of
from duplicates_page import as_markdown

from earmark.audio import load
from earmark.data.fingerprint import Fingerprint, fingerprint
from earmark.data.matches import LIKELY, SURE, Match, find_matches

RESULTS = Path(__file__).parent / "results" / "duplicates"
STRONG = 8.0  # evidence of the exhaustive search that is listed; chance gives 4 to 6
LEAST_SOUND_SECONDS = 0.25  # a copy with less sound above its silence is not counted


def sounding_seconds(found: Fingerprint) -> float:
    return 0.016 * float(np.count_nonzero(found.levels))


def planted(options: argparse.Namespace) -> dict:
    """Recall by kind, and every pair found that was not planted."""
    out: dict = {"kinds": {}, "collections": {}, "unplanted": []}
    sounds = collections(options.data)
    for name, clips in sounds.items():
        out["collections"][name] = {"clips": len(clips), "hours": sum(len(w) / r for w, r in clips) / 3600}
    for kind in KINDS:
        row = {"planted": 0, "silent": 0, "sure": 0, "likely": 0}
        for name, clips in sounds.items():
            originals, copies = make_copies(clips, kind)
            n = len(originals)
            prints = [fingerprint(*sound) for sound in originals + copies]
            best = {(match.first, match.second): match.score for match in find_matches(prints, LIKELY)}
            for i in range(n):
                heard = sounding_seconds(prints[n + i]) >= LEAST_SOUND_SECONDS
                row["planted" if heard else "silent"] += 1
                row["likely"] += heard and (i, n + i) in best
                row["sure"] += heard and best.get((i, n + i), 0) >= SURE
            others = [(a % n, b % n, score) for (a, b), score in best.items() if a % n != b % n]
            out["unplanted"] += [[name, kind, *sorted(pair), round(score, 3)] for *pair, score in others]
        out["kinds"][kind] = row
        print(kind, row, flush=True)
    return out


def whitened(sound: Sound) -> np.ndarray:
    """Flat in frequency (150 to 7000 Hz) and in loudness, at 16 kHz; nothing of the fingerprint's code."""
    waveform, rate = sound
    n_fft = 1 << 18
    spectrum = scipy.fft.rfft(waveform, n_fft)
    power = np.convolve(np.abs(spectrum) ** 2, np.ones(65) / 65, "same")
    spectrum /= np.sqrt(np.maximum(power, 1e-6 * power.max())) + 1e-20
    spectrum[: 150 * n_fft // rate] = spectrum[7000 * n_fft // rate :] = 0
    white = scipy.fft.irfft(spectrum, n_fft)[: len(waveform)]
    envelope = np.sqrt(np.convolve(white**2, np.ones(512) / 512, "same"))
    return (white / np.maximum(envelope, 1e-3 * envelope.max() + 1e-12)).astype(np.float32)


def segment_correlations(one: np.ndarray, two: np.ndarray, match: Match) -> list[float]:
    """|correlation| of whitened waveforms in each quarter of a second that they share, each aligned within 2 ms."""
    shift, n, slack, found = round(match.offset_seconds * ESC_RATE), ESC_RATE // 4, ESC_RATE // 500, []
    for begin in range(max(0, shift), len(one) - n, n):
        first = begin - shift - slack
        if first < 0 or first + n + 2 * slack > len(two):
            continue
        piece, around = one[begin : begin + n], two[first : first + n + 2 * slack]
        energy = np.convolve(around**2, np.ones(n), "valid") * np.sum(piece**2)
        found.append(float(np.max(np.abs(np.correlate(around, piece, "valid")) / np.sqrt(energy + 1e-9))))
    return found


def exhaustive(whites: Sequence[np.ndarray], groups: Sequence[str]) -> dict[tuple[int, int], float]:
    """For pairs of one group the highest peak of the whitened waveforms' correlation over all lags with an overlap of
    a quarter of a second, against chance: the overlap's energy, and the RMS of the peak's surroundings."""
    n_fft = 1 << 18
    by_group, found = defaultdict(list), {}
    for row, group in enumerate(groups):
        by_group[group].append(row)
    for rows in by_group.values():
        spectra = {row: scipy.fft.rfft(whites[row], n_fft) for row in rows}
        for i, one in enumerate(rows):
            for two in rows[i + 1 :]:
                product = np.abs(scipy.fft.irfft(np.conj(spectra[one]) * spectra[two], n_fft))
                lag = np.minimum(np.arange(n_fft), n_fft - np.arange(n_fft))
                overlap = np.maximum(len(whites[one]) - lag, ESC_RATE // 4)
                peak = int((product / np.sqrt(overlap)).argmax())
                around = product[(peak + np.arange(-512, 513)) % n_fft]
                beside = np.concatenate([around[: 512 - 64], around[512 + 65 :]])
                chance = max(np.sqrt(overlap[peak]), np.sqrt(np.mean(beside**2)), beside.max() / 6)
                found[one, two] = float(product[peak] / chance)
    return found


def real(options: argparse.Namespace) -> dict:
    """All matches among the clips of ESC-50 and of ESC-10, against the source of each clip."""
    out = {}
    for name in ("esc50", "esc10"):
        rows = rows_of(options.data / name / "esc50.csv")
        sounds = [(load(options.data / name / "audio" / row["filename"], ESC_RATE), ESC_RATE) for row in rows]
        began = time.perf_counter()
        prints = [fingerprint(*sound) for sound in sounds]
        made = time.perf_counter()
        matches = find_matches(prints, LIKELY)
        ended = time.perf_counter()
        whites = [whitened(sound) for sound in sounds]
        truth = exhaustive(whites, [row["category"] for row in rows])
        same = {pair: value for pair, value in truth.items() if rows[pair[0]]["src_file"] == rows[pair[1]]["src_file"]}
        found = []
        for match in sorted(matches, key=lambda match: -match.score):
            pair = match.first, match.second
            one, two = (rows[i] for i in pair)
            pieces = sorted(segment_correlations(whites[pair[0]], whites[pair[1]], match), reverse=True)
            found.append(
                {
                    "clips": [one["filename"], two["filename"]],
                    "class": sorted({one["category"], two["category"]}),
                    "score": round(match.score, 3),
                    "offset_seconds": round(match.offset_seconds, 4),
                    "overlap_seconds": round(match.overlap_seconds, 2),
                    "same_source": one["src_file"] == two["src_file"],
                    "across_folds": one["fold"] != two["fold"],
                    "exhaustive": round(truth.get(pair, 0), 1),
                    "correlation": [round(value, 2) for value in pieces[:4]],
                }
            )
        strong = [
            [rows[a]["filename"], rows[b]["filename"], round(value, 1), (a, b) in same]
            for (a, b), value in sorted(truth.items(), key=lambda item: -item[1])
            if value > STRONG
        ]
        out[name] = {
            "clips": len(rows),
            "same_source_pairs": len(same),
            "exhaustive_pairs": len(truth),
            "exhaustive_strong": strong,
            "found": found,
            "extraction_seconds": round(made - began, 1),
            "matching_seconds": round(ended - made, 1),
        }
    return out


SPEEDS = 2.0 ** np.linspace(-1, 1, 21)
TRACED = ("gain −30 dB", "Opus 24 kbit/s", "MP3 32 kbit/s", "noise at 20 dB", "noise at 10 dB", "cut to half")


def many_prints(options: argparse.Namespace) -> tuple[list[Fingerprint], list[tuple[int, str]], float]:
    """About 100,000 fingerprints of real sounds, each at 21 speeds, forwards and backwards; (sound, variant) of each,
    and the seconds it took. Copies at speed 1 of TRACED kinds come last: their variant is the kind."""
    rows = rows_of(options.data / "esc50" / "esc50.csv")
    sounds = [load(options.data / "esc50" / "audio" / row["filename"], ESC_RATE) for row in rows]
    sounds += [load(path, ESC_RATE) for path in sorted((options.data / "instruments" / "audio").iterdir())]
    began, prints, origin = time.perf_counter(), [], []
    for number, sound in enumerate(sounds):
        for speed in SPEEDS:
            rate = round(ESC_RATE * speed)
            prints += [fingerprint(sound, rate), fingerprint(sound[::-1], rate)]
            origin += [(number, f"{speed:.3f}"), (number, f"-{speed:.3f}")]
    seconds = time.perf_counter() - began
    planted_in = [i for i, row in enumerate(rows) if row["fold"] in "45"][::4]
    for kind in TRACED:
        for i in planted_in:
            sound = (sounds[i], ESC_RATE)
            prints.append(fingerprint(*make_copies([sound], kind, i)[1][0]))
            origin.append((i, kind))
    return prints, origin, seconds


def scale(options: argparse.Namespace) -> dict:
    """Seconds, memory, recall and false matches among 100,000 recordings; speed of extraction; hours in one."""
    store = options.work / "many.pickle"
    if not store.exists():
        options.work.mkdir(parents=True, exist_ok=True)
        store.write_bytes(pickle.dumps(many_prints(options)))
    prints, origin, made = pickle.loads(store.read_bytes())
    n_made = sum(variant not in TRACED for _, variant in origin)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    began = time.perf_counter()
    matches = find_matches(prints, LIKELY)
    seconds = time.perf_counter() - began
    planted_at = {i: origin[i] for i in range(n_made, len(prints))}
    originals = {(number, variant): i for i, (number, variant) in enumerate(origin)}
    scores = {(match.first, match.second): match.score for match in matches}
    recall = {}
    for kind in TRACED:
        places = [(originals[number, "1.000"], i) for i, (number, variant) in planted_at.items() if variant == kind]
        heard = [place for place in places if sounding_seconds(prints[place[1]]) >= LEAST_SOUND_SECONDS]
        recall[kind] = [sum(scores.get(place, 0) >= SURE for place in heard), len(heard)]
    names = [row["filename"] for row in rows_of(options.data / "esc50" / "esc50.csv")]
    names += [path.name for path in sorted((options.data / "instruments" / "audio").iterdir())]
    between = defaultdict(list)
    for (a, b), score in scores.items():
        if origin[a][0] != origin[b][0]:
            between[min(origin[a][0], origin[b][0]), max(origin[a][0], origin[b][0])].append(score)
    return {
        "recordings": len(prints),
        "hours": sum(one.seconds for one in prints) / 3600,
        "extraction_ms_per_clip": 1000 * made / n_made,
        "matching_seconds": seconds,
        "gigabytes_of_fingerprints": sum(
            one.signs.nbytes + one.levels.nbytes + one.frames.nbytes + one.bins.nbytes for one in prints
        )
        / 1e9,
        "resident_gigabytes_before": held,
        "resident_gigabytes_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "recall": recall,
        "matches": len(matches),
        "between_sounds": [
            [names[one], names[two], sum(score >= SURE for score in found), round(max(found), 3)]
            for (one, two), found in sorted(between.items(), key=lambda item: -max(item[1]))
        ],
        "same_sound_other_variant": sum(
            origin[a][0] == origin[b][0] and score >= SURE and (b < n_made) for (a, b), score in scores.items()
        ),
        "clip_ms": clip_milliseconds(),
    }


def clip_milliseconds() -> dict[str, float]:
    """Best of 20: the fingerprint of 5 s of decoded noise, by its rate."""
    found = {}
    for rate in (16_000, 44_100):
        sound, times = np.random.default_rng(0).standard_normal(5 * rate).astype(np.float32), []
        for _ in range(20):
            began = time.perf_counter()
            fingerprint(sound, rate)
            times.append(time.perf_counter() - began)
        found[str(rate)] = round(1000 * min(times), 2)
    return found


def chromaprint(options: argparse.Namespace) -> dict:
    """The same planted copies by Chromaprint: its threshold where of all pairs of originals none matches falsely."""
    library = ctypes.CDLL(str(options.library))
    library.chromaprint_new.restype = ctypes.c_void_p

    def items(sound: Sound) -> np.ndarray:
        context = ctypes.c_void_p(library.chromaprint_new(1))
        samples = (np.clip(sound[0], -1, 1) * 32767).astype(np.int16)
        library.chromaprint_start(context, sound[1], 1)
        library.chromaprint_feed(context, samples.ctypes.data_as(ctypes.c_void_p), len(samples))
        library.chromaprint_finish(context)
        raw, size = ctypes.POINTER(ctypes.c_uint32)(), ctypes.c_int()
        library.chromaprint_get_raw_fingerprint(context, ctypes.byref(raw), ctypes.byref(size))
        found = np.array(raw[: size.value], np.uint32)
        library.chromaprint_dealloc(raw)
        library.chromaprint_free(context)
        return found

    def likeness(one: np.ndarray, two: np.ndarray) -> float:
        """Share of equal bits at the best lag at which they have half of the shorter in common, and 4 items (0.5 s)."""
        best, least = 0.0, max(4, min(len(one), len(two)) // 2)
        for lag in range(least - len(one), len(two) - least + 1):
            a, b = one[max(0, -lag) :], two[max(0, lag) :]
            n = min(len(a), len(b))
            if n >= least:
                best = max(best, 1 - np.bitwise_count(a[:n] ^ b[:n]).mean() / 32)
        return float(best)

    sounds = [sound for name, each in collections(options.data).items() if name != "drums" for sound in each[:60]]
    originals = [items(sound) for sound in sounds]
    others = sorted(likeness(originals[i], originals[j]) for i in range(len(sounds)) for j in range(i + 1, len(sounds)))
    threshold = others[-1]
    out: dict = {"clips": len(sounds), "pairs": len(others), "threshold": threshold, "kinds": {}}
    for kind in KINDS:
        starts, copies = make_copies(sounds, kind)
        heard = [sounding_seconds(fingerprint(*copy)) >= LEAST_SOUND_SECONDS for copy in copies]
        base = originals if starts[0] is sounds[0] else [items(start) for start in starts]
        over = [likeness(one, items(two)) > threshold for one, two in zip(base, copies, strict=True)]
        out["kinds"][kind] = [sum(np.logical_and(over, heard).tolist()), sum(heard)]
        print(kind, out["kinds"][kind], flush=True)
    return out


def machine() -> dict[str, object]:
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() if commit.returncode == 0 else None,
    }


PARTS = {"planted": planted, "real": real, "scale": scale, "chromaprint": chromaprint}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, required=True, help="the folder with esc50, esc10, instruments and drums")
    parser.add_argument("--work", type=Path, default=Path("/tmp/duplicates"), help="for the fingerprints of scale")
    parser.add_argument("--library", type=Path, help="libchromaprint.so")
    options = parser.parse_args()
    file = RESULTS.with_suffix(".json")
    document = json.loads(file.read_text()) if file.exists() else {}
    document["thresholds"] = {"sure": SURE, "likely": LIKELY}
    document["machine"] = machine()
    document[options.part] = PARTS[options.part](options)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    RESULTS.with_suffix(".md").write_text(as_markdown(document))


if __name__ == "__main__":
    main()
