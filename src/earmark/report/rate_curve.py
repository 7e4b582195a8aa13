"""The loss over a rising learning rate, as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from earmark.run import write_atomically
from earmark.training.rate_finder import RateCurve


def draw_rate_curve(curve: RateCurve, rate: float, out: Path) -> None:
    """Draw the losses and their running mean, the rate that is suggested and the one that is set, as SVG."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(curve.rates, curve.losses, ".", color="0.75", markersize=3, label="loss of a batch")
    axes.semilogx(curve.rates, curve.smoothed, color="0.1", label="running mean")
    if curve.steepest and curve.lowest and curve.suggested:
        axes.axvspan(curve.steepest, curve.lowest, color="0.93", label="from the steepest descent to the least loss")
        axes.axvline(curve.suggested, color="tab:red", label=f"suggested: {curve.suggested:.1e}")
    axes.axvline(rate, color="tab:blue", linestyle=":", label=f"set: {rate:.1e}")
    low, high = min(curve.smoothed), max(curve.smoothed[: max(1, len(curve.smoothed) // 2)])
    if high > low:
        axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend(loc="lower left")
    with write_atomically(out) as temporary:
        figure.savefig(temporary, format="svg")
