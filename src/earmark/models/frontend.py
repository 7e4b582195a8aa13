"""The front end: log-mel spectrogram of a waveform, inside the network.

Two forms of one definition: `LogMel` (torch.stft) trains, `FactoredLogMel` is what the exported file runs.
docs/decisions/0002 says why there are two, benchmarks/frontend.py what each costs, docs/frontends.md what to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan  # the one loop that torch.onnx exports over a dynamic count
from torch.nn import functional

from earmark.models.frontend_config import FRAMES_PER_PIECE, FrontendConfig, hann_window, mel_filterbank
from earmark.models.pcen import PCEN

CLIPS_IN_CACHE = 2  # on a CPU, spectra of more clips leave the processor's cache and cost twice the time
N_MEL_BLOCKS = 4  # dense blocks that cover the mel bank's diagonal
MAGNITUDE_FLOOR = 1e-20  # a power; the root of 0 has no gradient that kernels could learn by


def _heard(waveform: Tensor, config: FrontendConfig) -> Tensor:
    """The waveform after pre-emphasis, one sample shorter then; mirrored beyond its ends where padding says so."""
    if config.pre_emphasis:
        waveform = waveform[:, 1:] - config.pre_emphasis * waveform[:, :-1]
    if config.padding == "reflect":
        waveform = functional.pad(waveform[:, None], config.margins, mode="reflect")[:, 0]
    return waveform


def _spectrum(real: Tensor, imaginary: Tensor, config: FrontendConfig) -> Tensor:
    power = real * real + imaginary * imaginary
    if config.power == 2:
        return power
    return (power.clamp(min=MAGNITUDE_FLOOR) if "kernels" in config.learns else power).sqrt()


def _compressed(bands: Tensor, config: FrontendConfig) -> Tensor:
    """What can be done to each frame by itself."""
    if config.compression == "db":
        return torch.log(bands.clamp(min=config.amin)) * (10 / math.log(10))
    if config.compression == "log":  # not log(bands + amin): the exporter drops a sum with 1e-8 or less
        return torch.log(bands / config.amin + 1) + math.log(config.amin)
    return bands


def _finished(bands: Tensor, config: FrontendConfig, pcen: PCEN | None) -> Tensor:
    """What takes all frames of a window, (batch, mels, frames); then offset and scale."""
    if pcen is not None:
        bands = pcen(bands)
    if config.top_db is not None or config.reference == "window":
        loudest = bands.amax(dim=(1, 2), keepdim=True)
        if config.top_db is not None:
            bands = torch.maximum(bands, loudest - config.top_db)
        if config.reference == "window":
            bands = bands - loudest
    if config.offset:
        bands = bands + config.offset
    return bands if config.scale == 1 else bands * config.scale


class LogMel(nn.Module):
    """Log-mel spectrogram by torch.stft: the form that trains.

    Always float32, even under autocast: half precision cannot hold 100 dB of power.

    What learns starts as the definition and is held as a change of it, 0 at first, so that weight decay pulls it back
    there: `mel_changes` are logarithms of factors, so weights stay positive and bands where they stand;
    `kernel_changes` are added to the windowed sine and cosine, in units of 1 / sqrt(n_fft), so that a step of the
    optimiser moves a kernel no more than it moves a weight. Kernels that learn are no Fourier transform any more, and
    are multiplied out in full, in the exported file too.

    >>> LogMel(FrontendConfig())(torch.zeros(2, 32000)).shape
    torch.Size([2, 1, 64, 101])
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.config = config
        self.register_buffer("window", _float32(hann_window(config)), persistent=False)
        self.register_buffer("mel", _float32(mel_filterbank(config)), persistent=False)
        self.pcen = PCEN(config) if config.compression == "pcen" else None
        if "mel" in config.learns:
            self.mel_changes = nn.Parameter(torch.zeros_like(self.mel))
        if "kernels" in config.learns:
            self.register_buffer("kernels", _float32(_kernels(config)), persistent=False)
            self.kernel_changes = nn.Parameter(torch.zeros_like(self.kernels))

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram of a waveform.

        Args:
            waveform: (batch, samples), full scale ±1, at the config's sample rate.

        Returns:
            (batch, 1, mels, frames) float32; by default dB against power 1.0, at least that of `amin`.
        """
        in_parts = waveform.device.type == "cpu" and not torch.compiler.is_exporting()
        with torch.autocast(waveform.device.type, enabled=False):
            clips = waveform.float()
            parts = [self._bands(part) for part in (clips.split(CLIPS_IN_CACHE) if in_parts else [clips])]
            bands = _finished(torch.cat(parts), self.config, self.pcen)
            if self.training and self.config.noise:
                bands = bands + self.config.noise * torch.randn_like(bands)
            return bands[:, None]

    def _bands(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples) to the bands of each frame (batch, mels, frames), compressed."""
        config = self.config
        heard = _heard(waveform, config)
        if config.padding != "reflect":
            heard = functional.pad(heard, config.margins)
        if "kernels" in config.learns:
            real, imaginary = self._filtered(heard).chunk(2, dim=1)
        else:
            spectrum = torch.stft(
                heard, config.n_fft, config.hop_length, window=self.window, center=False, return_complex=True
            )
            real, imaginary = spectrum.real, spectrum.imag
        return _compressed(self._mel() @ _spectrum(real, imaginary, config), config)

    def _filtered(self, heard: Tensor) -> Tensor:
        """What the kernels give, (batch, 2 · bins, frames)."""
        config = self.config
        kernels = self.kernels + self.kernel_changes / math.sqrt(config.n_fft)
        if torch.compiler.is_exporting():  # 1.3 times as fast in ONNX Runtime …
            return functional.conv1d(heard[:, None], kernels[:, None], stride=config.hop_length)
        # … but on a GPU convolutions round to ten bits by default.
        return kernels @ heard.unfold(1, config.n_fft, config.hop_length).transpose(1, 2)

    def _mel(self) -> Tensor:
        """The mel bank (mels, bins) as it is now."""
        return self.mel * self.mel_changes.exp() if "mel" in self.config.learns else self.mel

    def exportable(self) -> LogMel | FactoredLogMel:
        """The same numbers in the form that is fastest in ONNX Runtime."""
        if "kernels" in self.config.learns:
            return self
        return FactoredLogMel(self.config, self._mel().detach().cpu().numpy(), self.pcen)


