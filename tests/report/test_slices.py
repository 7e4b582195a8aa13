"""Parts of the clips: which columns part them, and which parts are told apart from all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from earmark.report.reading import read_run
from earmark.report.slices import slices


def test_a_site_where_the_model_fails_is_found_and_columns_that_say_nothing_new_are_not(make_run):
    contents = read_run(make_run(n_per_class=16))
    manifest = contents.manifest
    n_clips = len(manifest)
    labels = [labels[0] for labels in manifest.table["labels"]]
    far = np.arange(n_clips) % 2 == 1
    table = manifest.table.assign(
        site=np.where(far, "far", "near"),
        number=np.arange(n_clips).astype(str),  # a name, not a kind
        code=[str(sorted(set(labels)).index(label)) for label in labels],  # the label by another name
        rare=np.where(np.arange(n_clips) < 5, "yes", ""),
    )
    scores = manifest.present() * 0.9 + 0.05
    scores[far] = np.roll(scores[far], 1, axis=1)  # always wrong
    lengths = np.where(np.arange(n_clips) < n_clips // 2, 1.0, 4.0)
    changed = replace(contents, manifest=replace(manifest, table=table), scores={"se_cnn": scores}, lengths=lengths)
    found = slices(changed)
    assert {part.column for part in found} == {"site", "length"}
    assert (found[0].column, found[0].value, found[0].n_clips) == ("site", "far", n_clips // 2)
    assert found[0].differs
    assert found[0].found.value == 0
