"""From cached waveforms to batches of windows. Decoding happened once, in audio.cache."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.training.sampling import deal, seed_for
from earmark.windows import Framing, pad

log = logging.getLogger("earmark")

TRIM_FRAME_SECONDS = 0.02
FRAMES_AT_ONCE = 10_000
MAX_BACKGROUNDS = 256  # windows of 5 s at 32 kHz are 160 MB


def loss_weights(manifest: Manifest) -> np.ndarray:
    """How much each label counts in a loss, float32 (clips, classes): 0 where it is unknown, else its clip's weight."""
    return manifest.label_weights() * manifest.weights.astype(np.float32)[:, None]


def choosing_labels(validation: Manifest) -> np.ndarray:
    """Which labels choose the epoch, float32 (clips, classes): those that may be wrong must not where others can."""
    known = validation.label_weights()
    noisy = validation.column("subset") == "noisy"
    if not noisy.all():
        known[noisy] = 0
    return known


def class_frequencies(targets: np.ndarray, weights: np.ndarray) -> Tensor:
    """Share of each class among the clips that know it (classes,), of targets and weights (clips, classes); 0 where
    none does."""
    known = torch.from_numpy(weights).sum(dim=0)
    found = torch.from_numpy(targets * weights).sum(dim=0)
    return found / torch.where(known > 0, known, torch.ones_like(known))


