"""The page in a real browser, served and exported: files, the microphone, thresholds, what goes wrong, keys alone."""

from __future__ import annotations

import csv
import io
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.tagger import load_tagger, tag_files
from earmark.tagger.formats import write_tags
from earmark.tagger.rows import Selection

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
CNN = VECTORS / "cnn.tagger.onnx"
REAL = ROOT.parent / "shared" / "data" / "esc10"
READY = "document.querySelector('#choose')?.disabled === false"
HEARD = "!document.querySelector('#heard').hidden && document.querySelector('#busy').hidden"
WRONG = "!document.querySelector('#problem').hidden"
VERDICT = "document.querySelector('#verdict').textContent"
SAID = "document.querySelector('#problem').textContent"
BARS = "[...document.querySelectorAll('#bars tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
LANES = "[...document.querySelectorAll('#lanes span')].map((lane) => lane.textContent)"
RESULT = f"({HEARD}) || ({WRONG})"


@pytest.fixture(params=["served", "exported"])
def url(request) -> str:
    """The page, whoever tags."""
    if request.param == "exported":
        return request.getfixturevalue("exported").url
    return request.getfixturevalue("serve_taggers")(CNN, VECTORS / "unsure.tagger.onnx")


@pytest.fixture
def opened(browser, url):
    """The page in a tab, ready; at the end nothing was thrown, refused by its policy, or asked of another machine."""
    tab = browser.tab(url)
    tab.wait(READY)
    yield tab
    tab.run("1")  # what is told of faults has come by then
    assert browser.faults(tab) == []
    own = (url, url.replace("http", "ws"), "data:", "blob:")
    assert [each for each in browser.requests(tab) if not each.startswith(own)] == []


def command_line(format: str, folder: Path) -> str:
    """What `earmark tag --timeline` writes of the vectors' long sound."""
    tagger, out = load_tagger(CNN), folder / f"expected.{format}"
    list(write_tags(tag_files(tagger, [Path("long.wav")], level="window"), tagger, format, out, Selection()))
    return out.read_text(encoding="utf-8")


def press_tab_until(tab, condition: str) -> None:
    """By the tab key to the element of which something is true."""
    for _ in range(40):
        tab.press("Tab")
        if tab.run(f"((here) => !!({condition}))(document.activeElement)"):
            return
    raise AssertionError(f"the keyboard does not reach it: {condition}")


def test_a_dropped_file_is_tagged_as_on_the_command_line_and_saved_in_its_words(
    browser, opened, tmp_path, monkeypatch
):
    shutil.copy(VECTORS / "long.wav", tmp_path / "long.wav")
    monkeypatch.chdir(tmp_path)
    browser.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
    opened.drop(tmp_path / "long.wav", 400, 260)
    opened.wait(HEARD)
    assert opened.run(VERDICT) == "noise\u00a0· tone, high"
    tagger = load_tagger(CNN)
    clip = tagger.pool(tagger.score(VECTORS / "long.wav")).scores[0]
    shown = {label: float(score) for label, _, score in opened.run(BARS)}
    assert shown == {label: pytest.approx(score, abs=6e-4) for label, score in zip(tagger.labels, clip, strict=True)}
    assert opened.run(LANES) == ["noise", "tone, high"]
    for number, name, suffix in ((0, "csv", ".csv"), (3, "raven", ".Table.1.selections.txt")):
        opened.run(f"document.querySelectorAll('#exports button')[{number}].click()")
        saved = tmp_path / "saved" / f"long.wav{suffix}"
        opened.wait("document.querySelector('#note').textContent.includes('is saved')")
        until(saved.exists)
        expected = command_line(name, tmp_path)
        delimiter = "," if name == "csv" else "\t"
        rows, told = (
            list(csv.reader(text.splitlines(), delimiter=delimiter)) for text in (saved.read_text(), expected)
        )
        assert [row[:-1] for row in rows] == [row[:-1] for row in told]
        scores, told_scores = ([float(row[-1]) for row in table[1:]] for table in (rows, told))
        np.testing.assert_allclose(scores, told_scores, atol=1e-5)


