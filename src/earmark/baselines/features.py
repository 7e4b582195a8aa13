"""Summary features of a window, as torch operations on the shared front end, so that the tagger's graph holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.baselines.descriptors import Heard
from earmark.errors import ConfigError
from earmark.lookup import did_you_mean, load
from earmark.models.derived import DELTA_FRAMES, slope_weights
from earmark.models.frontend import FactoredLogMel
from earmark.models.frontend_config import FrontendConfig
from earmark.models.steps import deviation, percentiles_of

SERIES = {
    "mel": "earmark.baselines.descriptors:LogMelBands",
    "mfcc": "earmark.baselines.descriptors:Mfcc",
    "shape": "earmark.baselines.descriptors:Shape",
    "contrast": "earmark.baselines.descriptors:Contrast",
    "flux": "earmark.baselines.descriptors:Flux",
    "chroma": "earmark.baselines.descriptors:Chroma",
    "level": "earmark.baselines.descriptors:Level",
}
WHOLE = {
    "modulation": "earmark.baselines.descriptors:Modulation",
    "steps": "earmark.baselines.descriptors:Steps",
}
# Not `steps`: its 1,536 columns say little and hide the rest (300 instruments: forest 0.852, with them 0.830).
GROUPS = ("mel", "mfcc", "shape", "contrast", "flux", "chroma", "level", "modulation")
STATISTICS = ("mean", "std", "min", "max", "p10", "p50", "p90", "delta size", "delta std")
OF_THE_SPECTRUM = {"shape", "contrast", "chroma"}


class SummaryFeatures(nn.Module):
    """A window in numbers that a classical model can learn from.

    Each series over time (a mel band, a cepstral coefficient, the spectral centroid, …) leaves its mean, deviation,
    minimum, maximum, 10th, 50th and 90th percentile, and the mean size and deviation of its slope; `WHOLE` groups look
    at the window as a whole. Always float32; finite whatever is heard.

    names: of the features, in words. groups: of each feature, one of SERIES and WHOLE.

    >>> features = SummaryFeatures(FrontendConfig(), ["mel", "shape"])
    >>> features(torch.zeros(2, 32000)).shape, features.names[-9:-7], features.groups[-1]
    (torch.Size([2, 612]), ['flatness mean', 'flatness std'], 'shape')
    """

    def __init__(self, config: FrontendConfig, groups: Sequence[str] = GROUPS):
        super().__init__()
        for group in groups:
            known = {**SERIES, **WHOLE}
            if group not in known:
                raise ConfigError(
                    f"'{group}' is not a group of features{did_you_mean(group, known)}. Known: {', '.join(known)}."
                )
        self.config = config
        self.frontend = FactoredLogMel(config)
        self.with_spectrum = not OF_THE_SPECTRUM.isdisjoint(groups)
        self.series = nn.ModuleDict({group: load(SERIES[group])(config) for group in groups if group in SERIES})
        self.whole = nn.ModuleDict({group: load(WHOLE[group])(config) for group in groups if group in WHOLE})
        self.names: list[str] = []
        self.groups: list[str] = []
        for group, each in self.series.items():
            self._add(group, [f"{series} {statistic}" for series in each.names for statistic in STATISTICS])
        for group, each in self.whole.items():
            self._add(group, each.names)

    def _add(self, group: str, names: Sequence[str]) -> None:
        self.names += names
        self.groups += [group] * len(names)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), full scale ±1, to features (batch, features) float32."""
        heard = self.hear(waveform.float())
        found = []
        if self.series:
            found.append(_statistics(torch.cat([each(heard) for each in self.series.values()], dim=1)))
        found += [each(heard) for each in self.whole.values()]
        return torch.cat(found, dim=1)

    def hear(self, waveform: Tensor) -> Heard:
        """What the descriptors start from, of a waveform (batch, samples) float32."""
        if not self.with_spectrum:
            nothing = waveform[:, :0, None]
            return Heard(waveform, self.frontend(waveform)[:, 0], nothing, nothing)
        bands, spectrum = self.frontend.with_spectrum(waveform)
        if self.config.power == 2:
            return Heard(waveform, bands[:, 0], spectrum, spectrum.sqrt())
        return Heard(waveform, bands[:, 0], spectrum.square(), spectrum)


def _statistics(series: Tensor) -> Tensor:
    """Series (batch, series, frames) to their STATISTICS, (batch, series · statistics)."""
    delta = _delta(series)
    low, *percentiles, high = percentiles_of(series, (0, 10, 50, 90, 100))
    statistics = [series.mean(dim=2), deviation(series), low, high, *percentiles]
    statistics += [delta.abs().mean(dim=2), deviation(delta)]
    return torch.stack(statistics, dim=2).flatten(1)


def _delta(series: Tensor) -> Tensor:
    """Slope per frame of the line through DELTA_FRAMES frames, or as many as there are, around each that has them.

    Source: equal to `librosa.feature.delta` away from the ends.
    """
    batch, n_series, n_frames = series.shape
    reach = (min(DELTA_FRAMES, n_frames) - 1) // 2
    if reach == 0:
        return torch.zeros_like(series)
    weights = torch.from_numpy(slope_weights(reach).astype(np.float32))
    slope = functional.conv1d(series.reshape(batch * n_series, 1, n_frames), weights[None, None])
    return slope.reshape(batch, n_series, -1)
