"""Labelled clips: read, checked, split. Names are resolved when first used."""

from __future__ import annotations

from typing import Any

from earmark.lookup import load

VERBS = {
    "Manifest": "earmark.data.manifest:Manifest",
    "read_manifest": "earmark.data.readers:read_manifest",
    "choose_folds": "earmark.data.splits:choose_folds",
    "split_test": "earmark.data.splits:split_test",
    "take_fraction": "earmark.data.fraction:take_fraction",
    "segment_activity": "earmark.data.activity:segment_activity",
    "write_manifest": "earmark.data.writers:write_manifest",
    "inner_split": "earmark.data.splits:inner_split",
    "find_leaks": "earmark.data.leakage:find_leaks",
    "refuse_leaks": "earmark.data.leakage:refuse_leaks",
}


def __getattr__(name: str) -> Any:
    if name not in VERBS:
        raise AttributeError(f"module 'earmark.data' has no attribute '{name}'")
    return load(VERBS[name])
