"""Files of weights, read without running anything that is in them."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from earmark.errors import FetchError

UNREADABLE = (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A file of weights by tensor name; nothing in it is run.

    Raises:
        FetchError: it is not there, is damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise FetchError(f"{path}: is no file of weights. Check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FetchError(f"{path}: cannot be read as weights ({reason}). Get it again.") from error
    state = found.get("model", found) if isinstance(found, dict) else {}  # some wrap what they trained in its state
    if not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise FetchError(f"{path}: holds something other than named tensors. Pass the file as it was published.")
    return dict(state)
