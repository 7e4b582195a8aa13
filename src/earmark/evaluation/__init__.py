"""Evaluation: how good scores are, how sure that is, and which of two models is better."""

from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.compare import Comparison, paired_difference
from earmark.evaluation.scorecard import ModelScore, Scorecard, evaluate, make_scorecard
from earmark.evaluation.thresholds import best_f1_threshold

__all__ = [
    "Comparison",
    "Interval",
    "ModelScore",
    "Scorecard",
    "best_f1_threshold",
    "evaluate",
    "make_scorecard",
    "paired_difference",
]
