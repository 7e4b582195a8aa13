"""The fixed vocabulary of what can be wrong with a data set, each with its remedy. Other programs read these names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What needs attention: problem → what to do about it.
ATTENTION = {
    "unreadable": "Replace or convert the file, or leave its rows out.",
    "needs_media": "pip install 'earmark[media]', or convert the file to WAV or FLAC.",
    "missing_file": "Correct the path, fetch the file, or leave the row out.",
    "bad_row": "Correct the row, or leave it out.",
    "repeated_clip": "Leave one of the rows out, or put the labels of both into one.",
    "no_label": "Give the clip a label, or leave its row out.",
    "mojibake_label": "Read the table with --encoding, or write the repaired label into it.",
    "empty": "Fetch or record it again, or leave its rows out.",
    "truncated": "Fetch it again whole, or leave its rows out.",
    "not_finite": "Export it again; until then leave its rows out.",
    "silent": "Listen to it; leave it out if nothing is to be heard.",
    "clipped": "Record with more headroom; what was cut off cannot be brought back.",
    "over_full_scale": "Scale it down to ±1: players and other tools will clip it.",
    "dc_offset": "Take the offset out with a high-pass filter, and look after the recorder.",
    "antiphase": "Turn one channel's polarity round, or keep one channel: the mix to mono cancels out.",
    "too_short": "Leave it out, or give a longer region.",
    "odd_duration": "Listen to it: it may be cut off, joined to others, or not belong here.",
    "few_clips": "Add recordings of the class, or leave it out.",
    "label_typo": "Write them alike if they mean the same.",
    "duplicate_content": "Keep one of the copies.",
    "near_duplicate": "Give both one group, so that no fold splits them, or keep one.",
    "conflicting_labels": "Listen, and give the copies the labels that are right.",
    "leak": "Correct the folds, groups or splits: the score would be too good.",
    "train_test_shift": "Expect the test score to differ from validation; look at what tells the two apart.",
}

# What is worth knowing.
INFORMATION = {
    "unlabelled": "Give a table, or a folder per class, to have the labels checked.",
    "unlisted_file": "Add a row for it, if it belongs to the data.",
    "mixed_sample_rates": "All are resampled. If a rate goes with a class, the tagger may learn the rate.",
    "mixed_channels": "All are mixed to mono. If a number of channels goes with a class, look into why.",
    "mixed_lengths": "Long clips are cut into windows, short ones are padded.",
    "band_limited": "If the missing treble goes with a class, the tagger may learn that.",
    "possible_leak": "Listen to them; give them one group if they are of one recording.",
}

PROBLEMS = {**ATTENTION, **INFORMATION}

# What a clip cannot be trained on with.
BROKEN = frozenset(
    (
        *("unreadable", "needs_media", "missing_file", "empty", "truncated", "not_finite", "silent"),
        *("bad_row", "repeated_clip", "no_label", "duplicate_content"),
    )
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    path: a file as the data names it, or "" for the whole. problem: a key of PROBLEMS. detail: what was found.
    clips: positions of the clips that it is about in `CheckResult.clips`, which begin with the rows of the manifest;
        none for the whole, and for rows that are not in the manifest.
    others: positions of the clips that those are held against, such as the first of two copies.
    """

    path: str
    problem: str
    detail: str
    clips: Sequence[int] = ()
    others: Sequence[int] = ()

    @property
    def remedy(self) -> str:
        return PROBLEMS[self.problem]

    def to_json(self) -> dict[str, str]:
        """The object that `earmark check --json` prints."""
        return {"path": self.path, "problem": self.problem, "detail": self.detail, "remedy": self.remedy}


def counted(n: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "clip"), counted(2000, "clip")
    ('1 clip', '2,000 clips')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
