"""Alarms: what each usually means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

BEFORE = -1  # stands for the epoch in the row from before the first


@dataclass(frozen=True)
class Meaning:
    """What an alarm usually means, what to do, and whether training would surely be in vain."""

    usually: str
    remedy: str
    certain: bool = False


ALARMS = {
    "wrong_shape": Meaning(
        "the network's last layer was made for other classes",
        "Give it one output per class.",
        certain=True,
    ),
    "not_finite": Meaning(
        "a rate that is too high, a division by zero in a layer of your own, or a sound that holds NaN",
        "Lower optim.learning_rate, set optim.clip_gradient=1 and precision=float32, and run `earmark check`.",
        certain=True,
    ),
    "all_zero": Meaning(
        "the last layer's weights are zero, or nothing reaches it",
        "Look at the network's last layers, or at the file that it starts from.",
        certain=True,
    ),
    "constant_output": Meaning(
        "the sound is lost on the way: a layer that is dead, or one that normalises everything away",
        "Look for the first layer whose deviation is 0, and at the batch in batch.html (--diagnose).",
    ),
    "silent_input": Meaning(
        "files without sound, a window that falls into silence, or augmentation that cuts the sound away",
        "Run `earmark check`, hear the batch in batch.html (--diagnose), and set augment.trim_db=60.",
    ),
    "batch_mixing": Meaning(
        "a reshape or a mean over the wrong axis: clips hear one another, and a clip alone gets other scores",
        "Look at the layers that reshape or average; the batch's axis is the first.",
        certain=True,
    ),
    "first_loss": Meaning(
        "a last layer whose weights or bias start far off, or a front end whose numbers are huge",
        "Look at the last layer's start and at frontend.*.",
    ),
    "two_clips": Meaning(
        "the network's gradient does not reach its weights, or its two inputs are alike",
        "Look at what does not move and at the batch in batch.html; two clips are learnt by any network that works.",
    ),
    "deaf": Meaning(
        "the answer does not come from the sound",
        "Look at what the network gets beside the sound, and at the batch in batch.html.",
    ),
    "dead_units": Meaning(
        "ReLUs that were pushed below zero for good by a rate that is too high, or a large negative bias",
        "Lower optim.learning_rate, or start anew with another seed.",
    ),
    "frozen": Meaning(
        "no gradient reaches these weights (a detach, a dead layer above), or the optimiser does not know them",
        "Look at the layers between them and the loss. Depths that are held still by choice are left out.",
    ),
    "rate_too_high": Meaning(
        "optim.learning_rate is too high: a step changes the weights by more than it keeps",
        "Divide it by 10, or let `earmark train --find-lr` suggest one.",
    ),
    "rate_too_low": Meaning(
        "optim.learning_rate is too low: the weights hardly move even where the schedule is at its highest",
        "Multiply it by 10, or let `earmark train --find-lr` suggest one.",
    ),
    "diverged": Meaning(
        "optim.learning_rate is too high",
        "Divide it by 10, or let `earmark train --find-lr` suggest one; optim.clip_gradient=1 helps with single steps.",
    ),
    "no_better_than_prior": Meaning(
        "labels that do not belong to their sounds, sounds in which nothing can be heard, or a wrong rate",
        "Hear some clips with their labels (batch.html of --diagnose, `earmark check --html`), then try --find-lr.",
    ),
    "no_better_than_chance": Meaning(
        "labels that do not belong to their sounds: the training clips are learnt by heart, and no rule is found",
        "Hear some clips with their labels (batch.html of --diagnose, `earmark check --html`).",
    ),
    "waiting": Meaning(
        "reading is the bottleneck: a slow disk or network drive, or long clips of which short windows are taken",
        "Move the cache to a faster disk (EARMARK_CACHE).",
    ),
}


@dataclass(frozen=True)
class Alarm:
    """Something that is likely wrong.

    name: in ALARMS. where: the layers or the thing at fault. found: what was measured, and what was expected.

    >>> print(Alarm("deaf", "the network", "loses 0.1 on silence and 0.1 on sound").text)
    the network: loses 0.1 on silence and 0.1 on sound. Usually the answer does not come from the sound. Look at what \
the network gets beside the sound, and at the batch in batch.html.
    """

    name: str
    where: str
    found: str

    @property
    def is_certain(self) -> bool:
        """Whether training would surely be in vain."""
        return ALARMS[self.name].certain

    @property
    def text(self) -> str:
        """All of it, in words."""
        meaning = ALARMS[self.name]
        return f"{self.where}: {self.found}. Usually {meaning.usually}. {meaning.remedy}"

    def to_dict(self) -> dict[str, str]:
        """For a file."""
        return {"name": self.name, "where": self.where, "found": self.found, "text": self.text}


def when(epoch: int) -> str:
    """An epoch in words.

    >>> when(-1), when(0)
    ('before the first epoch', 'epoch 1')
    """
    return "before the first epoch" if epoch == BEFORE else f"epoch {epoch + 1}"
