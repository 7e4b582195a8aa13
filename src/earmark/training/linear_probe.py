"""The last layer of a network fitted to what the network hears now: where fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from earmark.audio.cache import Cache
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.models.tagging_net import TaggingNet
from earmark.training.dataset import loss_weights
from earmark.training.objective import Objective, chosen_loss
from earmark.windows import Framing

WINDOWS_AT_ONCE = 16
RIDGE = 0.003  # of the weights on standardised features, beside a loss per clip
STEPS = 100  # of L-BFGS at most


def fit_last_layer(
    net: TaggingNet,
    training: Manifest,
    framing: Framing,
    cache: Cache,
    loss: Objective | None = None,
    kept: Sequence[int] = (),
) -> None:
    """Set the weights of the last layer to those with the least loss on all windows of the clips; the rest is kept.

    A clip counts by its weight, however many windows it has. Training that starts from a head drawn at random first
    spoils the layers below it, which follow the noise.

    Args:
        loss: None = cross_entropy where each clip has one label, bce otherwise.
        kept: classes whose outputs stay as they are; the others are fitted beside them.

    Source: Kumar et al. 2022, arXiv 2202.10054 ("linear probing, then fine-tuning").
    """
    features, clips = _heard(net.eval(), ClipAudio(training, cache, framing.sample_rate), framing)
    share = 1 / torch.bincount(clips, minlength=len(training))[clips, None]
    targets = torch.from_numpy(training.targets())[clips]
    weights = torch.from_numpy(loss_weights(training))[clips] * share
    loss = loss or Objective(chosen_loss("", {}, multi_label=training.multi_label))
    mean = (features * share).sum(dim=0) / share.sum()
    deviation = ((features - mean).square() * share).sum(dim=0).div(share.sum()).sqrt() + 1e-4
    standard = (features - mean) / deviation
    with torch.no_grad():
        given = net.head.last(features)
    fresh = torch.ones(targets.shape[1], dtype=torch.bool)
    fresh[list(kept)] = False
    weight = torch.zeros(targets.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = torch.where(fresh, nn.functional.linear(standard, weight, bias), given)
        found = loss(logits, targets, weights)
        found = found + RIDGE / 2 * weight.square().sum()
        found.backward()
        return found

    optimizer.step(closure)
    with torch.no_grad():
        net.head.last.weight[fresh] = (weight / deviation)[fresh]
        net.head.last.bias[fresh] = (bias - (weight / deviation) @ mean)[fresh]


@torch.no_grad()
def _heard(net: TaggingNet, audio: ClipAudio, framing: Framing) -> tuple[Tensor, Tensor]:
    """What reaches the last layer (windows, features), and each window's clip (windows,)."""
    features: list[Tensor] = []
    clips: list[int] = []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net.to(device)
    hook = net.head.last.register_forward_pre_hook(lambda _, arguments: features.append(arguments[0].float().cpu()))
    try:
        for clip, windows in _windows(audio, framing):
            net(windows.to(device))
            clips += [clip] * len(windows)
    finally:
        hook.remove()
        net.cpu()
    return torch.cat(features), torch.tensor(clips)


def _windows(audio: ClipAudio, framing: Framing) -> Iterator[tuple[int, Tensor]]:
    for clip in range(len(audio)):
        for windows in framing.pieces([audio[clip]], WINDOWS_AT_ONCE):
            yield clip, torch.from_numpy(windows)
