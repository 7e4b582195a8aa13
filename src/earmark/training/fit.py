"""fit: train one network on one set of clips, resumable, with Lightning's Trainer."""

from __future__ import annotations

import logging
import math
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing import ProcessRaisedException
from torch.utils.data import DataLoader

from earmark.audio.cache import Cache
from earmark.augment.pipeline import Augmentation, AugmentConfig
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.errors import OURS, ConfigError, EarmarkError, RunError, own_words
from earmark.models.tagging_net import TaggingNet
from earmark.run import FoldFolder
from earmark.training.callbacks import AtomicCheckpoints, History, LastWeights, RunningMean, checkpoints
from earmark.training.dataset import (
    TrainingBatches,
    ValidationWindows,
    background_windows,
    class_frequencies,
    join_windows,
    loss_weights,
)
from earmark.training.diagnostics.watch import Watch
from earmark.training.module import TaggingModule
from earmark.training.objective import with_noisy
from earmark.training.optim_config import PRECISIONS, OptimConfig
from earmark.training.sampling import EpochBatches, clip_chances
from earmark.training.teacher import read_teacher
from earmark.windows import Framing

log = logging.getLogger("earmark")

# of AugmentConfig
ON_SPECTROGRAM = ("crop", "warp_time", "warp_mel", "warp_shift", "equalise_db", "mask_mel", "mask_time")


@dataclass(frozen=True)
class FitResult:
    """A trained network.

    net: on the CPU, in evaluation mode, with the chosen weights.
    n_epochs: epochs behind those weights (the best by the inner validation clips, or all).
    validation_score: lwlrap of the inner validation clips at that epoch; None without any.
    """

    net: TaggingNet
    n_epochs: int
    validation_score: float | None


def fit(
    net: TaggingNet,
    training: Manifest,
    validation: Manifest | None,
    folder: FoldFolder,
    *,
    framing: Framing,
    cache: Cache,
    optim: OptimConfig,
    augment: AugmentConfig,
    precision: str = "auto",
    seed: int = 0,
    stop_after: int | None = None,
    fresh: bool = True,
    devices: int = 1,
) -> FitResult:
    """Train `net`; with the same arguments and folder again after a kill, go on from the last finished epoch.

    Args:
        validation: clips that choose the epoch, from the training folds; None = the last epoch is taken.
        stop_after: epochs to run, of the `optim.epochs` that the schedule spans; None = all.
        fresh: the head knows nothing yet, and starts at the class frequencies.
        devices: GPUs that train it together, each a part of every batch; without any GPU, processes.

    Raises:
        ConfigError: a batch cannot be parted evenly among the devices.
        EarmarkError: what the process of a device says is at fault.
        KeyboardInterrupt: Ctrl-C; what is finished is kept.
    """
    module, batches = assemble(
        net, training, validation, framing=framing, cache=cache, optim=optim, augment=augment, seed=seed, fresh=fresh
    )
    if batches.size % devices:
        raise ConfigError(
            f"devices: a batch of {batches.size} clips cannot be parted evenly among {devices}. "
            "Change optim.batch_size or devices."
        )
    with quiet():
        trainer = _trainer(folder, optim, precision, stop_after, validation is not None, batches, devices)
    workers = 0 if trainer.strategy.root_device.type == "cpu" else 4
    loading = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": workers > 0}
    loaders = [DataLoader(batches, sampler=EpochBatches(batches.n_batches), batch_size=None, **loading)]
    if validation is not None:
        windows = ValidationWindows(ClipAudio(validation, cache, framing.sample_rate), framing)
        loaders.append(DataLoader(windows, batch_size=16, collate_fn=join_windows, **loading))
    last = folder.checkpoints / "last.ckpt"
    if last.exists():
        _load_checkpoint(last)  # a damaged one is refused with its name, before Lightning meets it
    with quiet(), handed_over_by_name(), said_here():
        trainer.fit(module, *loaders, ckpt_path=last if last.exists() else None, weights_only=True)
    return restore(net, folder, validation is not None)


def assemble(
    net: TaggingNet,
    training: Manifest,
    validation: Manifest | None,
    *,
    framing: Framing,
    cache: Cache,
    optim: OptimConfig,
    augment: AugmentConfig,
    seed: int,
    fresh: bool,
) -> tuple[TaggingModule, TrainingBatches]:
    """A network ready to be trained, and the batches to train it on; the arguments are those of `fit`."""
    torch.manual_seed(seed)
    audio = ClipAudio(training, cache, framing.sample_rate)
    targets, weights = training.targets(), loss_weights(training)
    noisy = training.column("subset") == "noisy"
    chances = clip_chances(targets, weights, noisy, optim.balance, optim.noisy_share)
    if optim.teacher:
        targets = read_teacher(Path(optim.teacher)).mixed(training, optim.teacher_share)
    if fresh:
        net.start_at_prior(class_frequencies(targets, weights), training.multi_label)
    net.backbone.to(memory_format=torch.channels_last)
    if optim.knows_noisy:
        targets, weights = with_noisy(targets, weights, noisy)
    drawn = {"chances": chances, "noisy": noisy, "padding": augment.padding, "trim_db": augment.trim_db}
    batches = TrainingBatches(audio, targets, weights, framing, optim.batch_size, seed, **drawn)
    backgrounds = background_windows(training, audio, framing, seed) if augment.background else None
    module = TaggingModule(
        net,
        optim,
        Augmentation(suited(augment, net.frontend.config), framing.sample_rate, backgrounds),
        multi_label=training.multi_label,
        seed=seed,
        steps_per_epoch=batches.n_batches,
        validation=validation,
    )
    return module, batches


class Hearing(Protocol):
    """What augmentation must know of a front end: how loud becomes high (FrontendConfig says more)."""

    compression: str
    power: int
    scale: float


