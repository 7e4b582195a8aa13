"""`earmark export --web`: a folder that is whole or not there, and gives the command line's scores in a browser."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.__main__ import main
from earmark.errors import ConfigError, FetchError, RunError, TaggerFileError
from earmark.flows import onnxruntime_web
from earmark.flows.web_export import export_web
from earmark.tagger import load_tagger, tag_files

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
EXPECTED = json.loads((VECTORS / "expected.json").read_text())
PAGE = ROOT / "src" / "earmark" / "server" / "page"
REAL = ROOT.parent / "shared" / "data" / "esc10"
# In the page: what its engine makes of files that lie on the same host.
SCORES = """
(async () => {
  const [engine, sound] = await Promise.all([import(location.href + "engine.js"), import(location.href + "sound.js")]);
  const t = (await engine.taggers()).find(({ name }) => name === %s);
  const file = await (await fetch(%s)).blob();
  const options = { signal: new AbortController().signal, progress: () => {} };
  const heard = await engine.tag({ sound: sound.decode(file, t.sample_rate) }, t, options);
  const classes = t.labels.length;
  return {
    starts: [...heard.starts].map((start) => Math.round(start * t.sample_rate)),
    window_scores: [...heard.starts].map((_, i) => [...heard.scores.slice(i * classes, (i + 1) * classes)]),
    clip_scores: [...heard.clip],
    warnings: heard.warnings,
  };
})()
"""


@pytest.fixture
def cnn(tmp_path):
    return shutil.copy(VECTORS / "cnn.tagger.onnx", tmp_path / "cnn.tagger.onnx")


@pytest.fixture
def package(tmp_path):
    """What stands in for the package onnxruntime-web."""
    folder = tmp_path / "node_modules" / "onnxruntime-web"
    for name in onnxruntime_web.FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.2.3"}')
    return folder


@pytest.fixture
def npm(package, tmp_path, monkeypatch):
    """`npm(script)`: a shell script in the place of npm; the archive it may copy is $ARCHIVE."""
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", package.parent, package.name)
    unpacked = tmp_path / "as npm packs"
    shutil.unpack_archive(archive, unpacked)
    (unpacked / package.name).rename(unpacked / "package")
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", unpacked, "package")
    monkeypatch.setattr(onnxruntime_web, "INTEGRITY", onnxruntime_web._integrity(Path(archive)))
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ARCHIVE", archive)
    monkeypatch.setenv("NAME", f"onnxruntime-web-{onnxruntime_web.VERSION}.tgz")

    def make(script: str | None) -> None:
        programs = tmp_path / "programs"
        programs.mkdir(exist_ok=True)
        if script is not None:
            (programs / "npm").write_text(f"#!/bin/sh\n{script}\n")
            (programs / "npm").chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/bin{os.pathsep}/usr/bin" if script else str(programs))

    return make


def test_the_folder_holds_the_page_the_taggers_and_the_runtime_and_nothing_of_the_server(cnn, package, tmp_path):
    written = export_web([cnn, VECTORS / "forest.tagger.onnx"], tmp_path / "site", package)
    found = {path.relative_to(written.folder).as_posix() for path in written.folder.rglob("*") if path.is_file()}
    own = {path.name for path in PAGE.iterdir()} - {"engine_server.js", "LICENSE.onnxruntime-web"}
    runtime = {f"onnxruntime-web/{name}" for name in (*onnxruntime_web.FILES.values(), "LICENSE")}
    taggers = {f"taggers/{kind}.tagger.{end}" for kind in ("cnn", "forest") for end in ("onnx", "json")}
    assert found == own | runtime | taggers | {"taggers.json", "offline_files.js", "README.txt"}
    assert written.taggers == ("cnn", "forest")
    assert written.n_bytes == sum(path.stat().st_size for path in written.folder.rglob("*") if path.is_file())
    assert "engine_local.js" in (written.folder / "engine.js").read_text()
    listed = json.loads((written.folder / "taggers.json").read_text())
    assert [each["identity"] for each in listed["taggers"]] == [load_tagger(cnn).identity] + [
        load_tagger(VECTORS / "forest.tagger.onnx").identity
    ]
    assert listed["onnxruntime_web"] == "1.2.3"
    readme = (written.folder / "README.txt").read_text()
    assert "python -m http.server" in readme and "1.2.3" in readme and "cnn, forest" in readme
    for kind in ("cnn", "forest"):
        inside = json.loads(load_tagger(VECTORS / f"{kind}.tagger.onnx").backend.metadata_json)
        assert json.loads((written.folder / "taggers" / f"{kind}.tagger.json").read_text()) == inside


def test_the_licence_of_the_page_is_the_projects():
    assert (PAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_address_in_the_page_is_relative_and_its_own():
    for path in PAGE.glob("*.js"):
        text = path.read_text()
        assert "//" not in text.replace("// ", "").replace("//\n", "").replace("////", ""), path.name
    assert "http" not in (PAGE / "index.html").read_text().replace("http-equiv", "")
    assert not {"<style", " style=", "onclick="} & set((PAGE / "index.html").read_text().split())


def test_an_export_replaces_an_export_and_nothing_else(cnn, package, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    export_web([cnn], site, package)
    (site / "left over").write_text("")
    export_web([VECTORS / "forest.tagger.onnx"], site, package)
    assert not (site / "left over").exists()
    assert [path.name for path in (site / "taggers").iterdir() if path.suffix == ".onnx"] == ["forest.tagger.onnx"]
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("all I have")
    for taken in (thesis, thesis / "chapter.txt"):
        with pytest.raises(ConfigError, match="is there already and no web export"):
            export_web([cnn], taken, package)
    assert (thesis / "chapter.txt").read_text() == "all I have"


def test_what_fails_leaves_all_as_it_was(cnn, package, tmp_path, monkeypatch):
    export_web([cnn], tmp_path / "site", package)
    before = {path: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()}
    beside = set(tmp_path.iterdir())
    replace, moves = os.replace, []

    def fail(source, target):
        moves.append(target)
        if len(moves) == 2:  # the old folder is away, the new one not there
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RunError, match="cannot be written"):
        export_web([VECTORS / "forest.tagger.onnx"], tmp_path / "site", package)
    assert {path: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()} == before
    assert set(tmp_path.iterdir()) == beside


def test_what_a_page_cannot_run_is_refused(cnn, package, tmp_path):
    with pytest.raises(ConfigError, match="folder of several taggers"):
        export_web([VECTORS / "together.tagger"], tmp_path / "site", package)
    with pytest.raises(ConfigError, match="two of the taggers have this name"):
        export_web([cnn, VECTORS / "cnn.tagger.onnx"], tmp_path / "site", package)
    with pytest.raises(TaggerFileError, match="nowhere"):
        export_web([tmp_path / "nowhere.tagger.onnx"], tmp_path / "site", package)
    assert not (tmp_path / "site").exists()


def test_a_folder_that_is_not_the_package_is_refused(cnn, package, tmp_path):
    (package / "dist" / "ort.wasm.min.mjs").unlink()
    for folder in (package, package.parent, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="does not hold the package"):
            export_web([cnn], tmp_path / "site", folder)


def test_npm_fetches_the_runtime_once(cnn, npm, tmp_path):
    npm('shift 5; cp "$ARCHIVE" "$1/$NAME"')
    export_web([cnn], tmp_path / "one")
    npm("exit 1")
    export_web([cnn], tmp_path / "two")
    assert (tmp_path / "two" / "onnxruntime-web" / "ort.wasm.min.js").read_text() == "dist/ort.wasm.min.mjs"
    kept = tmp_path / "home" / "web" / f"onnxruntime-web-{onnxruntime_web.VERSION}.tgz"
    kept.write_bytes(b"damaged")
    with pytest.raises(FetchError, match="npm could not fetch"):
        export_web([cnn], tmp_path / "three")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "npm is needed to fetch it"),
        ("echo no network >&2; exit 1", "npm could not fetch version .*no network"),
        ('shift 5; echo other > "$1/$NAME"', "npm gave another archive"),
        ("sleep 5", "npm has not fetched it in"),
    ],
)
def test_a_runtime_that_cannot_be_had_is_told(cnn, npm, tmp_path, monkeypatch, script, said):
    monkeypatch.setattr(onnxruntime_web, "LONGEST_SECONDS", 0.5)
    npm(script)
    with pytest.raises(FetchError, match=said):
        export_web([cnn], tmp_path / "site")
    assert not (tmp_path / "site").exists()
    assert list((tmp_path / "home").rglob("*.tgz")) == []


def test_the_command_says_what_it_wrote(cnn, package, tmp_path, monkeypatch, capsys):
    words = ["export", cnn, "--web", tmp_path / "site", "--onnxruntime-web", package, "--json"]
    monkeypatch.setattr(sys, "argv", ["earmark", *map(str, words)])
    try:
        assert main() == 0
    except SystemExit as end:
        assert not end.code
    assert json.loads(capsys.readouterr().out)["taggers"] == ["cnn"]


@pytest.fixture(scope="module")
def page(browser, exported):
    tab = browser.tab(exported.url)
    tab.wait("document.querySelector('#choose')?.disabled === false")
    return tab


@pytest.fixture(scope="module")
def hear(page, exported):
    """`hear(path, tagger)`: what the exported page makes of a file."""

    def run(path: Path, tagger: str) -> dict:
        shutil.copyfile(path, exported.folder / path.name)
        found = page.run(SCORES % (json.dumps(tagger), json.dumps(f"/{path.name}")))
        return found | {name: np.array(found[name]) for name in ("window_scores", "clip_scores")}

    return run


@pytest.mark.parametrize("pair", [pair for pair in sorted(EXPECTED) if not pair.startswith("together")])
def test_the_browser_gives_the_scores_of_the_vectors(hear, pair):
    kind, sound = pair.split()
    found, expected = hear(VECTORS / sound, kind), EXPECTED[pair]
    assert found["starts"] == expected["starts"]
    for name in ("window_scores", "clip_scores"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)


@pytest.fixture
def noise():
    """Three seconds of noise that comes and goes, two channels at 44.1 kHz, (samples, 2)."""
    generator = np.random.default_rng(0)
    loudness = 0.2 * np.abs(np.sin(np.arange(44100 * 3) / 20000))
    return (loudness[:, None] * generator.standard_normal((44100 * 3, 2))).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_of_every_kind_and_rate_gives_the_command_lines_scores(hear, noise, tmp_path, subtype):
    for rate in (8000, 44100):
        path = tmp_path / f"{subtype}_{rate}.wav"
        soundfile.write(path, noise, rate, subtype=subtype)
        tagger = load_tagger(VECTORS / "cnn.tagger.onnx")
        expected = tagger.score(path)
        found = hear(path, "cnn")
        np.testing.assert_allclose(found["window_scores"], expected.scores, atol=1e-3)
        np.testing.assert_allclose(found["clip_scores"], tagger.pool(expected).scores[0], atol=1e-3)


@pytest.mark.parametrize("ending", ["flac", "mp3", "ogg"])
def test_what_the_browser_decodes_gives_nearly_the_command_lines_scores(hear, noise, tmp_path, ending):
    path = tmp_path / f"noise.{ending}"
    soundfile.write(path, noise, 44100)
    tagger = load_tagger(VECTORS / "cnn.tagger.onnx")
    clip = tagger.pool(tagger.score(path)).scores[0]
    np.testing.assert_allclose(hear(path, "cnn")["clip_scores"], clip, atol=0.02)


def test_a_real_recording_gives_the_command_lines_scores(hear, tmp_path):
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    tagger = load_tagger(VECTORS / "cnn.tagger.onnx")
    for number, path in enumerate(sorted(REAL.rglob("*.opus"))[:60:20]):
        same = tmp_path / f"real {number}.opus"
        shutil.copy(path, same)
        at_its_rate = tmp_path / f"real {number}.wav"
        audio.write(at_its_rate, audio.load(path, tagger.sample_rate), tagger.sample_rate)
        for sound in (same, at_its_rate):
            expected = tagger.score(sound)
            np.testing.assert_allclose(hear(sound, "cnn")["window_scores"], expected.scores, atol=1e-3)


def test_a_recording_of_a_lower_rate_is_warned_of_as_on_the_command_line(hear, tmp_path):
    path = tmp_path / "low.wav"
    audio.write(path, np.zeros(4000, dtype=np.float32), 4000)
    tagger = load_tagger(VECTORS / "cnn.tagger.onnx")
    [tagged] = tag_files(tagger, [path])
    assert hear(path, "cnn")["warnings"] == list(tagged.warnings)


def test_a_page_that_is_kept_works_without_its_host(browser, ort_web, host, cnn, package, tmp_path):
    export_web([cnn], tmp_path / "host" / "site", ort_web)
    tab = browser.tab(host(tmp_path / "host") + "site/")
    tab.wait("document.querySelector('#offline')?.hidden === false")
    tab.run("document.querySelector('#offline').click()")
    tab.wait("document.querySelector('#note').textContent.includes('is kept')")
    shutil.rmtree(tmp_path / "host" / "site")
    tab.run("window.isOld = true; location.reload()")
    tab.wait("!window.isOld && document.querySelector('#choose')?.disabled === false")
    assert tab.run("document.querySelector('#offline').hidden")
    tab.give(VECTORS / "long.wav")
    tab.wait("!document.querySelector('#heard').hidden")
    assert tab.run("document.querySelector('#verdict').textContent") == "noise\u00a0· tone, high"
