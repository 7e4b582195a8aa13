"""The report is one file that shows the run, plays its sounds, and asks nothing of the network."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.errors import ManifestError, RunError
from earmark.evaluation import Scorecard
from earmark.report import write_report
from earmark.report.findings import Findings
from earmark.report.reading import read_run
from earmark.run import Run, write_text
from earmark.tagger.metadata import TaggerMetadata

SAMPLE_RATE = 16_000
VOID = {"meta", "link", "img", "br", "hr", "line", "input"}


class Page(HTMLParser):
    """Elements of a page; fails at a tag that closes what is not open."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()} closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_page_is_balanced_and_self_contained(make_run, multi_label):
    folder = make_run(multi_label=multi_label)
    page = read(folder)
    assert page.open == []
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#"))
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert (folder / "report.html").stat().st_size < 25e6


def test_every_part_is_there_and_can_be_reached(make_run):
    page = read(make_run())
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"][1:] for attributes in page.named("a")]
    sections = ["data", "scores", "classes", "confusions", "probabilities", "learning", "hits", "errors", "labels"]
    assert links[:10] == [*sections, "settings"]
    assert set(links) <= set(ids)
    assert len(page.named("h1")) == 1
    assert [tag for tag, _ in page.elements].index("h1") < [tag for tag, _ in page.elements].index("h2")
    assert page.named("html")[0]["lang"] == "en"


def test_every_picture_has_words_for_those_who_cannot_see_it(make_run):
    page = read(make_run())
    assert page.named("img")
    pictures = [attributes for attributes in page.named("img") if attributes.get("class") != "highlight"]
    assert all(attributes["alt"] for attributes in pictures)
    assert all(attributes["aria-label"] for attributes in page.named("svg") + page.named("audio"))


def test_labels_are_shown_as_they_are_never_run_as_html(make_run, labels):
    page = read(make_run())
    assert not page.named("b") or all("style" in attributes for attributes in page.named("b"))
    for label in labels:
        assert label in page.text


@pytest.mark.parametrize("multi_label", [False, True])
def test_each_player_carries_the_sound_of_its_clip(make_run, sound_of, multi_label):
    page = read(make_run(multi_label=multi_label))
    players = page.named("audio")
    assert 0 < len(players) <= 18
    for player in players:
        kind, data = player["src"].split(";base64,")
        waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        label, take = re.search(r"(\d+)-(\d+)\.wav", player["aria-label"]).groups()
        assert (kind, rate) == ("data:audio/flac", SAMPLE_RATE)
        assert np.allclose(waveform, sound_of(int(label), int(take)), atol=1e-4)


def test_the_scores_of_both_models_are_written_out(make_run):
    folder = make_run()
    page = read(folder)
    scorecard = Scorecard.load(Run(folder).scorecard)
    for model in ("se_cnn", "forest"):
        for found in scorecard.models[model].metrics.values():
            assert f"{found.value:.3f}" in page.text
            assert f"{found.low:.3f} – {found.high:.3f}" in page.text


def test_a_clip_whose_sound_is_broken_is_told_in_its_place(make_run):
    folder = make_run()
    for path in (folder.parent / "sounds").glob("*.wav"):
        path.write_bytes(b"RIFF but no sound")
    page = read(folder)
    assert page.named("audio") == []
    assert page.text.count("The sound cannot be played.") > 0
    assert page.text.count("given") > 0


def test_long_sounds_are_cut_and_said_to_be(make_run, sound_of):
    folder = make_run()
    for path in (folder.parent / "sounds").glob("*.wav"):
        soundfile.write(path, np.tile(sound_of(1, 1, 1.0), 40), SAMPLE_RATE)
    page = read(folder)
    assert "the first 12 of 40 s" in page.text
    waveform, rate = soundfile.read(
        io.BytesIO(base64.b64decode(page.named("audio")[0]["src"].split(";base64,")[1]))
    )
    assert abs(len(waveform) / rate - 12) < 0.1
    assert (folder / "report.html").stat().st_size < 25e6


def test_a_forest_alone_has_a_report_without_learning_curves(make_run):
    folder = make_run(models=("forest",))
    for path in folder.glob("fold_*"):
        shutil.rmtree(path)
    page = read(folder)
    assert "learning" not in [attributes.get("id") for _, attributes in page.elements]
    assert "forest tells these 6 sounds apart" in page.text


def test_the_optional_files_may_be_missing(make_run):
    folder = make_run()
    for path in (*folder.glob("fold_*/*/history.jsonl"), folder / "config.yaml", folder / "environment.txt"):
        path.unlink()
    page = read(folder)
    assert page.open == []
    assert "Settings and" not in page.text


@pytest.mark.parametrize("name", ["scorecard.json", "manifest.csv", "predictions.se_cnn.csv"])
def test_an_unfinished_run_is_refused_naming_what_is_missing(make_run, name):
    folder = make_run()
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"the run is not finished.*{re.escape(name)}.*earmark train"):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_predictions_of_other_data_are_refused(make_run):
    folder = make_run()
    path = Run(folder).predictions("forest")
    path.write_text(path.read_text(encoding="utf-8").replace("engine", "motor"), encoding="utf-8")
    with pytest.raises(RunError, match="they come from different runs"):
        write_report(folder)


