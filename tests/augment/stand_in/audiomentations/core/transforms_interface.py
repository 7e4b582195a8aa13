"""What all transforms are."""

import random


class BaseWaveformTransform:
    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, samples, sample_rate):
        return self.apply(samples, sample_rate) if random.random() < self.p else samples