def until(condition) -> None:
    """Wait for what is true at last."""
    stop = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0.02)


def test_a_threshold_moves_everything_and_nothing_reached_is_said(opened):
    opened.give(VECTORS / "long.wav")
    opened.wait(HEARD)
    slide = "$('threshold').value = {}; $('threshold').dispatchEvent(new Event('input'))"
    opened.run("globalThis.$ = (id) => document.getElementById(id)")
    assert "own" in opened.run("document.querySelector('#threshold').getAttribute('aria-valuetext')")
    opened.run(slide.format(95))
    assert opened.run(VERDICT) == "Nothing reached its threshold"
    assert opened.run(LANES) == []
    assert opened.run("document.querySelectorAll('#bars .asserted').length") == 0
    assert opened.run("document.querySelectorAll('#bars tr').length") == 3
    opened.run(slide.format(20))
    assert opened.run(VERDICT) == "noise\u00a0· tone, high\u00a0· tone, low"
    opened.run(slide.format(0))
    assert opened.run(LANES) == ["noise", "tone, high"]


def test_another_tagger_hears_the_same_file_again(opened):
    opened.give(VECTORS / "long.wav")
    opened.wait(HEARD)
    first = opened.run(BARS)
    opened.run("globalThis.choice = document.querySelector('#taggers'); choice.value = 'unsure'")
    opened.run("choice.dispatchEvent(new Event('change'))")
    opened.wait(f"({HEARD}) && JSON.stringify({BARS}) !== {str(first)!r}")
    assert "unsure" in opened.run("document.querySelector('#taggers').value")
    expected = [tag.label for tag in load_tagger(VECTORS / "unsure.tagger.onnx").tag(VECTORS / "long.wav")]
    assert opened.run(VERDICT) == ("\u00a0· ".join(expected) or "Nothing reached its threshold")


