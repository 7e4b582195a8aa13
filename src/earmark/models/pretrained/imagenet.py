"""Weights that were trained on pictures, from a file with torchvision's names, for a network that sees spectrograms.

They know nothing of sound, and still help (docs/models.md). Neither torchvision nor timm is needed.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from torch import nn

from earmark.models.pretrained.keys import KeyReport, KeyRules, match_keys, place_tensors
from earmark.models.pretrained.tensors import read_tensors

log = logging.getLogger("earmark")

OURS = "norm."  # normalises mel bands, of which pictures have none
CLASSIFIERS = ("fc.", "classifier.")
DOTTED = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.(\d\.)")  # as the oldest files of DenseNets name their layers


def load_imagenet(backbone: nn.Module, path: Path, rules: KeyRules, *, stem: str, name: str) -> KeyReport:
    """Fill a backbone, but for its mel normalisation, with the weights of a file.

    The first layer saw red, green and blue: its kernels are summed, as if the spectrogram stood in all three.

    Args:
        path: as torchvision publishes it, or the same tensors as safetensors.
        rules: from our names to its keys.
        stem: the key of the first layer's kernels.
        name: of the network.

    Returns:
        What went where; the classifier of pictures is set aside.

    Raises:
        ConfigError: the tensors are not those of this network.
        FetchError: the file is not there, or holds more than tensors.
    """
    state = {DOTTED.sub(r"\1\2", key): tensor for key, tensor in read_tensors(path).items()}
    if stem in state and state[stem].ndim == 4:
        state[stem] = state[stem].sum(dim=1, keepdim=True)
    matched = match_keys((ours for ours in backbone.state_dict() if not ours.startswith(OURS)), rules)
    advice = f"{path} has to be the file of torchvision's {name}, at width 1."
    report = place_tensors(backbone, state, matched, name=name, replaced=CLASSIFIERS, advice=advice)
    log.info("%s: %s", path.name, report)
    return report
