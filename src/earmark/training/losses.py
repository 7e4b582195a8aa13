"""Losses of clips, on logits (batch, classes) and targets (batch, classes) in [0, 1], soft ones as they are.

Every loss takes weights (batch, classes), 0 where a label is unknown, else the weight of its clip, and gives what each
clip loses times its weight, (batch,). `mean_over_clips` divides their sum by the sum of the clips' weights (of a clip,
the largest of its labels'). So an unknown label moves neither the loss nor any logit, a clip without a known label is
as if it were not there, and a clip of weight 2 is the clip twice. A label in a hundred known is one question asked,
not a hundred: clips that know little do not shout.

All but `lsep` are linear in the targets, so that a mixture of two clips' labels, or of labels and a teacher's scores,
loses the same mixture of their losses.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from earmark.config import require

LOSSES = {
    "bce": "earmark.training.losses:binary_cross_entropy",
    "cross_entropy": "earmark.training.losses:cross_entropy",
    "focal": "earmark.training.losses:focal",
    "asymmetric": "earmark.training.losses:asymmetric",
    "lsep": "earmark.training.losses:log_sum_exp_pairs",
    "l_soft": "earmark.training.losses:soft_bootstrapping",
    "l_q": "earmark.training.losses:generalised_cross_entropy",
}
FAINT = 1e-8  # a score below which the asymmetric loss hears nothing


def binary_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """The sum over known classes: each label is a question of its own.

    Args:
        smoothing: ε of y' = (1 − ε)·y + ε·(1 − y), the FSD system's label smoothing.
    """
    smoothed = _toward_half(targets, smoothing)
    losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    return (losses * weights).sum(dim=1)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy: exactly one label per clip. Only known classes compete in the softmax.

    Args:
        smoothing: ε of y' = (1 − ε)·y + ε/(known classes).
    """
    likely, smoothed = _competing(logits, targets, weights, smoothing)
    return -(likely * smoothed * weights).sum(dim=1)


def focal(
    logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0, *, gamma: float = 2.0
) -> Tensor:
    """Binary cross-entropy in which an answer counts the less, the surer and righter it is: (1 − p)^γ of a label that
    is there, p^γ of one that is not.

    Args:
        gamma: γ, 0 or more; 0 = binary cross-entropy.

    Source: Lin et al. 2017, arXiv 1708.02002, without its class weight α.
    """
    require(gamma >= 0, "gamma of focal", gamma, "0 or more")
    there, not_there = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    # A power of p as exp(γ·log p): its gradient is finite at p = 0, whatever γ.
    losses = _of_both(targets, smoothing, (gamma * not_there).exp() * there, (gamma * there).exp() * not_there)
    return (losses * weights).sum(dim=1)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """The focal loss with a stronger γ for labels that are not there, which are most, and none of them heard whose
    score is below a margin: −p'^γ · log(1 − p'), p' = max(p − margin, 0).

    Args:
        gamma_positive, gamma_negative: γ of labels that are there, and that are not; 0 or more.
        margin: score that an absent label may have for nothing, 0 or more and below 1.

    Source: Ridnik et al. 2021, arXiv 2009.14119, its gradient through all of the formula.
    """
    require(gamma_positive >= 0, "gamma_positive of asymmetric", gamma_positive, "0 or more")
    require(gamma_negative >= 0, "gamma_negative of asymmetric", gamma_negative, "0 or more")
    require(0 <= margin < 1, "margin of asymmetric", margin, "0 or more and below 1")
    there, not_there = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    shifted = (there.exp() - margin).clamp(min=FAINT)
    # log(1 − p + margin), finite however near p is to 1, and 0 once the margin is reached
    let_off = torch.logaddexp(not_there, torch.full_like(logits, margin).log()).clamp(max=0)
    losses = _of_both(
        targets, smoothing, (gamma_positive * not_there).exp() * there, shifted**gamma_negative * let_off
    )
    return (losses * weights).sum(dim=1)


