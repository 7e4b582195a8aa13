"""A headless browser driven through its own pipe (the DevTools protocol), with nothing but the standard library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from earmark import audio
from earmark.flows.web_export import export_web
from earmark.report.review_page import question_sound, review_page
from earmark.review.session import Question, Session
from earmark.server.review_server import ReviewApp
from earmark.tagger import Clip, load_tagger

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
EXPORTED = ("cnn", "forest", "patches", "ensemble", "calibrated", "unsure", "ends", "lengths", "full")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
    "--autoplay-policy=no-user-gesture-required",
)
KEYS = {"Enter": ("\r", 13), "Escape": ("", 27), "Tab": ("", 9), "ArrowLeft": ("", 37), "ArrowRight": ("", 39)}
# What the browser tells of faults: event of the protocol → its text, "" of what is none.
FAULTS = {
    "Runtime.exceptionThrown": lambda said: said["exceptionDetails"].get("exception", {}).get("description", "thrown"),
    "Log.entryAdded": lambda said: said["entry"]["text"] if said["entry"]["source"] == "security" else "",
}
PATIENCE_SECONDS = 60.0
LABELS = ("dog", "cat", "rain", "bell", "car")


class Browser:
    """A browser process and its pipe."""

    def __init__(self, program: str, profile: Path, *flags: str):
        there, self._write = os.pipe()
        self._read, here = os.pipe()
        command = [program, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        shell = f'exec "$@" 3<&{there} 4>&{here}'
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(["bash", "-c", shell, "bash", *command], pass_fds=(there, here), **quiet)
        os.close(there)
        os.close(here)
        self._numbers = itertools.count(1)
        self._unread = b""
        self._requests: list[tuple[str, str]] = []
        self._faults: list[tuple[str, str]] = []

    def ask(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") == "Network.requestWillBeSent":
                self._requests.append((answer["sessionId"], answer["params"]["request"]["url"]))
            if answer.get("method") in FAULTS and (fault := FAULTS[answer["method"]](answer["params"])):
                self._faults.append((answer["sessionId"], fault))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._unread += piece
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)

    def tab(self, url: str) -> Tab:
        """Open a page."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable", session)
        self.ask("Page.navigate", session, url=url)
        return Tab(self, session)

    def requests(self, tab: Tab) -> list[str]:
        """The addresses that a page has asked for."""
        return [url for session, url in self._requests if session == tab.session]

    def faults(self, tab: Tab) -> list[str]:
        """What a page has thrown without catching it, and what its policy refused it."""
        return [fault for session, fault in self._faults if session == tab.session]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for end in (self._read, self._write):
            os.close(end)