def half_a_flac() -> bytes:
    """What was fetched of a FLAC file; browsers decode it without a word."""
    whole = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(80_000)
    soundfile.write(whole, noise, 16_000, format="FLAC")
    return whole.getvalue()[: len(whole.getvalue()) // 2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("note.wav", b"Dear diary", "cannot be read as a sound"),
        ("empty.wav", b"", "empty"),
        ("cut.wav", (VECTORS / "long.wav").read_bytes()[:9000], "cut off"),
        ("cut.flac", half_a_flac(), "cut off"),
    ],
    ids=["no sound", "empty", "cut", "cut FLAC"],
)
def test_a_file_that_is_no_whole_sound_is_explained(opened, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    opened.give(tmp_path / name)
    opened.wait(RESULT)
    assert opened.run(WRONG) and said in opened.run(SAID)
    opened.give(VECTORS / "short.wav")  # and the next one is heard
    opened.wait(HEARD)
    assert not opened.run(WRONG)


def test_names_are_text_whatever_they_hold(opened, tmp_path):
    name = "<img src=x onerror=document.title=1>\u202e&amp;'\".wav"
    shutil.copy(VECTORS / "short.wav", tmp_path / name)
    opened.give(tmp_path / name)
    opened.wait(HEARD)
    assert opened.run("document.querySelector('#name').textContent") == name
    assert opened.run("document.querySelectorAll('img').length") == 0
    assert opened.run("document.title") == "Earmark"


def test_everything_can_be_done_by_keys_alone(opened):
    press_tab_until(opened, "here.id === 'choose'")
    opened.give(VECTORS / "long.wav")  # what the system's own dialogue does
    opened.wait(HEARD)
    press_tab_until(opened, "here.id === 'drawn'")
    opened.press("ArrowRight")
    opened.wait("document.querySelector('#drawn').getAttribute('aria-valuenow') === '1.0'")
    press_tab_until(opened, "here.className === 'lane'")
    opened.press("ArrowRight")
    assert "noise 0.88 from 0:00.0" in opened.run("document.querySelector('#said').textContent")
    opened.press("Enter")
    opened.wait("document.querySelector('#play').textContent === 'Pause'")
    opened.wait("document.querySelector('#play').textContent === 'Play'")  # the stretch is over
    assert 0.4 < float(opened.run("document.querySelector('#drawn').getAttribute('aria-valuenow')")) < 0.9
    press_tab_until(opened, "here.id === 'threshold'")
    opened.press("ArrowRight")
    assert opened.run("document.querySelector('#threshold-value').textContent") == "0.01"
    press_tab_until(opened, "here.closest('#bars')")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.run(outline) == "solid"
    press_tab_until(opened, "here.closest('#exports')")


def test_what_goes_on_can_be_cancelled(opened, tmp_path):
    audio.write(tmp_path / "long.wav", np.zeros(8000 * 1200, dtype=np.float32), 8000)
    opened.give(tmp_path / "long.wav")
    opened.wait("document.querySelector('#busy').hidden === false")
    opened.run("document.querySelector('#cancel').click()")
    opened.wait("document.querySelector('#note').textContent === 'Cancelled.'")
    opened.give(VECTORS / "long.wav")
    opened.wait(HEARD)
    assert opened.run("document.querySelector('#length').textContent") == "· 0:01.9"


@pytest.mark.parametrize("width", [320, 390, 1000])
def test_the_page_is_no_wider_than_the_screen(opened, tmp_path, width):
    opened.give(VECTORS / "long.wav")
    opened.wait(HEARD)
    opened.picture(tmp_path / "page.png", width=width)
    assert opened.run("document.documentElement.scrollWidth <= innerWidth")


def test_the_picture_shows_the_sound(opened, tmp_path):
    rate = 8000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    audio.write(tmp_path / "tone.wav", np.concatenate([np.zeros(2 * rate), tone]).astype(np.float32), rate)
    opened.give(tmp_path / "tone.wav")
    opened.wait(HEARD)
    bright = """((canvas) => {
      const { width, height } = canvas;
      const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      const sums = [0, 0];
      let highest = [0, 0];
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        const at = 4 * (y * width + x), light = data[at] + data[at + 1] + data[at + 2];
        if (light > 20 && (x < 0.45 * width || x > 0.9 * width)) sums[x < width / 2 ? 0 : 1] += light;
        if (x > 0.6 * width && x < 0.9 * width && light > highest[0]) highest = [light, 1 - y / height];
      }
      return [...sums, highest[1]];
    })(document.querySelector("#spectrogram"))"""
    opened.wait(f"{bright}[1] > 0")
    silence, sound, height = opened.run(bright)
    assert silence == 0 < sound

    def mel(hertz: float) -> float:
        return np.log10(1 + hertz / 700)

    assert height == pytest.approx(mel(1000) / mel(rate / 2), abs=0.02)


def test_dark_and_light_follow_the_system_until_the_switch_is_used(opened, browser):
    paper = "getComputedStyle(document.body).backgroundColor"
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.ask("Emulation.setEmulatedMedia", opened.session, features=scheme)
    opened.wait("document.querySelector('#scheme').textContent === 'Light'")
    assert opened.run(paper) == "rgb(22, 24, 28)"
    opened.run("document.querySelector('#scheme').click()")
    assert opened.run(paper) == "rgb(252, 252, 250)"
    opened.run("localStorage.clear()")


def test_what_axe_finds_is_nothing(opened):
    script = Path(os.environ.get("EARMARK_NODE_MODULES", ROOT / "node_modules"), "axe-core", "axe.min.js")
    if not script.exists():
        pytest.skip("axe-core is not there: npm install axe-core, or set EARMARK_NODE_MODULES")
    opened.run(script.read_text(encoding="utf-8") + ";0")
    found = "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))"
    assert opened.run(found) == []
    opened.give(VECTORS / "long.wav")
    opened.wait(HEARD)
    assert opened.run(found) == []
