"""A microphone never waits for us, and what is lost is counted; tried on ALSA's `file` device where PortAudio is.

PortAudio reads ALSA's configuration when it is loaded, so that the device is tried in a process of its own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from earmark import audio, load_tagger
from earmark.errors import AudioError, ConfigError, MissingExtraError
from earmark.tagger import EventRule
from earmark.tagger.live import microphone
from earmark.tagger.live.microphone import Intake, import_sounddevice
from earmark.tagger.live.source import Block, BlockQueue

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "docs" / "tagger-file"
TAGGER = VECTORS / "cnn.tagger.onnx"
RATE = 8000
ALSA = """
pcm.fake {{ type file slave.pcm "nothing" file "/dev/null" infile "{raw}" format "raw" }}
pcm.nothing {{ type null }}
pcm.!default {{ type plug slave.pcm "fake" }}
ctl.!default {{ type null }}
"""


def take(intake, n_frames=800, at=0.0, overflow=False):
    frames = np.ones((n_frames, 2), dtype=np.float32) * [0.5, 0.25]
    times, status = SimpleNamespace(inputBufferAdcTime=at), SimpleNamespace(input_overflow=overflow)
    intake.take(frames.astype(np.float32), n_frames, times, status)


def blocks_of(queue):
    queue.end()
    return list(queue.blocks())


def test_blocks_are_copies_averaged_over_channels():
    queue = BlockQueue(RATE)
    take(Intake(queue))
    [block] = blocks_of(queue)
    np.testing.assert_array_equal(block.samples, np.full(800, 0.375, dtype=np.float32))
    assert block.n_lost == 0


def test_what_portaudio_lost_is_as_long_as_its_clock_jumped(monkeypatch):
    queue, clock = BlockQueue(RATE), iter([10.0, 10.6, 10.7, 10.8])
    monkeypatch.setattr(microphone.time, "monotonic", lambda: next(clock))
    intake = Intake(queue)
    take(intake, at=5.0)
    take(intake, at=5.6, overflow=True)  # 0.5 s after where the first block ended
    take(intake, at=1e9, overflow=True)  # a clock that cannot be right: 0.1 s have passed
    take(intake, at=0.0, overflow=True)
    assert [block.n_lost for block in blocks_of(queue)] == [0, 4000, 800]  # the last two are one


def test_when_too_much_waits_all_is_lost_until_half_of_it_is_heard(monkeypatch):
    monkeypatch.setattr(microphone, "BACKLOG_SECONDS", 1.0)
    queue = BlockQueue(RATE)
    intake = Intake(queue)
    for _ in range(12):
        take(intake)
    assert queue.backlog_seconds == 1.0
    blocks = queue.blocks()
    assert len(next(blocks).samples) == RATE  # all that waited
    take(intake)
    queue.end()
    [block] = blocks
    assert (len(block.samples), block.n_lost) == (800, 1600)


def test_a_queue_gives_waiting_blocks_as_one_but_not_over_a_loss():
    queue = BlockQueue(RATE)
    for number, n_lost in enumerate([0, 0, 5, 0]):
        queue.put(Block(np.full(10, number, dtype=np.float32), float(number), n_lost))
    first, second = blocks_of(queue)
    assert (len(first.samples), first.came, len(second.samples), second.n_lost) == (20, 1.0, 20, 5)
    assert queue.backlog_seconds == 0


def test_a_microphone_that_gives_nothing_any_more_is_told():
    with pytest.raises(AudioError, match=r"microphone: gave no sound for 0.01 s. Check that it is plugged in"):
        list(BlockQueue(RATE).blocks(patience=0.01))


@pytest.mark.parametrize("failure", ["ModuleNotFoundError('No module named sounddevice')", "OSError('no PortAudio')"])
def test_without_sounddevice_or_portaudio_it_says_what_to_install(python, failure):
    code = f"""
