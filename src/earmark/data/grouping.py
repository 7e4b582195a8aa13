"""Groups, what must not straddle a split: from a column, from file names, from clusters of copies."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earmark.data.manifest import Manifest
from earmark.errors import ConfigError, ManifestError

log = logging.getLogger("earmark")

DATE = r"(?:19|20)\d\d[-_]?[01]\d[-_]?[0-3]\d"
# what a group then is → expression on the path. Earlier ones win where two give the same groups.
PATTERNS = {
    "source recording (as in ESC-50)": r"(?:^|/)\d+-(\d+)-[A-Z]-\d+\.[^/]+$",
    "source recording (as in UrbanSound8K)": r"(?:^|/)(\d+)-\d+-\d+-\d+\.[^/]+$",
    "speaker (as in Speech Commands)": r"(?:^|/)([0-9a-f]{6,})_nohash_\d+\.[^/]+$",
    "speaker (as in LibriSpeech)": r"(?:^|/)(\d+)-\d+-\d{4}\.[^/]+$",
    "speaker": r"(?i:(?:^|[/_-])((?:spk|speaker|spkr|talker|subject|subj|actor|user|person)[_-]?\w*?\d+)(?=[/_.-]))",
    "site": r"(?i:(?:^|[/_-])((?:site|station|plot|location|loc|room|street|farm|machine|unit|id)[_-]?\d+)(?=[/_.-]))",
    "session": r"(?i:(?:^|[/_-])((?:session|sess|recording|rec|tape|song|track|ride|trip|visit)[_-]?\d+)(?=[/_.-]))",
    "recorder": rf"([^/]+?)[_-]{DATE}(?!\d)",
    "recorder and day": rf"([^/]+?[_-]{DATE})(?!\d)",
    "day": rf"(?<!\d)({DATE})(?!\d)",
    "recording, of numbered pieces": r"([^/]+?)[_-](?i:part|chunk|piece|seg|segment|slice|clip|take|win|window)?"
    r"[_-]?\d+\.[^/]+$",
    "folder of the file": r"([^/]+)/[^/]+$",
    "first folder": r"^([^/]+)/",
}
LEAST_MATCHED = 0.9  # of the files, for a pattern to be offered
N_TRIED = 1000  # files, before a pattern is held against all of them


@dataclass(frozen=True)
class Offer:
    """A pattern seen in file names that would make groups.

    kind: what a group then is, such as "speaker". regex: to pass on to `groups_by_pattern`.
    n_groups: how many groups; median_files, largest_files: files in the middle and in the largest one.
    n_unmatched: files that the pattern does not fit, each a group of its own.
    example: a path and its group.
    """

    kind: str
    regex: str
    n_groups: int
    median_files: float
    largest_files: int
    n_unmatched: int
    example: tuple[str, str]

    def __str__(self) -> str:
        path, group = self.example
        unmatched = f", {self.n_unmatched} files fit none" if self.n_unmatched else ""
        return (
            f"{self.kind}: {self.n_groups} groups of {self.median_files:g} files (median; at most "
            f"{self.largest_files}){unmatched}; {path} is of '{group}'. --group-regex '{self.regex}'"
        )


def groups_by_column(manifest: Manifest, name: str) -> Manifest:
    """The same clips in groups by a column of the table. A clip with nothing there goes with those of its file.

    Raises:
        ManifestError: there is no such column, or every clip has the same there.
    """
    groups = [str(value) for value in manifest.column(name)]
    _require_several(manifest, groups, f"column '{name}'")
    return manifest.with_groups(groups)


def groups_by_pattern(manifest: Manifest, regex: str) -> Manifest:
    """The same clips in groups by what an expression finds in their paths: its group named "group", else its first.

    A clip whose path does not match goes with those of its file, and the log says how many do.

    Raises:
        ConfigError: the expression is none, or has no parentheses.
        ManifestError: no path matches, or all give the same group.

    >>> from pathlib import Path
    >>> manifest = Manifest.build(Path(), ["spk1_a.wav", "spk1_b.wav", "spk2_a.wav"], [("yes",)] * 3)
    >>> groups_by_pattern(manifest, r"(spk[0-9]+)_").groups.tolist()
    ['spk1', 'spk1', 'spk2']
    """
    groups = _found(_compile(regex), manifest.table["path"])
    matched = groups != ""
    if not matched.any():
        raise ManifestError(
            f"{manifest.root}: the pattern '{regex}' fits none of the paths, the first being "
            f"'{manifest.table['path'].iloc[0]}'. Correct it; it is searched for anywhere in the path."
        )
    _require_several(manifest, groups.tolist(), f"pattern '{regex}'")
    if not matched.all():
        log.warning(
            "%d of %d clips do not fit '%s'; each file of them is a group", (~matched).sum(), len(groups), regex
        )
    return manifest.with_groups(groups.tolist())


def merge_groups(manifest: Manifest, clusters: np.ndarray) -> Manifest:
    """The same clips in groups that are joined wherever one cluster holds clips of several.

    Args:
        clusters: number of each clip's cluster of copies (clips,) int; clips with equal ones belong together.

    >>> from pathlib import Path
    >>> manifest = Manifest.build(Path(), ["a", "b", "c", "d"], [("x",)] * 4, groups=["g", "g", "h", ""])
    >>> merge_groups(manifest, np.array([0, 1, 1, 2])).groups.tolist()
    ['g', 'g', 'g', 'd']
    """
    numbers, names = pd.factorize(manifest.groups)
    clusters = pd.factorize(np.asarray(clusters))[0]
    n_nodes = len(names) + int(clusters.max()) + 1
    graph = coo_array((np.ones(len(numbers)), (numbers, len(names) + clusters)), shape=(n_nodes, n_nodes))
    joined = connected_components(graph, directed=False)[1][numbers]
    joins_several = pd.Series(numbers).groupby(joined).transform("nunique").to_numpy() > 1
    firsts = pd.Series(manifest.groups).groupby(joined).transform("first").to_numpy()
    return manifest.with_groups(np.where(joins_several, firsts, manifest.column("group")).tolist())


def offer_patterns(paths: Sequence[str], labels: Sequence[object] | None = None) -> list[Offer]:
    """Patterns in file names that would make groups, those that say more first.

    Not offered is what would be no use: one group, every file its own, groups that the label decides.

    Args:
        paths: of the files, relative to the data's root.
        labels: what each is labelled, to compare groups with.

    >>> [offer.kind for offer in offer_patterns(["spk01_1.wav", "spk01_2.wav", "spk02_1.wav"])]
    ['speaker']
    """
    labels = [""] * len(paths) if labels is None else [str(label) for label in labels]
    table = pd.DataFrame({"path": list(paths), "label": labels})
    files = table.drop_duplicates("path")
    some = files["path"].iloc[:: max(1, len(files) // N_TRIED)]
    offers, seen = [], set()
    for kind, regex in PATTERNS.items():
        pattern = re.compile(regex)
        if (_found(pattern, some) != "").mean() < LEAST_MATCHED / 2:
            continue
        groups = _found(pattern, files["path"])
        matched = groups != ""
        if matched.mean() < LEAST_MATCHED:
            continue
        sizes = pd.Series(groups[matched]).value_counts()
        partition = pd.factorize(np.where(matched, groups, files["path"]))[0].tobytes()
        classes = pd.Series(files["label"].to_numpy()[matched])
        of_label = pd.Series(groups[matched]).groupby(classes).nunique()
        decided = len(of_label) > 1 and of_label.max() == 1
        if len(sizes) < 2 or sizes.iloc[0] < 2 or decided or partition in seen:
            continue
        seen.add(partition)
        shown = int(np.flatnonzero(matched)[0])
        example = (files["path"].iloc[shown], groups[shown])
        n_unmatched = int((~matched).sum())
        offers.append(Offer(kind, regex, len(sizes), sizes.median(), int(sizes.iloc[0]), n_unmatched, example))
    return offers


def _compile(regex: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise ConfigError(f"'{regex}' is not a regular expression ({error}). Correct it.") from error
    if not pattern.groups:
        raise ConfigError(f"'{regex}' has no parentheses around what makes the group. Add them: '({regex})'.")
    return pattern


def _found(pattern: re.Pattern[str], paths: pd.Series) -> np.ndarray:
    """What the pattern finds in each path (paths,) str, "" where nothing."""
    key = "group" if "group" in pattern.groupindex else 1
    found = {path: (match[key] or "") if (match := pattern.search(path)) else "" for path in paths.unique()}
    return paths.map(found).to_numpy(dtype=object)


def _require_several(manifest: Manifest, groups: Sequence[str], what: str) -> None:
    if len(set(groups)) == 1 and groups[0]:
        raise ManifestError(
            f"{manifest.root}: {what} puts every clip into one group, '{groups[0]}', so that nothing can be held out. "
            "Take another."
        )
