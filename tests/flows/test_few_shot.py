"""`few-shot` from folders of sounds to curves, page and JSON."""

from __future__ import annotations

import json
from functools import partial

import pytest

from earmark.baselines.features import SummaryFeatures
from earmark.data.leakage import hash_contents
from earmark.data.readers import read_manifest
from earmark.data.seen import sketch
from earmark.errors import ConfigError, ManifestError, TaggerFileError
from earmark.flows.few_shot import JSON, MISSING, SUMMARY, Shown, show_few_shot
from earmark.run import TAGGER_SUFFIX
from earmark.tagger.home import converted

RATE = 16_000


@pytest.fixture(scope="module")
def home(tmp_path_factory, write_ears):
    """A home folder that holds one backbone, `ears`."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_HOME", str(folder))
        write_ears(converted("ears"))
        yield folder


@pytest.fixture(scope="module")
def curves(small, settings, home):
    """`curves(data, out, **options)`: the whole flow on few features; knn, which takes no time."""
    features = partial(SummaryFeatures, groups=("mel", "level"))

    def run(data, out, **options) -> Shown:
        given = {"head": "knn", "shots": (1, 2), "n_draws": 2, "progress": False, **options}
        with small(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("earmark.flows.classifier_folds.SummaryFeatures", features)
            return show_few_shot(data, out, settings=settings, **given)

    return run


@pytest.fixture(scope="module")
def shown(curves, folders, tmp_path_factory) -> Shown:
    return curves(folders, tmp_path_factory.mktemp("curves") / "tones")


def test_each_backbone_of_the_home_folder_and_the_summary_features_get_a_curve(shown):
    assert [curve.name for curve in shown.found.curves] == ["ears", SUMMARY]
    assert shown.found.shots == (1, 2)
    assert shown.found.n_clips == 15
    assert shown.n_failures == 0
    assert MISSING not in shown.found.remarks


def test_tones_are_told_apart_from_two_clips_of_each(shown):
    summary = shown.found.curves[1].points[-1]
    assert summary.score.value > 0.8
    assert summary.n_clips == 6


def test_the_folder_holds_page_picture_and_json(shown):
    assert {path.name for path in shown.folder.iterdir()} == {"few-shot.html", "few-shot.svg", JSON}
    assert shown.page == shown.folder / "few-shot.html"
    document = json.loads((shown.folder / JSON).read_text(encoding="utf-8"))
    assert document == json.loads(json.dumps(shown.found.to_dict()))
    assert document["head"] == "knn"


def test_the_folder_is_named_after_the_data(curves, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = curves(folders, None, shots=(1,), n_draws=1)
    assert shown.folder.as_posix() == "runs/sounds-few-shot"


def test_without_a_backbone_there_is_one_curve_and_it_is_said(curves, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "empty"))
    found = curves(folders, tmp_path / "out", shots=(1,), n_draws=1).found
    assert [curve.name for curve in found.curves] == [SUMMARY]
    assert MISSING in found.remarks


def test_a_network_that_learnt_what_is_held_out_is_refused_or_marked(curves, folders, tmp_path, write_ears):
    manifest = read_manifest(folders)
    path = tmp_path / f"knows{TAGGER_SUFFIX}"
    write_ears(path, sketch(manifest, hash_contents(manifest)))
    with pytest.raises(ManifestError, match="was trained on sounds that are held out here"):
        curves(folders, tmp_path / "out", on=[str(path)])
    found = curves(folders, tmp_path / "out", on=[str(path)], shots=(1,), n_draws=1, allow_leak=True).found
    assert found.curves[0].name == "knows"
    told = [remark for remark in found.remarks if remark.startswith("Leak: ")]
    assert (len(told), told[-1]) == (6, "Leak: 10 more, all in leaks.csv.")
    assert (tmp_path / "out" / "leaks.csv").is_file()


def test_two_backbones_of_one_name_are_refused(curves, folders, tmp_path, write_ears):
    write_ears(tmp_path / f"ears{TAGGER_SUFFIX}")
    with pytest.raises(ConfigError, match="--on: two backbones are called ears"):
        curves(folders, tmp_path / "out", on=["ears", str(tmp_path / f"ears{TAGGER_SUFFIX}")])


def test_an_unknown_backbone_or_head_is_refused_before_anything_is_heard(curves, folders, tmp_path, monkeypatch):
    monkeypatch.delattr("earmark.flows.few_shot.prepare")
    with pytest.raises(TaggerFileError, match=r"did you mean 'ears'\?"):
        curves(folders, tmp_path / "out", on=["eers"])
    with pytest.raises(ConfigError, match=r"'logistik' is not a head \(did you mean 'logistic'\?\)"):
        curves(folders, tmp_path / "out", head="logistik")


def test_a_head_over_patches_is_refused(curves, folders, tmp_path):
    with pytest.raises(ConfigError, match="--head: gru hears the patches of a window"):
        curves(folders, tmp_path / "out", head="gru")