import importlib.abc
class Fail(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "sounddevice":
            raise {failure}
sys.meta_path.insert(0, Fail())
from earmark.__main__ import main
sys.argv = ["earmark", "listen", {str(TAGGER)!r}]
sys.exit(main())
"""
    done = python(code)
    assert done.returncode == 2
    assert done.stderr == (
        "sounddevice with PortAudio is needed to listen to a microphone. pip install 'earmark[live]'; "
        "on Debian and Ubuntu also: apt install libportaudio2\n"
    )


def devices(*names):
    """What sounddevice says of devices; the last is the system's choice."""
    listed = [
        {"name": name, "index": number, "max_input_channels": 0 if name == "speaker" else 2}
        for number, name in enumerate(names)
    ]
    return SimpleNamespace(query_devices=lambda: listed, default=SimpleNamespace(device=(len(names) - 1, 0)))


@pytest.mark.parametrize(
    ("wanted", "number"), [(None, 4), ("1", 1), ("usb mic", 1), ("Webcam", 2), ("4", 4), ("built", 4)]
)
def test_a_microphone_is_meant_by_its_number_or_a_part_of_its_name(wanted, number):
    here = devices("speaker", "USB Mic (2 channels)", "Webcam", "Webcam 3", "Built-in")
    assert microphone._find(here, wanted)["index"] == number


@pytest.mark.parametrize(
    ("names", "wanted", "error", "message"),
    [
        (["speaker"], None, AudioError, "microphone: there is none here. Plug one in, or pipe sound in with --pipe."),
        (["speaker"], "0", ConfigError, "--device '0': there is no such microphone (found none at all)."),
        (["speaker", "USB 1", "USB 2"], "usb", ConfigError, "several are called so (found 1 'USB 1', 2 'USB 2')"),
    ],
)
def test_a_microphone_that_cannot_be_meant_is_refused(names, wanted, error, message):
    with pytest.raises(error, match=re.escape(message)):
        microphone._find(devices(*names), wanted)


@pytest.fixture
def on_fake_device(tmp_path):
    """`on_fake_device(waveform, *words)`: Python in a process whose microphone "fake" gives a waveform, much faster
    than real time, and after its end whatever it likes."""
    try:
        import_sounddevice()
    except MissingExtraError as error:
        pytest.skip(str(error))

    def run(waveform, *words):
        waveform.astype("<f4").tofile(tmp_path / "sound.raw")
        (tmp_path / "alsa.conf").write_text(ALSA.format(raw=tmp_path / "sound.raw"))
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "ALSA_CONFIG_PATH": str(tmp_path / "alsa.conf")}
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
        if "found none at all" in done.stderr:
            pytest.skip("PortAudio has no ALSA here, or ALSA no `file` device")
        return done

    return run


@pytest.fixture
def fake_device(on_fake_device):
    """`fake_device(waveform, *words)`: `earmark listen` there."""
    return lambda waveform, *words: on_fake_device(waveform, "-m", "earmark", "listen", *words)


def test_what_a_real_device_gives_too_fast_is_lost_and_counted(on_fake_device, bursts):
    code = """
import time
import numpy as np
from earmark.tagger.live import Microphone
source = Microphone("fake", 8000)
blocks = source.blocks()
first = next(blocks)
while source.backlog_seconds < 30 - len(first.samples) / 8000: time.sleep(0.01)
time.sleep(0.1)
parts = [first.samples]
for block in blocks:
    if block.n_lost: break
    parts.append(block.samples)
source.close()
heard = np.concatenate(parts)
print(len(heard) >= 30 * 8000, block.n_lost > 8000, np.array_equal(heard[:160_000], np.fromfile("sound.raw", "<f4")))
"""
    done = on_fake_device(bursts, "-c", code)
    assert done.stdout == "True True True\n", done.stderr


def test_a_microphone_gives_the_events_and_the_sound_of_a_recording(fake_device, bursts, tmp_path):
    words = ("--rate", RATE, "--seconds", "20", "--save-events", "clips", "--out", "events.jsonl")
    done = fake_device(bursts, TAGGER, "--device", "fake", "--keep-share", "1", *words)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    audio.write(tmp_path / "sound.wav", bursts, RATE)
    tagger = load_tagger(TAGGER)
    expected = tagger.events(tagger.score(tmp_path / "sound.wav"), EventRule(keep_share=1))
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(expected) > 4
    assert sorted((line["start"], line["end"], line["tags"][0]["label"]) for line in lines) == sorted(
        (round(event.start, 6), round(event.end, 6), event.label) for event in expected
    )
    for line in lines:
        samples, _ = soundfile.read(tmp_path / line["clip"], dtype="float32")
        first = round(max(line["start"] - 1, 0) * RATE)
        np.testing.assert_allclose(samples, bursts[first : first + len(samples)], atol=1e-4)
        assert len(samples) == round(min(line["end"] + 1, 20) * RATE) - first
    assert {path.suffix for path in (tmp_path / "clips").iterdir()} == {".flac", ".json"}


def test_microphones_are_listed_and_what_is_not_there_or_not_recorded_is_told(on_fake_device, bursts):
    code = f"""
import sys
from earmark.__main__ import main
for words in (["--list-devices"], ["--device", "horn"], ["--device", "0", "--rate", "123456789"]):
    sys.argv = ["earmark", "listen", *words, *([{str(TAGGER)!r}] if len(words) > 1 else [])]
    try:
        print(main())
    except SystemExit as end:
        print(end.code)
"""
    done = on_fake_device(bursts, "-c", code)
    *listed, listed_well, not_there, not_recorded = done.stdout.splitlines()
    assert (listed_well, not_there, not_recorded) == ("0", "2", "2"), done.stderr
    assert listed[0].split() == ["microphone", "number", "channels", "Hz"]
    assert listed[1].split()[:2] == ["fake", "0"]
    assert "--device 'horn': there is no such microphone (found 0 'fake'" in done.stderr
    assert "microphone 'fake': does not record 1 channels at 123456789 Hz" in done.stderr
