"""The page of what training does to clips: what is on, what is off, mixtures with their labels."""

from __future__ import annotations

import re

import pytest

from earmark import audio
from earmark.augment.mixing import MIXES
from earmark.augment.pipeline import AUGMENTATIONS
from earmark.errors import ManifestError
from earmark.flows.augment_preview import preview

SETTINGS = ("window.seconds=0.5", "frontend.n_mels=16")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folders(make_folders, sound_of, tmp_path_factory):
    """Three classes, one of them called as few are, and background clips."""
    folder = make_folders(tmp_path_factory.mktemp("sounds") / "data", 2)
    (folder / "noise").rename(folder / "<b>hiss")
    for number in range(2):
        audio.write(folder / "background" / f"{number}.wav", sound_of("low", 7 + number), 8000)
    return folder


def test_everything_is_shown_what_is_off_too(folders, tmp_path):
    out = tmp_path / "preview.html"
    shown = preview(folders, out, everything=True, folder_tricks=True, settings=[*SETTINGS, "augment.reverb=0.5"])
    not_asked_for = {"mixing", "audiomentations"}  # which has no transform that is usual
    assert set(shown) == (set(AUGMENTATIONS) - not_asked_for) | set(MIXES)
    text = out.read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text) == []
    off = re.findall(r"<h2 [^>]*>(\w+)<small>off", text)
    on = {"Roll", "Gain", "Warp", "Equalise", "Mask", "Reverb"}
    assert {name.capitalize() for name in shown} - set(off) == on
    assert "augment.reverb=0.5 augment.reverb_seconds=[0.1, 1]" in text
    assert "<b>hiss" not in text and "&lt;b&gt;hiss 0.6, high 0.4" in text
    assert "high, low" not in text
    assert text.count('class="picture"') == 2 * (1 + 2 + len(shown))
    assert text.count("<audio") == 2 * (1 + 1 + len(shown) - 4)


def test_what_is_on_alone_is_shown_unless_more_is_asked_for(folders, tmp_path):
    settings = (*SETTINGS, "augment.roll=false", "augment.crossfade_probability=0.5")
    shown = preview(folders, tmp_path / "p.html", n_clips=3, settings=settings)
    assert shown == ["gain", "warp", "equalise", "mask", "crossfade"]
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<small>off" not in text
    assert text.count('class="before"') == 3 * 6


def test_one_clip_is_too_few(sound_of, tmp_path):
    audio.write(tmp_path / "low" / "1.wav", sound_of("low", 1), 8000)
    (tmp_path / "low" / "2.wav").write_bytes(b"no sound")
    with pytest.raises(ManifestError, match="holds 1 readable clips, and 2 are to be shown. Lower --clips"):
        preview(tmp_path, tmp_path / "p.html")
