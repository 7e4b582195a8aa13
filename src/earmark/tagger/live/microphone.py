"""The microphone, through PortAudio, which comes with the extra [live]."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from earmark.errors import AudioError, ConfigError, MissingExtraError
from earmark.tagger.live.source import BACKLOG_SECONDS, Block, BlockQueue

PATIENCE_SECONDS = 10.0  # without any block, a microphone is gone


def import_sounddevice() -> ModuleType:
    """sounddevice, with PortAudio.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    try:
        import sounddevice
    except (ModuleNotFoundError, OSError) as error:  # OSError: PortAudio, which its wheels for Linux lack
        also = "; on Debian and Ubuntu also: apt install libportaudio2"
        raise MissingExtraError("sounddevice with PortAudio", "listen to a microphone", "live", also) from error
    return sounddevice


def list_microphones() -> list[tuple[int, str, int, int]]:
    """What can be recorded from: (number, name, channels, its own sample rate in Hz).

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
    """
    return [
        (device["index"], device["name"], device["max_input_channels"], int(device["default_samplerate"]))
        for device in import_sounddevice().query_devices()
        if device["max_input_channels"]
    ]


class Intake:
    """What PortAudio's callback does with sound: it never waits, and counts what finds no room in the queue as lost.

    Once BACKLOG_SECONDS wait, all is lost until half of that is heard: long stretches heard and lost are worth more
    than shreds.
    """

    def __init__(self, queue: BlockQueue):
        self._queue = queue
        self._full = False
        self._n_lost = 0  # samples, since the last block that found room
        self._expected: float | None = None  # when the next block begins, by the clock of the device
        self._came = 0.0  # when the last one came, by ours

    def take(self, frames: np.ndarray, n_frames: int, times: Any, status: Any) -> None:
        """The callback: frames float32 (n_frames, channels), with PortAudio's times and flags."""
        begins, now = times.inputBufferAdcTime, time.monotonic()
        if status.input_overflow and self._expected is not None:
            # Not every device's clock can be trusted, and no more can be lost than time has passed.
            seconds = min(begins - self._expected, now - self._came)
            self._n_lost += max(round(seconds * self._queue.sample_rate), 0)
        self._expected, self._came = begins + n_frames / self._queue.sample_rate, now
        self._full = self._queue.backlog_seconds >= (BACKLOG_SECONDS / 2 if self._full else BACKLOG_SECONDS)
        if self._full:
            self._n_lost += n_frames
            return
        block = Block(frames.mean(axis=1, dtype=np.float32), time.time(), self._n_lost)
        self._n_lost = 0
        self._queue.put(block)


class Microphone:
    """A recording device.

    Args:
        device: its number, or a part of its name; None = the system's own choice.
        sample_rate: Hz; None = the device's own.
        n_channels: recorded, and averaged.

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
        ConfigError: there is no such device, or there are several.
        AudioError: there is none at all, or it does not open like this.
    """

    def __init__(self, device: str | None = None, sample_rate: int | None = None, n_channels: int = 1):
        sounddevice = import_sounddevice()
        found = _find(sounddevice, device)
        own_rate = int(found["default_samplerate"])
        self.name = found["name"]
        self.sample_rate = own_rate if sample_rate is None else sample_rate
        self._queue = BlockQueue(self.sample_rate)
        try:
            self._stream = sounddevice.InputStream(
                samplerate=self.sample_rate,
                device=found["index"],
                channels=n_channels,
                dtype="float32",
                callback=Intake(self._queue).take,
                finished_callback=self._finish,
            )
        except sounddevice.PortAudioError as error:
            raise AudioError(
                f"microphone '{self.name}': does not record {n_channels} channels at {self.sample_rate} Hz "
                f"({error.args[0]}). It has {found['max_input_channels']} channels, and {own_rate} Hz of its own."
            ) from error

    @property
    def backlog_seconds(self) -> float:
        """How much was recorded and not yet heard."""
        return self._queue.backlog_seconds

    def blocks(self) -> Iterator[Block]:
        """Blocks until it is stopped.

        Raises:
            AudioError: the device is gone.
        """
        self._stream.start()
        yield from self._queue.blocks(PATIENCE_SECONDS)

    def stop(self) -> None:
        """Hand out no more."""
        self._queue.stop()

    def close(self) -> None:
        """Let go of the device."""
        self._stream.close()

    def _finish(self) -> None:
        """PortAudio records no more: it was closed, or the device is gone."""
        self._queue.end(
            AudioError(f"microphone '{self.name}': records no more. Check that it is plugged in, and start again.")
        )


def _find(sounddevice: ModuleType, wanted: str | None) -> dict[str, Any]:
    """The one recording device that is meant."""
    devices = [each for each in sounddevice.query_devices() if each["max_input_channels"]]
    if wanted is None:
        chosen = sounddevice.default.device[0]
        found = [each for each in devices if each["index"] == chosen] or devices
        if not found:
            raise AudioError("microphone: there is none here. Plug one in, or pipe sound in with --pipe.")
        return found[0]
    found = [each for each in devices if wanted in (each["name"], str(each["index"]))]
    found = found or [each for each in devices if wanted.casefold() in each["name"].casefold()]
    if len(found) != 1:
        wrong = "several are called so" if found else "there is no such microphone"
        known = ", ".join(f"{each['index']} '{each['name']}'" for each in devices)
        raise ConfigError(f"--device '{wanted}': {wrong} (found {known or 'none at all'}). Give the number of one.")
    return found[0]
