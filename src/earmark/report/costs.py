"""What the models of a run cost whoever uses them: the size of the file, the time that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.report.reading import RunContents
from earmark.tagger.speed import measure_speed
from earmark.tagger.tagger import Clip, load_tagger

MEASURED_SECONDS = 5.0  # of one clip: a taste, in a fraction of a second


@dataclass(frozen=True)
class UseCost:
    """Of one model's tagger file: megabytes, and seconds of sound tagged in a second of one core, decoding included."""

    megabytes: float
    realtime: float


def use_costs(contents: RunContents) -> dict[str, UseCost]:
    """The cost of every model whose file of a fold is there, measured on the beginning of the first clip.

    Raises:
        AudioError: the clip cannot be read.
        TaggerFileError: a tagger is damaged.
    """
    fold = int(contents.manifest.folds[0])
    clip = contents.manifest.clips()[0]
    seconds = min(MEASURED_SECONDS, float(contents.lengths[0]))
    taste = Clip(clip.path, clip.start, clip.start + seconds)
    found = {}
    for model in contents.models:
        run, name = contents.places[model]
        path = run.fold(fold, name).tagger
        if path.exists():
            tagger = load_tagger(path, threads=1)
            found[model] = UseCost(tagger.n_bytes / 1e6, measure_speed(tagger, [taste]).realtime_from_files)
    return found
