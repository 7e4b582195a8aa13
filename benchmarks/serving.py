"""The server under load: answers held against the command line's, its speed against a loop, kills, and a soak.

    .venv/bin/python benchmarks/serving.py [mn04_as] [--out benchmarks/results/serving.json]
    .venv/bin/python benchmarks/serving.py --soak 10      # minutes; joins the results that are there

Clients and server share this machine's cores. Sounds are made: 1 to 12 s in several formats; some are broken, or too
much.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import numpy as np
import soundfile
from websockets.asyncio.client import connect

from earmark import __version__, load_tagger, tag_files
from earmark.run import write_json, write_text
from earmark.server.shared_backend import SharedBackend

RESULTS = Path(__file__).parent / "results" / "serving.json"
RATE, CLIENTS, REQUESTS, BAD_SHARE, TOLERANCE = 32_000, 32, 1000, 0.2, 1e-4
MAX_MEGABYTES, MAX_SECONDS = 2, 60
KINDS = (("wav", "WAV", "PCM_16"), ("flac", "FLAC", "PCM_16"), ("ogg", "OGG", "VORBIS"), ("mp3", "MP3", None))


def make_sounds(folder: Path) -> tuple[list[Path], dict[Path, int]]:
    """Sounds that are tagged, and those that are not, with the status they must get."""
    draw, good = np.random.default_rng(0), []
    for number in range(40):
        suffix, container, subtype = KINDS[number % len(KINDS)]
        path = folder / f"{number}.{suffix}"
        seconds = (1, 2, 3, 5, 12)[number % 5]
        sound = 0.1 * draw.normal(size=(RATE * seconds, 1 + number % 2))
        soundfile.write(path, sound.astype(np.float32), RATE, format=container, subtype=subtype)
        good.append(path)
    bad = {
        folder / "text.wav": (415, b"this is no sound"),
        folder / "empty.wav": (422, b""),
        folder / "cut.wav": (422, good[0].read_bytes()[:-30_000]),
        folder / "large.wav": (413, bytes(MAX_MEGABYTES * 1_000_000 + 200_000)),
    }
    soundfile.write(folder / "silence.flac", np.zeros(8000 * 7200, dtype=np.int16), 8000)
    bad[folder / "two_hours.flac"] = (413, (folder / "silence.flac").read_bytes())
    for path, (_, content) in bad.items():
        path.write_bytes(content)
    return good, {path: status for path, (status, _) in bad.items()}


@contextmanager
def server(tagger: str, port: int = 0):
    """A server process, and its address."""
    words = ["--port", str(port), "--max-megabytes", str(MAX_MEGABYTES), "--max-seconds", str(MAX_SECONDS)]
    command = [sys.executable, "-m", "earmark", "serve", tagger, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process, process.stdout.readline().split()[0]
    finally:
        process.kill()
        process.wait()


class Load:
    """Requests in a fixed random order, from several clients, each answer checked."""

    def __init__(self, tagger: str, folder: Path):
        self.good, self.bad = make_sounds(folder)
        opened = load_tagger(tagger)
        self.expected = {tagged.clip.path: tagged.predictions.scores[0] for tagged in tag_files(opened, self.good)}
        self.content = {path: path.read_bytes() for path in (*self.good, *self.bad)}
        draw = random.Random(0)
        bad = list(self.bad)
        self.order = [draw.choice(bad if draw.random() < BAD_SHARE else self.good) for _ in range(REQUESTS)]

    async def ask(self, client: httpx.AsyncClient, path: Path, form: bool) -> str:
        """Send one sound; "right", "wrong: …", or the status or failure there was instead."""
        body = {"files": {"file": self.content[path]}} if form else {"content": self.content[path]}
        try:
            answer = await client.post("/v1/tag?scores=true", **body)
        except httpx.TransportError as error:
            return type(error).__name__
        if answer.status_code in (429, 503):
            return str(answer.status_code)
        if path in self.bad:
            return "right" if answer.status_code == self.bad[path] else f"wrong: {path.name} {answer.status_code}"
        if answer.status_code != 200:
            return f"wrong: {path.name} {answer.text}"
        scores = np.array(list(answer.json()["scores"].values()))
        apart = float(np.abs(scores - self.expected[path]).max())
        return "right" if apart <= TOLERANCE else f"wrong: {path.name} by {apart:.2g}"

    async def run(self, address: str, n_clients: int = CLIENTS, **options) -> tuple[Counter, list[float], float]:
        """All requests; outcomes, seconds of each sound that is tagged, seconds in all."""
        coming, outcomes, seconds = iter(enumerate(self.order)), Counter(), []

        async def talk(client: httpx.AsyncClient) -> None:
            for number, path in coming:
                began = time.perf_counter()
                outcome = await self.ask(client, path, form=number % 2 == 0)
                outcomes[outcome] += 1
                if path in self.expected:
                    seconds.append(time.perf_counter() - began)

        began = time.perf_counter()
        limits = httpx.Limits(max_connections=n_clients)
        async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits, **options) as client:
            await asyncio.gather(*(talk(client) for _ in range(n_clients)))
        return outcomes, seconds, time.perf_counter() - began


def measure_load(load: Load, tagger: str) -> dict:
    """Requests a second and how long they take, beside a loop over the same sounds."""
    good = [path for path in load.order if path in load.expected]
    opened = load_tagger(tagger)
    loops, found = {}, {}
    for threads in (1, os.cpu_count()):
        began = time.perf_counter()
        list(tag_files(opened, good, threads=threads))
        loops[f"{threads} thread{'s' if threads > 1 else ''}"] = round(len(good) / (time.perf_counter() - began), 1)
    for n_clients in (1, CLIENTS):
        with server(tagger) as (_, address):
            outcomes, seconds, took = asyncio.run(load.run(address, n_clients))
        assert set(outcomes) == {"right"}, outcomes
        found[str(n_clients)] = {
            "requests_per_second": round(len(load.order) / took, 1),
            "tagged_per_second": round(len(good) / took, 1),
            "p50_ms": round(1e3 * float(np.quantile(seconds, 0.5)), 1),
            "p99_ms": round(1e3 * float(np.quantile(seconds, 0.99)), 1),
        }
    return {"loops": loops, "clients": found}


def measure_sharing(load: Load, tagger: str) -> dict[str, float]:
    """CPU milliseconds of a sound, 8 callers in this process: each for itself, or through one queue.

    Not sounds a second: beside other work, more threads take a larger share of the cores.
    """
    opened = load_tagger(tagger)
    ways = {"each for itself": opened}
    for windows in (1, 2, 4, 8, 16):
        ways[f"one queue, up to {windows} windows a call"] = opened.with_parts(
            backend=lambda backend, n=windows: SharedBackend(backend, windows_per_call=n)
        )
    best = dict.fromkeys(ways, np.inf)
    for _ in range(5):  # in turns, so that a busy moment hits all alike
        for name, way in ways.items():
            with ThreadPoolExecutor(8) as threads:
                began = time.process_time()
                list(threads.map(way.score, load.good * 2))
                best[name] = min(best[name], (time.process_time() - began) / (2 * len(load.good)))
    return {name: round(1e3 * seconds, 1) for name, seconds in best.items()}


def measure_ends(load: Load, tagger: str) -> dict[str, dict]:
    """A stop and a kill under load, and a new start on the same port: how each request ended."""
    found = {}
    for name, sign in (("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)):

        async def through(sign: int = sign) -> tuple[Counter, int]:
            with server(tagger) as (process, address):
                running = asyncio.ensure_future(load.run(address, headers={"Connection": "close"}))
                await asyncio.sleep(2)
                process.send_signal(sign)
                code = await asyncio.to_thread(process.wait)
                with server(tagger, int(address.rpartition(":")[2])):
                    outcomes, _, _ = await running
            return outcomes, code

        outcomes, code = asyncio.run(through())
        assert outcomes.total() == REQUESTS, outcomes
        assert not any(outcome.startswith("wrong") for outcome in outcomes), outcomes
        found[name] = {"exit_code": code, "outcomes": outcomes}
    return found


async def soak(load: Load, tagger: str, minutes: float) -> dict:
    """A light load for long, with a stream beside it: memory and open files of the server as time goes."""
    with server(tagger) as (process, address):
        facts, end, outcomes = Path(f"/proc/{process.pid}"), time.monotonic() + 60 * minutes, Counter()
        samples = []

        async def talk() -> None:
            async with httpx.AsyncClient(base_url=address, timeout=60) as client:
                number = 0
                while time.monotonic() < end:
                    outcomes[await load.ask(client, load.order[number % REQUESTS], form=number % 2 == 0)] += 1
                    number += 1
                    await asyncio.sleep(0.4)

        async def stream() -> None:
            address_of_stream = f"ws{address.removeprefix('http')}/v1/stream?sample_rate={RATE}"
            while time.monotonic() < end:
                async with connect(address_of_stream) as line:
                    for _ in range(40):
                        await line.send(np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype("<f4").tobytes())
                        await asyncio.sleep(0.25)
                    await line.send('{"type": "end"}')
                    said = [json.loads(message)["type"] async for message in line]
                    outcomes["stream " + said[-1]] += 1

        async def look() -> None:
            while time.monotonic() < end:
                status = dict(line.split(":", 1) for line in (facts / "status").read_text().splitlines())
                samples.append((int(status["VmRSS"].split()[0]) // 1024, len(list((facts / "fd").iterdir()))))
                await asyncio.sleep(min(10, 60 * minutes / 20))

        await asyncio.gather(talk(), talk(), stream(), look())
    assert set(outcomes) == {"right", "stream done"}, outcomes
    settled = samples[len(samples) // 4 :]

    def course(number: int) -> dict[str, int]:
        values = [sample[number] for sample in settled]
        return {"after_a_quarter": values[0], "most": max(values), "at_the_end": values[-1]}

    return {
        "minutes": minutes,
        "outcomes": outcomes,
        "memory_mb": course(0),
        "open_files": course(1),
        "memory_mb_every_tenth": [mb for mb, _ in samples[:: max(1, len(samples) // 10)]],
    }


def summary(found: dict) -> str:
    """The results as a page."""
    lines = ["# The server under load", f"`{found['command']}`, earmark {found['earmark']}, {found['machine']}."]
    if "load" in found:
        lines += [
            f"{REQUESTS:,} requests (a fifth broken or too much) to `{found['tagger']}`, clients beside the server. "
            "No answer was wrong: scores equal `tag_files` to 1e-4, and what is no sound or too much got its "
            "status.",
            table(
                ("", "requests/s", "of them tagged/s", "p50, ms", "p99, ms"),
                *(
                    (f"{n} client{'s' if n > 1 else ''}", *row.values())
                    for n, row in ((n, found["load"]["clients"][str(n)]) for n in (CLIENTS, 1))
                ),
                *((f"no server, {name}", "", rate, "", "") for name, rate in found["load"]["loops"].items()),
            ),
            "What sharing one graph costs and saves, 8 callers in one process, the best of five turns:",
            table(("", "CPU ms a sound"), *found["sharing"].items()),
            "A stop and a kill amid the same load, and a new start on the same port. Each request ended in an answer, "
            "or in an error that its client saw:",
            table(
                ("", "exit code", "ends of the requests"),
                *((name, end["exit_code"], counted(end["outcomes"])) for name, end in found["ends"].items()),
            ),
        ]
    if kept := found.get("soak"):
        lines += [
            f"Soak of `{kept['tagger']}`, {kept['minutes']:g} minutes, {counted(kept['outcomes'])}:",
            table(
                ("", "after a quarter", "most", "at the end"),
                ("memory, MB", *kept["memory_mb"].values()),
                ("open files", *kept["open_files"].values()),
            ),
        ]
    return "\n\n".join(lines) + "\n"


def table(header: tuple, *rows: tuple) -> str:
    """A table in Markdown; all columns but the first hold numbers."""
    marks = ("---", *["--:"] * (len(header) - 1))
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (header, marks, *rows))


def counted(outcomes: dict[str, int]) -> str:
    """Outcomes with how many there were."""
    return ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tagger", nargs="?", default="mn04_as")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only the soak")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    found |= {
        "command": "python benchmarks/serving.py",
        "earmark": __version__,
        "machine": f"{os.cpu_count()} cores of {platform.machine()}, shared with other work",
    }
    with tempfile.TemporaryDirectory() as folder:
        load = Load(given.tagger, Path(folder))
        if given.soak:
            found["soak"] = {"tagger": given.tagger} | asyncio.run(soak(load, given.tagger, given.soak))
        else:
            found |= {"tagger": given.tagger, "load": measure_load(load, given.tagger)}
            found["sharing"] = measure_sharing(load, given.tagger)
            found["ends"] = measure_ends(load, given.tagger)
    write_json(given.out, found)
    write_text(given.out.with_suffix(".md"), summary(found))
    print(summary(found))


if __name__ == "__main__":
    main()
