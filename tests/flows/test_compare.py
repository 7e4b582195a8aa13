"""`compare`: runs, evaluations and tables of scores on the same clips; and what may not be compared."""

from __future__ import annotations

import re

import numpy as np
import pytest

from earmark import audio
from earmark.data.lock import looks_path, make_lock, read_looks, write_lock
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, EarmarkError, RunError
from earmark.evaluation import make_scorecard
from earmark.flows.compare import compare
from earmark.flows.evaluate import evaluate_predictions
from earmark.predictions import Predictions
from earmark.run import Run, write_text

LABELS = ("high", "low", "noise")


@pytest.fixture(scope="module")
def clips(tmp_path_factory, sound_of):
    """60 clips of 30 recordings in three folds; the sounds of some are there."""
    root = tmp_path_factory.mktemp("clips")
    labels = [LABELS[number // 2 % 3] for number in range(60)]
    for number in range(60):
        audio.write(root / f"{number}.wav", sound_of(labels[number], number, 0.3), 8000)
    groups = [str(number // 2) for number in range(60)]
    folds = [number // 2 % 5 % 3 for number in range(60)]
    return Manifest.build(
        root, [f"{number}.wav" for number in range(60)], [(each,) for each in labels], groups=groups, folds=folds
    )


def predictions(manifest, skill, seed):
    """Scores that are right the more often the higher the skill."""
    logits = skill * manifest.present() + np.random.default_rng(seed).normal(size=manifest.present().shape)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    zeros = np.zeros(len(manifest))
    return Predictions(manifest.clip_ids, zeros, zeros + 0.3, scores.astype(np.float32), manifest.vocabulary.labels)


@pytest.fixture
def make_run(tmp_path):
    """`make_run(name, manifest, skill, seed, leaky=False)`: a finished run's folder."""

    def make(name, manifest, skill=1.0, seed=0, leaky=False):
        run = Run(tmp_path / name)
        tables = {"net": predictions(manifest, skill, seed), "forest": predictions(manifest, 0.5, 99)}
        for model, table in tables.items():
            table.save(run.predictions(model))
            for fold in manifest.fold_numbers:
                rows = manifest.folds == (fold + leaky) % 3
                table.rows(rows).save(run.fold(fold, model).predictions)
        make_scorecard(
            manifest.present(),
            {model: table.scores for model, table in tables.items()},
            labels=manifest.vocabulary.labels,
            groups=manifest.groups,
            multi_label=manifest.multi_label,
            n_resamples=10,
        ).save(run.scorecard)
        manifest.write(run.manifest)
        write_text(run.config, f"model: net\nskill: {skill}\nseed: {seed}\n")
        return run.folder

    return make


def test_runs_are_held_against_each_other_and_their_seeds_count_as_one(make_run, clips, tmp_path):
    runs = [make_run(f"good_{seed}", clips, 3.0, seed) for seed in range(2)]
    runs += [make_run(f"poor_{seed}", clips, 0.3, seed + 5) for seed in range(3)]
    found = compare(runs)
    assert [entry.name for entry in found.contest.entries] == ["good (2 seeds)", "poor (3 seeds)"]
    assert found.contest.pairs[0].is_sure and found.contest.n_groups == 30
    assert [part.n_clips for part in found.contest.folds] == [24, 24, 12]
    found.write_page(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<audio") == min(8, len(found.contest.wins)) + min(8, len(found.contest.losses)) > 2
    assert not re.search(r"(src|href)=\"https?:", page) and len(page) < 4e6
    assert "good (2 seeds) is better than poor (3 seeds)" in page


def test_seeds_of_the_same_names_are_told_by_their_folders(make_run, clips, tmp_path):
    skills = {"a": 3, "b": 0.3}
    runs = [make_run(f"{name}/seed_{seed}", clips, skills[name], seed) for name in skills for seed in range(2)]
    entries = compare(runs).contest.entries
    assert [entry.name for entry in entries] == [f"{tmp_path}/{name} (2 seeds)" for name in "ab"]


def test_another_model_of_a_run_is_given_by_its_table(make_run, clips):
    folder = make_run("a", clips, 3.0)
    found = compare([folder, folder / "predictions.forest.csv"])
    assert [entry.name for entry in found.contest.entries] == ["a", "a: forest"]


def test_a_page_says_where_a_sound_is_not_there(make_run, clips, tmp_path):
    gone = Manifest.build(
        tmp_path / "gone", clips.table["path"], clips.table["labels"], groups=clips.groups, folds=clips.folds
    )
    found = compare([make_run("a", gone, 3.0), make_run("b", gone, 0.3, 5)])
    found.write_page(tmp_path / "page.html")
    assert "The sound cannot be played" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_other_clips_and_labels_are_refused_or_the_common_ones_taken(make_run, clips):
    first, fewer = make_run("a", clips), make_run("b", clips.select(np.arange(40)), 2.0)
    with pytest.raises(RunError, match=r"20 of its 60 clips are not in every other.*40 shared ones"):
        compare([first, fewer])
    found = compare([first, fewer], common=True)
    assert found.contest.n_clips == 40
    assert "a: 20 clips and 0 labels that another has not are left out." in found.contest.remarks
    without = make_run("c", clips.without_labels({"noise"}), 2.0)
    with pytest.raises(RunError, match=r"labels that another has not \(1, such as 'noise'\)"):
        compare([without, first])
    found = compare([without, first], common=True)
    assert (found.contest.n_clips, found.contest.n_classes) == (40, 2)


def make_other(clips, labels, prefix=""):
    return Manifest.build(clips.root, [f"{prefix}{n}.wav" for n in range(60)], labels, folds=clips.folds)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda clips: clips.with_folds((clips.folds + 1) % 3), "has 60 clips in other folds than"),
        (
            lambda clips: Manifest.build(
                clips.root, clips.table["path"], clips.table["labels"].tolist()[::-1], folds=clips.folds
            ),
            r"labels \d+ clips otherwise than .*judged by other answers",
        ),
        (lambda clips: make_other(clips, clips.table["labels"], "other"), "shares no clip with"),
        (lambda clips: make_other(clips, [(f"other {n % 3}",) for n in range(60)]), "shares no label with"),
        (
            lambda clips: Manifest.build(
                clips.root, clips.table["path"], clips.table["labels"], folds=clips.folds, multi_label=True
            ),
            "lets several labels hold at once and",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(make_run, clips, other, message):
    with pytest.raises(RunError, match=message):
        compare([make_run("a", clips), make_run("b", other(clips), 2.0)])


def test_scores_of_clips_that_a_model_was_trained_on_are_refused(make_run, clips):
    with pytest.raises(RunError, match="scored .* clips that it was trained on"):
        compare([make_run("a", clips), make_run("b", clips, 2.0, leaky=True)])


def test_what_is_no_run_or_too_few_is_refused(make_run, clips, tmp_path):
    run, seed = make_run("a", clips), make_run("a2", clips, seed=1)
    table = run / "predictions.net.csv"
    elsewhere = tmp_path / "scores.csv"
    elsewhere.write_bytes(table.read_bytes())
    (tmp_path / "empty").mkdir()
    for sources, kind, message in (
        ([run], ConfigError, "one is no comparison"),
        ([run, run], ConfigError, "is given twice"),
        ([run, seed], ConfigError, "differ in nothing but the seed"),
        ([run, tmp_path / "nothing"], RunError, "is not there. Give folders of finished runs"),
        ([run, tmp_path / "empty"], RunError, r"holds no finished run \(scorecard.json, manifest.csv missing"),
        ([run, elsewhere], ConfigError, "is a table of scores, of which clips"),
    ):
        with pytest.raises(kind, match=message):
            compare(sources)
    table.unlink()
    with pytest.raises(RunError, match="has no scores of 'net'"):
        compare([run, run / "predictions.forest.csv"])


def test_an_evaluation_and_a_table_stand_beside_a_run(make_run, clips, tmp_path):
    run = make_run("a", clips, 3.0)
    clips.write(tmp_path / "labels.csv")
    theirs = predictions(clips, 0.3, 7)
    theirs.save(tmp_path / "theirs.csv")
    evaluate_predictions(tmp_path / "theirs.csv", tmp_path / "labels.csv").save(tmp_path / "judged")
    by_folder = compare([run, tmp_path / "judged"])
    by_table = compare([run, tmp_path / "theirs.csv"], data=tmp_path / "labels.csv")
    assert by_folder.contest.pairs[0].first.interval == by_table.contest.pairs[0].first.interval
    assert [entry.name for entry in by_table.contest.entries] == ["a", "theirs"]


def test_an_evaluation_on_what_was_learnt_is_compared_with_nothing(make_run, clips, tmp_path):
    run = make_run("a", clips)
    clips.write(tmp_path / "labels.csv")
    predictions(clips, 1.0, 7).save(tmp_path / "theirs.csv")
    judged = evaluate_predictions(tmp_path / "theirs.csv", tmp_path / "labels.csv")
    judged.save(tmp_path / "judged")
    path = tmp_path / "judged" / "evaluation.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"What made', '"Leak: What made'), encoding="utf-8")
    with pytest.raises(EarmarkError, match="they are compared with nothing"):
        compare([run, tmp_path / "judged"])


def test_each_table_on_a_locked_test_split_is_a_look_at_it(clips, tmp_path):
    table = tmp_path / "labels.csv"
    clips.with_splits(["test", "train"] * 30).with_folds(np.full(60, -1)).write(table)
    write_lock(table, make_lock(table, read_manifest(table), "given", 0))
    for number in range(2):
        predictions(clips, 2.0 - number, number).save(tmp_path / f"{number}.csv")
    found = compare([tmp_path / "0.csv", tmp_path / "1.csv"], data=table)
    assert found.contest.n_clips == 30
    assert "Looks 1 to 2 at this locked test split" in found.contest.remarks[-1]
    looks = read_looks(looks_path(table))
    values = {entry.name: entry.metrics["accuracy"].value for entry in found.contest.entries}
    assert [look.value for look in looks] == [values["0"], values["1"]]
