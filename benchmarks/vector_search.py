"""How long `earmark similar` looks into a file of embeddings: with every row, and with an index beside it.

    .venv/bin/python benchmarks/vector_search.py [ROWS] [--out benchmarks/results/vector_search.json]

Made vectors of 384 numbers around 2000 centres, on one core. Seconds are those of the processor, waiting not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from earmark import __version__
from earmark.tagger import Clip
from earmark.tagger.embed import Embeddings
from earmark.tagger.embedding_file import read_embeddings, write_embeddings
from earmark.tagger.nearest import similar
from earmark.tagger.vector_index import VectorIndex

N_FEATURES, N_CENTRES, N_TRAITS, WINDOWS_PER_CLIP, TOP = 384, 2000, 32, 100, 10
BLOCK = 50_000


def embeddings(n_rows: int, folder: str, seed: int) -> Embeddings:
    """Windows of clips: near one of the centres, which lie in N_TRAITS dimensions, in noise."""
    fixed, generator = np.random.default_rng(0), np.random.default_rng(seed)
    centres = fixed.standard_normal((N_CENTRES, N_TRAITS), dtype=np.float32)
    traits = fixed.standard_normal((N_TRAITS, N_FEATURES), dtype=np.float32)
    vectors = np.empty((n_rows, N_FEATURES), dtype=np.float32)
    for first in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - first)
        near = centres[generator.integers(0, N_CENTRES, count)]
        near += 0.4 * generator.standard_normal(near.shape, dtype=np.float32)
        noise = generator.standard_normal((count, N_FEATURES), dtype=np.float32)
        vectors[first : first + count] = near @ traits + 0.3 * noise
    n_clips = -(-n_rows // WINDOWS_PER_CLIP)
    clips = tuple(Clip(f"{folder}/{number:07d}.wav") for number in range(n_clips))
    clip_of = np.arange(n_rows) // WINDOWS_PER_CLIP
    starts = 5.0 * (np.arange(n_rows) % WINDOWS_PER_CLIP)
    return Embeddings(clips, clip_of, starts, starts + 10, vectors, "made 0")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the seconds it took."""
    before = time.process_time()
    return work(), round(time.process_time() - before, 3)


def measure(n_rows: int, folder: Path) -> dict[str, float]:
    """Seconds of each step, and how many of the exact neighbours the index finds."""
    file = folder / "corpus.npz"
    write_embeddings(embeddings(n_rows, "corpus", 1), file)
    (corpus, _), reading = timed(lambda: read_embeddings(file))
    index, making = timed(lambda: VectorIndex(file, corpus.vectors))
    found = {"rows": n_rows, "file_mb": file.stat().st_size / 1e6, "index_mb": index.path.stat().st_size / 1e6}
    found |= {"read": reading, "make_index": making}
    for n_queries in (1, 100):
        queries = embeddings(n_queries, "queries", 2)
        list(similar(queries, corpus, TOP))  # once more, so that the file is in memory
        exact, seconds = timed(lambda queries=queries: list(similar(queries, corpus, TOP)))
        near, seconds_index = timed(lambda queries=queries: list(similar(queries, corpus, TOP, index)))
        common = {pair[:2] for pair in exact} & {pair[:2] for pair in near}
        found |= {f"exact_{n_queries}": seconds, f"index_{n_queries}": seconds_index}
        found[f"found_{n_queries}"] = len(common) / len(exact)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.rows, Path(folder))
    found |= {"earmark": __version__, "machine": platform.processor() or platform.machine()}
    print(json.dumps(found, indent=2))
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
