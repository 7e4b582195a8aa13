"""A training command that is stopped, killed and given again ends as one that was never disturbed."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from earmark.run import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


def workers_of(folder: Path) -> list[str]:
    """Command lines of the processes that train in a run's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # ended meanwhile
            continue
        if "earmark.flows.workers" in words and str(folder) in words:
            found.append(" ".join(words))
    return found


def wait_until(condition, seconds: float) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_what_is_stopped_and_killed_goes_on_to_the_same_scores_and_leaves_no_process(
    earmark, finished, sounds, train_words, n_epochs, tmp_path
):
    run = Run(tmp_path / "tones")
    folds = [run.fold(fold, "tiny_cnn") for fold in (0, 1)]

    def n_done() -> int:
        return sum(len(fold.read_history()) for fold in folds)

    for how, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        before = n_done()
        with earmark.start(*train_words, sounds, "--out", run.folder) as process:
            wait_until(lambda process=process, at=before + 3: process.poll() is not None or n_done() >= at, 240)
            assert process.poll() is None, process.communicate()[1]
            assert workers_of(run.folder)
            process.send_signal(how)
            _, errors = process.communicate(timeout=60)
        assert wait_until(lambda: not workers_of(run.folder), 2)
        assert process.returncode == code
        assert "Traceback" not in errors
        assert before + 3 <= n_done() < 2 * n_epochs
        assert not run.scorecard.exists()

    done = earmark(*train_words, sounds, "--out", run.folder)
    assert done.returncode == 0, done.stderr
    undisturbed = Run(finished.folder)
    for model in ("forest", "tiny_cnn"):
        assert run.predictions(model).read_bytes() == undisturbed.predictions(model).read_bytes()
    assert run.scorecard.read_bytes() == undisturbed.scorecard.read_bytes()
    assert run.tagger.read_bytes() == undisturbed.tagger.read_bytes()
    assert [[row["epoch"] for row in fold.read_history()] for fold in folds] == [list(range(n_epochs))] * 2
