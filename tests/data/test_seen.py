"""A sketch of training clips knows them again, by content and region, and knows no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earmark.data import Manifest
from earmark.data.seen import DIGEST_BYTES, MOST, seen, sketch


def clips(names, **columns) -> tuple[Manifest, dict[str, str]]:
    """Clips of files whose content is their name's first letter."""
    manifest = Manifest.build(Path("root"), names, [("x",)] * len(names), **columns)
    return manifest, {name: f"content {name[0]}" for name in names}


def test_the_same_content_is_known_under_another_name_and_other_content_is_not():
    kept = sketch(*clips(["a1.wav", "b1.wav"]))
    assert seen(kept, *clips(["a2.wav", "c.wav", "b2.wav"])).tolist() == [True, False, True]


def test_a_region_of_a_whole_file_is_known_and_another_region_of_it_is_not():
    assert seen(sketch(*clips(["a.wav"])), *clips(["a.wav"], starts=[1.0], ends=[2.0])).tolist() == [True]
    kept = sketch(*clips(["a.wav", "a2.wav"], starts=[0.0, 3.0], ends=[1.0, np.nan]))
    asked = clips(["a.wav"] * 3, starts=[0.0, 1.0, 3.0], ends=[1.0, 2.0, np.nan])
    assert seen(kept, *asked).tolist() == [True, False, True]


def test_a_file_that_cannot_be_read_is_not_known():
    manifest, _ = clips(["a.wav"])
    assert not seen(sketch(manifest, {"a.wav": "content"}), manifest, {}).any()
    assert not seen("", manifest, {"a.wav": "content"}).any()


def test_of_a_very_large_set_a_sample_is_kept():
    names = [f"{number}.wav" for number in range(2 * MOST)]
    manifest = Manifest.build(Path("root"), names, [("x",)] * len(names))
    hashes = {name: name for name in names}
    kept = sketch(manifest, hashes)
    assert len(kept) == MOST * DIGEST_BYTES * 4 // 3
    assert seen(kept, manifest, hashes).sum() == MOST