def log_sum_exp_pairs(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """LSEP, a loss of ranking: log(1 + Σ exp(s_v − s_u)) over pairs of a label u that is there and a v that is not.

    A pair of soft targets counts by how much u is more there than v. Scores are ordered, not calibrated: what a score
    says of its own label is left open, so a threshold must be fitted. Costs classes² numbers a clip.

    Source: Li et al. 2017, arXiv 1704.03135, equation 5.
    """
    smoothed = _toward_half(targets, smoothing)
    weight = weights.amax(dim=1)
    share = weights / torch.where(weight > 0, weight, torch.ones_like(weight))[:, None]
    pairs = (smoothed[:, :, None] - smoothed[:, None, :]).clamp(min=0) * share[:, :, None] * share[:, None, :]
    differences = logits[:, None, :] - logits[:, :, None]
    counted = torch.where(pairs > 0, differences + pairs.clamp(min=1e-30).log(), -torch.inf).flatten(1)
    return weight * torch.cat([torch.zeros_like(counted[:, :1]), counted], dim=1).logsumexp(dim=1)


def soft_bootstrapping(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    *,
    beta: float = 0.7,
    exclusive: bool = False,
) -> Tensor:
    """L_soft, for labels that may be wrong: cross-entropy with β·y + (1 − β)·p in place of y, p the network's own
    scores, which learn too.

    Args:
        beta: β, what the label counts, above 0 and at most 1; 1 = plain cross-entropy.
        exclusive: classes exclude one another (a softmax); by default as in the data.

    Source: Reed et al. 2015, arXiv 1412.6596, "soft"; β of Fonseca et al. 2019, arXiv 1901.01189.
    """
    require(0 < beta <= 1, "beta of l_soft", beta, "above 0 and at most 1")
    if exclusive:
        likely, smoothed = _competing(logits, targets, weights, smoothing)
        scores = likely.exp()
        return -(likely * (beta * smoothed + (1 - beta) * scores) * weights).sum(dim=1)
    there, not_there = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    mixed = beta * _toward_half(targets, smoothing) + (1 - beta) * there.exp()
    return -((mixed * there + (1 - mixed) * not_there) * weights).sum(dim=1)


def generalised_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    *,
    q: float = 0.5,
    exclusive: bool = False,
) -> Tensor:
    """L_q, for labels that may be wrong: (1 − p^q)/q, between cross-entropy (q → 0) and the absolute error (q = 1).
    A label that the network finds absurd hardly moves it.

    Args:
        q: above 0 and at most 1.
        exclusive: classes exclude one another (a softmax); by default as in the data. Else every label is a question
            of its own, and p the score of its right answer.

    Source: Zhang and Sabuncu 2018, arXiv 1805.07836.
    """
    require(0 < q <= 1, "q of l_q", q, "above 0 and at most 1")
    if exclusive:
        likely, smoothed = _competing(logits, targets, weights, smoothing)
        return -(torch.expm1(q * likely) / q * smoothed * weights).sum(dim=1)
    there, not_there = (torch.expm1(q * functional.logsigmoid(sign * logits)) / q for sign in (1, -1))
    return (_of_both(targets, smoothing, there, not_there) * weights).sum(dim=1)


def mean_over_clips(losses: Tensor, weights: Tensor) -> Tensor:
    """The sum of weighted losses (batch,) over the weight of the clips; 0 where they weigh nothing."""
    weight = weights.amax(dim=1).sum()
    return losses.sum() / torch.where(weight > 0, weight, torch.ones_like(weight))


def _toward_half(targets: Tensor, smoothing: float) -> Tensor:
    return targets * (1 - 2 * smoothing) + smoothing


def _of_both(targets: Tensor, smoothing: float, there: Tensor, not_there: Tensor) -> Tensor:
    """Losses (batch, classes) from what is gained where a label is there, and where it is not."""
    smoothed = _toward_half(targets, smoothing)
    return -(smoothed * there + (1 - smoothed) * not_there)


def _competing(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Log-softmax over the known classes of each clip, 0 for the others, and targets smoothed over them."""
    known = weights > 0
    competes = known | ~known.any(dim=1, keepdim=True)  # no softmax of nothing: such a clip weighs 0 anyway
    likely = functional.log_softmax(logits.masked_fill(~competes, -torch.inf), dim=1)
    smoothed = targets * (1 - smoothing) + smoothing / competes.sum(dim=1, keepdim=True)
    return likely.masked_fill(~known, 0.0), smoothed
