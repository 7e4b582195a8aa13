"""Cheap models that every network is held against."""

from __future__ import annotations

BASELINES = {"forest": "earmark.baselines.forest:fit_forest"}
