"""`earmark listen` on a pipe: how long after its end an event is written, and what share of a core it takes.

    .venv/bin/python benchmarks/listening.py mn04_as ../shared/data/drums/audio/*.opus --seconds 90 \\
        [--out benchmarks/results/listening_mn04_as.json]

Recordings, one after the other at 48 kHz, are written into the pipe in real time, and then once more as fast as it
takes them. Events must be the same both times. The end of an event is known to a hop; its line can come no sooner than
the window after it is whole.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from earmark import __version__, audio, load_tagger

RATE = 48_000
STEP = RATE // 20  # samples in one write


def gather(recordings: list[Path], seconds: float) -> np.ndarray:
    """The beginning of recordings one after the other, float32 (samples,)."""
    parts, n_samples = [], 0
    for path in recordings:
        if n_samples >= seconds * RATE:
            break
        parts.append(audio.load(path, RATE))
        n_samples += len(parts[-1])
    return np.concatenate(parts)[: round(seconds * RATE)]


def feed(pipe, waveform: np.ndarray, *, real_time: bool) -> float:
    """Write all of it; when the first sample was written, by time.monotonic."""
    began = time.monotonic()
    for first in range(0, len(waveform), STEP):
        if real_time:  # a block is there once its last sample was recorded
            time.sleep(max(began + (first + STEP) / RATE - time.monotonic(), 0))
        pipe.write(waveform[first : first + STEP].astype("<f4").tobytes())
        pipe.flush()
    pipe.close()
    return began


def listen(tagger: str, waveform: np.ndarray, threshold: float | None, *, real_time: bool) -> dict:
    """Lines and when they came, wall and CPU seconds of one run."""
    limit = [] if threshold is None else ["--threshold", str(threshold)]
    command = [sys.executable, "-m", "earmark", "listen", tagger, "--pipe", "--rate", str(RATE), *limit]
    before, lines = resource.getrusage(resource.RUSAGE_CHILDREN), []
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams) as process:
        process.stderr.readline()  # it listens from now on
        reader = threading.Thread(target=lambda: lines.extend((time.monotonic(), line) for line in process.stdout))
        reader.start()
        began = feed(process.stdin, waveform, real_time=real_time)
        reader.join()
        ended = time.monotonic()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "events": [(came - began, json.loads(line)) for came, line in lines],
        "seconds": ended - began,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": after.ru_maxrss / 1024,
    }


def measure(name: str, recordings: list[Path], seconds: float, threshold: float | None) -> dict:
    """Delays in real time, the load, and × realtime without waiting."""
    waveform, known = gather(recordings, seconds), load_tagger(name).metadata
    slow = listen(name, waveform, threshold, real_time=True)
    fast = listen(name, waveform, threshold, real_time=False)
    rows, again = (
        [(line["start"], line["end"], line["tags"][0]["label"]) for _, line in run["events"]] for run in (slow, fast)
    )
    assert rows == again
    seconds = len(waveform) / RATE
    delays = [came - line["end"] for came, line in slow["events"] if line["end"] < seconds]
    return {
        "seconds": seconds,
        "window_seconds": known.window_seconds,
        "hop_seconds": known.hop_seconds,
        "events": len(rows),
        "delay_seconds": {
            "median": round(float(np.median(delays)), 2),
            "longest": round(max(delays), 2),
            "of_a_window_and_its_hop": round(known.window_seconds + known.hop_seconds, 2),
        },
        "cpu_share_of_a_core": round(slow["cpu_seconds"] / seconds, 3),
        "times_realtime": round(seconds / fast["seconds"], 1),
        "peak_mb": round(slow["peak_mb"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tagger")
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    given = parser.parse_args()
    result = measure(given.tagger, given.recordings, given.seconds, given.threshold)
    result |= {
        "command": f"benchmarks/listening.py {given.tagger} {given.recordings[0]} … --seconds {given.seconds:g}",
        "earmark": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
