"""The sounds of the benchmark of noisy labels: no recording on two sides, wrong labels as often as planned."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from noisy_tagging_data import (
    BLOCK,
    LARGE,
    PARTS,
    RATE,
    SOURCES_A_POOL,
    Plan,
    Source,
    cut_event,
    deal_pools,
    doubtful,
    known_copies,
    label_noise,
    make,
    mix,
    read_sources,
    recorded_otherwise,
    sounding,
)

from earmark import audio
from earmark.data import read_manifest

ESC50 = Path(__file__).parents[3] / "shared" / "data" / "esc50"
needs_esc50 = pytest.mark.skipif(not ESC50.is_dir(), reason=f"{ESC50} is not here")
TINY = Plan(n_classes=4, seconds=1.0, clips=dict.fromkeys(PARTS, 4), pools=dict.fromkeys(PARTS, 2))


def sources(n_classes: int, each: int) -> list[Source]:
    return [Source(f"{label}{number}", f"class {label}", ()) for label in range(n_classes) for number in range(each)]


@given(seed=strategies.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_source_is_in_one_pool_and_a_pool_has_distinct_classes(seed):
    dealt = deal_pools(sources(8, 12), {"curated": 6, "test": 6, "noisy": 10}, seed)
    pools = [pool for part in PARTS for pool in dealt[part]]
    names = [source.name for pool in pools for source in pool]
    assert len(names) == len(set(names)) == SOURCES_A_POOL * 22
    assert all(len({source.label for source in pool}) == SOURCES_A_POOL for pool in pools)


def test_classes_are_even_among_the_pools_of_the_test():
    dealt = deal_pools(sources(8, 12), {"curated": 6, "test": 6, "noisy": 6}, 0)
    labels = [source.label for pool in dealt["test"] for source in pool]
    assert {labels.count(label) for label in set(labels)} == {3}


def test_too_few_sources_are_said():
    with pytest.raises(SystemExit, match="8 sources do not fill 3 pools"):
        deal_pools(sources(8, 1), dict.fromkeys(PARTS, 1), 0)


def test_the_same_recording_under_another_name_is_one_source(tmp_path):
    other, name = next((other, name) for other, name in known_copies().items() if other != name)
    table = tmp_path / "esc50.csv"
    table.write_text(f"filename,category,src_file\na.wav,dog,{name}\nb.wav,dog,{other}\nc.wav,cat,1\nd.wav,dog,1\n")
    assert read_sources(table, 2) == ([Source(name, "dog", ("a.wav", "b.wav")), Source("1", "cat", ("c.wav",))], [])


@needs_esc50
@pytest.mark.parametrize("plan", [Plan(), LARGE], ids=["small", "large"])
def test_the_plans_can_be_filled(plan):
    inside, _ = read_sources(ESC50 / "esc50.csv", plan.n_classes)
    dealt = deal_pools(inside, plan.pools, plan.seed)
    assert {part: len(pools) for part, pools in dealt.items()} == plan.pools
    assert plan.pools["test"] >= 40
    assert all(plan.clips[part] % plan.pools[part] == 0 for part in PARTS)


def test_labels_are_wrong_as_often_as_planned():
    generator, names = np.random.default_rng(0), [f"class {number}" for number in range(20)]
    true = [sorted(generator.permutation(names)[:2].tolist()) for _ in range(4000)]
    plan = Plan(dropped=0.2, swapped=0.1, added=0.0)
    found = label_noise([(each, doubtful(generator, each, names, plan)) for each in true])
    assert found["true_labels_missing"] == pytest.approx(0.3, abs=0.02)
    assert found["clips_wholly_right"] == pytest.approx(0.7**2, abs=0.03)
    clean = replace(plan, dropped=0.0, swapped=0.0)
    assert all(doubtful(generator, each, names, clean) == each for each in true[:50])


def test_a_clip_is_never_left_without_a_label():
    generator, names = np.random.default_rng(0), ["a", "b", "c", "d"]
    assert all(doubtful(generator, ["a"], names, Plan(dropped=1.0)) for _ in range(50))


def test_an_event_holds_the_loudest_moment_of_its_recording():
    waveform = np.random.default_rng(0).normal(0, 0.01, 5 * RATE)
    waveform[3 * RATE : 3 * RATE + BLOCK] += 0.5
    assert sounding(waveform)[2] == 3 * RATE
    for seed in range(10):
        event = cut_event(np.random.default_rng(seed), waveform, (0.6, 2.4))
        levels = np.sqrt(np.square(event[: len(event) // BLOCK * BLOCK].reshape(-1, BLOCK)).mean(axis=1))
        assert 0.6 * RATE <= len(event) <= 2.4 * RATE and 0.5 < levels.max() < 1.1


def test_a_mixture_is_of_all_its_recordings():
    seconds = np.arange(2 * RATE) / RATE
    tones = [np.sin(2 * np.pi * hertz * seconds) for hertz in (500, 3000)]
    spectrum = np.abs(np.fft.rfft(mix(np.random.default_rng(0), tones, 3.0)))
    loudest = np.median(spectrum)
    assert all(spectrum[hertz * 3 - 3 : hertz * 3 + 4].max() > 100 * loudest for hertz in (500, 3000))


def test_what_others_recorded_differs_but_the_same_seed_gives_the_same():
    generator = np.random.default_rng(0)
    clips, behind = generator.normal(0, 0.1, (8, RATE)), generator.normal(0, 0.1, RATE)
    once, again, other = (recorded_otherwise(clips, behind, [0, seed]) for seed in (1, 1, 2))
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    assert np.isfinite(once).all() and (np.abs(once - clips).max(axis=1) > 1e-3).mean() > 0.5


@needs_esc50
def test_the_tables_read_as_what_they_are_and_are_made_once(tmp_path):
    facts = make(tmp_path, ESC50, TINY)
    manifest = read_manifest(tmp_path / "labels.csv")
    assert manifest.multi_label and set(manifest.vocabulary) == set(facts["classes"])
    assert (manifest.column("subset") == "noisy").sum() == 4 and (manifest.splits == "validation").sum() == 4
    assert len(set(manifest.groups)) == 6
    folds = read_manifest(tmp_path / "folds.csv")
    assert set(folds.folds[folds.splits == "train"]) == {0, 1} and (folds.folds[folds.splits == "test"] == -1).all()
    files = sorted((tmp_path / "audio").iterdir())
    assert all(len(audio.load(path, RATE)) == RATE for path in files)
    written = [path.stat().st_mtime_ns for path in files]
    (tmp_path / "facts.json").unlink()
    assert make(tmp_path, ESC50, TINY) == facts
    assert [path.stat().st_mtime_ns for path in files] == written
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        assert all(row["labels"] == row["true_labels"] for row in csv.DictReader(file) if row["subset"] == "curated")
    with pytest.raises(SystemExit, match="another plan"):
        make(tmp_path, ESC50, replace(TINY, seed=1))
