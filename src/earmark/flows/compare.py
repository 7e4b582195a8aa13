"""The story of `earmark compare`: several sets of scores on the same clips, and which is better beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.data.lock import count_look
from earmark.data.manifest import Manifest
from earmark.data.readers import table_of
from earmark.errors import ConfigError
from earmark.evaluation.contest import Contender, Contest, hold_contest
from earmark.flows.contenders import on_one_table, pool_seeds, read_source
from earmark.report.compare_page import write_compare_page


@dataclass(frozen=True)
class Compared:
    """The contest, the clips it was held on, and who took part, the best first."""

    contest: Contest
    manifest: Manifest
    contenders: tuple[Contender, ...]

    def write_page(self, path: Path) -> None:
        """Write one HTML file with the numbers, and the clips that the two best disagree on to see and hear."""
        write_compare_page(self.contest, self.manifest, self.contenders[:2], path)


def compare(
    sources: Sequence[Path | str],
    *,
    data: Path | str | None = None,
    mapping: Path | None = None,
    common: bool = False,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
) -> Compared:
    """Hold sets of scores against each other. Tables on a locked test split are looks at it, and are counted.

    Args:
        sources: folders of runs, `predictions.MODEL.csv` of a run, folders of evaluations, or tables of scores.
        data: the labelled clips that tables are of. mapping: what their labels are called there.
        common: compare on the clips and labels that all have, and say how many are left out.
        audio_dir, encoding, folder_tricks, merge: how `data` is read, see `read_manifest`.

    Raises:
        ConfigError: fewer than two, or one of them twice.
        RunError: they do not belong together; see `on_one_table`.
    """
    paths = [Path(source) for source in sources]
    if len(paths) < 2:
        raise ConfigError("compare: one is no comparison. Give two or more runs, evaluations or tables of scores.")
    twice = sorted({str(path) for path in paths if [each.resolve() for each in paths].count(path.resolve()) > 1})
    if twice:
        raise ConfigError(f"compare: {twice[0]} is given twice. Leave one out.")
    clips = None if data is None else Path(data)
    reading = {"audio_dir": audio_dir, "encoding": encoding, "folder_tricks": folder_tricks, "merge": merge}
    found = [read_source(path, clips, reading, mapping, common) for path in paths]
    taken, remarks = on_one_table(found, common)
    remarks += list(dict.fromkeys(remark for each in taken for remark in each.remarks))
    contenders = pool_seeds(taken)
    manifest = taken[0].manifest
    folds = next((each.folds for each in taken if each.folds is not None), None)
    contest = hold_contest(
        contenders,
        manifest.present(),
        labels=manifest.vocabulary.labels,
        groups=manifest.groups,
        multi_label=taken[0].multi_label,
        folds=folds,
        weights=manifest.label_weights(),
        remarks=remarks,
    )
    by_name = {each.name: each for each in contenders}
    values = {entry.name: entry.metrics[contest.metric].value for entry in contest.entries}
    looks = [
        count_look(table_of(clips, encoding), path, contest.metric, values.get(source.name, np.nan))[1]
        for path, source in zip(paths, taken, strict=True)
        if source.lock and (source.manifest.splits == "test").any()
    ]
    if looks:
        remark = (
            f"Looks {looks[0]} to {looks[-1]} at this locked test split. Choosing by what is seen there uses it up."
        )
        contest = replace(contest, remarks=(*contest.remarks, remark))
    return Compared(contest, manifest, tuple(by_name[entry.name] for entry in contest.entries))
