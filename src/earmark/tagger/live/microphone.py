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


def list_microphones() -> list[tuple[str, int, int]]:
    """What can be recorded from: (name, channels, its own sample rate in Hz).

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
    """
    return [
        (device["name"], device["max_input_channels"], int(device["default_samplerate"]))
        for device in import_sounddevice().query_devices()
        if device["max_input_channels"]
    ]


class Microphone:
    """A recording device. Its callback never waits; what finds no room in the queue is lost, and counted.

    Once BACKLOG_SECONDS wait, all is lost until half of that is heard: long stretches heard and lost are worth more
    than shreds.

    Args:
        device: a part of its name; None = the system's own choice.
        sample_rate: Hz; None = the device's own.
        n_channels: recorded, and averaged.

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
        ConfigError: there is no such device, or there are several.
        AudioError: it does not open like this.
    """

    def __init__(self, device: str | None = None, sample_rate: int | None = None, n_channels: int = 1):
        sounddevice = import_sounddevice()
        found = _find(sounddevice, device)
        own_rate = int(found["default_samplerate"])
        self.name = found["name"]
        self.sample_rate = sample_rate or own_rate
        self.n_lost = 0
        self._queue = BlockQueue(self.sample_rate)
        self._full = False
        self._n_lost_before = 0  # samples, since the last block that was put
        self._expected = 0.0  # when the next block begins, by the clock of the device
        self._heard = time.monotonic()  # when the last one came, by ours
        try:
            self._stream = sounddevice.InputStream(
                samplerate=self.sample_rate,
                device=found["index"],
                channels=n_channels,
                dtype="float32",
                callback=self._take,
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

    def _take(self, frames: np.ndarray, n_frames: int, times: Any, status: Any) -> None:
        """PortAudio's callback, in its thread: frames (n_frames, channels)."""
        begins, now = times.inputBufferAdcTime, time.monotonic()
        if status.input_overflow and self._expected > 0:
            # Not every host's clock can be trusted, and no more can be lost than time has passed.
            seconds = min(begins - self._expected, now - self._heard)
            self._lose(max(round(seconds * self.sample_rate), 0))
        self._expected, self._heard = begins + n_frames / self.sample_rate, now
        backlog_seconds = self.backlog_seconds
        self._full = backlog_seconds >= (BACKLOG_SECONDS / 2 if self._full else BACKLOG_SECONDS)
        if self._full:
            self._lose(n_frames)
            return
        block = Block(frames.mean(axis=1, dtype=np.float32), time.time(), self._n_lost_before)
        self._n_lost_before = 0
        self._queue.put(block)

    def _lose(self, n_samples: int) -> None:
        self.n_lost += n_samples
        self._n_lost_before += n_samples

    def _finish(self) -> None:
        """PortAudio's word that it records no more: ours, or a device that is gone."""
        self._queue.end(
            AudioError(f"microphone '{self.name}': records no more. Check that it is plugged in, and start again.")
        )


def _find(sounddevice: ModuleType, name: str | None) -> dict[str, Any]:
    """The one recording device that is meant."""
    devices = [each for each in sounddevice.query_devices() if each["max_input_channels"]]
    known = ", ".join(f"'{each['name']}'" for each in devices)
    if name is None:
        chosen = sounddevice.default.device[0]
        found = [each for each in devices if each["index"] == chosen] or devices
        if not found:
            raise AudioError("microphone: there is none here. Plug one in, or pipe sound in with --pipe.")
        return found[0]
    found = [each for each in devices if each["name"] == name]
    found = found or [each for each in devices if name.casefold() in each["name"].casefold()]
    if len(found) != 1:
        raise ConfigError(
            f"--device '{name}': {'there is no such microphone' if not found else 'several are called so'} "
            f"(found {known or 'none at all'}). Name one; --list-devices lists them."
        )
    return found[0]