def suited(augment: AugmentConfig, frontend: Hearing) -> AugmentConfig:
    """Augmentation as strong on this front end's spectrogram as on one in dB: that of EfficientAT, say, is a logarithm
    times 0.2, on which 6 units would be 130 dB. PCEN takes a steady equaliser away again, so there is none. Where the
    waveform itself goes in there is no spectrogram to change.

    >>> from earmark.models.pretrained.networks import EFFICIENTAT
    >>> round(suited(AugmentConfig(equalise_db=6.0), EFFICIENTAT).equalise_db, 3)
    0.276
    """
    if frontend.compression == "none":
        log.info("the network hears the waveform: no augmentation of spectrograms")
        return replace(augment, **dict.fromkeys(ON_SPECTROGRAM, 0.0))
    if frontend.compression == "pcen":
        return replace(augment, equalise_db=0.0)
    per_db = 1.0 if frontend.compression == "db" else frontend.power * math.log(10) / 20
    return replace(augment, equalise_db=augment.equalise_db * per_db * frontend.scale)


def _trainer(
    folder: FoldFolder,
    optim: OptimConfig,
    precision: str,
    stop_after: int | None,
    validates: bool,
    batches: TrainingBatches,
    devices: int,
) -> lightning.Trainer:
    """Lightning's Trainer with our history, checkpoints and, if asked for, a mean of the weights."""
    callbacks: list[lightning.Callback] = []
    accelerator = hardware()
    if optim.swa_epochs:
        callbacks.append(LastWeights(optim.swa_epochs, optim.epochs, batches))
    elif optim.ema_decay:
        callbacks.append(RunningMean(optim.ema_decay))
    if optim.patience and validates:
        callbacks.append(EarlyStopping("validation_score", mode="max", patience=optim.patience))
    callbacks += [Watch(folder, batches), History(folder), *checkpoints(folder, validates)]
    folder.tensorboard.mkdir(parents=True, exist_ok=True)
    return lightning.Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy=_together() if devices > 1 else "auto",
        sync_batchnorm=devices > 1 and accelerator == "gpu",  # torch has none for processors
        use_distributed_sampler=False,
        precision=lightning_precision(precision, accelerator),
        max_epochs=stop_after or optim.epochs,
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        logger=TensorBoardLogger(folder.tensorboard, name=None, version=""),
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def _together() -> DDPStrategy:
    """Processes that each go through the whole of `fit`'s training, and agree on every step's gradient.

    Some weights learn from an epoch on only, or from some clips only, hence the search for those without a gradient.
    """
    return DDPStrategy(start_method="spawn", find_unused_parameters=True)


@contextmanager
def handed_over_by_name() -> Iterator[None]:
    """Tensors go to other processes in files of /dev/shm: as open files, which is usual, those of a network with many
    parameters arrive mixed up."""
    before = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy("file_system")
    try:
        yield
    finally:
        torch.multiprocessing.set_sharing_strategy(before)


@contextmanager
def said_here() -> Iterator[None]:
    """What the user can mend is said in its own words where several devices train, each in a process of its own."""
    try:
        yield
    except ProcessRaisedException as error:
        if OURS.search(str(error)) is None:
            raise
        raise EarmarkError(own_words(str(error))) from error


def try_out(
    module: TaggingModule, batches: TrainingBatches, precision: str, callback: lightning.Callback, **limits: int
) -> None:
    """Train a module that is of no use afterwards under the eyes of a callback, and leave nothing.

    Args:
        limits: of Lightning's Trainer, such as max_steps.
    """
    accelerator = hardware()
    with quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            precision=lightning_precision(precision, accelerator),
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            **limits,
        )
        trainer.fit(module, DataLoader(batches, sampler=EpochBatches(batches.n_batches), batch_size=None))


def hardware() -> str:
    """What Lightning shall train on."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def lightning_precision(precision: str, accelerator: str) -> str:
    """bfloat16 where the hardware multiplies it (twice as fast and more), else float32."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: '{precision}' is none of {', '.join(PRECISIONS)}.")
    if precision == "auto":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.11
        on_cpu = accelerator == "cpu" and capabilities.get("avx512_bf16", False)
        fast = on_cpu or (accelerator == "gpu" and torch.cuda.is_bf16_supported())
        precision = "bfloat16" if fast else "float32"
    return "bf16-mixed" if precision == "bfloat16" else "32-true"


def restore(net: TaggingNet, folder: FoldFolder, validates: bool) -> FitResult:
    """The network that `fit` left in a folder: the weights of the chosen epoch, and which it is.

    Args:
        net: of the same shape; its weights are replaced.
        validates: whether an inner validation chose the epoch.

    Raises:
        RunError: the checkpoint is missing or damaged.
    """
    path = folder.checkpoints / ("best.ckpt" if validates else "last.ckpt")
    checkpoint = _load_checkpoint(path)
    state = checkpoint["state_dict"].items()
    net.load_state_dict({name.removeprefix("net."): value for name, value in state if name.startswith("net.")})
    n_epochs = int(checkpoint["epoch"]) + 1
    rows = {row["epoch"]: row for row in folder.read_history()}
    score = rows.get(n_epochs - 1, {}).get("validation_score")
    return FitResult(net.cpu().eval(), n_epochs, score)


def _load_checkpoint(path: Path) -> dict:
    """A Lightning checkpoint, tensors and plain values only."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(
            f"{path}: the checkpoint cannot be read ({reason}). Delete its folder to train it anew."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's advice on loaders and folders is noise here; its errors still come through."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        except SystemExit as stop:  # Lightning turns Ctrl-C into an exit; the door decides about exit codes
            raise KeyboardInterrupt from stop
        finally:
            logger.setLevel(level)
