from __future__ import annotations

import numpy as np
import pytest

from earmark.audio.resample import ResampleStream, resample


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(44_100, 32_000), (8_000, 32_000), (48_000, 16_000), (47_999, 22_050)]
)
@pytest.mark.parametrize("n_samples", [1, 3, 50, 999, 44_101])
def test_the_length_is_the_duration_at_the_new_rate(rate_in, rate_out, n_samples):
    expected = n_samples * rate_out / rate_in
    assert abs(len(resample(np.ones(n_samples, dtype=np.float32), rate_in, rate_out)) - expected) <= 1


def test_where_a_signal_is_cut_does_not_change_the_result():
    signal = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    whole = resample(signal, 44_100, 32_000)
    for size in (1_000, 7_777, 49_999):
        stream = ResampleStream(44_100, 32_000)
        pieces = [stream.push(signal[first : first + size]) for first in range(0, len(signal), size)]
        pieces.append(stream.push(signal[:0], last=True))
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_equal_rates_pass_the_samples_through():
    signal = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(resample(signal, 32_000, 32_000), signal)


def test_what_lies_above_half_the_new_rate_is_gone_and_what_lies_below_stays():
    time = np.arange(44_100) / 44_100
    for frequency, low, high in ((3_000, 0.99, 1.01), (10_000, 0.0, 1e-4)):
        tone = np.sin(2 * np.pi * frequency * time).astype(np.float32)
        kept = resample(tone, 44_100, 16_000)[1_000:-1_000]
        assert low <= np.sqrt(2 * np.mean(kept**2)) <= high


def test_half_the_amplitude_gives_half_the_result():
    signal = np.random.default_rng(1).standard_normal(5_000).astype(np.float32)
    np.testing.assert_allclose(resample(signal / 2, 44_100, 16_000), resample(signal, 44_100, 16_000) / 2, atol=1e-6)
