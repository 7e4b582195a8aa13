"""Log-mel front ends in × realtime: what the exported file runs, its alternatives, and other libraries.

    .venv/bin/python benchmarks/frontend.py [--passes 15] [--out benchmarks/results/frontend]

Writes OUT.json and OUT.md. One thread throughout; each time is the best of several passes, and the passes of
all rows take turns, so that a busy moment of the machine hits all alike. The sound is noise, 10 s and 300 s;
the latter go in as windows of 10 s, four a call, as a tagger feeds them, and as one tensor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import math
import os
import platform
import re
import subprocess
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import librosa
import numpy as np
import onnxruntime
import scipy.fft
import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.models import frontend
from earmark.models.frontend import FactoredLogMel, FrontendConfig, LogMel, mel_filterbank

AMIN = 1e-10  # librosa's
CONFIGS = {
    "16 kHz/512/160/64": FrontendConfig(16000, 512, 160, 64, amin=AMIN),
    "32 kHz/1024/320/128": FrontendConfig(32000, 1024, 320, 128, amin=AMIN),
}
WINDOW_SECONDS, LONG_SECONDS, WINDOWS_PER_CALL = 10, 300, 4
SCIPY_CHUNK = 128  # frames whose spectrum stays in the second cache
WINNER = "ours, factored, in pieces"
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "librosa", "scipy", "numpy")


def decibels(power: Tensor) -> Tensor:
    return torch.log(power.clamp(min=AMIN)) * (10 / math.log(10))


def tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def hann(n_fft: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def dense_basis(n_fft: int) -> np.ndarray:
    """Windowed cosines, then sines: (2 · bins, n_fft)."""
    angle = 2 * np.pi / n_fft * (np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft)
    return np.concatenate([np.cos(angle), -np.sin(angle)]) * hann(n_fft)


class DenseLogMel(nn.Module):
    """The full transform as one convolution, or as one matrix product with frames built of shifted blocks."""

    def __init__(self, config: FrontendConfig, by_convolution: bool):
        super().__init__()
        self.config, self.by_convolution = config, by_convolution
        basis = dense_basis(config.n_fft)
        self.register_buffer("basis", tensor(basis[:, None] if by_convolution else basis.T.copy()))
        self.register_buffer("mel", tensor(mel_filterbank(config)))

    def forward(self, waveform: Tensor) -> Tensor:
        config = self.config
        centred = functional.pad(waveform, (config.n_fft // 2, config.n_fft // 2))
        if self.by_convolution:
            spectrum = functional.conv1d(centred[:, None], self.basis, stride=config.hop_length)
        else:
            spectrum = (self.frames(centred) @ self.basis).transpose(1, 2)
        n_bins = config.n_fft // 2 + 1
        square = spectrum * spectrum
        return decibels(self.mel @ (square[:, :n_bins] + square[:, n_bins:]))[:, None]

    def frames(self, centred: Tensor) -> Tensor:
        """(batch, frames, n_fft): hop-sized blocks, shifted against each other and joined."""
        hop, n_fft = self.config.hop_length, self.config.n_fft
        n_frames = (centred.shape[1] - n_fft) // hop + 1
        n_shifts = -(-n_fft // hop)
        missing = (n_frames + n_shifts - 1) * hop - centred.shape[1]
        blocks = functional.pad(centred, (0, missing)).reshape(centred.shape[0], -1, hop)
        return torch.cat([blocks[:, i : i + n_frames] for i in range(n_shifts)], dim=2)[..., :n_fft]


class TwiddledLogMel(nn.Module):
    """Factored, but with the twiddles in the outer stage: one matrix per residue, hence a transposition."""

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.config = config
        self.b = b = frontend._choose_phases(config)
        a = config.n_fft // b
        samples = np.arange(a) * b + np.arange(b)[:, None]
        angle = 2 * np.pi / a * np.outer(np.arange(a // 2 + 1), np.arange(a))
        transform = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
        windowed = transform * hann(config.n_fft)[samples][:, None, None]
        self.register_buffer("inner", tensor(windowed.reshape(-1, 1, a)))
        bins = np.arange(a // 2 + 1)[:, None] + a * np.arange(b)
        angle = 2 * np.pi / config.n_fft * (bins[:, :, None] * np.arange(b))
        cosine, sine = np.cos(angle), np.sin(angle)
        self.register_buffer("real", tensor(np.stack([cosine, sine], axis=3).reshape(len(bins), b, -1)))
        self.register_buffer("imaginary", tensor(np.stack([-sine, cosine], axis=3).reshape(len(bins), b, -1)))
        folded = np.minimum(bins, config.n_fft - bins).ravel()
        mel = mel_filterbank(config)[:, folded]
        first = np.unique(folded, return_index=True)[1]
        self.register_buffer("mel", tensor(mel * np.isin(np.arange(len(folded)), first)))

    def forward(self, waveform: Tensor) -> Tensor:
        config, b, batch = self.config, self.b, waveform.shape[0]
        length = waveform.shape[1] // b * b + config.n_fft
        padded = functional.pad(waveform, (config.n_fft // 2, length - waveform.shape[1] - config.n_fft // 2))
        phases = padded.reshape(batch, -1, b).transpose(1, 2)
        inner = functional.conv1d(phases, self.inner, stride=config.hop_length // b, groups=b)
        inner = inner.reshape(batch, b, len(self.real), 2, -1).permute(0, 2, 1, 3, 4)
        inner = inner.reshape(batch, len(self.real), 2 * b, -1)
        real, imaginary = self.real @ inner, self.imaginary @ inner
        power = (real * real + imaginary * imaginary).reshape(batch, len(self.real) * b, -1)
        return decibels(self.mel @ power)[:, None, :, : config.n_frames(waveform.shape[1])]


class StftLogMel(nn.Module):
    """torch.stft as it exports with a free batch, to the STFT operator."""

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.config = config
        self.register_buffer("window", tensor(hann(config.n_fft)))
        self.register_buffer("mel", tensor(mel_filterbank(config)))

    def forward(self, waveform: Tensor) -> Tensor:
        n_fft, hop = self.config.n_fft, self.config.hop_length
        centred = functional.pad(waveform, (n_fft // 2, n_fft // 2))
        spectrum = torch.stft(centred, n_fft, hop, window=self.window, center=False, return_complex=True)
        return decibels(self.mel @ (spectrum.real.square() + spectrum.imag.square()))[:, None]


class UnloopedLogMel(FactoredLogMel):
    """The winner without its loop: every intermediate result as long as the waveform."""

    def forward(self, waveform: Tensor) -> Tensor:
        n_fft, b = self.config.n_fft, self.n_phases
        length = waveform.shape[1] // b * b + n_fft
        padded = functional.pad(waveform, (n_fft // 2, length - waveform.shape[1] - n_fft // 2))
        return self._bands(self._rows(padded))[:, None, :, : self.config.n_frames(waveform.shape[1])]


def changed(config: FrontendConfig, **constants: int) -> FactoredLogMel:
    """The winner with other constants of its module (read when it is built and when it is traced)."""
    before = {name: getattr(frontend, name) for name in constants}
    vars(frontend).update(constants)
    try:
        return FactoredLogMel(config)
    finally:
        vars(frontend).update(before)


def session_of(module: nn.Module, n_samples: int) -> Callable[[np.ndarray], np.ndarray]:
    """A call of the exported module for any batch of n_samples samples, one thread."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, n_samples),),
            input_names=["waveform"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda waveforms: session.run(None, {"waveform": waveforms})[0]


def by_librosa(config: FrontendConfig) -> Callable[[np.ndarray], np.ndarray]:
    def run(waveforms: np.ndarray) -> np.ndarray:
        power = librosa.feature.melspectrogram(
            y=waveforms,
            sr=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            pad_mode="constant",
        )
        return librosa.power_to_db(power, ref=1.0, amin=AMIN, top_db=None)[:, None]

    return run


def by_scipy(config: FrontendConfig) -> Callable[[np.ndarray], np.ndarray]:
    """scipy.fft.rfft in float32, a cache-sized chunk of frames at a time."""
    window = hann(config.n_fft).astype(np.float32)
    mel = mel_filterbank(config).astype(np.float32)

    def one(waveform: np.ndarray) -> np.ndarray:
        centred = np.pad(waveform, config.n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(centred, config.n_fft)[:: config.hop_length]
        bands = np.empty((config.n_mels, len(frames)), dtype=np.float32)
        for first in range(0, len(frames), SCIPY_CHUNK):
            spectrum = scipy.fft.rfft(frames[first : first + SCIPY_CHUNK] * window, axis=1)
            power = spectrum.real**2 + spectrum.imag**2
            bands[:, first : first + SCIPY_CHUNK] = mel @ power.T
        return 10 * np.log10(np.maximum(bands, AMIN))

    return lambda waveforms: np.stack([one(waveform) for waveform in waveforms])[:, None]


def by_torch(config: FrontendConfig) -> Callable[[np.ndarray], np.ndarray]:
    module = LogMel(config)
    return lambda waveforms: module(torch.from_numpy(waveforms)).numpy()


def candidates(config: FrontendConfig, n_samples: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Every front end measured, as waveforms (batch, n_samples) → dB (batch, 1, mels, frames)."""
    modules = {
        "STFT operator": StftLogMel(config),
        "convolution, full basis": DenseLogMel(config, by_convolution=True),
        "matrix product, full basis": DenseLogMel(config, by_convolution=False),
        "factored, twiddles outside": TwiddledLogMel(config),
        "factored, dense mel bank": changed(config, N_MEL_BLOCKS=1),
        "factored, without the loop": UnloopedLogMel(config),
        WINNER: FactoredLogMel(config),
    }
    return {
        "librosa": by_librosa(config),
        "scipy rfft float32, chunks": by_scipy(config),
        "torch.stft": by_torch(config),
        **{f"ONNX Runtime: {name}": session_of(module, n_samples) for name, module in modules.items()},
    }


def in_windows(run: Callable[[np.ndarray], np.ndarray], windows: np.ndarray) -> Callable[[], None]:
    """One pass over windows (n, samples), a few a call."""

    def once() -> None:
        for first in range(0, len(windows), WINDOWS_PER_CALL):
            run(windows[first : first + WINDOWS_PER_CALL])

    return once


def take_turns(
    runs: dict[str, Callable[[], object]], passes: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of every pass of every run, in turns, after one unmeasured pass each."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(passes):
        for name, run in runs.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    return seconds


def measure(config: FrontendConfig, passes: int) -> dict[str, dict[str, dict[str, float]]]:
    """Length → row → best and median × realtime, and the ratio of the best to librosa's."""
    rate = config.sample_rate
    sound = 0.1 * np.random.default_rng(0).standard_normal(LONG_SECONDS * rate).astype(np.float32)
    short, long = sound[None, : WINDOW_SECONDS * rate], sound[None]
    windows = sound.reshape(-1, WINDOW_SECONDS * rate)
    fixed, whole = candidates(config, short.shape[1]), candidates(config, long.shape[1])
    expected = fixed["librosa"](short)
    for name, run in fixed.items():
        difference = np.abs(run(short) - expected).max()
        if not difference < 0.01:
            raise SystemExit(f"{name}: differs from librosa by {difference:.3g} dB: its speed means nothing.")
    lengths = {
        "10 s": {name: partial(run, short) for name, run in fixed.items()},
        "300 s in windows": {name: in_windows(run, windows) for name, run in fixed.items()},
        "300 s at once": {name: partial(run, long) for name, run in whole.items()},
    }
    results = {}
    for length, runs in lengths.items():
        duration = WINDOW_SECONDS if length == "10 s" else LONG_SECONDS
        seconds = take_turns(runs, passes if length == "10 s" else -(-passes // 3))
        best = {name: duration / min(times) for name, times in seconds.items()}
        results[length] = {
            name: {
                "best": round(best[name], 1),
                "median": round(duration / float(np.median(times)), 1),
                "to_librosa": round(best[name] / best["librosa"], 3),
            }
            for name, times in seconds.items()
        }
    return results


def machine() -> dict[str, object]:
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        cpu = model[1] if model else cpu
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() if commit.returncode == 0 else None,
        "versions": {package: version(package) for package in PACKAGES},
    }


def as_markdown(document: dict) -> str:
    """One table per config: rows by speed at 10 s, × realtime and the ratio to librosa in the same column."""
    where = document["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    lines = [
        "# Front ends in × realtime, one thread",
        "",
        f"`{document['command']}` on {where['cpu']}, {where['cores']} cores, Python {where['python']},",
        f"{versions}.",
        f"Best of {document['passes']} passes at 10 s and of a third of that at 300 s, rows in turns; in",
        "brackets the ratio to librosa in the same run. "
        f"Windows: {WINDOW_SECONDS} s, {WINDOWS_PER_CALL} a call.",
    ]
    for name, lengths in document["results"].items():
        lines += ["", f"## {name} (rate / n_fft / hop / mels)", ""]
        lines += ["| front end | " + " | ".join(lengths) + " |", "|---" * (len(lengths) + 1) + "|"]
        rows = sorted(lengths["10 s"], key=lambda row: -lengths["10 s"][row]["best"])
        for row in rows:
            values = [rates[row] for rates in lengths.values()]
            cells = [f"{value['best']:,.0f}× ({value['to_librosa']:.2f})" for value in values]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure log-mel front ends on one thread.")
    parser.add_argument("--passes", type=int, default=15, help="passes at 10 s; a third of them at 300 s")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "frontend")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    document = {
        "command": "python benchmarks/frontend.py",
        "passes": options.passes,
        "machine": machine(),
        "results": {name: measure(config, options.passes) for name, config in CONFIGS.items()},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(as_markdown(document))
    print(as_markdown(document))


if __name__ == "__main__":
    main()
