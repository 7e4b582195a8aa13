"""Sound in and out: files to mono float32 waveforms at the rate that is asked for, and back.

The rate is decided here, once. A file that cannot be read is an AudioError, never silence.
"""

from earmark.audio.decode import blocks, load, read_frames
from earmark.audio.encode import write
from earmark.audio.probe import AudioInfo, is_sound, probe, read_header
from earmark.audio.sound import CutOffError

__all__ = ["AudioInfo", "CutOffError", "blocks", "is_sound", "load", "probe", "read_frames", "read_header", "write"]
