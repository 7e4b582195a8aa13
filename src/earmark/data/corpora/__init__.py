"""Public data sets: where they are, what they hold, and how their own tables are read.

Names and facts are here without any heavy package; `earmark.data.corpora.get` downloads, checks and writes manifests.
"""

from __future__ import annotations

from earmark.data.corpora.corpus import Corpus
from earmark.data.corpora.esc import ESC10, ESC50
from earmark.data.corpora.fsd50k import FSD50K
from earmark.data.corpora.fsdkaggle import FSDKAGGLE2018, FSDKAGGLE2019
from earmark.data.corpora.speech_commands import SPEECH_COMMANDS
from earmark.data.corpora.urbansound8k import URBANSOUND8K
from earmark.errors import ConfigError
from earmark.lookup import did_you_mean

CORPORA: dict[str, Corpus] = {
    "esc50": ESC50,
    "esc10": ESC10,
    "urbansound8k": URBANSOUND8K,
    "fsdkaggle2018": FSDKAGGLE2018,
    "fsdkaggle2019": FSDKAGGLE2019,
    "fsd50k": FSD50K,
    "speech_commands": SPEECH_COMMANDS,
}


def find_corpus(name: str) -> Corpus:
    """The data set of a name.

    Raises:
        ConfigError: there is none of that name.

    >>> find_corpus("esc50").title
    'ESC-50'
    """
    if name not in CORPORA:
        raise ConfigError(
            f"'{name}' is not a known data set{did_you_mean(name, CORPORA)}. `earmark data list` shows them."
        )
    return CORPORA[name]
