"""Jobs of many lines or of one: their order, their threads, their end."""

import threading
import time
from functools import partial

import pytest

from earmark.tagger.jobs import LINES_PER_THREAD, run_jobs


def line(name: str, n_jobs: int, job=lambda name, number: (name, number), made=None):
    """Jobs that give their line and number."""
    for number in range(n_jobs):
        if made is not None:
            made.append((name, number))
        yield partial(job, name, number)


def run(lines, threads=2, room=0, stopped=None):
    return run_jobs(iter(lines), threads, stopped or threading.Event(), room)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("room", [0, 3, 1000])
def test_results_come_line_by_line_in_the_order_they_were_made(threads, room):
    lengths = [3, 0, 1, 40, 0, 0, 2, 7]

    def job(name, number):
        time.sleep(0.001 * (number % 3))
        return name, number

    found = list(run((line(str(n), length, job) for n, length in enumerate(lengths)), threads, room))
    assert found == [(str(n), number) for n, length in enumerate(lengths) for number in range(length)]


@pytest.mark.parametrize("lengths", [[6], [1] * 6])
def test_all_threads_work_on_one_long_line_as_on_many_short_ones(lengths):
    together = threading.Barrier(3, timeout=20)
    results = run((line(str(n), length, lambda *_: together.wait()) for n, length in enumerate(lengths)), threads=3)
    assert sorted(results) == [0, 0, 1, 1, 2, 2]


def test_few_results_wait_and_few_lines_are_open():
    made: list[tuple[str, int]] = []
    results = run((line(str(n), 100, made=made) for n in range(100)), threads=2, room=10)
    next(results)
    time.sleep(0.2)
    ahead = 2 * LINES_PER_THREAD + 1
    assert len({name for name, _ in made}) == ahead
    assert max(number for name, number in made if name != "0") <= 10
    assert len(made) <= 10 + 2 * ahead
    results.close()


def test_an_error_in_making_or_doing_a_job_ends_all_and_comes_after_what_was_before():
    def broken():
        yield lambda: 1
        raise ValueError("made")

    for lines, text in (([line("a", 1), broken()], "made"), ([line("a", 1), iter([lambda: 1 / 0])], "division")):
        found = []
        with pytest.raises((ValueError, ZeroDivisionError), match=text):
            found.extend(run(lines))
        results = run([line("a", 1), iter([lambda: 1 / 0])])
        assert next(results) == ("a", 0)
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_left_early_lines_are_told_and_closed():
    stopped, begun, closed = threading.Event(), [], []

    def endless(name):
        begun.append(name)
        try:
            yield from line(name, 10**9)
        finally:
            closed.append(name)

    results = run((endless(str(n)) for n in range(9)), stopped=stopped)
    next(results)
    results.close()
    assert stopped.is_set()
    assert "0" in closed  # a thread need not have come to the others
    assert sorted(closed) == sorted(begun)
