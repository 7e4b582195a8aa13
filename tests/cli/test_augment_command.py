"""`earmark augment preview` in a terminal: what it passes on, and what it says."""

from __future__ import annotations

from pathlib import Path

from earmark.cli import augment


def test_options_are_passed_on_and_what_is_shown_is_named(call):
    words = ("--out", "p.html", "--clips", "3", "--all", "--set", "augment.reverb=0.5", "--folder-tricks")
    result, given = call(augment.preview, "earmark.flows.augment_preview.preview", ["gain", "reverb"], *words)
    assert result.exit_code == 0
    assert result.stdout == "p.html  (gain, reverb)\n"
    assert (given["out"], given["n_clips"], given["everything"]) == (Path("p.html"), 3, True)
    assert (given["settings"], given["folder_tricks"]) == (["augment.reverb=0.5"], True)


def test_as_given_only_what_is_on_is_shown_of_two_clips(call):
    _, given = call(augment.preview, "earmark.flows.augment_preview.preview", ["gain"])
    assert (given["out"], given["n_clips"]) == (Path("preview.html"), 2)
    assert (given["everything"], given["settings"]) == (False, ())
