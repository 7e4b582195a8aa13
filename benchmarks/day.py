"""A day of sound in one file: time, memory, and the same twice killed; rows of results/day.{json,md}.

    .venv/bin/python benchmarks/day.py NAME.tagger.onnx SOUNDS/ [--hours 24] [--words --events] [--scratch FOLDER]

Makes the recording from the clips of a folder, at random places and loudness, as 16-bit WAV at the tagger's rate. Each
run is a process of its own, `earmark tag` as a user gives it; its peak memory is what the kernel counts (ru_maxrss).
One run is undisturbed; another, with --skip-done, is killed (SIGKILL) after a third of that time, again after another
third, and given a third time. Both outputs must be the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from earmark import __version__, audio, load_tagger
from earmark.audio import is_sound
from earmark.tagger.home import find_tagger

N_CLIPS = 200
RESULTS = Path(__file__).parent / "results"


def make_day(path: Path, sounds: Path, rate: int, hours: float) -> None:
    """Clips of a folder in another order and loudness again and again."""
    draw = np.random.default_rng(0)
    files = sorted(file for file in sounds.rglob("*") if is_sound(file))
    clips = [audio.load(files[n], rate) for n in draw.permutation(len(files))[:N_CLIPS]]
    left = round(hours * 3600 * rate)
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="RF64") as file:  # a day may be above 4 GiB
        while left:
            clip = clips[draw.integers(len(clips))][:left] * draw.uniform(0.1, 1.0)
            file.write(clip.astype(np.float32))
            left -= len(clip)


def tag(tagger: Path, recording: Path, out: Path, words: list[str], kill_after: float | None = None) -> dict:
    """One run: seconds on the wall and of the processor, peak memory, and where it went on."""
    command = [sys.executable, "-m", "earmark", "tag", str(tagger), str(recording), *words, "--out", str(out)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said, subprocess.Popen(command, stderr=said) as process:
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read().decode()
    if process.returncode != (0 if kill_after is None else -9):
        sys.exit(f"{' '.join(command)}: ended with {process.returncode}\n{text}")
    goes_on = re.search(r"goes on at (.*)\.", text)
    return {
        "wall_seconds": round(seconds, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "went_on_at": goes_on[1] if goes_on else "0",
    }


def sha256(path: Path) -> str:
    """Of what a file holds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(name: str, sounds: Path, hours: float, words: list[str], scratch: Path) -> dict:
    """Both ways for one tagger and one kind of output."""
    path = find_tagger(name)
    tagger = load_tagger(path)
    recording = scratch / f"day_{tagger.sample_rate}_{hours:g}.wav"
    if not recording.exists():
        make_day(recording, sounds, tagger.sample_rate, hours)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        undisturbed, resumed = Path(folder, "undisturbed", "tags"), Path(folder, "killed", "tags")
        alone = tag(path, recording, undisturbed, words)
        third = alone["wall_seconds"] / 3
        killed = [tag(path, recording, resumed, [*words, "--skip-done"], end) for end in (third, third, None)]
        hashes = [sha256(file) for file in (undisturbed, resumed)]
        n_bytes = undisturbed.stat().st_size
    return {
        "tagger": name if not Path(name).exists() else Path(name).name,
        "labels": len(tagger.labels),
        "sample_rate": tagger.sample_rate,
        "window_seconds": tagger.metadata.window_seconds,
        "hop_seconds": tagger.metadata.hop_seconds,
        "hours": hours,
        "words": " ".join(words),
        "recording_mb": round(recording.stat().st_size / 1e6),
        "output_mb": round(n_bytes / 1e6, 2),
        "times_realtime": round(hours * 3600 / alone["wall_seconds"]),
        "undisturbed": alone,
        "killed_twice": killed,
        "same_bytes": hashes[0] == hashes[1],
        "sha256": hashes[0],
        "load": round(os.getloadavg()[0], 1),
        "earmark": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def as_markdown(rows: list[dict]) -> str:
    """The rows as a table, and what must be known of them."""
    lines = [
        "# A day of sound in one file",
        "",
        "Made by `benchmarks/day.py TAGGER ../shared/data/esc50/audio`; settings and hashes are in `day.json`.",
        "The load is that of the machine at the end of the runs: where it is above the number of cores, others had",
        "most of them, and the seconds of the processor tell more than those on the wall.",
        "",
        "| tagger | output | hours | × realtime | wall s | processor s | peak MB | load | killed twice, went on at | "
        "its peak MB | same bytes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        alone, killed = row["undisturbed"], row["killed_twice"]
        lines.append(
            f"| {row['tagger']}, {row['labels']} labels, every {row['hop_seconds']:g} s | `{row['words']}`, "
            f"{row['output_mb']:g} MB | {row['hours']:g} | {row['times_realtime']} | {alone['wall_seconds']:.0f} | "
            f"{alone['processor_seconds']:.0f} | {alone['peak_mb']} | {row['load']:g} | "
            f"{', '.join(run['went_on_at'] for run in killed[1:])} | {max(run['peak_mb'] for run in killed)} | "
            f"{'yes' if row['same_bytes'] else 'NO'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tagger", help="a tagger file, or the name of a pretrained one")
    parser.add_argument("sounds", type=Path, help="a folder of clips to make the day of")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--words", nargs=argparse.REMAINDER, default=["--events"], help="for `tag`; comes last")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="room for the recording")
    given = parser.parse_args()
    row = measure(given.tagger, given.sounds, given.hours, given.words, given.scratch)
    stored = RESULTS / "day.json"
    rows = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else []
    key = ("tagger", "hours", "words")
    rows = [old for old in rows if any(old[name] != row[name] for name in key)] + [row]
    stored.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    stored.with_suffix(".md").write_text(as_markdown(rows), encoding="utf-8")
    print(as_markdown([row]))
    if not row["same_bytes"]:
        sys.exit("the outputs differ")


if __name__ == "__main__":
    main()
