"""Earmark: from a pile of sounds to a tagger you can trust and run anywhere.

    >>> import earmark
    >>> tagger = earmark.load_tagger("dog.tagger.onnx")  # doctest: +SKIP
    >>> tagger.tag("garden.wav")  # doctest: +SKIP

Names are loaded when first used, so that `import earmark` costs nothing and tagging never meets torch.
"""

from __future__ import annotations

from typing import Any

from earmark.lookup import did_you_mean, load

__version__ = "0.1.0"

PUBLIC = {
    "Clip": "earmark.tagger:Clip",
    "EarmarkError": "earmark.errors:EarmarkError",
    "Predictions": "earmark.predictions:Predictions",
    "audit": "earmark.flows.split:audit",
    "check": "earmark.flows.check:check",
    "compare": "earmark.flows.compare:compare",
    "demo": "earmark.flows.demo:demo",
    "embed_files": "earmark.tagger:embed_files",
    "ensemble": "earmark.flows.ensemble:ensemble",
    "evaluate": "earmark.flows.evaluate:evaluate",
    "evaluate_predictions": "earmark.flows.evaluate:evaluate_predictions",
    "few_shot": "earmark.flows.few_shot:show_few_shot",
    "ladder": "earmark.flows.ladder:ladder",
    "load_audio": "earmark.audio:load",
    "load_tagger": "earmark.tagger:load_tagger",
    "read_manifest": "earmark.data:read_manifest",
    "refit_thresholds": "earmark.flows.thresholds:refit_thresholds",
    "score_files": "earmark.tagger:score_files",
    "split": "earmark.flows.split:split",
    "tag_files": "earmark.tagger:tag_files",
    "train": "earmark.flows.train:train",
    "train_stages": "earmark.flows.stages:train_stages",
    "write_report": "earmark.report:write_report",
}

__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'earmark' has no attribute '{name}'{did_you_mean(name, PUBLIC)}")
    value = load(PUBLIC[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
