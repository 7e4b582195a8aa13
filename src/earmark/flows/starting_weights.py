"""Networks that training starts from: published ones, those of finished runs, and their heads made anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from earmark.audio.cache import Cache
from earmark.config import change, keyword_options, read_yaml, require
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, FetchError, RunError
from earmark.flows.adopt_hf import adopted_hf
from earmark.flows.run_config import FINETUNED, RunConfig, frontend_for
from earmark.models.frontend_config import FrontendConfig
from earmark.models.huggingface.networks import build_hf
from earmark.models.huggingface.source import PREFIX, describe
from earmark.models.norms import to_group_norm
from earmark.models.pretrained.networks import PRETRAINED, build_pretrained, load_weights, pretrained_network
from earmark.models.pretrained.tensors import read_tensors
from earmark.models.pretrained.weights import find_weights
from earmark.models.tagging_net import MODELS, TaggingNet, build
from earmark.run import REFIT, TAGGER_SUFFIX, FoldFolder, Run
from earmark.tagger.home import converted, weights_folder
from earmark.tagger.metadata import TaggerMetadata
from earmark.training.linear_probe import fit_last_layer
from earmark.training.objective import Objective
from earmark.windows import Framing

log = logging.getLogger("earmark")

FILE_OPTION = "weights"  # of the families that can start from a file


@dataclass(frozen=True)
class Start:
    """A network that can be trained on.

    frontend: what it hears through, which cannot be changed (of a model that hears the waveform only the rate says
    something). labels: of its scores, where they can be ours too.
    build: makes it with the head that it came with, its weights drawn at random. load: puts its weights in.
    locate: refuses where they are not on this machine.
    """

    frontend: FrontendConfig
    labels: tuple[str, ...]
    build: Callable[[], TaggingNet]
    load: Callable[[TaggingNet], None]
    locate: Callable[[], object] = lambda: None


def find_start(on: str, options: Mapping[str, Any] | None = None) -> Start:
    """What stands behind a name of PRETRAINED, a model of transformers (`hf:…` or the name that it was adopted under),
    or the folder of a run.

    Args:
        options: "dropout" of the head; of a model of transformers also "layer", see `build_hf`.

    Raises:
        ConfigError: there is none of these, it holds no weights that can be trained, or it has not these options.
        FetchError: a model of transformers is not on this machine.
        RunError: the run has no finished network.
    """
    options, where = dict(options or {}), f"model_options of {FINETUNED}"
    if adopted := adopted_hf(on):
        on, layer = adopted
        options.setdefault("layer", layer)
    if on.startswith(PREFIX):
        build = partial(build_hf, on, 1, **keyword_options(build_hf, options, where))
        return Start(frontend_for(describe(on).sample_rate), (), build, lambda net: None)
    chosen = keyword_options(_with_dropout, options, where)
    if on in PRETRAINED:
        frontend, load, locate = pretrained_network(on).frontend, partial(_fill, on), partial(_weights_of, on)
        return Start(frontend, (), lambda: _with_dropout(build_pretrained(on), **chosen), load, locate)
    path = Path(on)
    if path.name.endswith(TAGGER_SUFFIX) or converted(on).is_file():  # which goes before a folder of its name
        raise ConfigError(
            f"{on}: a tagger file can be listened through, not trained on. Pass the folder of the run that made it, or "
            f"a pretrained network ({', '.join(PRETRAINED)})."
        )
    if not (run := Run(path)).config.is_file():
        raise ConfigError(
            f"{on}: is neither a pretrained network ({', '.join(PRETRAINED)}), nor {PREFIX} with a model, nor the "
            f"folder of a run (no {run.config.name} in it). Check the name or path."
        )
    start = _start_of(run)
    return replace(start, build=lambda: _with_dropout(start.build(), **chosen))


def _with_dropout(net: TaggingNet, *, dropout: float | None = None) -> TaggingNet:
    """The network, its head's dropout as given; None = as it was."""
    if dropout is not None:
        require(0 <= dropout < 1, f"model_options of {FINETUNED}: dropout", dropout, "0 or more and below 1")
        net.head.dropout.p = dropout
    return net


def _fill(name: str, net: TaggingNet) -> None:
    """Fill a network that `build_pretrained` made from its file in the home folder."""
    load_weights(net, read_tensors(_weights_of(name)), name)


def _weights_of(name: str) -> Path:
    """The file in the home folder with the weights of a published network.

    Raises:
        FetchError: it is not there.
    """
    file = find_weights(name).file
    path = weights_folder() / file.name
    if not path.is_file():
        where = f", from {file.url}" if file.url else ""
        raise FetchError(
            f"{path}: the weights of {name} are not on this machine yet. `earmark models get {name}` brings "
            f"them{where}; with a copy of your own, `earmark models get {name} --from FILE`."
        )
    return path


