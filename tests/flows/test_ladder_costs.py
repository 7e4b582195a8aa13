"""What a rung costs: speeds as they are measured, what fits into a budget."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark import audio
from earmark.baselines.ladder import Cost
from earmark.flows.ladder_costs import Estimate, joined_cost, within
from earmark.tagger.speed import PASSES, measure_speed
from earmark.tagger.tagger import Clip

ESTIMATES = {
    "prior": Estimate("", 10, 1),
    "forest": Estimate("", 10, 8),
    "mlp": Estimate("", 10, 15),
    "mn04_as+choice": Estimate("mn04_as", 20, 12),
    "se_cnn": Estimate("se_cnn", 0, 600),
}


def test_the_quickest_rungs_are_taken_and_features_count_once():
    assert within(ESTIMATES, 1000)[0] == set(ESTIMATES)
    assert within(ESTIMATES, 66)[0] == set(ESTIMATES) - {"se_cnn"}  # 10 + 1 + 8 + 15, and 20 + 12
    assert within(ESTIMATES, 34)[0] == {"prior", "forest", "mlp"}
    assert within(ESTIMATES, 11)[0] == {"prior"}
    assert within(ESTIMATES, 5)[0] == set()


@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(st.sampled_from("xyz"), st.floats(0, 9), st.floats(0, 9))))
def test_what_is_chosen_fits(drawn):
    estimates = {name: Estimate(place, len(place), folds) for name, (place, _, folds) in drawn.items()}
    chosen, left = within(estimates, 10.0)
    places = {estimates[name].place for name in chosen}
    assert sum(estimates[name].folds for name in chosen) + len(places) + left == pytest.approx(10.0)
    assert left >= -1e-9


def test_taggers_that_hear_at_one_rate_decode_once():
    one, two = Cost(1, 10, 1000, 500, 2), Cost(3, 20, 500, 250, 4)  # 1 + 1 and 2 + 2 ms for a second of sound
    alike, different = joined_cost([one, two], [32000, 32000]), joined_cost([one, two], [32000, 16000])
    assert 1000 / alike.realtime == pytest.approx(3)
    assert 1000 / alike.realtime_from_files == pytest.approx(5)
    assert 1000 / different.realtime_from_files == pytest.approx(6)
    assert (alike.training_seconds, alike.total_seconds, alike.megabytes) == (4, 30, 6)


def work(seconds: float) -> None:
    """Keep a core busy."""
    started = time.process_time()
    while time.process_time() - started < seconds:
        pass


class SlowTagger:
    """A tagger that takes a known time for each window, and as long again to hear a file."""

    sample_rate, window_samples, hop_samples = 8000, 4000, 2000
    metadata = SimpleNamespace(padding="repeat")

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.backend = self
        self.heard = []

    def run(self, windows: np.ndarray) -> None:
        work(self.seconds * len(windows))

    def score(self, clip: Clip) -> None:
        self.heard.append(clip.path)
        time.sleep(self.seconds)  # of others, which does not count
        work(2 * self.seconds)


def test_speed_is_sound_over_time_with_overlapping_windows_counted_once(tmp_path):
    for number in range(3):
        audio.write(tmp_path / f"{number}.wav", np.full(8000, 0.1, dtype=np.float32), 8000)
    tagger = SlowTagger(0.01)
    speed = measure_speed(tagger, [Clip(tmp_path / f"{number}.wav") for number in range(3)])
    assert speed.realtime == pytest.approx(3 / (3 * 3 * 0.01), rel=0.2)  # 1 s is three windows half a window apart
    assert speed.realtime_from_files == pytest.approx(3 / (3 * 0.02), rel=0.2)
    assert {path.name for path in tagger.heard} == {"0.wav", "1.wav", "2.wav"}


def test_half_a_minute_of_sound_is_enough_to_measure(tmp_path):
    path = tmp_path / "long.wav"
    audio.write(path, np.full(8000 * 100, 0.1, dtype=np.float32), 8000)
    tagger = SlowTagger(0.0)
    measure_speed(tagger, [Clip(path, clip_id=str(number)) for number in range(9)])
    assert len(tagger.heard) == PASSES  # of one clip
