"""File → tags in × realtime, against ONNX Runtime alone on the same graph, and the cold start.

    .venv/bin/python benchmarks/tagging.py NAME.tagger.onnx [--out benchmarks/results/tagging.json]
    .venv/bin/python benchmarks/tagging.py mn04_as --eager [--out benchmarks/results/tagging_mn04_as.json]

With --eager, for a pretrained network by name, also what one would write by hand: librosa.load, then the same network
in eager torch, window by window as fast as it goes.

Makes its own recordings (44.1 kHz, mono, 60 s). One thread throughout; each time is the best of several
passes, and the passes of all rows take turns, so that a busy moment of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime
import soundfile

from earmark import __version__, audio, load_tagger, tag_files
from earmark.tagger.home import find_tagger
from earmark.tagger.tagger import WINDOWS_PER_CALL, Tagger
from earmark.windows import frame

RATE, SECONDS, N_FILES, PASSES = 44100, 60, 4, 5
KINDS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}
COLD_START = "import sys, earmark; earmark.load_tagger(sys.argv[1]).tag(sys.argv[2])"


def make_recording(path: Path, seed: int, kind: tuple[str, str], seconds: float = SECONDS) -> None:
    """Noise bursts over a sweep: something for every encoder to do."""
    draw = np.random.default_rng(seed)
    at = np.arange(int(RATE * seconds)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * (200 + 20 * at) * at) + 0.1 * draw.normal(size=len(at)) * (at % 2 < 1)
    container, subtype = kind
    rate = 48000 if subtype == "OPUS" else RATE  # Opus knows no 44.1 kHz
    with soundfile.SoundFile(path, "w", rate, 1, format=container, subtype=subtype) as file:
        for first in range(0, len(sound), 65536):
            file.write(sound[first : first + 65536].astype(np.float32))


def bare_graph(tagger: Tagger, path: Path) -> tuple[callable, float]:
    """A pass of ONNX Runtime alone over the windows of one recording, and the recording's seconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(tagger.path), options, providers=["CPUExecutionProvider"])
    waveform = audio.load(path, tagger.sample_rate)
    windows = frame(waveform, tagger.window_samples, tagger.hop_samples, tagger.metadata.padding)

    def once() -> None:
        for first in range(0, len(windows), WINDOWS_PER_CALL):
            session.run(["scores"], {"waveform": windows[first : first + WINDOWS_PER_CALL]})

    return once, len(waveform) / tagger.sample_rate


def by_hand(tagger: Tagger, name: str, files: list[Path]) -> callable:
    """A pass of librosa and eager torch over recordings."""
    import librosa
    import torch

    from earmark.flows.starting_weights import find_start

    torch.set_num_threads(1)
    start = find_start(name)
    net = start.build()
    start.load(net)
    net.eval()

    @torch.inference_mode()
    def once() -> None:
        for file in files:
            waveform, _ = librosa.load(file, sr=tagger.sample_rate)
            windows = frame(waveform, tagger.window_samples, tagger.hop_samples, tagger.metadata.padding)
            for first in range(0, len(windows), WINDOWS_PER_CALL):
                torch.sigmoid(net(torch.from_numpy(windows[first : first + WINDOWS_PER_CALL]))).numpy()

    return once


def cold_start(tagger: Path, folder: Path) -> float:
    """Seconds of a whole process that tags one WAV of 5 s; the best of PASSES."""
    make_recording(folder / "cold.wav", 99, KINDS["wav"], seconds=5)
    times = []
    for _ in range(PASSES):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD_START, str(tagger), str(folder / "cold.wav")], check=True)
        times.append(time.perf_counter() - began)
    return min(times)


def measure(path: Path, eager: str | None = None) -> dict:
    """× realtime per row, and the cold start in seconds."""
    tagger = load_tagger(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {}
        for suffix, kind in KINDS.items():
            files = [folder / f"{number}.{suffix}" for number in range(N_FILES)]
            for number, file in enumerate(files):
                make_recording(file, number, kind)
            seconds = sum(audio.probe(file).seconds for file in files)
            runs[suffix] = (lambda files=files: list(tag_files(tagger, files, threads=1)), seconds)
        runs["graph alone"] = bare_graph(tagger, folder / "0.wav")
        if eager:
            files = [folder / f"{number}.wav" for number in range(N_FILES)]
            runs["librosa, torch"] = by_hand(tagger, eager, files), SECONDS * N_FILES
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(PASSES):
            for row, (once, _) in runs.items():
                began = time.perf_counter()
                once()
                best[row] = min(best[row], time.perf_counter() - began)
        return {
            "times_realtime": {row: round(runs[row][1] / best[row], 1) for row in runs},
            "cold_start_seconds": round(cold_start(path, folder), 3),
            "tagger": {
                "labels": len(tagger.labels),
                "sample_rate": tagger.sample_rate,
                "window_seconds": tagger.metadata.window_seconds,
                "hop_seconds": tagger.metadata.hop_seconds,
                "mb": round(tagger.n_bytes / 1e6, 2),
            },
            "command": " ".join(["benchmarks/tagging.py", path.name]),
            "earmark": __version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tagger", help="a tagger file, or the name of a pretrained one")
    parser.add_argument("--eager", action="store_true", help="a pretrained one by hand too: librosa and eager torch")
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    given = parser.parse_args()
    result = measure(find_tagger(given.tagger), given.tagger if given.eager else None)
    for row, factor in result["times_realtime"].items():
        print(f"{row:14s} {factor:8.1f} x realtime")
    print(f"cold start     {result['cold_start_seconds']:8.3f} s")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
