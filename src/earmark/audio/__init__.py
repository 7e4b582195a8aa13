"""Sound in and out: files to mono float32 waveforms at the rate that is asked for, and back.

The rate is decided here, once. A file that cannot be read is an AudioError, never silence.
"""

from earmark.audio.decode import blocks, load
from earmark.audio.encode import write
from earmark.audio.probe import AudioInfo, probe

__all__ = ["AudioInfo", "blocks", "load", "probe", "write"]