def _start_of(run: Run) -> Start:
    """The network of a run: that for use if it was trained, else that of its first fold."""
    config = change(RunConfig(), read_yaml(run.config), str(run.config))
    if config.model not in (*MODELS, FINETUNED):
        raise ConfigError(
            f"{run.folder}: its model is '{config.model}', which is no network. Pass the run of a network."
        )
    labels = read_manifest(run.manifest, look_for_files=False).vocabulary.labels

    def finished() -> tuple[FoldFolder, bool]:
        refit = run.fold(REFIT, config.model)
        if refit.trained.is_file():
            return refit, False
        done = [folder for folder in _folds(run, config.model) if folder.result.is_file()]
        if not done:
            raise RunError(f"{run.folder}: no network of it is finished. The command that made it goes on.")
        return done[0], config.validation_fraction > 0

    def load(net: TaggingNet) -> None:
        from earmark.training.fit import restore

        folder, validates = finished()
        restore(net, folder, validates)

    return Start(config.frontend, labels, lambda: blank_net(config, labels), load, finished)


def _folds(run: Run, model: str) -> list[FoldFolder]:
    names = sorted(path.name for path in run.folder.glob("fold_*"))
    return [run.fold(int(name.removeprefix("fold_")), model) for name in names]


def blank_net(config: RunConfig, labels: Sequence[str]) -> TaggingNet:
    """The network of a run's settings, its weights drawn at random.

    Raises:
        ConfigError: there is no such network, or it has not these options.
        RunError: it was fine-tuned from a run that is gone.
    """
    if config.model != FINETUNED:
        return _fresh_net(config, labels, without=FILE_OPTION)
    before = Path(config.backbone.on)
    if before.is_absolute() and not Run(before).config.is_file():  # runs are kept by their whole path
        raise RunError(
            f"{before}: the run is gone, and a network that was fine-tuned from it can only be built as it was. Bring "
            "its folder back to where it stood, or start from another network."
        )
    net = find_start(config.backbone.on, config.model_options).build()
    change_head(net, (), labels)
    return _for_training(net, config)


def _fresh_net(config: RunConfig, labels: Sequence[str], without: str = "") -> TaggingNet:
    """A network of the settings' family, with its options but one."""
    options = {name: value for name, value in config.model_options.items() if name != without}
    parts = {"head": config.head, "branches": config.branches}
    net = build(config.model, config.frontend, len(labels), options, **parts)
    return _for_training(to_group_norm(net) if config.optim.batch_norm == "group" else net, config)


def _for_training(net: TaggingNet, config: RunConfig) -> TaggingNet:
    """The network with what only its training needs."""
    if config.optim.noisy_head:
        net.add_noisy_head()
    return net


def starting_net(config: RunConfig, labels: Sequence[str]) -> tuple[TaggingNet, list[str]]:
    """The network that a run starts from, with a head for its labels.

    Returns:
        The network, and those of the labels whose outputs it keeps: the logits of all others are drawn at random.

    Raises:
        ConfigError: there is no such network, or a file of weights is another's.
        FetchError: its weights are not on this machine.
        RunError: the run that it comes from has no finished network.
    """
    if config.model != FINETUNED:
        return _fresh_net(config, labels), []
    start = find_start(config.backbone.on, config.model_options)
    net = start.build()
    start.load(net)
    kept = change_head(net, start.labels, labels)
    log.info("starts from %s; %d of %d labels keep their outputs", config.backbone.on, len(kept), len(labels))
    return _for_training(net, config), kept


def started_from_file(metadata: TaggerMetadata, config: RunConfig) -> TaggerMetadata:
    """The facts of a tagger file, with the file of weights that its network started from, if from one."""
    if not (file := config.model_options.get(FILE_OPTION)):
        return metadata
    name = Path(file).name
    facts = {**metadata.trained_on, "starting_weights": name}
    return replace(metadata, trained_on=facts, licences=(*metadata.licences, f"{name}: see its own terms"))


@torch.no_grad()
def change_head(net: TaggingNet, before: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Give a network last layers for `labels`; those it had before keep theirs, in the new order.

    Args:
        before: what its last layer answers with now; empty = nothing of ours.

    Returns:
        The labels that keep their outputs.
    """
    kept = [label for label in labels if label in before]
    net.noisy = None  # which was for the training before
    for head in (net.head, *net.auxiliary):
        old = head.last
        head.last = nn.Linear(old.in_features, len(labels))
        for label in kept:
            for new_tensor, old_tensor in ((head.last.weight, old.weight), (head.last.bias, old.bias)):
                new_tensor[list(labels).index(label)] = old_tensor[list(before).index(label)]
    return kept


def start_head(
    net: TaggingNet,
    kept: Sequence[str],
    training: Manifest,
    framing: Framing,
    cache: Cache,
    loss: Objective | None = None,
) -> None:
    """Make a new last layer begin where it should: what of it is new is fitted to the clips.

    Args:
        kept: labels whose outputs stay as they are.
        loss: None = what the clips ask for.
    """
    if len(kept) < len(training.vocabulary):
        rows = [training.vocabulary.index(label) for label in kept]
        fit_last_layer(net, training, framing, cache, loss, rows)
