"""Report: what a run found, to look at and listen to (report.html), and its model card (card.md)."""

from earmark.report.card import card_text
from earmark.report.report import write_report

__all__ = ["card_text", "write_report"]
