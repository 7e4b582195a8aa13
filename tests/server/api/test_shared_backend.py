"""One graph for many callers: the same numbers, together where that can be, nobody overtaken or hurt by another."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from earmark.errors import TaggerFileError
from earmark.server.shared_backend import SharedBackend
from earmark.tagger import load_tagger


def windows(count: int, seed: int = 0, length: int = 4000) -> np.ndarray:
    """Noise, float32 (count, length)."""
    return np.random.default_rng(seed).normal(0, 0.1, (count, length)).astype(np.float32)


def until(true) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.002)


def queue_length(shared: SharedBackend) -> int:
    return len(shared._queue)


def test_many_callers_get_what_they_would_get_alone(cnn):
    shared = SharedBackend(cnn.backend, at_once=2)
    asked = [windows(1 + number % 4, number) for number in range(40)]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(shared.run, asked))
    for own, (scores, embedding) in zip(asked, found, strict=True):
        alone = cnn.backend.run(own)
        np.testing.assert_allclose(scores, alone[0], atol=1e-5)
        np.testing.assert_allclose(embedding, alone[1], atol=1e-4)


def test_those_whose_windows_went_with_anothers_wait_while_nobody_else_does():
    class Quick:
        metadata_json, input_samples, n_classes = "", None, None

        def run(self, samples):
            time.sleep(0.0005)
            return samples, samples

    shared = SharedBackend(Quick(), at_once=2)
    asked = [windows(1, number, 10) for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        for own, (scores, _) in zip(asked * 50, threads.map(shared.run, asked * 50), strict=True):
            np.testing.assert_array_equal(scores, own)


def test_a_tagger_on_it_scores_as_before(cnn, vectors):
    shared = cnn.with_parts(backend=SharedBackend)
    sound = vectors / "long.wav"
    np.testing.assert_allclose(shared.score(sound).scores, cnn.score(sound).scores, atol=1e-6)


def test_windows_of_one_length_that_wait_go_into_one_call(hold, vectors):
    held = hold(load_tagger(vectors / "full.tagger.onnx").backend)  # which hears any length
    shared = SharedBackend(held, at_once=1, windows_per_call=4)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(shared.run, windows(1))
        until(lambda: held.calls)
        lengths = ((1, 4000), (2, 4000), (1, 8000), (1, 4000), (1, 4000))
        waiting = []
        for number, (count, length) in enumerate(lengths, start=1):
            waiting.append(threads.submit(shared.run, windows(count, number, length)))
            until(lambda number=number: queue_length(shared) == number)
        held.go.set()
        answers = [future.result(10) for future in (first, *waiting)]
    assert held.calls == [(1, 4000), (4, 4000), (1, 8000), (1, 4000)]
    assert [len(scores) for scores, _ in answers] == [1, 1, 2, 1, 1, 1]


def test_no_more_calls_run_than_were_allowed(cnn):
    running, most, lock = [0], [0], threading.Lock()

    class Counted:
        metadata_json, input_samples, n_classes = "", None, None

        def run(self, samples):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.005)
            with lock:
                running[0] -= 1
            return samples, samples

    shared = SharedBackend(Counted(), at_once=2, windows_per_call=1)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(shared.run, [windows(1)] * 20))
    assert most[0] == 2


def test_a_long_recording_does_not_hold_up_a_short_one(held):
    shared = SharedBackend(held, at_once=1, windows_per_call=1)
    order = []

    def hear(name: str, n_calls: int) -> None:
        for _ in range(n_calls):
            shared.run(windows(1))
            order.append(name)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(hear, "long", 300)
        until(lambda: held.calls)
        threads.submit(hear, "short", 3)
        until(lambda: queue_length(shared) == 1)
        held.go.set()
    assert [number for number, name in enumerate(order) if name == "short"][-1] < 150


@pytest.mark.parametrize("error", [TaggerFileError("its graph fails"), ZeroDivisionError("a bug")])
def test_one_callers_windows_that_fail_are_no_others_trouble(held, error):
    held.error = error
    shared = SharedBackend(held, at_once=1, windows_per_call=4)
    bad = np.full((1, 4000), 9, dtype=np.float32)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(shared.run, windows(1))
        until(lambda: held.calls)
        waiting = []
        for number, samples in enumerate((bad, windows(1, 1), windows(2, 2)), start=1):
            waiting.append(threads.submit(shared.run, samples))
            until(lambda number=number: queue_length(shared) == number)
        held.go.set()
        with pytest.raises(type(error)):
            waiting[0].result(10)
        assert [len(future.result(10)[0]) for future in (first, *waiting[1:])] == [1, 1, 2]
