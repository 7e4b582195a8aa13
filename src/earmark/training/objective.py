"""What a batch loses: a loss of LOSSES by name, and if asked for another one of clips whose labels may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earmark.config import keyword_options
from earmark.lookup import lookup
from earmark.training.losses import LOSSES, mean_over_clips


def chosen(table: Mapping[str, str], name: str, options: Mapping[str, Any], kind: str) -> partial[Any]:
    """The function behind a name of a table, its options filled in.

    Raises:
        ConfigError: no such name, an option that it does not have, or a value of the wrong type.
    """
    function = lookup(table, name, kind.replace("_", " "))
    return partial(function, **keyword_options(function, options, f"optim.{kind}_options of {name}"))


def chosen_loss(
    name: str, options: Mapping[str, Any], *, multi_label: bool, kind: str = "loss"
) -> Callable[..., Tensor]:
    """A loss with its options, that of a softmax where classes exclude one another and it has both.

    Args:
        name: in LOSSES; empty = cross_entropy where each clip has one label, bce otherwise.
    """
    name = name or ("bce" if multi_label else "cross_entropy")
    found = chosen(LOSSES, name, options, kind)
    if "exclusive" in (found.func.__kwdefaults__ or {}) and "exclusive" not in options:
        return partial(found, exclusive=not multi_label)
    return found


class Objective:
    """The loss of a batch, (logits, targets, weights, smoothing) → scalar; targets and weights may have one column
    more than there are classes, which `with_noisy` made. Logits are (batch, classes), or of two heads (batch, 2,
    classes), the second for noisy clips.

    Args:
        loss: of a clip.
        noisy_loss: of a clip of the noisy subset; None = the same. Of a mixture each counts by its share.
        mask_above: a noisy clip that loses more than this share of the batch's largest loss is left out; 0 = none is.

    Source: loss masking, Fonseca et al. 2019, arXiv 1910.12004.
    """

    def __init__(
        self, loss: Callable[..., Tensor], noisy_loss: Callable[..., Tensor] | None = None, mask_above: float = 0.0
    ):
        self.loss = loss
        self.noisy_loss = noisy_loss
        self.mask_above = mask_above

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean over clips; a clip that is left out counts as if it were not there."""
        n_classes, two_heads = logits.shape[-1], logits.ndim == 3
        of_curated, of_noisy = logits.unbind(dim=1) if two_heads else (logits, logits)
        noisy = targets[:, n_classes:].sum(dim=1)
        targets, weights = targets[:, :n_classes], weights[:, :n_classes]
        losses = self.loss(of_curated, targets, weights, smoothing)
        if self.noisy_loss or two_heads:
            others = (self.noisy_loss or self.loss)(of_noisy, targets, weights, smoothing)
            losses = (1 - noisy) * losses + noisy * others
        if self.mask_above:
            weight = weights.amax(dim=1)
            single = losses.detach() / torch.where(weight > 0, weight, torch.ones_like(weight))
            kept = ~((noisy > 0.5) & (single > self.mask_above * single.max()))
            losses, weights = losses * kept, weights * kept[:, None]
        return mean_over_clips(losses, weights)


def with_noisy(targets: np.ndarray, weights: np.ndarray, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and weights (clips, classes), with a last column that says which clips are of the noisy subset.

    As one more label it goes through every mixture of clips, and arrives as the share of the mixture that is noisy.

    Args:
        noisy: (clips,) bool.
    """
    flag = noisy[:, None].astype(targets.dtype)
    return np.hstack([targets, flag]), np.hstack([weights, weights.max(axis=1, keepdims=True)])
