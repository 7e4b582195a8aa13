"""A tagger of the home folder is held against what the original code gave, and that is written down beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from earmark.errors import ConfigError, TaggerFileError
from earmark.flows.reference_check import check, checked
from earmark.tagger import load_tagger
from earmark.tagger.home import converted

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
SHARED = ROOT.parent / "shared" / "data" / "weights"
WINDOWS = (0.1 * np.random.default_rng(0).standard_normal((3, 4000))).astype(np.float32)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder with a tagger of several labels at once, "many", and one of one label, "single"."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    converted("many").parent.mkdir(parents=True)
    shutil.copy(VECTORS / "cnn.tagger.onnx", converted("many"))
    shutil.copy(VECTORS / "patches.tagger.onnx", converted("single"))
    return tmp_path / "home"


def reference(path: Path, name: str, *, logits: bool = True, nudge: float = 0.0, **more) -> Path:
    """What a tagger gives, as if its original code had given it."""
    scores, embeddings = load_tagger(name).backend.run(WINDOWS)
    arrays = dict(more)
    for number, (window, row, embedding) in enumerate(zip(WINDOWS, scores, embeddings, strict=True)):
        row = row.astype(np.float64) + nudge
        odds = np.log(row / (1 - row)) if load_tagger(name).metadata.multi_label else np.log(row) + 7
        arrays[f"{number}.wav/wave8k"] = window
        arrays[f"{number}.wav/features"] = embedding
        arrays[f"{number}.wav/{'logits_fp32' if logits else 'scores'}"] = odds if logits else row
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["many", "single"])
@pytest.mark.parametrize("logits", [True, False])
def test_what_agrees_is_written_down(home, tmp_path, name, logits):
    file = reference(tmp_path / "r.npz", name, logits=logits)
    assert checked(name) is None
    found = check(name, file)
    assert (found.n_windows, found.n_passed_over, found.reference) == (3, 0, "r.npz")
    assert found.scores < 1e-6
    assert found.embedding < 1e-6
    assert checked(name) == found


def test_another_file_of_that_name_is_not_checked(home, tmp_path):
    check("many", reference(tmp_path / "r.npz", "many"))
    shutil.copy(converted("single"), converted("many"))
    assert checked("many") is None
    converted("many").unlink()
    assert checked("many") is None


def test_a_damaged_record_counts_for_nothing(home, tmp_path):
    check("many", reference(tmp_path / "r.npz", "many"))
    [record] = converted("many").parent.glob("*.json")
    for content in ("{", "{}", "[1]", ""):
        record.write_text(content)
        assert checked("many") is None


def test_what_differs_is_told_and_not_written_down(home, tmp_path):
    with pytest.raises(TaggerFileError, match=r"many: differs from .*r\.npz by 0\.002 in scores and .* in embeddings"):
        check("many", reference(tmp_path / "r.npz", "many", nudge=0.002, logits=False))
    broken = reference(tmp_path / "n.npz", "many", **{"z/wave": WINDOWS[0], "z/scores": np.full(3, np.nan)})
    with pytest.raises(TaggerFileError, match="by nan in scores"):
        check("many", broken)
    assert checked("many") is None


def test_sounds_of_another_length_are_passed_over(home, tmp_path):
    more = {"short/wave": WINDOWS[0, :99], "short/logits": np.zeros(3)}
    assert check("many", reference(tmp_path / "r.npz", "many", **more)).n_passed_over == 1
    np.savez(tmp_path / "s.npz", **more)
    with pytest.raises(ConfigError, match=r"has no sound of 4000 samples, the window of many \(found \[99\]\)"):
        check("many", tmp_path / "s.npz")


def test_a_file_that_is_no_reference_is_refused(home, tmp_path):
    for content in (b"", b"<!doctype html>", b"PK\x03\x04cut"):
        (tmp_path / "page.npz").write_bytes(content)
        with pytest.raises(ConfigError, match=r"page\.npz: is no \.npz file. A reference holds what the original code"):
            check("many", tmp_path / "page.npz")
    shutil.copy(VECTORS / "short.wav", tmp_path)
    with pytest.raises(ConfigError, match=r"short\.wav: is a sound, and no reference. A reference holds"):
        check("many", tmp_path / "short.wav")
    with pytest.raises(ConfigError, match=r"none\.npz: there is no such file"):
        check("many", tmp_path / "none.npz")
    damaged = bytearray(reference(tmp_path / "r.npz", "many").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / "r.npz").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"r\.npz: cannot be read as a reference"):
        check("many", tmp_path / "r.npz")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(ConfigError, match=r"has no sounds \(arrays weights\)"):
        check("many", tmp_path / "other.npz")
    np.savez(tmp_path / "wide.npz", wave=WINDOWS[0], logits=np.zeros(527))
    with pytest.raises(ConfigError, match="has 527 numbers where .* gives 3. Is it the reference of another network"):
        check("many", tmp_path / "wide.npz")


def test_only_taggers_of_the_home_folder_are_checked(home, tmp_path):
    file = reference(tmp_path / "r.npz", "many")
    with pytest.raises(ConfigError, match="is not a tagger of the home folder"):
        check(str(VECTORS / "cnn.tagger.onnx"), file)
    with pytest.raises(TaggerFileError, match=r"manny: is neither a file nor .* \(did you mean 'many'\?\)"):
        check("manny", file)


def test_what_only_embeds_needs_embeddings(home, tmp_path, monkeypatch):
    file = reference(tmp_path / "r.npz", "many")
    tagger = load_tagger("many")
    tagger.labels = ()
    monkeypatch.setattr("earmark.flows.reference_check.load_tagger", lambda path: tagger)
    found = check("many", file)
    assert found.scores is None
    assert found.embedding < 1e-6
    np.savez(tmp_path / "s.npz", wave=WINDOWS[0], scores=np.zeros(3))
    with pytest.raises(ConfigError, match="holds scores, and .* only embeds"):
        check("many", tmp_path / "s.npz")


@pytest.mark.parametrize(("name", "folder", "n_windows"), [("mn04_as", "efficientat", 3), ("yamnet", "yamnet", 12)])
def test_published_networks_agree_with_their_original_code(published, name, folder, n_windows):
    from earmark.flows import reference_check

    tagger = load_tagger(published(name))
    [file] = (SHARED / folder).glob("reference_io_*.npz")
    sounds = reference_check._read(file, tagger.metadata.multi_label)
    fitting = [sound for sound in sounds if len(sound.waveform) == tagger.window_samples]
    assert len(fitting) == n_windows
    assert max(reference_check._differences(tagger, fitting, file)) < 1e-4
