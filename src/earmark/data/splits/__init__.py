"""Splits: folds and test sets in which no group straddles, every class being spread evenly."""

from earmark.data.splits.balance import Balance, class_balance
from earmark.data.splits.choosing import choose_folds, inner_split, split_test
from earmark.data.splits.methods import SPLITS

__all__ = ["SPLITS", "Balance", "choose_folds", "class_balance", "inner_split", "split_test"]
