"""What a sound file is, without decoding it; and the one way to open it, with an error that helps."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import soundfile

from earmark.audio.undercount import undercount
from earmark.errors import AudioError

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".w64", ".rf64", ".caf"),
)
CONVERTIBLE = (
    *(".m4a", ".aac", ".mp4", ".m4b", ".mov", ".3gp", ".webm", ".mkv", ".mka"),
    *(".wma", ".wmv", ".ac3", ".amr", ".ape", ".wv", ".avi", ".dsf"),
)
LOWEST_RATE, HIGHEST_RATE = 100, 4_000_000  # Hz; from infrasound loggers to ultrasound cards

_FOREIGN_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the sound itself. Fetch it with `git lfs pull`."),
    (b"<!doctype", "a web page. Fetch the sound again."),
    (b"<html", "a web page. Fetch the sound again."),
)


@dataclass(frozen=True)
class AudioInfo:
    """A sound file's facts.

    sample_rate: Hz. n_channels: count. seconds: duration.
    format, subtype: libsndfile's words, such as "WAV" and "PCM_16".
    """

    sample_rate: int
    n_channels: int
    seconds: float
    format: str
    subtype: str


class SequentialFile(soundfile.SoundFile):
    """A sound file read from front to back.

    soundfile seeks to where it already is after every read: that disturbs MP3 decoding in the last bits, and
    fails at the end of a stream of unknown length. Not being "seekable" leaves that out; `seek` still works.
    """

    def seekable(self) -> bool:
        """Never: see above."""
        return False

    @property
    def length_is_known(self) -> bool:
        """False for streams whose header does not say how long they are (FLAC written to a pipe)."""
        return self.frames < 2**62


def require_file(path: Path) -> os.stat_result:
    """Refuse what is not a regular file before it is opened: a pipe or a device would hang.

    Raises:
        AudioError: missing, a folder, a pipe or device, unreachable, or empty.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise AudioError(f"{path}: there is no such file. Check the path.") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be reached ({error.strerror}). Check its permissions.") from error
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise AudioError(f"{path}: is {found}, not a sound file. Give the path of a file.")
    if status.st_size == 0:
        raise AudioError(f"{path}: is empty (0 bytes). Fetch or record it again.")
    return status


def open_sound(path: Path) -> SequentialFile:
    """Open a sound file for reading.

    Raises:
        AudioError: it is no sound that can be decoded; the text says what it is and what to do.
    """
    require_file(path)
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror}). Check its permissions.") from error
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path}: raw samples say neither rate nor format. Convert the file to WAV or FLAC.")
    try:
        # Bytes on POSIX: a name that is not UTF-8 must open too.
        file = SequentialFile(os.fspath(path) if sys.platform == "win32" else os.fsencode(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: {_diagnosis(path, start, error)}") from error
    problem = _header_problem(file) or undercount(path, file.format, file.frames)
    if problem:
        file.close()
        raise AudioError(f"{path}: {problem}")
    return file


def probe(path: str | Path) -> AudioInfo:
    """Read a sound file's header.

    Raises:
        AudioError: the file cannot be read as sound.
    """
    with open_sound(Path(path)) as file:
        frames = file.frames
        if not file.length_is_known:
            frames = 0
            while block := len(file.read(1 << 16, dtype="float32")):
                frames += block
        return AudioInfo(file.samplerate, file.channels, frames / file.samplerate, file.format, file.subtype)


def _header_problem(file: SequentialFile) -> str:
    """What a header that libsndfile accepts can still have wrong; "" if nothing."""
    if file.frames == 0:
        return "holds no sound (0 samples). Remove it, or record or fetch it again."
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        return f"claims a sample rate of {file.samplerate} Hz, so its header is damaged. Fetch it again."
    return ""


def _diagnosis(path: Path, start: bytes, error: soundfile.LibsndfileError) -> str:
    """Why libsndfile refused the file, from its first bytes and its name, and what to do."""
    suffix = path.suffix.lower()
    for foreign, text in _FOREIGN_STARTS:
        if start.lstrip().lower().startswith(foreign):
            return f"is {text}"
    if suffix in CONVERTIBLE:
        return f"{suffix[1:]} needs conversion to WAV or FLAC (for example with ffmpeg)."
    shown = start[:12].decode("ascii", "replace").encode("ascii", "replace").decode()
    printable = "".join(character if character.isprintable() else "." for character in shown)
    reason = error.error_string.rstrip(".")
    return (
        f"is not a sound that can be decoded ({reason}; it starts with '{printable}'). "
        "Fetch it again, or convert it to WAV or FLAC."
    )