@dataclass(frozen=True)
class Tab:
    """One page."""

    browser: Browser
    session: str

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.browser.ask("Runtime.evaluate", self.session, **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            text, code = KEYS.get(key, (key, ord(key.upper()) if len(key) == 1 else 0))
            same = {"key": key, "windowsVirtualKeyCode": code}
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            self.browser.ask("Input.dispatchKeyEvent", self.session, **down, **same)
            self.browser.ask("Input.dispatchKeyEvent", self.session, type="keyUp", **same)

    def give(self, path: Path) -> None:
        """Choose a file in the page's one field for files."""
        root = self.browser.ask("DOM.getDocument", self.session)["root"]["nodeId"]
        asked = {"nodeId": root, "selector": "input[type=file]"}
        node = self.browser.ask("DOM.querySelector", self.session, **asked)["nodeId"]
        self.browser.ask("DOM.setFileInputFiles", self.session, nodeId=node, files=[str(path)])

    def drop(self, path: Path, x: int, y: int) -> None:
        """Let a file fall on a place of the page."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.browser.ask("Input.dispatchDragEvent", self.session, type=kind, x=x, y=y, data=data)

    def wait(self, script: str) -> Any:
        """Until a JavaScript expression is true; its value."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if value := self.run(script):
                return value
            time.sleep(0.02)
        raise AssertionError(f"never true: {script}\n{self.run('document.body.innerText')}")

    def picture(self, path: Path, width: int = 1000, height: int = 900, dark: bool = False) -> None:
        """A PNG of the page at some size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.ask("Emulation.setDeviceMetricsOverride", self.session, **metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.browser.ask("Emulation.setEmulatedMedia", self.session, features=scheme)
        answer = self.browser.ask("Page.captureScreenshot", self.session)
        path.write_bytes(base64.b64decode(answer["data"]))


@pytest.fixture(scope="session")
def open_browser(tmp_path_factory) -> Iterator[Callable[..., Browser]]:
    """`open_browser(*flags)`: a browser, where one is installed."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    opened = []

    def start(*flags: str) -> Browser:
        opened.append(Browser(program, tmp_path_factory.mktemp("profile"), *flags))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def browser(open_browser) -> Browser:
    """The browser that tests share."""
    return open_browser()


@pytest.fixture(scope="session")
def ort_web() -> Path:
    """The package onnxruntime-web."""
    for folder in (os.environ.get("EARMARK_NODE_MODULES"), ROOT / "node_modules"):
        if folder and Path(folder, "onnxruntime-web", "package.json").exists():
            return Path(folder, "onnxruntime-web")
    pytest.skip("onnxruntime-web is not there: npm install onnxruntime-web, or set EARMARK_NODE_MODULES")


class Site(NamedTuple):
    """url: the page's address. folder: the root of its host."""

    url: str
    folder: Path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def host() -> Iterator[Callable[[Path], str]]:
    """`host(folder)`: its address at a plain host of static files."""
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def exported(ort_web, host, tmp_path_factory) -> Site:
    """A page with the test vectors' taggers, exported, in a folder of its host."""
    folder = tmp_path_factory.mktemp("host")
    taggers = [VECTORS / f"{kind}.tagger.onnx" for kind in EXPORTED]
    export_web(taggers, folder / "of another" / "page", ort_web)
    return Site(host(folder) + "of%20another/page/", folder)


@pytest.fixture(scope="session")
def serve_taggers() -> Iterator[Callable[..., str]]:
    """`serve_taggers(*taggers, **options)`: the address of a server of them, options being those of `create_app`.

    `serve_taggers.stop()` ends the one that was started last.
    """
    pytest.importorskip("fastapi")
    import uvicorn

    from earmark.server.app import create_app
    from earmark.server.serving import address_of, listen

    servers, threads = [], []

    def start(*taggers: Path, **options) -> str:
        app = create_app([load_tagger(tagger) for tagger in taggers], **options)
        listening = listen("127.0.0.1", 0)
        quick = {"timeout_graceful_shutdown": 1, "log_config": None}
        config = uvicorn.Config(app, lifespan="on", ws="websockets-sansio", **quick)
        servers.append(uvicorn.Server(config))
        threads.append(threading.Thread(target=servers[-1].run, kwargs={"sockets": [listening]}, daemon=True))
        threads[-1].start()
        return f"{address_of(listening)}/"

    def stop() -> None:
        servers[-1].should_exit = True
        threads[-1].join(timeout=10)

    start.stop = stop
    yield start
    for server in servers:
        server.should_exit = True


@pytest.fixture
def make_session(tmp_path) -> Callable[..., Session]:
    """`make_session(n=4, several=False, **changes)`: questions about noise of ever other pitch, and their file."""

    def make(n: int = 4, several: bool = False, kind: str = "given", **changes) -> Session:
        questions = []
        for number in range(n):
            path = tmp_path / f"{number}.wav"
            generator = np.random.default_rng(number)
            audio.write(path, 0.1 * generator.standard_normal(4000).astype(np.float32), 8000)
            given = LABELS[number % len(LABELS)]
            other = LABELS[(number + 1) % len(LABELS)]
            scores = ((other, 0.9), (given, 0.05))
            about = ("label", "", (), ()) if kind == "label" else (kind, given, (given,), (other,))
            questions.append(Question(Clip(path, clip_id=f"{number}.wav"), f"{number}.wav", *about, scores))
        return Session(questions, LABELS, tmp_path / "corrections.csv", "ann", several, **changes)

    return make


@pytest.fixture
def make_app() -> Callable[[Session], ReviewApp]:
    """`make_app(session)`: what serves it."""

    def make(session: Session) -> ReviewApp:
        return ReviewApp(
            session,
            lambda nonce: review_page(session, title="test", command="earmark train DATA", nonce=nonce),
            lambda number: question_sound(session.questions[number]),
        )

    return make
