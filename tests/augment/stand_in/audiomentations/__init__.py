"""Stands for the package of this name, which wants another soxr than the tests: a few transforms in its manner."""

import random

import numpy as np

from audiomentations.core.transforms_interface import BaseWaveformTransform


class Gain(BaseWaveformTransform):
    def apply(self, samples, sample_rate):
        return samples * np.float32(random.uniform(0.1, 1.0))


class AddGaussianNoise(BaseWaveformTransform):
    def apply(self, samples, sample_rate):
        return samples + np.random.randn(len(samples)).astype(np.float32)


class Trim(BaseWaveformTransform):
    def apply(self, samples, sample_rate):
        return samples[1:]


class Normalize(BaseWaveformTransform):
    def apply(self, samples, sample_rate):
        return samples * np.float32(np.nan)


class Mp3Compression(BaseWaveformTransform):
    def apply(self, samples, sample_rate):
        raise ImportError("no module named fast_mp3_augment")


class AddBackgroundNoise(BaseWaveformTransform):
    def __init__(self, sounds_path, p=0.5):
        super().__init__(p)


class Compose:
    """Is no transform of a waveform."""
