"""Check: every sound decoded once before training, and what is wrong with sounds and labels said with its remedy."""

from earmark.data.check.checking import CheckResult, check
from earmark.data.check.clean import LEFT_OUT_SUFFIX, write_clean
from earmark.data.check.clips import CheckedClip
from earmark.data.check.inventory import Inventory, take_inventory
from earmark.data.check.problems import ATTENTION, INFORMATION, PROBLEMS, Finding

__all__ = [
    "ATTENTION",
    "INFORMATION",
    "LEFT_OUT_SUFFIX",
    "PROBLEMS",
    "CheckResult",
    "CheckedClip",
    "Finding",
    "Inventory",
    "check",
    "take_inventory",
    "write_clean",
]
