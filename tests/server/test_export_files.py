"""The files that the page saves are the text of `earmark tag --timeline`."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from earmark.lookup import lookup
from earmark.predictions import Predictions
from earmark.tagger import Clip, TaggerMetadata, load_tagger
from earmark.tagger.formats import FORMATS
from earmark.tagger.rows import Selection
from earmark.tagger.tag_files import TaggedClip

PAGE = Path(__file__).parents[2] / "src" / "earmark" / "server" / "page"
LABELS = ("dog", 'a "quoted", one', "two\twords\u2003and\nmore", "Zikade 蝉 🦗", "unknown", "__proto__")
NAME = 'dawn "1", søng.wav'
# Writes what is asked for on stdin with the page's code.
PROGRAM = f"""
const {{ FORMATS }} = await import({json.dumps((PAGE / "export_files.js").as_uri())});
const asked = JSON.parse(await new Response(process.stdin).text());
asked.heard.scores = Float32Array.from(asked.heard.scores);
const texts = Object.entries(FORMATS).map(([name, {{ write }}]) => [name, write(asked)]);
console.log(JSON.stringify(Object.fromEntries(texts)));
"""


def scores_of_all_sizes(n_windows: int) -> np.ndarray:
    """Float32 in [0, 1]: usual ones, tiny ones, fractions that end in a half at the eighth digit, equal ones."""
    generator = np.random.default_rng(3)
    scores = generator.random((n_windows, len(LABELS))) ** generator.integers(1, 30, (n_windows, len(LABELS)))
    scores[::3] = np.round(scores[::3] * 2048) / 2048
    scores[1] = [0.0, 1.0, 1e-5, 0.00048828125, 9.9999997e-5, 1e-20]
    scores[2] = 0.5
    scores[3] = [0.35, 0.3499999, 0.00390625, 2**-11, 2**-12, 2**-13]
    scores[4] = 0.0
    return scores.astype(np.float32)


@pytest.mark.parametrize("multi_label", [True, False])
@pytest.mark.parametrize("threshold", [None, 0.35])
def test_the_saved_text_is_the_command_lines_to_the_byte(tmp_path, threshold, multi_label):
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    thresholds = (0.35, 0.0, None, 1e-6, 0.5, 2**-11)
    metadata = TaggerMetadata(
        name="made",
        labels=LABELS,
        sample_rate=11025,
        window_seconds=0.0078125,
        hop_seconds=0.0078125 * 3,
        multi_label=multi_label,
        thresholds={"window": thresholds, "clip": thresholds},
    )
    (tmp_path / "made.tagger.json").write_text(metadata.to_json())
    tagger = load_tagger(tmp_path / "made.tagger.json", backend="fake")
    starts = np.append(np.arange(40) * 0.0078125 * 3, 86399.1234565)
    ends = starts + 0.0078125
    scores = scores_of_all_sizes(len(starts))
    predictions = Predictions(np.full(len(starts), NAME, dtype=object), starts, ends, scores, LABELS, "window")
    tagged = TaggedClip(Clip(Path(NAME)), predictions, warnings=('8000 Hz, "low"',))
    heard = {"starts": starts.tolist(), "ends": ends.tolist(), "scores": scores.ravel().tolist()}
    asked = {
        "name": NAME,
        "tagger": json.loads(metadata.to_json()),
        "threshold": threshold,
        "heard": heard | {"warnings": list(tagged.warnings)},
    }
    command = ["node", "--input-type=module", "-e", PROGRAM]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    assert set(texts) == set(FORMATS) - {"parquet"}
    for name, text in texts.items():
        file = io.StringIO()
        writer = lookup(FORMATS, name, "format")(file, tagger, Selection(threshold=threshold))
        writer.write(tagged)
        writer.close()
        assert text == file.getvalue(), name
