"""The page's microphone, and servers that say no: in a real browser with a microphone that hears a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.server.limits import Limits
from earmark.tagger import load_tagger

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
CNN = VECTORS / "cnn.tagger.onnx"
REAL = ROOT.parent / "shared" / "data" / "esc10"
READY = "document.querySelector('#choose')?.disabled === false"
LIVE = "!document.querySelector('#live').hidden"
HEARD = "!document.querySelector('#hearing').hidden && !document.querySelector('#heard').hidden"
WRONG = "!document.querySelector('#problem').hidden"
SAID = "document.querySelector('#problem').textContent"
CLICK = "document.querySelector('#{}').click()"


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A real recording, else one that is made, ten seconds at 48 kHz."""
    path = tmp_path_factory.mktemp("microphone") / "heard.wav"
    if REAL.is_dir():
        sound = audio.load(sorted(REAL.rglob("*.opus"))[40], 48000)
    else:
        sound = 0.2 * np.random.default_rng(0).standard_normal(48000 * 5)
    audio.write(path, np.resize(sound, 480000).astype(np.float32), 48000)
    return path


@pytest.fixture(scope="module")
def listening_browser(open_browser, recording):
    """A browser whose microphone hears the recording."""
    return open_browser(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}",
    )


@pytest.fixture(params=["served", "exported"])
def url(request) -> str:
    """The page, whoever tags."""
    if request.param == "exported":
        return request.getfixturevalue("exported").url
    return request.getfixturevalue("serve_taggers")(CNN)


def ready(browser, url: str):
    """The page in a tab."""
    tab = browser.tab(url)
    tab.wait(READY)
    return tab


def listen(tab, seconds: float) -> None:
    """Use the microphone for a while."""
    tab.run(CLICK.format("microphone"))
    tab.wait(f"({LIVE}) || ({WRONG})")
    assert not tab.run(WRONG), tab.run(SAID)
    tab.wait(f"document.querySelector('#elapsed').textContent >= '0:0{seconds:.0f}'")


def test_the_microphone_is_tagged_as_it_comes_and_can_be_heard_again(listening_browser, url):
    tab = ready(listening_browser, url)
    listen(tab, 2)
    tab.wait("document.querySelector('#bars-of').textContent.startsWith('From')")
    assert tab.run("document.querySelectorAll('#bars tr').length") == 3
    painted = "document.querySelector('#spectrogram').getContext('2d').getImageData(8, 40, 1, 1).data[3]"
    tab.wait(f"{painted} === 255")
    tab.run(CLICK.format("stop"))
    tab.wait(HEARD)
    assert "Each label where it is strongest" in tab.run("document.querySelector('#bars-of').textContent")
    assert tab.run("document.querySelector('#verdict').textContent") != ""
    assert tab.run("document.querySelector('#play').disabled") is False
    tab.run(CLICK.format("play"))
    tab.wait("document.querySelector('#play').textContent === 'Pause'")
    tab.run("document.querySelector('#taggers').dispatchEvent(new Event('change'))")  # hears the recording again
    tab.wait(f"({HEARD}) && document.querySelector('#bars-of').textContent === 'The whole sound'")
    assert listening_browser.faults(tab) == []


