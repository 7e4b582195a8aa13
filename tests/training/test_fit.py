"""Training: what it learns, what it may see, and that a kill costs nothing."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.multiprocessing import ProcessRaisedException
from torch.utils.data import DataLoader, Dataset

from earmark.audio.cache import Cache
from earmark.augment.pipeline import AugmentConfig
from earmark.data.clip_audio import ClipAudio
from earmark.errors import ConfigError, EarmarkError, RunError, own_words
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.run import FoldFolder
from earmark.training.callbacks import RunningMean
from earmark.training.dataset import TrainingBatches, loss_weights
from earmark.training.fit import fit, restore, said_here
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
FRAMING = Framing(8000, 4000, 2000, "repeat")
OPTIM = OptimConfig(epochs=4, batch_size=4, learning_rate=5e-3)
AUGMENT = AugmentConfig()


def fresh(seed: int = 0, **options):
    torch.manual_seed(seed)
    return build("tiny_cnn", FRONTEND, 3, {"width": 8} | options)


def run_fit(manifest, cache, folder, *, validation=None, net=None, **changes):
    arguments = {"framing": FRAMING, "cache": cache, "optim": OPTIM, "augment": AUGMENT} | changes
    return fit(net or fresh(), manifest, validation, FoldFolder(folder), **arguments)


def weights(result) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.net.parameters()])


def test_the_tones_are_learnt(tones, cache, tmp_path):
    optim = dataclasses.replace(OPTIM, epochs=15, ema_decay=0.9)  # 90 steps: a longer mean would lag behind
    result = run_fit(tones, cache, tmp_path, validation=tones, optim=optim)
    assert result.validation_score > 0.95
    losses = [row["train_loss"] for row in FoldFolder(tmp_path).read_history()]
    assert losses[-1] < 0.9 * losses[0]


def test_history_has_a_row_per_epoch(tones, cache, tmp_path):
    run_fit(tones, cache, tmp_path, validation=tones)
    rows = FoldFolder(tmp_path).read_history()
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    expected = {"train_loss", "validation_loss", "validation_score", "learning_rate", "seconds"}
    assert all(expected <= row.keys() for row in rows)
    waited = [row["seconds"]["waiting"] for row in FoldFolder(tmp_path).read_diagnostics()[1:]]
    assert all(0 < seconds < row["seconds"] for seconds, row in zip(waited, rows, strict=True))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tones, cache, tmp_path):
    first = weights(run_fit(tones, cache, tmp_path / "a"))
    assert torch.equal(first, weights(run_fit(tones, cache, tmp_path / "b")))
    assert not torch.equal(first, weights(run_fit(tones, cache, tmp_path / "c", seed=1)))


WAYS = {
    "plain": {"ema_decay": 0.0},
    "running mean": {"ema_decay": 0.9},
    "cosine, nadam, clipped": {"schedule": "cosine", "optimiser": "nadam", "clip_gradient": 0.1},
    "step, sgd, last weights": {
        "schedule": "step",
        "schedule_options": {"at": "1,3"},
        "optimiser": "sgd",
        "swa_epochs": 3,
    },
    "plateau, balanced": {
        "schedule": "plateau",
        "schedule_options": {"patience": 0},
        "learning_rate": 1e-9,
        "balance": 1.0,
        "ema_decay": 0.0,
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_stopping_and_going_on_equals_never_stopping(tones, cache, tmp_path, way):
    optim = dataclasses.replace(OPTIM, **WAYS[way])
    whole = run_fit(tones, cache, tmp_path / "whole", validation=tones, optim=optim)
    run_fit(tones, cache, tmp_path / "parts", validation=tones, optim=optim, stop_after=2)
    parts = run_fit(tones, cache, tmp_path / "parts", validation=tones, optim=optim)
    assert torch.equal(weights(whole), weights(parts))
    assert whole.n_epochs == parts.n_epochs
    strip, again = (
        [{k: v for k, v in row.items() if "seconds" not in k} for row in FoldFolder(tmp_path / name).read_history()]
        for name in ("whole", "parts")
    )
    assert strip == again
    if way.startswith("plateau"):
        rates, scores = ([row[name] for row in strip] for name in ("learning_rate", "validation_score"))
        expected = [0.5 ** sum(scores[n] <= max(scores[:n]) for n in range(1, end + 1)) for end in range(4)]
        assert rates == pytest.approx([1e-9 * share for share in expected])
        assert rates[3] < rates[0]


def test_noisy_clips_with_a_loss_and_a_share_of_their_own_go_on_alike(tones, cache, tmp_path):
    noisy = dataclasses.replace(tones, table=tones.table.assign(subset=np.where(np.arange(24) % 2, "noisy", "curated")))
    augment = AugmentConfig(mixup_probability=0.5)
    optim = dataclasses.replace(OPTIM, noisy_loss="l_q", noisy_mask=0.8, noisy_share=0.25)
    run = {"optim": optim, "augment": augment}
    whole = run_fit(noisy, cache, tmp_path / "whole", **run)
    run_fit(noisy, cache, tmp_path / "parts", stop_after=2, **run)
    assert torch.equal(weights(whole), weights(run_fit(noisy, cache, tmp_path / "parts", **run)))
    run["optim"] = dataclasses.replace(optim, noisy_loss="", noisy_mask=0.0)
    assert not torch.equal(weights(whole), weights(run_fit(noisy, cache, tmp_path / "plain", **run)))


def test_the_last_weights_are_a_mean_whose_norms_fit_it(tones, cache, tmp_path):
    """Of the last two epochs, each seen by stopping there without averaging."""
    optim = dataclasses.replace(OPTIM, epochs=3, ema_decay=0.0, schedule="step", schedule_options={"at": []})
    ends = [run_fit(tones, cache, tmp_path / str(n), optim=optim, stop_after=n).net.state_dict() for n in (2, 3)]
    averaged = run_fit(tones, cache, tmp_path / "swa", optim=dataclasses.replace(optim, swa_epochs=2)).net
    for name, parameter in averaged.named_parameters():
        torch.testing.assert_close(parameter.data, (ends[0][name] + ends[1][name]) / 2)
    audio = ClipAudio(tones, cache, FRAMING.sample_rate)
    batches = TrainingBatches(audio, tones.targets(), loss_weights(tones), FRAMING, 4, 0)
    inputs: list[torch.Tensor] = []
    norm = averaged.backbone.layers[1][1]
    norm.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].detach()))
    learnt = norm.running_mean.clone()
    averaged.train()
    for batch in range(batches.n_batches):
        averaged(batches[2, batch][0])
    expected = torch.stack([each.mean(dim=(0, 2, 3)) for each in inputs]).mean(dim=0)
    torch.testing.assert_close(learnt, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(learnt, ends[1]["backbone.layers.1.1.running_mean"], rtol=1e-2)


def test_a_gradient_is_shortened_to_its_largest_norm(tones, cache, tmp_path, monkeypatch):
    norms = []
    real = torch.nn.utils.clip_grad_norm_

    def shorten(parameters, largest):
        parameters = list(parameters)
        real(parameters, largest)
        norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", shorten)
    run_fit(tones, cache, tmp_path, optim=dataclasses.replace(OPTIM, epochs=1, clip_gradient=0.01))
    assert len(norms) == 6
    assert max(norms) <= 0.01 * (1 + 1e-4)


def test_a_front_end_learns_and_goes_on_where_it_stopped(tones, cache, tmp_path):
    def parts(folder, **changes):
        torch.manual_seed(0)
        learning = {"compression": "pcen", "learns": ("kernels", "mel", "pcen"), "noise": 0.1, "n_deltas": 1}
        net = build("tiny_cnn", dataclasses.replace(FRONTEND, **learning), 3, {"width": 8})
        arguments = {"framing": FRAMING, "cache": cache, "optim": OPTIM, "augment": AUGMENT} | changes
        return fit(net, tones, None, FoldFolder(tmp_path / folder), **arguments).net.frontend.state_dict()

    whole = parts("whole")
    assert len(whole) == 3
    assert all(value.any() for value in whole.values())
    parts("parts", stop_after=2)
    again = parts("parts")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_running_mean_of_the_weights_differs_from_the_last_weights(tones, cache, tmp_path):
    plain = run_fit(tones, cache, tmp_path / "plain", optim=dataclasses.replace(OPTIM, ema_decay=0.0))
    averaged = run_fit(tones, cache, tmp_path / "ema", optim=dataclasses.replace(OPTIM, ema_decay=0.9))
    assert not torch.equal(weights(plain), weights(averaged))


def test_without_validation_the_last_epoch_is_taken(tones, cache, tmp_path):
    assert run_fit(tones, cache, tmp_path).n_epochs == OPTIM.epochs
    assert run_fit(tones, cache, tmp_path / "two", stop_after=2).n_epochs == 2


def test_best_epoch_is_the_one_with_the_best_validation_score(tones, cache, tmp_path):
    result = run_fit(tones, cache, tmp_path, validation=tones)
    scores = [row["validation_score"] for row in FoldFolder(tmp_path).read_history()]
    assert result.n_epochs == 1 + int(np.argmax(scores))
    assert result.validation_score == max(scores)


def test_training_stops_when_patience_ends_and_keeps_the_best_epoch(tones, cache, tmp_path):
    optim = dataclasses.replace(OPTIM, epochs=9, learning_rate=1e-12, patience=2)  # nothing gets better
    result = run_fit(tones, cache, tmp_path, validation=tones, optim=optim)
    rows = FoldFolder(tmp_path).read_history()
    best = int(np.argmax([row["validation_score"] for row in rows]))
    assert len(rows) == best + 1 + optim.patience < optim.epochs
    assert result.n_epochs == best + 1


def test_patience_counts_on_after_a_stop(tones, cache, tmp_path):
    optim = dataclasses.replace(OPTIM, epochs=9, learning_rate=1e-12, patience=2)
    run_fit(tones, cache, tmp_path / "whole", validation=tones, optim=optim)
    run_fit(tones, cache, tmp_path / "parts", validation=tones, optim=optim, stop_after=2)
    run_fit(tones, cache, tmp_path / "parts", validation=tones, optim=optim)
    whole, parts = (FoldFolder(tmp_path / name).read_history() for name in ("whole", "parts"))
    assert [row["epoch"] for row in parts] == [row["epoch"] for row in whole]


def test_restore_gives_the_trained_weights(tones, cache, tmp_path):
    result = run_fit(tones, cache, tmp_path)
    again = restore(fresh(seed=9), FoldFolder(tmp_path), validates=False)
    assert torch.equal(weights(result), weights(again))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"], ids=["empty", "other"])
def test_a_damaged_checkpoint_is_said(tones, cache, tmp_path, content):
    run_fit(tones, cache, tmp_path, stop_after=1)
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(content)
    with pytest.raises(RunError, match=r"last\.ckpt: the checkpoint cannot be read"):
        restore(fresh(), FoldFolder(tmp_path), validates=False)
    with pytest.raises(RunError, match=r"last\.ckpt: the checkpoint cannot be read"):
        run_fit(tones, cache, tmp_path)


def test_unknown_precision_is_refused(tones, cache, tmp_path):
    with pytest.raises(ConfigError, match="precision: 'double' is none of"):
        run_fit(tones, cache, tmp_path, precision="double")


def test_decoding_happens_once(tones, cache, tmp_path, monkeypatch):
    cache.prepare(tones.files, FRAMING.sample_rate)

    def refuse(*_, **__):
        raise AssertionError("decoded again")

    monkeypatch.setattr("earmark.audio.cache.decode.blocks", refuse)
    assert run_fit(tones, cache, tmp_path, stop_after=1).n_epochs == 1


KILLED = textwrap.dedent(
    """
    import sys
    sys.path[:0] = {paths!r}
    from pathlib import Path
    from earmark.audio.cache import Cache
    from earmark.data.manifest import Manifest
    import dataclasses
    from test_fit import OPTIM, run_fit
    names = [f"{{n:02}}.wav" for n in range(24)]
    labels = [(("low", "high", "noise")[n % 3],) for n in range(24)]
    manifest = Manifest.build(Path({root!r}), names, labels)
    run_fit(manifest, Cache({cache!r}), Path({folder!r}), optim=dataclasses.replace(OPTIM, epochs={epochs}))
    """
)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_resumes_to_the_same_weights(tones, cache, tmp_path, how):
    epochs = 60
    optim = dataclasses.replace(OPTIM, epochs=epochs)
    folder = tmp_path / "killed"
    script = KILLED.format(
        paths=[str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")],
        root=str(tones.root),
        cache=str(cache.folder),
        folder=str(folder),
        epochs=epochs,
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(FoldFolder(folder).read_history()) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    errors = process.communicate()[1].decode()
    done = len(FoldFolder(folder).read_history())
    assert 3 <= done < epochs, errors
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
    resumed = run_fit(tones, cache, folder, optim=optim)
    whole = run_fit(tones, cache, tmp_path / "whole", optim=optim)
    assert torch.equal(weights(resumed), weights(whole))


def test_the_running_mean_forgets_the_start_within_a_few_steps_and_then_keeps_its_decay():
    mean, current = [torch.tensor([0.0])], [torch.tensor([1.0])]
    update = RunningMean(0.99)._kwargs["multi_avg_fn"]
    for step in range(1, 12):
        update(mean, current, step)
    assert mean[0] > 0.99
    mean[0].zero_()
    update(mean, current, torch.tensor(10_000))
    assert mean[0] == pytest.approx(0.01)


def test_two_devices_train_what_one_trains(tones, cache, tmp_path):
    """Without what each draws for itself, and with a norm of a clip alone: torch has no other on processors."""
    alone = {"augment": AugmentConfig(off_for_last=2), "precision": "float32", "validation": tones}
    optim = dataclasses.replace(OPTIM, epochs=2, batch_norm="kept", ema_decay=0.9)
    one = run_fit(tones, cache, tmp_path / "one", optim=optim, net=fresh(dropout=0.0), **alone)
    two = run_fit(tones, cache, tmp_path / "two", optim=optim, net=fresh(dropout=0.0), devices=2, **alone)
    torch.testing.assert_close(weights(one), weights(two), rtol=0, atol=1e-5)
    histories = [FoldFolder(tmp_path / name).read_history() for name in ("one", "two")]
    for name in ("train_loss", "validation_loss", "validation_score"):
        first, second = ([row[name] for row in rows] for rows in histories)
        assert second == pytest.approx(first, abs=1e-5)
    assert len(FoldFolder(tmp_path / "two").read_diagnostics()) == len(FoldFolder(tmp_path / "one").read_diagnostics())


def test_what_is_the_users_to_mend_is_said_alike_by_every_device(tones, tmp_path):
    gone = shutil.copytree(tones.root, tmp_path / "sounds")
    manifest = dataclasses.replace(tones, root=gone)
    missing = manifest.table["path"].iloc[0]
    (gone / missing).unlink()
    said = []
    for devices in (1, 2):
        with pytest.raises(EarmarkError, match=missing) as caught:
            run_fit(manifest, Cache(tmp_path / "cache"), tmp_path / str(devices), precision="float32", devices=devices)
        said.append(str(caught.value))
    assert said[0] == said[1]


class Refusing(Dataset):
    """Holds one thing, which cannot be had."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise ConfigError("two clips are gone:\na.wav\nb.wav")


def test_what_a_process_of_the_loader_says_is_known_without_its_traceback():
    with pytest.raises(ConfigError, match="Traceback") as caught:
        next(iter(DataLoader(Refusing(), num_workers=1)))
    assert own_words(str(caught.value)) == "two clips are gone:\na.wav\nb.wav"


def test_a_bug_of_a_device_keeps_its_traceback():
    bug = ProcessRaisedException("Traceback: …\nRuntimeError: a bug\n", 1, 100)
    with pytest.raises(ProcessRaisedException, match="Traceback"), said_here():
        raise bug


def test_a_batch_that_devices_cannot_share_is_refused(tones, cache, tmp_path):
    with pytest.raises(ConfigError, match="devices: a batch of 4 clips cannot be parted evenly among 3"):
        run_fit(tones, cache, tmp_path, devices=3)
