"""Folds in processes of their own: what the one that started them makes of how they end."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from earmark.audio.cache import Cache
from earmark.data.readers import read_manifest
from earmark.durations import duration
from earmark.errors import ConfigError, EarmarkError, RunError
from earmark.flows.experiment import Experiment
from earmark.flows.workers import REFUSED, Forecast, load_experiment, slowdown, train_folds
from earmark.run import Run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in for a worker is a shell script")


@pytest.fixture
def experiment(trained, tmp_path) -> Experiment:
    """The trained run's settings and rows, of which nothing is done yet in a new folder."""
    done = load_experiment(trained.run)
    return Experiment(Run(tmp_path / "run"), done.config, done.manifest, Cache(tmp_path / "cache"), progress=False)


@pytest.fixture
def become(tmp_path, monkeypatch):
    """Let workers be a shell script; its words are -m, the module, the run's folder and the folds."""

    def run(script: str) -> None:
        path = tmp_path / "worker.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return run


@pytest.fixture
def two_cores(monkeypatch):
    """The machine has two, whatever it has."""
    monkeypatch.setattr("earmark.flows.workers.default_threads", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def test_a_worker_that_breaks_is_an_error_with_its_log(experiment, become):
    become("echo first; echo 'MemoryError: too much'; exit 3")
    with pytest.raises(RunError, match=r"training broke off with exit code 3 \(MemoryError: too much\)") as caught:
        train_folds(experiment, [0, 1])
    log = Path(str(caught.value).partition(":")[0])
    assert log.read_text() == "first\nMemoryError: too much\n"


def test_what_a_worker_says_is_the_users_is_passed_on(experiment, become):
    become(f"echo working; echo '{REFUSED}2 clips are gone.'; echo dog.wav; exit 2")
    with pytest.raises(EarmarkError) as caught:
        train_folds(experiment, [0])
    assert str(caught.value) == "2 clips are gone.\ndog.wav"


def test_an_interrupted_worker_interrupts(experiment, become):
    become("exit 130")
    with pytest.raises(KeyboardInterrupt):
        train_folds(experiment, [0])


def test_one_that_fails_ends_the_others(experiment, become, two_cores, tmp_path):
    become(f'if [ "$4" = 0 ]; then sleep 0.5; exit 3; fi; echo $$ > {tmp_path}/pid; exec sleep 60')
    began = time.monotonic()
    with pytest.raises(RunError, match="training broke off with exit code 3"):
        train_folds(experiment, [0, 1])
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_file_of_the_users_folder_is_no_module_of_a_worker(experiment, become, tmp_path):
    become(f'echo "$PYTHONSAFEPATH" >> {tmp_path}/safe')
    train_folds(experiment, [0])
    assert (tmp_path / "safe").read_text().split() == ["1"]


def test_each_worker_has_its_share_of_the_folds(experiment, become, two_cores, tmp_path):
    become(f'echo "$4 $5 $6" >> {tmp_path}/shares')
    train_folds(experiment, [0, 1, 2, 3, 4, "refit"])
    assert sorted((tmp_path / "shares").read_text().splitlines()) == ["0 2 4", "1 3 refit"]


def test_a_worker_has_as_many_threads_however_many_folds_are_left(experiment, become, two_cores, tmp_path):
    """Their number changes the last digits, and a run that goes on is to end as if it had never stopped."""
    become(f'echo "$OMP_NUM_THREADS" >> {tmp_path}/threads')
    train_folds(experiment, [0, 1, "refit"])
    train_folds(experiment, [1])
    assert len(set((tmp_path / "threads").read_text().splitlines())) == 1


def test_folds_that_are_done_start_nothing(trained, become, tmp_path):
    become("exit 3")
    done = load_experiment(trained.run)
    train_folds(done, [0, 1, "refit"])
    assert done.manifest == read_manifest(trained.run.manifest)
    assert done.config.optim.epochs == 2


def test_how_long_it_will_take_is_said_first(experiment, become, two_cores, caplog, monkeypatch):
    """A step takes a minute, two epochs to go of one fold and one of the other, on two cores."""
    monkeypatch.setattr("earmark.training.pace.seconds_a_step", lambda *_: 60.0)
    monkeypatch.setattr("earmark.flows.workers.slowdown", lambda: 3.0)
    become("exit 0")
    caplog.set_level("INFO", "earmark")
    history = experiment.run.fold(1, experiment.config.model).history
    history.parent.mkdir(parents=True)
    history.write_text('{"epoch": 0}\n')
    steps = [int((experiment.manifest.folds != fold).sum()) // 4 for fold in (0, 1)]
    train_folds(experiment, [0, 1])
    (said,) = (record.args for record in caplog.records if "an epoch on one idle core" in record.msg)
    assert said[1:] == (60.0 * steps[1], duration(30 * (2 * steps[0] + steps[1])))
    (said,) = (record.args for record in caplog.records if "this machine is busy" in record.msg)
    assert said[1:] == (duration(90 * (2 * steps[0] + steps[1])),)


def test_the_network_for_use_is_not_counted_as_a_fold(experiment, become, two_cores, caplog):
    become("exit 0")
    caplog.set_level("INFO", "earmark")
    train_folds(experiment, [0, 1, "refit"])
    train_folds(experiment, [0, 1])
    said = [record.getMessage() for record in caplog.records if "at a time" in record.msg]
    model = experiment.config.model
    assert said == [
        f"{model}: training 2 folds and one network on all clips, 2 at a time",
        f"{model}: training 2 folds, 2 at a time",
    ]


@pytest.mark.parametrize(("named", "expected"), [("", ["0", "1"]), ("3,GPU-7f", ["3", "GPU-7f"])])
def test_folds_share_the_gpus(experiment, become, tmp_path, monkeypatch, named, expected):
    become(f'echo $CUDA_VISIBLE_DEVICES > {tmp_path}/gpu_of_$4')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("earmark.flows.workers.forecast", lambda *_: Forecast(1, 1))  # which would use them
    train_folds(experiment, [0, 1])
    assert [(tmp_path / f"gpu_of_{fold}").read_text().strip() for fold in (0, 1)] == expected


def test_a_network_on_several_gpus_has_them_to_itself(experiment, become, tmp_path, monkeypatch):
    become(f'echo $CUDA_VISIBLE_DEVICES > {tmp_path}/gpus_of_$4')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("earmark.flows.workers.forecast", lambda *_: Forecast(1, 1))
    on_two = replace(experiment, config=replace(experiment.config, devices=2))
    train_folds(on_two, [0, 1])
    assert [(tmp_path / f"gpus_of_{fold}").read_text().strip() for fold in (0, 1)] == ["0,1", "2,3"]
    with pytest.raises(ConfigError, match="devices: 6 shall train one network, and 5 GPUs can be used"):
        train_folds(replace(experiment, config=replace(experiment.config, devices=6)), [0])


def test_an_alarm_is_said_once_from_whatever_fold_it_comes(experiment, become, two_cores, caplog):
    row = '{"epoch": 2, "alarms": [{"name": "frozen", "text": "head.last: no step moved the weights."}]}'
    become(f"for fold in 0 1; do mkdir -p $3/fold_$fold/tiny_cnn; "
           f"echo '{row}' >> $3/fold_$fold/tiny_cnn/diagnostics.jsonl; done")
    train_folds(experiment, [0, 1])
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["tiny_cnn, epoch 3: head.last: no step moved the weights."]


def test_half_a_core_is_twice_as_slow_and_no_machine_is_quicker_than_idle(monkeypatch):
    worked = time.process_time
    for speed, expected in ((2.0, 2.0), (0.5, 1.0)):
        monkeypatch.setattr("earmark.flows.workers.time.perf_counter", lambda speed=speed: speed * worked())
        assert slowdown() == pytest.approx(expected, rel=0.02)
