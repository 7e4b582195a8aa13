"""From cached waveforms to batches of windows. Decoding happened once, in audio.cache."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.training.sampling import deal, seed_for
from earmark.windows import Framing, pad


def loss_weights(manifest: Manifest) -> np.ndarray:
    """How much each label counts in a loss, float32 (clips, classes): 0 where it is unknown, else its clip's weight."""
    return manifest.label_weights() * manifest.weights.astype(np.float32)[:, None]


class TrainingBatches(Dataset):
    """Batches of random windows. Item (epoch, batch) is always the same, whatever came before or runs beside.

    Args:
        targets: (clips, classes) float32, in [0, 1].
        weights: (clips, classes) float32, 0 = unknown.
        batch_size: clips a batch; an incomplete last batch is left out (other clips each epoch) unless it is alone.
        chances: of each clip to be drawn, (clips,); None = every clip once an epoch.
        noisy: (clips,) bool, whose share is the same in every batch if there are chances.
    """

    def __init__(
        self,
        audio: ClipAudio,
        targets: np.ndarray,
        weights: np.ndarray,
        framing: Framing,
        batch_size: int,
        seed: int,
        chances: np.ndarray | None = None,
        noisy: np.ndarray | None = None,
    ):
        self.audio = audio
        self.targets = targets
        self.weights = weights
        self.framing = framing
        self.batch_size = batch_size
        self.seed = seed
        self.chances = chances
        self.noisy = np.zeros(len(audio), bool) if noisy is None else noisy

    @property
    def n_heard(self) -> int:
        """Clips that are drawn at all."""
        return len(self.audio) if self.chances is None else int(np.count_nonzero(self.chances))

    @property
    def n_batches(self) -> int:
        """Batches an epoch."""
        return max(1, self.n_heard // self.batch_size)

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms (batch, window_samples), targets and weights (batch, classes), float32."""
        epoch, batch = key
        chosen = self._clips_of(epoch, batch)
        generator = np.random.default_rng(seed_for(self.seed, epoch, batch))
        windows = np.stack([self._random_window(self.audio[clip], generator) for clip in chosen])
        labels = torch.from_numpy(self.targets[chosen]), torch.from_numpy(self.weights[chosen])
        return torch.from_numpy(windows), *labels

    def _clips_of(self, epoch: int, batch: int) -> np.ndarray:
        seed = seed_for(self.seed, epoch)
        if self.chances is not None:
            size = min(self.batch_size, self.n_heard)
            return deal(self.chances, self.noisy, self.n_batches, size, seed)[batch]
        order = np.random.default_rng(seed).permutation(len(self.audio))
        return order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _random_window(self, waveform: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A window at a random place of a longer clip; a shorter one is padded."""
        spare = len(waveform) - self.framing.window_samples
        start = int(generator.integers(0, spare + 1)) if spare > 0 else 0
        window = np.asarray(waveform[start : start + self.framing.window_samples], dtype=np.float32)
        return pad(window, self.framing.window_samples, self.framing.padding)


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
