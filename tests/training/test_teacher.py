"""A teacher: its scores take part in what a network learns, its share of it, and nothing else changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.augment.pipeline import AugmentConfig
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.errors import ConfigError
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.predictions import Predictions
from earmark.run import FoldFolder
from earmark.training.fit import fit
from earmark.training.optim_config import OptimConfig
from earmark.training.teacher import read_teacher
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
FRAMING = Framing(8000, 4000, 2000, "repeat")
OPTIM = OptimConfig(epochs=4, batch_size=4, learning_rate=5e-3)
OPINION = {"noise": 0.7, "high": 0.2, "low": 0.1}  # not in the vocabulary's order


@pytest.fixture(scope="module")
def constant(tones, tmp_path_factory) -> Path:
    """A teacher of one opinion on all clips."""
    path = tmp_path_factory.mktemp("teacher") / "scores.csv"
    n_clips = len(tones)
    scores = np.tile(np.array(list(OPINION.values()), dtype=np.float32), (n_clips, 1))
    Predictions(tones.clip_ids, np.zeros(n_clips), np.ones(n_clips), scores, tuple(OPINION)).save(path)
    return path


def run_fit(manifest, cache, folder, optim, *, validation=None, augment=None, stop_after=None):
    torch.manual_seed(0)
    net = build("tiny_cnn", FRONTEND, 3, {"width": 8})
    settings = {"framing": FRAMING, "cache": cache, "optim": optim, "augment": augment or AugmentConfig()}
    return fit(net, manifest, validation, FoldFolder(folder), **settings, stop_after=stop_after)


def weights(result) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.net.parameters()])


def table(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_student_of_nothing_else_learns_what_a_constant_teacher_says(tones, cache, constant, tmp_path):
    optim = dataclasses.replace(OPTIM, epochs=15, ema_decay=0.9, teacher=str(constant), teacher_share=1.0)
    net = run_fit(tones, cache, tmp_path, optim, augment=AugmentConfig(off_for_last=15)).net
    audio = ClipAudio(tones, cache, FRAMING.sample_rate)
    windows = torch.from_numpy(np.stack([FRAMING.cut(audio[clip])[0] for clip in range(len(tones))]))
    with torch.no_grad():
        scores = net(windows).softmax(dim=1)
    said = torch.tensor([OPINION[label] for label in tones.vocabulary])
    assert (scores - said).abs().mean() < 0.05
    assert (scores - said).abs().max() < 0.2


def test_a_share_of_0_is_no_teacher_and_a_kill_costs_nothing(tones, cache, constant, tmp_path):
    taught = dataclasses.replace(OPTIM, teacher=str(constant))
    whole = weights(run_fit(tones, cache, tmp_path / "whole", taught))
    run_fit(tones, cache, tmp_path / "parts", taught, stop_after=2)
    assert torch.equal(whole, weights(run_fit(tones, cache, tmp_path / "parts", taught)))
    plain = weights(run_fit(tones, cache, tmp_path / "plain", OPTIM))
    assert not torch.equal(whole, plain)
    ignored = dataclasses.replace(taught, teacher_share=0.0)
    assert torch.equal(plain, weights(run_fit(tones, cache, tmp_path / "ignored", ignored)))


def test_what_the_inner_validation_says_is_of_the_true_labels(tones, cache, constant, tmp_path):
    optim = dataclasses.replace(OPTIM, epochs=1, teacher=str(constant), teacher_share=1.0, learning_rate=1e-9)
    assert run_fit(tones, cache, tmp_path, optim, validation=tones).validation_score < 0.95  # of the teacher: 1


def test_labels_and_scores_are_mixed_by_name_and_clips_that_it_does_not_know_keep_their_labels(tmp_path):
    manifest = Manifest.build(tmp_path, ["x", "y", "z"], [("a",), ("b",), ("a",)])
    teacher = read_teacher(table(tmp_path / "t.csv", "b,clip_id,a", "0.3,y,0.1", "0.25,x,0.75", "1,other,0"))
    expected = [[0.5 + 0.5 * 0.75, 0.5 * 0.25], [0.5 * 0.25, 0.5 + 0.5 * 0.75], [1, 0]]  # y: .1 and .3 of a sum of .4
    np.testing.assert_allclose(teacher.mixed(manifest, 0.5), expected, rtol=1e-6)
    several = dataclasses.replace(manifest, multi_label=True)
    np.testing.assert_allclose(teacher.mixed(several, 1.0), [[0.75, 0.25], [0.1, 0.3], [1, 0]], rtol=1e-6)
    silent = read_teacher(table(tmp_path / "s.csv", "clip_id,a,b", "x,0,0"))
    np.testing.assert_array_equal(silent.mixed(manifest, 1.0), manifest.targets())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["name,a,b", "x,0,1"], r"holds no scores of clips .columns found: name, a, b; expected clip_id"),
        (["clip_id,a,b"], "holds no scores of clips"),
        (["clip_id,a,b", "x,0,1", "x,1,0", "y,0,1"], "has several rows of 1 clips. Give one row a clip.*\nx"),
        (["clip_id,a,b", "x,0,1", "y,0,1.01", "z,,0", "u,no,0"], "has 3 rows that are not all scores.*\ny\nz\nu"),
        (["clip_id,a,b", "x,0,1,2,3"], "cannot be read"),
        ([], "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, lines, said):
    with pytest.raises(ConfigError, match=said):
        read_teacher(table(tmp_path / "t.csv", *lines))


def test_a_table_that_is_not_there_and_a_wrong_share_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none.csv cannot be read"):
        read_teacher(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="optim.teacher_share"):
        dataclasses.replace(OPTIM, teacher_share=1.5)
