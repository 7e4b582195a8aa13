"""`earmark serve` as it is run: a process, a socket, signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from websockets.sync.client import connect

from earmark.__main__ import main
from earmark.cli.serve import TOKEN_VARIABLE

SOURCE = Path(__file__).parents[3] / "src"
START = "import sys; from earmark.__main__ import main; sys.exit(main())"
IMPATIENT = f"import earmark.server.serving as serving; serving.HEADER_SECONDS = 0.5; {START}"
HEAVY = ("torch", "pandas", "sklearn", "scipy", "lightning", "matplotlib", "onnx")


class Server:
    """A server in a process of its own. folder: where its temporary files go."""

    def __init__(self, folder: Path, *words: str | Path, code: str = START):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(SOURCE), "TMPDIR": str(folder)}
        command = [sys.executable, "-c", code, "serve", *map(str, words), "--port", "0"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.line = self.process.stdout.readline()
        assert self.line, self.process.stderr.read()
        self.address = urlsplit(self.line.split()[0])
        self.end = time.monotonic() + 20
        while self.status("GET", "/healthz") != 200:
            assert time.monotonic() < self.end
            time.sleep(0.02)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict]:
        """Status and document of an answer."""
        connection = http.client.HTTPConnection(self.address.netloc, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def status(self, *request) -> int:
        """The status alone; 0 where nobody answers."""
        try:
            return self.ask(*request)[0]
        except OSError:
            return 0

    def stop(self, sign: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and wait for the end; exit code, what it said on stderr."""
        self.process.send_signal(sign)
        said = self.process.communicate(timeout=30)[1]
        return self.process.returncode, said


@contextmanager
def running(folder: Path, *words: str | Path, code: str = START) -> Iterator[Server]:
    server = Server(folder, *words, code=code)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.fixture
def upload(long_sound) -> Iterator[tuple]:
    """`begin(server)`: half of an upload, and what sends the rest and gives the status."""
    opened = []

    def begin(server: Server):
        half = len(long_sound) // 2
        line = socket.create_connection((server.address.hostname, server.address.port), timeout=30)
        opened.append(line)
        head = f"POST /v1/tag HTTP/1.1\r\nHost: {server.address.netloc}\r\nContent-Length: {len(long_sound)}\r\n\r\n"
        line.sendall(head.encode() + long_sound[:half])
        time.sleep(0.3)

        def go_on() -> int:
            line.sendall(long_sound[half:])
            answer = http.client.HTTPResponse(line)
            answer.begin()
            assert json.loads(answer.read())["outcome"] == "tags"
            return answer.status

        return go_on

    yield begin
    for line in opened:
        line.close()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_was_taken_and_takes_nothing_new(tmp_path, vectors, upload, sign):
    with running(tmp_path / "spare", vectors / "cnn.tagger.onnx") as server:
        assert server.line.endswith("cnn (3 labels); Ctrl-C stops\n")
        finish = upload(server)
        server.process.send_signal(sign)
        time.sleep(0.3)
        status, answer = server.ask("GET", "/v1/taggers")
        assert (status, answer["error"]["reason"]) == (503, "stopping")
        assert finish() == 200
        code, said = server.process.wait(20), server.process.stderr.read()
        assert code == 0
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert [line["status"] for line in lines if line["route"] == "/v1/tag"] == [200]
        assert "stopping: 1 requests and streams are finished first" in said
        assert "Traceback" not in said
        assert list(server.folder.glob("earmark-*")) == []


def test_a_second_signal_ends_it_at_once(tmp_path, vectors, upload):
    with running(tmp_path / "spare", vectors / "cnn.tagger.onnx") as server:
        upload(server)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        code, _ = server.stop(signal.SIGINT)
        assert code == 0


def test_who_still_sends_when_it_is_refused_sees_why(tmp_path, vectors):
    with running(tmp_path / "spare", vectors / "cnn.tagger.onnx", "--max-megabytes", "1") as server:
        for size in (1_200_000, 8_000_000):
            for _ in range(5):
                line = socket.create_connection((server.address.hostname, server.address.port), timeout=30)
                head = f"POST /v1/tag HTTP/1.1\r\nHost: {server.address.netloc}\r\nConnection: close\r\n"
                line.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
                time.sleep(0.01)
                line.sendall(bytes(size))
                answer = http.client.HTTPResponse(line)
                answer.begin()
                assert (answer.status, json.loads(answer.read())["error"]["reason"]) == (413, "too_large")
                line.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files without a name are of Linux")
def test_a_kill_leaves_no_upload_behind(tmp_path, vectors, upload):
    with running(tmp_path / "spare", vectors / "cnn.tagger.onnx") as server:
        upload(server)
        assert server.stop(signal.SIGKILL)[0] == -signal.SIGKILL
        assert list(server.folder.glob("earmark-*")) == []