def test_live_scores_are_those_of_the_same_sound_in_a_file(listening_browser, exported, serve_taggers):
    """Both engines' streams, given the vectors' long sound in uneven blocks at its own rate and at another."""
    tagger = load_tagger(CNN)
    page = exported.url
    for url in (page, serve_taggers(CNN)):
        tab = ready(listening_browser, url)
        for rate in (8000, 44100):
            samples = audio.load(VECTORS / "long.wav", rate)
            audio.write(exported.folder / f"{rate}.wav", samples, rate)
            expected = tagger.score(exported.folder / f"{rate}.wav")
            found = tab.run(f"""(async () => {{
              const engine = await import(location.href + "engine.js");
              const t = (await engine.taggers()).find(({{ name }}) => name === "cnn");
              const samples = Float32Array.from({audio.load(exported.folder / f"{rate}.wav", rate).tolist()});
              const [windows, problems] = [[], []];
              const window = (found) => windows.push(found), problem = (error) => problems.push(error.message);
              const stream = engine.stream(t, {rate}, {{ window, problem }});
              for (let at = 0, n = 1; at < samples.length; at += n, n = (n * 7) % 4001)
                stream.push(samples.slice(at, at + n));
              await stream.close();
              return [windows.map(({{ start, end, scores }}) => [start, end, ...scores]), problems];
            }})()""")
            assert found[1] == []
            rows = np.array(found[0])
            np.testing.assert_allclose(rows[:, 0], expected.starts, atol=1e-6)
            np.testing.assert_allclose(rows[:, 1], expected.ends, atol=1e-6)
            np.testing.assert_allclose(rows[:, 2:], expected.scores, atol=1e-3)


def test_a_microphone_that_is_denied_is_explained(open_browser, url):
    browser = open_browser("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    tab = ready(browser, url)
    tab.run(CLICK.format("microphone"))
    tab.wait(WRONG)
    assert "permission was not given" in tab.run(SAID)


def test_a_machine_without_a_microphone_is_told(browser, url):
    browser.ask("Browser.grantPermissions", permissions=["audioCapture"])
    tab = ready(browser, url)
    tab.run(CLICK.format("microphone"))
    tab.wait(WRONG)
    assert "There is no microphone" in tab.run(SAID)


def test_a_token_is_asked_for_and_used_for_files_and_the_microphone(listening_browser, serve_taggers):
    url = serve_taggers(CNN, token="sesame")
    tab = listening_browser.tab(url)
    typed = "document.querySelector('#token').value = '{}'; document.querySelector('#key').requestSubmit()"
    tab.wait("document.querySelector('#key')?.hidden === false")
    assert "Give the one that it was started with" in tab.run(SAID)
    tab.run(typed.format("open"))
    tab.wait(f"{SAID}.includes('The token is wrong')")
    tab.run(typed.format("sesame"))
    tab.wait(READY)
    assert not tab.run(WRONG)
    tab.give(VECTORS / "long.wav")
    tab.wait(HEARD)
    listen(tab, 1)
    tab.run(CLICK.format("stop"))
    tab.wait(HEARD)
    assert not tab.run(WRONG)
    tab.run("window.isOld = true; location.reload()")
    tab.wait(f"!window.isOld && {READY}")  # the tab knows it


@pytest.mark.parametrize(
    ("limits", "said"),
    [(Limits(bytes=1000), "this server takes 0.0"), (Limits(seconds=1.0), "too long")],
)
def test_a_limit_of_the_server_is_told(browser, serve_taggers, limits, said):
    tab = ready(browser, serve_taggers(CNN, limits=limits))
    tab.give(VECTORS / "long.wav")
    tab.wait(WRONG)
    assert said in tab.run(SAID)


def test_a_server_that_has_gone_is_told(browser, serve_taggers):
    tab = ready(browser, serve_taggers(CNN))
    serve_taggers.stop()
    tab.give(VECTORS / "long.wav")
    tab.wait(WRONG)
    assert "does not answer" in tab.run(SAID)
    assert tab.run("document.querySelector('#heard').hidden")


def test_what_the_browser_cannot_read_is_tagged_by_the_server_all_the_same(browser, serve_taggers, tmp_path):
    sound = audio.load(VECTORS / "long.wav", 8000)
    soundfile.write(tmp_path / "long.aiff", sound, 8000, format="AIFF")
    tab = ready(browser, serve_taggers(CNN))
    tab.give(tmp_path / "long.aiff")
    tab.wait(f"({HEARD}) || ({WRONG})")
    assert "cannot be drawn" in tab.run("document.querySelector('#warnings').textContent")
    assert tab.run("document.querySelector('#verdict').textContent") == "noise\u00a0· tone, high"
    assert tab.run("document.querySelector('#play').disabled")
