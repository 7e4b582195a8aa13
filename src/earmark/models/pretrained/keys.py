"""Where every tensor of a file of weights goes: none may be missing, none left over, none of another shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from earmark.errors import ConfigError

SHOWN_KEYS = 5
COUNTER = "num_batches_tracked"  # of batch normalisation; nothing in a trained network depends on it

# What turns the name of a parameter of ours into their key: patterns and replacements, applied in this order.
KeyRules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class KeyReport:
    """Where every number of a file went."""

    name: str
    """Of the network."""
    matched: Mapping[str, str]
    """Our parameter or statistic ← their key."""
    set_aside: tuple[str, ...]
    """Their keys that our front end or head replaces, and counters."""
    n_parameters: int
    """Numbers that training moved: the matched keys without batch normalisation's statistics."""

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.matched)} tensors matched, {self.n_parameters:,} parameters, none missing, "
            f"none left over ({len(self.set_aside)} set aside)"
        )


def match_keys(ours: Iterable[str], rules: KeyRules) -> dict[str, str]:
    """Our parameter or statistic ← the key that the rules make of its name; counters are left out.

    >>> match_keys(["stem.conv1.weight", "stem.bn1.num_batches_tracked"], ((r"^stem[.]", ""),))
    {'stem.conv1.weight': 'conv1.weight'}
    """
    keys = {}
    for name in ours:
        if not name.endswith(COUNTER):
            keys[name] = name
            for pattern, replacement in rules:
                keys[name] = re.sub(pattern, replacement, keys[name])
    return keys


def place_tensors(
    module: nn.Module,
    state: Mapping[str, Tensor],
    matched: Mapping[str, str],
    *,
    name: str,
    replaced: tuple[str, ...] = (),
    wrong: Sequence[str] = (),
    advice: str = "Take the published file.",
) -> KeyReport:
    """Fill a module with the tensors of a file.

    Args:
        state: key → tensor, as the file holds them but in our layout.
        matched: ours ← theirs; what of the module is not in it stays as it is.
        name: of the network, for report and error.
        replaced: beginnings of keys for which we have something else.
        wrong: what else is not as it should be.
        advice: what to do where the file is not the right one.

    Returns:
        What went where.

    Raises:
        ConfigError: a key is missing, left over or of another shape; the module is left as it was.
    """
    taken = set(matched.values())
    set_aside = [key for key in state if key.endswith(COUNTER) or key.startswith(replaced or "\0")]
    left_over = [key for key in state if key not in taken and key not in set_aside]
    problems = [f"{key} is missing" for key in matched.values() if key not in state]
    problems += [f"{key} is left over" for key in left_over]
    mine = module.state_dict()
    tensors = {ours: state[key] for ours, key in matched.items() if key in state}
    problems += [
        f"{matched[ours]} is {tuple(tensor.shape)}, expected {tuple(mine[ours].shape)}"
        for ours, tensor in tensors.items()
        if tensor.shape != mine[ours].shape
    ]
    if problems := [*problems, *wrong]:
        more = f"; and {len(problems) - SHOWN_KEYS} more" if len(problems) > SHOWN_KEYS else ""
        raise ConfigError(f"{name}: these are not its weights: {'; '.join(problems[:SHOWN_KEYS])}{more}. {advice}")
    module.load_state_dict(tensors, strict=False)
    n_parameters = sum(tensors[ours].numel() for ours, _ in module.named_parameters() if ours in tensors)
    return KeyReport(name, matched, tuple(set_aside), n_parameters)
