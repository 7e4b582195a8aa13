"""Commands about embeddings: `embed`, `similar`. Neither needs torch, nor pandas but for a labelled table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.options import AudioDir, TaggerName, Threads
from earmark.cli.progress import count
from earmark.cli.tag import follow, names_of, nobody_may_read, tell

if TYPE_CHECKING:
    from earmark.cli.tag import Warnings
    from earmark.tagger.embed import EmbeddedClip, Embeddings
    from earmark.tagger.metadata import TaggerMetadata
    from earmark.tagger.tagger import Clip, Tagger

    Facts = dict[str, dict[str, str | int]]  # column → clip id → value

# As the readers have them, who would bring pandas.
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
TIME_DIGIT = 1e-5  # s; times in files are rounded
NEIGHBOUR = ["query", "query_start", "query_end", "path", "start", "end", "similarity"]
Timeline = Annotated[bool, typer.Option("--timeline", help="Every window instead of every clip.")]


def embed(
    tagger: TaggerName,
    data: Annotated[
        list[str],
        typer.Argument(help="Files, folders, quoted patterns, - for a list on stdin; or one table of labelled files."),
    ],
    out: Annotated[Path, typer.Option(help="A file that ends in .parquet, .npz or .csv.")],
    timeline: Timeline = False,
    audio_dir: AudioDir = None,
    threads: Threads = None,
) -> None:
    """What a tagger's last layer sees: a vector per clip (the mean over its windows), or with --timeline per window.

    They are kept in the cache by what recording and tagger hold: nothing is heard twice, and after a kill the same
    command goes on. Files that cannot be read become rows of NAME.failures.csv beside --out, and the exit code
    is 1.

    Examples:

      earmark embed mn04_as sounds/ --out embeddings.parquet

      earmark embed birds.tagger.onnx labels.csv --audio-dir sounds/ --out embeddings.npz

      earmark embed mn04_as 'field/**/*.flac' --timeline --out embeddings.csv
    """
    from earmark.tagger import load_tagger
    from earmark.tagger.embedding_file import check_suffix, write_embeddings

    check_suffix(out)
    _keep(data, out)
    opened = load_tagger(tagger)
    clips, facts, failures = _clips(data, audio_dir)
    found, more, warnings = _embed(opened, clips, "embedding", timeline, threads)
    write_embeddings(found, out, facts)
    failures += more
    tell(failures, warnings, len(clips) + len(failures) - len(more), out)
    if failures:
        raise typer.Exit(1)


def similar(
    tagger: TaggerName,
    query: Annotated[list[str], typer.Argument(help="What to look for: as DATA of `earmark embed`.")],
    corpus: Annotated[
        list[str],
        typer.Option("--in", help="Where to look: as DATA of `earmark embed`, repeatable; or one file that it wrote."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Neighbours of each query.", metavar="N")] = 10,
    timeline: Timeline = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of CSV.")] = False,
    out: Annotated[Path | None, typer.Option(help="File instead of stdout.", show_default=False)] = None,
    index: Annotated[
        bool, typer.Option("--index", help="Look into an index beside the file of embeddings: for millions of rows.")
    ] = False,
    audio_dir: AudioDir = None,
    threads: Threads = None,
) -> None:
    """The sounds nearest to a sound, by the cosine between their embeddings, best first.

    The query itself is left out where it is part of the corpus. Embeddings come from the cache of `earmark embed`, and
    go there; of a file that it wrote (with --timeline where it is given here) nothing is heard. Files that cannot be
    read become rows of failures.csv (NAME.failures.csv beside --out), and the exit code is 1.

    Examples:

      earmark similar mn04_as frog.wav --in field/ --top 5

      earmark similar mn04_as frog.wav --in field/ --timeline --json --out found.jsonl

      earmark similar mn04_as frog.wav --in embeddings.npz
    """
    from earmark.tagger import load_tagger
    from earmark.tagger.nearest import similar as find
    from earmark.tagger.vector_index import VectorIndex

    _keep([*query, *corpus], out)
    opened = load_tagger(tagger)
    embedded = _is_embedded(corpus, index)
    wanted, _, failures = _clips(query, audio_dir if embedded or _is_table(query) else None)
    n_clips = len(wanted) + len(failures)
    queries, failed, warnings = _embed(opened, wanted, "embedding the query", timeline, threads)
    failures += failed
    if embedded:
        found, facts = _embedded(Path(corpus[0]), queries)
        _same_rows(Path(corpus[0]), found, opened.metadata, timeline)
    else:
        clips, facts, absent = _clips(corpus, audio_dir if _is_table(corpus) or not _is_table(query) else None)
        n_clips += len(clips) + len(absent)
        found, failed, more = _embed(opened, clips, "embedding the corpus", timeline, threads)
        failures, warnings = failures + absent + failed, warnings + more
    neighbours = find(queries, found, top, VectorIndex(Path(corpus[0]), found.vectors) if index else None)
    _write_neighbours(neighbours, queries, found, facts.get("labels", {}), out, as_json)
    tell(failures, warnings, n_clips, out)
    if failures:
        raise typer.Exit(1)


def _keep(names: list[str], out: Path | None) -> None:
    """Refuse to write over what is read.

    Raises:
        ConfigError: it is `out`.
    """
    from earmark.errors import ConfigError

    if out is not None and out.resolve() in [Path(name).resolve() for name in names]:
        raise ConfigError(f"--out {out}: is what is read, and would be overwritten. Choose another name.")


def _is_table(names: list[str]) -> bool:
    return any(Path(name).suffix.lower() in TABLE_SUFFIXES for name in names)


def _clips(names: list[str], audio_dir: Path | None) -> tuple[list[Clip], Facts, list[EmbeddedClip]]:
    """The clips that are named, what their table says of them, and rows of it whose files are not there.

    Raises:
        ConfigError: a table and something beside it, or --audio-dir without a table.
        AudioError, ManifestError: there is nothing to hear, or the table is wrong.
    """
    from earmark.errors import ConfigError
    from earmark.tagger import Clip
    from earmark.tagger.embed import EmbeddedClip
    from earmark.tagger.recordings import find_recordings

    if not _is_table(names):
        if audio_dir is not None:
            raise ConfigError("--audio-dir is for a table of labelled files, and none is given. Leave it out.")
        return [Clip(path) for path in find_recordings(names_of(names))], {}, []
    if len(names) > 1:
        raise ConfigError(f"{', '.join(names[:3])}: a table of labelled files stands alone. Give one at a time.")

    from earmark.data.manifest_file import cells
    from earmark.flows.reading import read_rows

    missing: list[tuple[str, str]] = []
    manifest = read_rows(Path(names[0]), missing, all_labels=False, audio_dir=audio_dir)
    told = cells(manifest, manifest.root)
    columns = {name: told[name] for name in ("labels", "group") if name in told}
    if manifest.has_folds:
        columns["fold"] = manifest.folds.tolist()
    facts = {name: dict(zip(manifest.clip_ids, values, strict=True)) for name, values in columns.items()}
    return manifest.clips(), facts, [EmbeddedClip(Clip(path), None, reason) for path, reason in missing]


def _is_embedded(corpus: list[str], index: bool) -> bool:
    """Whether the corpus is a file of embeddings.

    Raises:
        ConfigError: it is, with something beside it; or it is not, and an index is asked for.
    """
    from earmark.errors import ConfigError
    from earmark.tagger.embedding_file import holds_embeddings

    embedded = [name for name in corpus if holds_embeddings(Path(name))]
    if embedded and len(corpus) > 1:
        raise ConfigError(f"--in {embedded[0]}: a file of embeddings stands alone. Give one at a time.")
    if index and not embedded:
        raise ConfigError("--index: is for a file of embeddings. Write one with `earmark embed`, and give it as --in.")
    return bool(embedded)


def _embedded(path: Path, queries: Embeddings) -> tuple[Embeddings, Facts]:
    """The embeddings of a file, and what stands beside them.

    Raises:
        ConfigError: it is no such file, or another tagger's.
    """
    from earmark.errors import ConfigError
    from earmark.tagger.embedding_file import read_embeddings

    found, facts = read_embeddings(path)
    made_by = [(each.tagger, each.vectors.shape[1]) for each in (found, queries) if len(each)]
    if len(set(made_by)) > 1:
        theirs, ours = (f"{tagger} ({width} numbers)" for tagger, width in made_by)
        raise ConfigError(
            f"{path}: was embedded by {theirs}, and the query by {ours}. Take the same tagger, or embed anew."
        )
    return found, facts


def _same_rows(path: Path, found: Embeddings, known: TaggerMetadata, timeline: bool) -> None:
    """Refuse a file of clips where windows are looked for, and the other way round.

    Raises:
        ConfigError: it is such a file.
    """
    from earmark.errors import ConfigError

    longest = max(known.view_seconds, default=known.window_seconds)
    several = found.ends - found.starts > longest + TIME_DIGIT  # rows that are the mean over several windows
    of_clips = known.views != "full" and bool(several.any())
    if timeline and of_clips:
        raise ConfigError(
            f"{path}: has a row per clip, and --timeline looks for windows. Leave it out, or write the file with "
            "`earmark embed --timeline`."
        )
    if not timeline and len(found) > len(found.clips):
        raise ConfigError(
            f"{path}: has a row per window, and a row per clip is looked for. Add --timeline, or write the file "
            "without it."
        )


def _embed(
    tagger: Tagger, clips: list[Clip], doing: str, timeline: bool, threads: int | None
) -> tuple[Embeddings, list[EmbeddedClip], Warnings]:
    """The embeddings of all clips that can be heard, those that cannot, and warnings."""
    from earmark.tagger.embed import collect, embed_files

    heard: list[EmbeddedClip] = []

    def kept(embedded: Iterator[EmbeddedClip]) -> Iterator[EmbeddedClip]:
        for one in embedded:
            heard.append(one)
            yield one

    with closing(embed_files(tagger, clips, level="window" if timeline else "clip", threads=threads)) as embedded:
        failures, warnings = follow(count(kept(embedded), len(clips), doing))
    return collect(heard), failures, warnings


def _write_neighbours(
    found: Iterable[tuple[int, int, float]],
    queries: Embeddings,
    corpus: Embeddings,
    labels: dict[str, str | int],
    out: Path | None,
    as_json: bool,
) -> None:
    """A line per query and neighbour, with the neighbour's labels where they are known."""
    from earmark.run import to_json
    from earmark.tagger.formats import open_output

    columns = [*NEIGHBOUR, "labels"] if labels else NEIGHBOUR
    query_paths, paths = queries.paths, corpus.paths
    with nobody_may_read(), open_output(out, "jsonl" if as_json else "csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not as_json:
            writer.writerow(columns)
        for query, row, cosine in found:
            times = (queries.starts[query], queries.ends[query], corpus.starts[row], corpus.ends[row])
            query_start, query_end, start, end = (round(float(seconds), 6) for seconds in times)
            cells = [query_paths[query], query_start, query_end, paths[row], start, end, round(cosine, 6)]
            if labels:
                cells.append(labels[corpus.clips[corpus.clip_of[row]].clip_id])
            if as_json:
                file.write(to_json(dict(zip(columns, cells, strict=True))) + "\n")
            else:
                writer.writerow(cells)
        file.flush()
