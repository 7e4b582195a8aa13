"""The rows of the benchmark of noisy labels are trainings that can be had, and its table says what the scores say."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from noisy_tagging import Bench, as_markdown, seed_spread, table_of
from noisy_tagging_data import Plan
from noisy_tagging_rows import (
    AUGMENTATIONS,
    LARGE_SIZE,
    LONGER,
    REFERENCE,
    SMALL_SIZE,
    Row,
    Size,
    members_of,
    rows_of,
    stages_of,
)
from noisy_tagging_runs import config_of, folder_of

from earmark.data import Manifest
from earmark.evaluation.bootstrap import draw

SIZES = pytest.mark.parametrize("size", [SMALL_SIZE, LARGE_SIZE], ids=["small", "large"])
N_POOLS, EACH = 40, 5


def steps(stages: list, size: Size) -> int:
    """Of all stages of a row, about: batches of 32 clips."""
    clips = size.plan.clips
    heard = {"": clips["curated"] + clips["noisy"], "agreeing": clips["curated"] + clips["noisy"] / 4, **clips}
    epochs = {stage.name: int(dict(each.split("=") for each in stage.settings)["optim.epochs"]) for stage in stages}
    return round(sum(epochs[stage.name] * (heard[stage.subset] // 32) for stage in stages))


@SIZES
def test_rows_have_names_of_their_own_and_stand_against_rows(size):
    names = [row.name for row in rows_of(size, 0)]
    assert len(set(names)) == len(names) and REFERENCE in names
    assert {row.against for row in rows_of(size, 0)} <= {*names, ""}


@SIZES
def test_rows_of_one_network_take_equally_many_steps(size):
    rows = {row.name: row.stage for row in rows_of(size, 0) if row.name not in ("agreeing", LONGER)}
    taken = {name: steps([*stage.before, stage], size) for name, stage in rows.items()}
    assert max(taken.values()) <= 1.03 * min(taken.values()), taken


def test_a_stage_is_trained_once_and_after_what_it_builds_on():
    stages = stages_of(rows_of(SMALL_SIZE, 0))
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names)
    assert all(names.index(other.name) < names.index(stage.name) for stage in stages for other in stage.before)
    assert not set(names) & {stage.name for stage in stages_of(rows_of(SMALL_SIZE, 1))}


@SIZES
def test_every_stage_has_settings_that_are_known(size, tmp_path):
    for stage in stages_of(rows_of(size, 0)):
        config = config_of(tmp_path, stage, size.plan.seconds)
        assert config.data.subset == stage.subset and config.optim.batch_size == 32
        if stage.after:
            before = config_of(tmp_path, stage.after, size.plan.seconds)
            assert config.backbone.on == str(folder_of(tmp_path, stage.after).folder.resolve())
            assert (config.frontend, config.optim.layer_decay) == (before.frontend, 1)


def test_what_goes_on_has_the_usual_augmentation_but_for_what_its_row_is_about(tmp_path):
    for row in rows_of(SMALL_SIZE, 0):
        augment = config_of(tmp_path, row.stage, 3.0).augment
        asked = {each.split("=")[0] for each in AUGMENTATIONS.get(row.name.removeprefix("augment_"), ("", ()))[1]}
        changed = {field.name for field in fields(augment) if getattr(augment, field.name) != field.default}
        assert changed == (asked if row.part == "augmentation" else set())


def test_the_members_of_ensembles_are_of_different_kinds():
    members = members_of(SMALL_SIZE)
    assert len({stage.name for stage in members.values()}) == 3
    assert members["plain"].before[0].name == rows_of(SMALL_SIZE, 0)[2].stage.before[0].name  # trained once for both


@pytest.fixture
def bench(tmp_path) -> Bench:
    generator = np.random.default_rng(0)
    labels = [(f"class {number}",) for number in generator.integers(0, 4, N_POOLS * EACH)]
    groups = [f"pool {number // EACH}" for number in range(N_POOLS * EACH)]
    paths = [f"{number}.wav" for number in range(N_POOLS * EACH)]
    test = Manifest.build(tmp_path, paths, labels, groups=groups, multi_label=True)
    return Bench(tmp_path, SMALL_SIZE, test, draw(test.groups, 300))


def test_the_table_tells_a_gain_from_chance(bench):
    generator, present = np.random.default_rng(1), bench.test.present()

    def heard(skill: float) -> np.ndarray:
        return skill * present + generator.random(present.shape)

    rows = [Row(REFERENCE, "parts", "reference", None, ""), *(Row(name, "losses", name, None) for name in "ab")]
    scores = {REFERENCE: [heard(0.3), heard(0.3)], "a": [heard(0.3)], "b": [heard(0.9)]}
    document = table_of(bench, rows, scores)
    by_name = {entry["name"]: entry for entry in document["rows"]}
    assert not by_name["a"]["against"]["shows"] and by_name["b"]["against"]["shows"]
    assert 0 < document["smallest_effect"]["detectable"] < 0.3
    facts = {"plan": {"clips": Plan().clips, "pools": Plan().pools}, "classes": ["a"], "true_labels_missing": 0.4}
    page = as_markdown(document, "command", {**facts, "given_labels_wrong": 0.4, "clips_wholly_right": 0.4})
    assert "| b | 1 |" in page and "| better |" in page and page.index("What can be seen") < page.index("| b | 1 |")


def test_views_of_one_network_do_not_pay_for_seeds(bench):
    generator, present = np.random.default_rng(1), bench.test.present()
    scores = [0.5 * present + generator.random(present.shape) for _ in range(2)]
    rows = [Row(REFERENCE, "parts", "", None, ""), Row("view", "views", "", None), Row("loss", "losses", "", None)]
    entries = table_of(bench, rows, {REFERENCE: scores, "view": scores[:1], "loss": scores[:1]})["rows"]
    view, loss = (entry["against"] for entry in entries[1:])
    assert view["error"] == view["standard_error"] and loss["error"] > loss["standard_error"]


def test_the_spread_of_seeds_is_pooled_over_rows():
    several = {"a": [(0.1, None), (0.3, None)], "b": [(0.5, None), (0.5, None)], "c": [(0.9, None)]}
    assert seed_spread(several) == pytest.approx(np.sqrt((0.02 + 0.0) / 2))
    assert np.isnan(seed_spread({"c": several["c"]}))
