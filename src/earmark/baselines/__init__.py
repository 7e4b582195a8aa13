"""Cheap models that every network is held against."""

from __future__ import annotations

BASELINE = "forest"  # the one that is always trained first
BASELINES = {"forest": "earmark.baselines.forest:fit_forest"}