class FactoredLogMel(nn.Module):
    """Log-mel spectrogram by a transform factored into two small matrix products: the form that is exported.

    With n_fft = a·b, sample n = b·i + j and bin k = r + a·s, the windowed transform is

        X[r + a·s] = Σ_j exp(-2πi·j·s / b) · Z[j, r],   Z[j, r] = Σ_i hann[n] · x[n] · exp(-2πi·n·r / n_fft)

    The inner sum is a convolution of the waveform's b phases, each with filters of its own that hold window
    and twiddle factors; r stops at a / 2 because x is real. The outer sum is one matrix for all r and all
    frames. Its rows s are ordered so that frequency rises from row to row: a block of mel bands reads a range
    of rows. Frames stay the last axis throughout, so nothing large is transposed.

    The waveform is worked off in pieces of FRAMES_PER_PIECE frames by a loop in the graph (ONNX Scan): the
    intermediate results of one piece fit into the processor's cache, those of ten seconds do not.

    >>> FactoredLogMel(FrontendConfig())(torch.zeros(2, 32000)).shape
    torch.Size([2, 1, 64, 101])

    Args:
        mel: (mels, bins), the mel bank if it has learnt: positive where it was.
        pcen: if it has learnt.

    Source: Cooley and Tukey (1965); parity with librosa in float64: tests/models/test_frontend.py.
    """

    def __init__(self, config: FrontendConfig, mel: np.ndarray | None = None, pcen: PCEN | None = None):
        super().__init__()
        self.config = config
        self.pcen = PCEN(config) if pcen is None and config.compression == "pcen" else pcen
        mel = mel_filterbank(config) if mel is None else mel
        self.n_phases = _choose_phases(config)
        a, b = config.n_fft // self.n_phases, self.n_phases
        self.n_residues = a // 2 + 1
        rows = _rows_by_frequency(b)
        self.register_buffer("phase_filters", _float32(_phase_filters(config, b)), persistent=False)
        real, imaginary = _outer_transform(rows)
        self.register_buffer("outer_real", _float32(real), persistent=False)
        self.register_buffer("outer_imaginary", _float32(imaginary), persistent=False)
        self.mel_ranges = []
        bins = _bins_by_row(config, a, rows)
        first_row = np.unique(bins, return_index=True)[1]
        self.register_buffer("row_of_bin", torch.from_numpy(first_row), persistent=False)
        for index, (start, stop, weights) in enumerate(_mel_blocks(mel, bins)):
            self.register_buffer(f"mel_{index}", _float32(weights), persistent=False)
            self.mel_ranges.append((start, stop))

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram of a waveform; see `LogMel.forward`."""
        (bands,) = self._in_pieces(waveform, lambda pieces: (self._bands(self._rows(pieces)),))
        return _finished(bands, self.config, self.pcen)[:, None]

    def with_spectrum(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrogram (batch, 1, mels, frames), and the spectrum that its mel bands sum up.

        The spectrum is (batch, n_fft // 2 + 1, frames), frequency rising, of power or magnitude as `config.power` says.
        """

        def both(pieces: Tensor) -> tuple[Tensor, Tensor]:
            rows = self._rows(pieces)
            return self._bands(rows), rows.index_select(1, self.row_of_bin)

        bands, spectrum = self._in_pieces(waveform, both)
        return _finished(bands, self.config, self.pcen)[:, None], spectrum

    def _in_pieces(self, waveform: Tensor, work: Callable[[Tensor], tuple[Tensor, ...]]) -> list[Tensor]:
        """Waveform (batch, samples) to (batch, rows, frames) each.

        Args:
            work: pieces (pieces, samples) to (pieces, rows, FRAMES_PER_PIECE) each.
        """
        batch, n_samples = waveform.shape
        config = self.config
        n_frames = config.n_frames(n_samples)
        heard = _heard(waveform, config)
        # Not -(-frames // n): exported, a division of negative integers rounds towards zero.
        n_pieces = (n_frames + FRAMES_PER_PIECE - 1) // FRAMES_PER_PIECE
        step = FRAMES_PER_PIECE * config.hop_length
        before = 0 if config.padding == "reflect" else config.margins[0]
        padded = functional.pad(heard, (before, (n_pieces + 1) * step - heard.shape[1] - before))
        # The last frames of a piece reach into the next one.
        overlap = padded[:, step:].reshape(batch * n_pieces, step)[:, : config.n_fft - config.hop_length]
        pieces = torch.cat([padded[:, :-step].reshape(batch * n_pieces, step), overlap], dim=1)
        found = _in_turn(pieces, work) if torch.compiler.is_exporting() else work(pieces)
        joined = [each.reshape(batch, n_pieces, -1, FRAMES_PER_PIECE).transpose(1, 2) for each in found]
        whole = [each.reshape(batch, -1, n_pieces * FRAMES_PER_PIECE) for each in joined]
        return [each.narrow(-1, 0, n_frames) for each in whole]  # torch 2.11 loses count of a slice's frames

    def _rows(self, pieces: Tensor) -> Tensor:
        """Pieces (pieces, samples) to their spectrum (pieces, row · residue, frames)."""
        n_pieces, b = pieces.shape[0], self.n_phases
        phases = pieces.reshape(n_pieces, -1, b).transpose(1, 2)
        inner = functional.conv1d(phases, self.phase_filters, stride=self.config.hop_length // b, groups=b)
        inner = inner.reshape(n_pieces, 2 * b, -1)  # residue and frame are one axis
        real, imaginary = self.outer_real @ inner, self.outer_imaginary @ inner
        return _spectrum(real, imaginary, self.config).reshape(n_pieces, b * self.n_residues, -1)

    def _bands(self, rows: Tensor) -> Tensor:
        """Spectrum (pieces, row · residue, frames) to the bands of each frame (pieces, mels, frames), compressed."""
        blocks = [
            getattr(self, f"mel_{index}") @ rows[:, start:stop] for index, (start, stop) in enumerate(self.mel_ranges)
        ]
        return _compressed(torch.cat(blocks, dim=1), self.config)


def _in_turn(pieces: Tensor, work: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """`work` on one piece after the other, as a loop in the graph."""

    def step(idle: Tensor, piece: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return idle + 0, tuple(found[0] for found in work(piece[None]))

    _, found = scan(step, torch.zeros(1), pieces)  # a scan must carry something along
    return found


def _choose_phases(config: FrontendConfig) -> int:
    """The number of phases b that costs the fewest multiplications; frames must start at multiples of it."""
    common = math.gcd(config.hop_length, config.n_fft)

    def multiplications(b: int) -> int:
        n_residues = config.n_fft // b // 2 + 1
        return 2 * n_residues * config.n_fft + n_residues * (2 * b) ** 2

    return min((b for b in range(1, common + 1) if common % b == 0), key=multiplications)


def _kernels(config: FrontendConfig) -> np.ndarray:
    """Windowed cosines, then sines: (2 · bins, n_fft)."""
    n_fft = config.n_fft
    angle = 2 * np.pi / n_fft * (np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft)
    return np.concatenate([np.cos(angle), -np.sin(angle)]) * hann_window(config)


def _phase_filters(config: FrontendConfig, b: int) -> np.ndarray:
    """Inner sum: (phase · real or imaginary · residue, 1, a), with window and twiddle factors."""
    n_fft = config.n_fft
    a = n_fft // b
    samples = np.arange(a) * b + np.arange(b)[:, None]
    angle = 2 * np.pi / n_fft * (samples[:, None] * np.arange(a // 2 + 1)[:, None] % n_fft)
    filters = np.stack([np.cos(angle), -np.sin(angle)], axis=1) * hann_window(config)[samples][:, None, None]
    return filters.reshape(-1, 1, a)


def _rows_by_frequency(b: int) -> np.ndarray:
    """Rows s of the outer sum by rising frequency: 0, b - 1, 1, b - 2, …; the upper half is negative."""
    return np.array(sorted(range(b), key=lambda s: min(2 * s, 2 * (b - 1 - s) + 1)))


def _outer_transform(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outer sum, real and imaginary part: each (rows, phase · real or imaginary)."""
    b = len(rows)
    angle = 2 * np.pi / b * (np.outer(rows, np.arange(b)) % b)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine, sine], axis=2).reshape(b, -1), np.stack([-sine, cosine], axis=2).reshape(b, -1)


def _bins_by_row(config: FrontendConfig, a: int, rows: np.ndarray) -> np.ndarray:
    """The frequency bin, 0 to n_fft / 2, at each place of the outer sum's (row · residue)."""
    bins = (rows[:, None] * a + np.arange(a // 2 + 1)).ravel()
    return np.minimum(bins, config.n_fft - bins)


def _mel_blocks(mel: np.ndarray, bins: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """The mel bank for the outer sum's row order, cut into blocks of neighbouring bands without their zeros.

    Args:
        mel: (mels, n_fft // 2 + 1).
        bins: what `_bins_by_row` gave.

    Returns:
        (start, stop, weights) per block: weights (bands, stop - start) for spectrum[start:stop], whose axis is
        (row · residue).
    """
    weights = mel[:, bins]
    repeated = np.ones(len(bins), dtype=bool)
    repeated[np.unique(bins, return_index=True)[1]] = False
    weights[:, repeated] = 0.0  # residues 0 and a / 2 hold each bin twice
    blocks = []
    for bands in np.array_split(weights, min(N_MEL_BLOCKS, len(weights))):
        used = np.flatnonzero(bands.any(axis=0))
        start, stop = int(used[0]), int(used[-1]) + 1
        blocks.append((start, stop, bands[:, start:stop]))
    return blocks


def _float32(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
