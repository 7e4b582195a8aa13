"""Augmentations of the package audiomentations, which work on a processor, one clip after the other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from earmark.errors import ConfigError, MissingExtraError
from earmark.lookup import did_you_mean

SETTING = "augment.audiomentations"


class Borrowed(nn.Module):
    """Change each clip by one of audiomentations' transforms, drawn for it, in its own usual strength.

    Args:
        names: of its transforms, such as PitchShift.
        sample_rate: Hz.

    Raises:
        MissingExtraError: the package is not installed.
        ConfigError: it has no such transform, or one that cannot do without settings.
    """

    def __init__(self, names: Sequence[str], sample_rate: int):
        super().__init__()
        self.transforms = {name: _transform(name) for name in names}
        self.sample_rate = sample_rate

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode.

        Raises:
            ConfigError: a transform changes how long a clip is, or has not got what it needs.
        """
        if not self.training:
            return waveform
        clips, names = waveform.cpu().numpy(), list(self.transforms)
        chosen = torch.randint(len(names), (len(clips),), generator=generator).tolist()
        seeds = torch.randint(2**31, (len(clips),), generator=generator).tolist()
        changed = [self._changed(clip, names[one], seed) for clip, one, seed in zip(clips, chosen, seeds, strict=True)]
        return torch.from_numpy(np.stack(changed)).to(waveform)

    def _changed(self, clip: np.ndarray, name: str, seed: int) -> np.ndarray:
        if not clip.any():  # several of them divide by how loud it is
            return clip
        try:
            with _seeded(seed):
                found = self.transforms[name](samples=clip.copy(), sample_rate=self.sample_rate)
        except ImportError as error:
            raise ConfigError(
                f"{SETTING}: {name} needs a package ({error}). Install it, or leave {name} out."
            ) from error
        if found.shape != clip.shape:
            raise ConfigError(
                f"{SETTING}: {name} makes {found.shape[-1]} samples of {len(clip)}, and a window keeps its length. "
                f"Leave {name} out."
            )
        return found if np.isfinite(found).all() else clip


def _transform(name: str) -> Any:
    """A transform that is applied whenever it is called."""
    try:
        import audiomentations
        from audiomentations.core.transforms_interface import BaseWaveformTransform
    except ModuleNotFoundError as error:
        raise MissingExtraError("audiomentations", f"use {SETTING}", "augment") from error
    found = {
        key: value
        for key, value in vars(audiomentations).items()
        if isinstance(value, type) and issubclass(value, BaseWaveformTransform)
    }
    if name not in found:
        raise ConfigError(
            f"{SETTING}: '{name}' is none of the transforms of audiomentations{did_you_mean(name, found)}. "
            "Its documentation lists them."
        )
    try:
        return found[name](p=1.0)
    except TypeError as error:
        raise ConfigError(f"{SETTING}: {name} cannot do without settings ({error}). Leave it out.") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The generators of Python and numpy, which the package draws from, for once from a seed; then as they were."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
