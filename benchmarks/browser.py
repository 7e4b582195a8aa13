"""How far the scores of an exported page are from the command line's, by format and rate, and how fast it is.

    .venv/bin/python benchmarks/browser.py mn04_as yamnet --onnxruntime-web node_modules/onnxruntime-web \\
        --out benchmarks/results/browser.json

Ten clips each of ESC-10 (written anew in several formats and rates) and of ESC-50 as it lies there, from --data. A page
beside the exported one scores them with the exported modules in a headless Chromium and sends what it found back.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import soundfile

from earmark import __version__, audio, load_tagger
from earmark.audio.resample import resample
from earmark.flows.web_export import export_web

N_CLIPS = 10
PATIENCE_SECONDS = 1800
# Row → rate in Hz, channels, ending, libsndfile's subtype; None for what is written otherwise or taken as it is.
ROWS = {
    "WAV, 16 bit, at the tagger's rate": (None, 1, "wav", "PCM_16"),
    "WAV, 24 bit, 44.1 kHz": (44100, 1, "wav", "PCM_24"),
    "WAV, float, stereo, 48 kHz": (48000, 2, "wav", "FLOAT"),
    "WAV, 8 bit, 11.025 kHz": (11025, 1, "wav", "PCM_U8"),
    "FLAC, stereo, 44.1 kHz": (44100, 2, "flac", "PCM_16"),
    "Ogg Vorbis, 44.1 kHz": (44100, 1, "ogg", "VORBIS"),
    "MP3, 44.1 kHz": (44100, 1, "mp3", "MPEG_LAYER_III"),
    "MP3, 22.05 kHz": (22050, 1, "mp3", "MPEG_LAYER_III"),
    "AAC (m4a), 44.1 kHz": None,
    "Opus of 44.1 kHz, as in ESC-10": None,
    "Opus of 16 kHz, as in ESC-50": None,
}
PAGE = """<!doctype html><script type="module">
const { taggers, tag } = await import("./engine.js");
const { decode } = await import("./sound.js");
const asked = await (await fetch("./asked.json")).json();
const found = [];
for (const t of await taggers())
  for (const name of asked[t.name]) {
    const file = await (await fetch(name)).blob();
    const began = performance.now();
    const options = { signal: new AbortController().signal, progress: () => {} };
    const { clip } = await tag({ sound: decode(file, t.sample_rate) }, t, options);
    found.push({ tagger: t.name, name, clip: [...clip], seconds: (performance.now() - began) / 1000 });
  }
await fetch("./found", { method: "POST", body: JSON.stringify(found) });
</script>"""


def write(row: str, clip: Path, path: Path, sample_rate: int) -> Path:
    """One clip as a row says, at `path` and an ending."""
    if row.startswith("Opus"):
        return Path(shutil.copy(clip, path.with_suffix(".opus")))
    rate, channels, ending, subtype = ROWS[row] or (44100, 1, "m4a", "")
    waveform = resample(audio.load(clip, 44100), 44100, rate or sample_rate)
    path = path.with_suffix(f".{ending}")
    if ending == "m4a":
        with av.open(str(path), "w") as file:
            stream = file.add_stream("aac", rate=44100)
            frame = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
            frame.sample_rate = 44100
            file.mux([*stream.encode(frame), *stream.encode(None)])
        return path
    frames = np.stack([waveform, 0.5 * np.roll(waveform, 50)], axis=1) if channels == 2 else waveform
    soundfile.write(path, frames.clip(-1, 1), rate or sample_rate, subtype=subtype)
    return path


def in_browser(folder: Path) -> tuple[list[dict], str]:
    """What measure.html in a folder sends back, and the browser's name."""
    arrived, found = threading.Event(), []

    class Exchange(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            found.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *arguments) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Exchange, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        address = f"http://127.0.0.1:{server.server_port}/measure.html"
        browser = subprocess.Popen([chromium, *flags, address], stderr=subprocess.DEVNULL)
        try:
            if not arrived.wait(PATIENCE_SECONDS):
                raise SystemExit("the browser has sent nothing back")
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    version = subprocess.run([chromium, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return found, version


def measure(names: list[str], data: Path, runtime: Path | None) -> dict:
    """Per tagger and row the largest difference of a clip score, and the speed."""
    clips = {"16 kHz": sorted((data / "esc50").rglob("*.opus"))[::200][:N_CLIPS]}
    clips["else"] = sorted((data / "esc10").rglob("*.opus"))[::40][:N_CLIPS]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "site")
        export_web(names, folder, runtime)
        taggers = {tagger.metadata.name: tagger for tagger in map(load_tagger, names)}
        rows = {}
        for name, tagger in taggers.items():
            for number, row in enumerate(ROWS):
                for index, clip in enumerate(clips["16 kHz" if "16 kHz" in row else "else"]):
                    path = write(row, clip, folder / f"{name}_{number}_{index}", tagger.sample_rate)
                    rows[name, path.name] = row
        asked = {name: [path for tagger, path in rows if tagger == name] for name in taggers}
        (folder / "asked.json").write_text(json.dumps(asked))
        (folder / "measure.html").write_text(PAGE)
        found, version = in_browser(folder)
        results: dict[str, dict] = {name: {} for name in taggers}
        for heard in found:
            tagger = taggers[heard["tagger"]]
            expected = tagger.pool(tagger.score(folder / heard["name"])).scores[0]
            row = results[heard["tagger"]].setdefault(rows[heard["tagger"], heard["name"]], [])
            difference = float(np.abs(heard["clip"] - expected).max())
            seconds = audio.probe(folder / heard["name"]).seconds
            same_top = int(np.argmax(heard["clip"]) == np.argmax(expected))
            row.append((difference, same_top, seconds, heard["seconds"]))
    return {
        "taggers": {name: {row: summary(values) for row, values in of.items()} for name, of in results.items()},
        "command": f"benchmarks/browser.py {' '.join(names)}",
        "earmark": __version__,
        "browser": version,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def summary(values: list[tuple[float, int, float, float]]) -> dict:
    """The numbers of one row."""
    differences, same_top, seconds, took = zip(*values, strict=True)
    return {
        "largest_difference": float(f"{max(differences):.2g}"),
        "same_top_tag": f"{sum(same_top)} of {len(values)}",
        "times_realtime": round(sum(seconds) / sum(took), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("taggers", nargs="+", help="tagger files, or names of pretrained ones")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder with esc10 and esc50")
    parser.add_argument("--onnxruntime-web", type=Path, help="a folder of the package; else fetched with npm")
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    given = parser.parse_args()
    result = measure(given.taggers, given.data, given.onnxruntime_web)
    for name, rows in result["taggers"].items():
        for row, numbers in rows.items():
            print(f"{name:10s} {row:36s} {numbers}")
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