def test_a_stream_runs_over_a_real_socket(tmp_path, vectors):
    with running(tmp_path / "spare", vectors / "cnn.tagger.onnx", "--token", "secret") as server:
        address = f"ws://{server.address.netloc}/v1/stream?sample_rate=8000"
        with connect(address, additional_headers={"Authorization": "Bearer secret"}) as stream:
            assert json.loads(stream.recv())["type"] == "ready"
            for _ in range(8):
                stream.send(np.zeros(4000, dtype="<f4").tobytes())
            stream.send('{"type": "end"}')
            said = [json.loads(message) for message in stream]
        assert [one["type"] for one in said if one["type"] != "event"] == ["window"] * 15 + ["done"]
        with connect(address) as stream:
            stream.send('{"type": "token", "token": "wrong"}')
            assert json.loads(stream.recv())["reason"] == "unauthorised"
        with connect(address, additional_headers={"Authorization": "Bearer secret"}) as stream:
            stream.recv()
            code, said = server.stop()
            assert json.loads(stream.recv())["reason"] == "stopping"
        assert code == 0
        assert '"method": "WS", "route": "/v1/stream", "status": 1000' in said
        assert "secret" not in said


def test_a_connection_that_asks_nothing_is_closed(tmp_path, vectors):
    with running(tmp_path / "spare", vectors / "cnn.tagger.onnx", code=IMPATIENT) as server:
        lines = [socket.create_connection((server.address.hostname, server.address.port), timeout=10) for _ in range(2)]
        lines[1].sendall(b"POST /v1/tag HTTP/1.1\r\nHost: ")  # and then nothing
        for line in lines:
            assert line.recv(10) == b""
            line.close()


def test_what_keeps_it_from_starting_is_said(tmp_path, vectors, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "long.txt").write_text("one\ntwo\n")

    def refusal(tagger: str | Path, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["earmark", "serve", str(tagger), *words])
        assert main() == 2
        return capsys.readouterr().err

    tagger = vectors / "cnn.tagger.onnx"
    for words, said in (
        (("--host", "0.0.0.0"), "--host 0.0.0.0: whoever reaches this machine could use the server"),
        (("--token", "a", "--token-file", "b"), "the token is given twice"),
        (("--token-file", "none.txt"), "--token-file none.txt: cannot be read"),
        (("--token-file", "empty.txt"), "--token-file empty.txt: holds 0 lines of text"),
        (("--token-file", "long.txt"), "--token-file long.txt: holds 2 lines of text"),
        (("--host", "no.such.host.invalid", "--no-token"), "Give a name or an address of this machine"),
        (("--host", "192.0.2.1", "--no-token"), "assign requested address). Give a name or an address of this machine"),
        (("--origin", "example.org"), "--origin example.org: is not a site as browsers name it"),
        (("--origin", "*"), "--origin *: is not a site as browsers name it"),
    ):
        assert said in refusal(tagger, *words)
    assert "dog.tagger.onnx: there is no such file" in refusal("dog.tagger.onnx")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "Address already in use). Choose another port" in refusal(tagger, "--port", str(taken.getsockname()[1]))
    monkeypatch.setenv(TOKEN_VARIABLE, "a")
    assert "--no-token: a token is given, perhaps by $EARMARK_TOKEN" in refusal(tagger, "--no-token")


def test_a_server_answers_without_anything_heavy(python, vectors):
    code = f"""
from fastapi.testclient import TestClient
from earmark import load_tagger
from earmark.server.app import create_app
with TestClient(create_app([load_tagger({str(vectors / "cnn.tagger.onnx")!r})]), base_url="http://127.0.0.1") as client:
    print(client.post("/v1/tag", content=open({str(vectors / "short.wav")!r}, "rb").read()).status_code)
    print(sorted({set(HEAVY)!r} & set(sys.modules)))
"""
    done = python(code, blocked=HEAVY)
    assert done.stdout.split("\n")[:2] == ["200", "[]"], done.stderr


@pytest.mark.parametrize(
    ("missing", "package"),
    [(name, name.replace("_", "-")) for name in ("python_multipart", "websockets")],
)
def test_without_the_extra_it_says_what_to_install(python, vectors, missing, package):
    words = ["earmark", "serve", str(vectors / "cnn.tagger.onnx"), "--port", "0"]
    done = python(f"from earmark.__main__ import main\nsys.argv = {words!r}\nsys.exit(main())", blocked=(missing,))
    assert done.returncode == 2
    assert done.stderr == f"{package} is needed to serve. pip install 'earmark[serve]'\n"
