"""Apps and clients for the tests of the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from earmark import audio
from earmark.errors import TaggerFileError
from earmark.server.app import create_app
from earmark.tagger import Tagger, load_tagger

VECTORS = Path(__file__).parents[3] / "docs" / "tagger-file"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of small taggers and sounds."""
    return VECTORS


@pytest.fixture(scope="session")
def cnn() -> Tagger:
    """A tagger of three labels that hears 8 kHz in windows of half a second."""
    return load_tagger(VECTORS / "cnn.tagger.onnx")


@pytest.fixture(scope="session")
def long_sound() -> bytes:
    """A file of 1.93 s."""
    return (VECTORS / "long.wav").read_bytes()


@pytest.fixture
def make_client(cnn) -> Iterator[Callable[..., TestClient]]:
    """`make_client(*taggers, **options)`: a client of an app of its own, of `cnn` unless taggers are given."""
    with ExitStack() as stack:

        def make(*taggers: Tagger, **options) -> TestClient:
            app = create_app(taggers or (cnn,), **({"page": None} | options))
            client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(make_client):
    """A client of a server with ordinary limits."""
    return make_client()


@pytest.fixture
def write_sound(tmp_path) -> Callable[..., bytes]:
    """`write_sound(waveform, rate)`: the bytes of a float WAV file."""

    def write(waveform: np.ndarray, rate: int = 8000, name: str = "sound.wav") -> bytes:
        path = tmp_path / name
        audio.write(path, np.asarray(waveform, dtype=np.float32), rate)
        return path.read_bytes()

    return write


class HeldBackend:
    """A backend whose calls wait until they are let go. calls: shape of each. A window of value 9 makes it fail."""

    def __init__(self, backend):
        self.metadata_json, self.input_samples = backend.metadata_json, backend.input_samples
        self.n_classes = backend.n_classes
        self.go, self.calls = threading.Event(), []
        self._backend = backend
        self.error: Exception = TaggerFileError("its graph fails")

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(windows.shape)
        assert self.go.wait(30)
        if (windows == 9).any():
            raise self.error
        return self._backend.run(windows)


@pytest.fixture
def hold() -> Iterator[Callable[..., HeldBackend]]:
    """`hold(backend)`: a backend that can be held, in front of another; let go at the end."""
    with ExitStack() as stack:

        def make(backend) -> HeldBackend:
            made = HeldBackend(backend)
            stack.callback(made.go.set)
            return made

        yield make


@pytest.fixture
def held(hold, cnn) -> HeldBackend:
    """One in front of that of `cnn`."""
    return hold(cnn.backend)


@pytest.fixture
def held_tagger(cnn, held) -> Tagger:
    """A tagger on it."""
    return cnn.with_parts(backend=lambda backend: held)


def reason(response) -> tuple[int, str]:
    """Status and reason of an error."""
    return response.status_code, response.json()["error"]["reason"]


@pytest.fixture(scope="session")
def refused() -> Callable[..., tuple[int, str]]:
    """Status and reason of an answer that is an error."""
    return reason