class TrainingBatches(Dataset):
    """Batches of random windows. Item (epoch, batch) is always the same, whatever came before or runs beside.

    Args:
        targets: (clips, classes) float32, in [0, 1].
        weights: (clips, classes) float32, 0 = unknown.
        batch_size: clips a batch; an incomplete last batch is left out (other clips each epoch) unless it is alone.
        chances: of each clip to be drawn, (clips,); None = every clip once an epoch.
        noisy: (clips,) bool, whose share is the same in every batch if there are chances.
        padding: of clips that are too short: one of `windows.PADDINGS`, "offset" = silence before and after the sound,
            "wrap" = said again from a random point; empty = as `framing` says.
        trim_db: what is further below a clip's loudest 20 ms is cut off its ends; 0 = nothing is.
    """

    def __init__(
        self,
        audio: ClipAudio,
        targets: np.ndarray,
        weights: np.ndarray,
        framing: Framing,
        batch_size: int,
        seed: int,
        *,
        chances: np.ndarray | None = None,
        noisy: np.ndarray | None = None,
        padding: str = "",
        trim_db: float = 0.0,
    ):
        self.audio = audio
        self.targets = targets
        self.weights = weights
        self.framing = framing
        self.batch_size = batch_size
        self.seed = seed
        self.chances = chances
        self.noisy = np.zeros(len(audio), bool) if noisy is None else noisy
        self.padding = padding or framing.padding
        self.trim_db = trim_db
        self._spans: dict[int, tuple[int, int]] = {}  # clip → what is left of it, once it was heard whole

    @property
    def n_heard(self) -> int:
        """Clips that are drawn at all."""
        return len(self.audio) if self.chances is None else int(np.count_nonzero(self.chances))

    @property
    def size(self) -> int:
        """Clips a batch."""
        return min(self.batch_size, self.n_heard)

    @property
    def n_batches(self) -> int:
        """Batches an epoch."""
        return max(1, self.n_heard // self.batch_size)

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms (batch, window_samples), targets and weights (batch, classes), float32."""
        epoch, batch = key
        chosen = self.clips_of(epoch, batch)
        generator = np.random.default_rng(seed_for(self.seed, epoch, batch))
        windows = np.stack([self._random_window(self._trimmed(clip), generator) for clip in chosen])
        labels = torch.from_numpy(self.targets[chosen]), torch.from_numpy(self.weights[chosen])
        return torch.from_numpy(windows), *labels

    def clips_of(self, epoch: int, batch: int) -> np.ndarray:
        """Positions of a batch's clips, (batch,)."""
        seed = seed_for(self.seed, epoch)
        if self.chances is not None:
            return deal(self.chances, self.noisy, self.n_batches, self.size, seed)[batch]
        order = np.random.default_rng(seed).permutation(len(self.audio))
        return order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _trimmed(self, clip: int) -> np.ndarray:
        """A clip without the silence at its ends, if that is asked for."""
        waveform = self.audio[clip]
        if not self.trim_db:
            return waveform
        if clip not in self._spans:
            self._spans[clip] = sounding_span(waveform, self.trim_db, self.framing.sample_rate)
        first, stop = self._spans[clip]
        return waveform[first:stop]

    def _random_window(self, waveform: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A window at a random place of a longer clip; a shorter one is padded."""
        n_samples = self.framing.window_samples
        spare = len(waveform) - n_samples
        start = int(generator.integers(0, spare + 1)) if spare > 0 else 0
        window = np.asarray(waveform[start : start + n_samples], dtype=np.float32)
        if spare < 0 and self.padding == "offset":
            return pad(window, n_samples, "zeros", int(generator.integers(0, 1 - spare)))
        if spare < 0 and self.padding == "wrap":
            return pad(window, n_samples, "repeat", int(generator.integers(0, max(1, len(window)))))
        return pad(window, n_samples, self.padding)


def sounding_span(waveform: np.ndarray, trim_db: float, sample_rate: int) -> tuple[int, int]:
    """First sample that sounds and the one after the last, by frames of 20 ms; of silence alone, all of it.

    Args:
        waveform: (samples,), perhaps a memory map of an hour: it is read in pieces.
        trim_db: a frame sounds if it is no further than this below the loudest one.

    >>> sounding_span(np.repeat([0.0, 1.0, 0.001, 0.0], 160), 50, 8000)
    (160, 320)
    """
    frame = max(1, round(TRIM_FRAME_SECONDS * sample_rate))
    power = []
    for first in range(0, len(waveform), FRAMES_AT_ONCE * frame):
        piece = np.asarray(waveform[first : first + FRAMES_AT_ONCE * frame], dtype=np.float32)
        piece = np.pad(piece, (0, -len(piece) % frame))
        power.append(np.square(piece).reshape(-1, frame).mean(axis=1))
    power = np.concatenate(power) if power else np.zeros(0)
    if not power.any():
        return 0, len(waveform)
    sounding = np.flatnonzero(power >= power.max() * 10 ** (-trim_db / 10))
    return int(sounding[0]) * frame, min(len(waveform), int(sounding[-1] + 1) * frame)


def background_windows(training: Manifest, audio: ClipAudio, framing: Framing, seed: int) -> Tensor | None:
    """What is heard in the clips that surely hold none of the classes: one window of each, of at most 256 of them.

    Returns:
        float32 (windows, window_samples), or None where there is no such clip.
    """
    empty = (training.targets().max(axis=1, initial=0) == 0) & (training.label_weights().min(axis=1, initial=1) > 0)
    generator = np.random.default_rng(seed_for(seed, 3))
    clips = generator.permutation(np.flatnonzero(empty))[:MAX_BACKGROUNDS]
    windows = []
    for clip in clips:
        waveform = audio[clip]
        start = int(generator.integers(0, max(1, len(waveform) - framing.window_samples + 1)))
        window = np.asarray(waveform[start : start + framing.window_samples])
        if window.any():
            windows.append(pad(window, framing.window_samples, "repeat"))
    if not windows:
        log.info("no clip without a label is among the training clips: no background is added")
        return None
    return torch.from_numpy(np.stack(windows))


class ValidationWindows(Dataset):
    """Every window of each clip, cut as users' files are: (windows of a clip, window_samples) and the clip's number."""

    def __init__(self, audio: ClipAudio, framing: Framing):
        self.audio = audio
        self.framing = framing

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        windows = self.framing.cut(self.audio[index])
        return torch.from_numpy(windows), index


def join_windows(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Collate clips into windows (windows, window_samples) and each window's clip number (windows,)."""
    windows = torch.cat([windows for windows, _ in items])
    clips = torch.cat([torch.full((len(windows),), index) for windows, index in items])
    return windows, clips