def test_sounds_that_moved_away_are_an_error_that_names_them(make_run):
    folder = make_run()
    shutil.move(folder.parent / "sounds", folder.parent / "elsewhere")
    with pytest.raises(ManifestError, match=r"0-0\.wav"):
        write_report(folder)


def test_warnings_say_what_weakens_the_numbers(make_run):
    folder = make_run(n_per_class=4)
    text = Run(folder).manifest.read_text(encoding="utf-8")
    write_text(
        Run(folder).manifest, text.replace("source 0-1", "source 0-0").replace("source 1-0", "source 0-0")
    )
    write_text(Run(folder).failures, "path,error\nnoise.wav,is empty\n")
    page = read(folder)
    assert "Too few groups" in page.text
    assert "1 group stands in more than one fold" in page.text
    assert "Left out, because they could not be read: 1" in page.text
    assert "nor another clip of its group" not in page.text


def test_progress_counts_the_sounds(make_run):
    folder, calls = make_run(multi_label=True), []
    write_report(folder, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(number, 18) for number in range(1, 19)]


def test_a_light_report_has_pictures_but_no_sound_and_is_small(make_run, tmp_path):
    folder = make_run()
    path = write_report(folder, tmp_path / "sent.html", light=True)
    page = Page(path.read_text(encoding="utf-8"))
    assert (path, page.open) == (tmp_path / "sent.html", [])
    assert page.named("audio") == []
    assert len(page.named("img")) >= 6
    assert path.stat().st_size < 2e6
    assert (tmp_path / "sent.png").exists()
    assert not (folder / "report.html").exists()


def test_several_runs_stand_side_by_side(make_run, tmp_path):
    folder, other = make_run(), tmp_path / "other"
    shutil.copytree(folder, other)
    path = Run(other).predictions("se_cnn")
    path.write_text(path.read_text(encoding="utf-8").replace(",0.1", ",0.2"), encoding="utf-8")
    page = Page(write_report([folder, other], light=True).read_text(encoding="utf-8"))
    assert page.open == []
    assert "se_cnn (other)" in page.text
    assert any("other1" in (attributes.get("class") or "") for attributes in page.named("tr"))


def test_what_the_tagger_of_the_fold_says_is_shown_beside_each_clip(make_run, write_tagger, labels):
    folder = make_run()
    metadata = TaggerMetadata("fold", tuple(sorted(labels)), SAMPLE_RATE, 0.6, 0.3, multi_label=False)
    matrix = np.random.default_rng(0).normal(size=(metadata.window_samples, len(labels))) / 20
    for fold in range(4):
        write_tagger(Run(folder).fold(fold, "se_cnn").tagger, metadata, matrix)
    page = read(folder)
    assert "Strongest for" in page.text
    assert any(attributes.get("class") == "highlight" for attributes in page.named("img"))
    assert any(attributes.get("type") == "checkbox" for attributes in page.named("input"))
    assert "× realtime" in page.text


@pytest.mark.parametrize("multi_label", [False, True])
def test_labels_that_look_wrong_are_told_with_the_command_that_goes_through_them(make_run, multi_label):
    folder = make_run(multi_label=multi_label)
    page = read(folder)
    n_suspects = len(Findings(read_run(folder)).suspects)
    assert n_suspects > 0
    assert f"{n_suspects} labels are probably wrong, by scores of" in page.text
    assert f"earmark review {folder}" in page.text


def test_what_was_noticed_while_a_network_trained_is_told(make_run):
    folder = make_run()
    before, after = (
        {"name": name, "where": where, "text": f"{where}: {words}"}
        for name, where, words in (("first_loss", "the loss", "far off"), ("dead_units", "stem", "half are zero"))
    )
    for fold in (1, 2):
        rows = [{"epoch": epoch, "alarms": [after]} for epoch in (fold, fold + 1)]
        rows.insert(0, {"epoch": -1, "alarms": [before] if fold == 1 else []})
        text = "".join(json.dumps(row) + "\n" for row in rows) + '{"epoch": 4, "al'
        write_text(Run(folder).fold(fold, "se_cnn").folder / "diagnostics.jsonl", text)
    words = " ".join(read(folder).text.split())
    assert "the loss: far off fold 1, before the first step." in words
    assert words.count("half are zero") == 1
    assert "stem: half are zero fold 1, from epoch 2; fold 2, from epoch 3." in words


def test_every_column_of_the_class_table_can_be_sorted_from_the_keyboard(make_run):
    text = write_report(make_run()).read_text(encoding="utf-8")
    table = text[text.index('<table class="classes sortable">') :]
    head, body = table[: table.index("</thead>")], table[table.index("</thead>") : table.index("</table>")]
    assert head.count("<button type=\"button\"") == head.count("<th ") == 7
    assert head.count("aria-sort") == 1
    n_cells = head.count("<th ") + head.count("<td>")
    assert all(row.count("data-value=") == n_cells for row in body.split("<tr>")[1:])


def test_words_stand_out_from_the_paper_in_light_and_dark(make_run):
    text = write_report(make_run(), light=True).read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, re.S)[:2]
    for colours in [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]:
        for ink, paper in (("ink", "paper"), ("muted", "paper"), ("network", "paper"), ("ink", "warn")):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        for mark in ("baseline", "wrong", "other1", "other2", "other3", "other4"):
            assert contrast(colours[mark], colours["paper"]) >= 3, mark


def contrast(first: str, second: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""
    found = []
    for colour in (first, second):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        found.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(found) + 0.05) / (min(found) + 0.05)
