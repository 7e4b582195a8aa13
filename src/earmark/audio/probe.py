"""What a sound file is, mostly without decoding it; and the one way to open it, with errors that help."""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from earmark.audio.chunks import MAGICS, chunk_parts, is_mpeg
from earmark.audio.flac import flac_parts
from earmark.audio.media import is_available, open_media
from earmark.audio.mpeg import foreign_bytes, mpeg_parts
from earmark.audio.ogg import ogg_parts
from earmark.audio.parts import Part
from earmark.audio.sound import CutOffError, PartsSound, Sound, Watch, watch_nothing
from earmark.errors import AudioError

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".w64", ".rf64", ".caf"),
)
# What PyAV decodes: suffix → the codec it mostly holds.
CONVERTIBLE = {
    **dict.fromkeys((".m4a", ".aac", ".mp4", ".m4b", ".mov", ".3gp"), "AAC"),
    **dict.fromkeys((".webm", ".mkv", ".mka"), "Matroska"),
    **dict.fromkeys((".wma", ".wmv", ".asf"), "WMA"),
    ".ac3": "AC-3",
    ".amr": "AMR",
    ".ape": "Monkey's Audio",
    ".wv": "WavPack",
    ".avi": "AVI",
    ".dsf": "DSD",
    ".spx": "Speex",
    ".tta": "TTA",
    ".flv": "Flash video",
    ".eac3": "E-AC-3",
    ".dts": "DTS",
}
LOWEST_RATE, HIGHEST_RATE = 100, 4_000_000  # Hz; from infrasound loggers to ultrasound cards

_AGAIN = "Fetch the sound again."
_FOREIGN_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the sound itself. Fetch it with `git lfs pull`."),
    *((start, f"a web page. {_AGAIN}") for start in (b"<!doctype", b"<html", b"<head", b"<body", b"<!--")),
    (b"<?xml", f"an XML document. {_AGAIN}"),
    *((start, f"a JSON document. {_AGAIN}") for start in (b'{"', b"{}", b'[{"', b"{\n", b"{\r\n")),
    *((start, "an archive. Unpack it.") for start in (b"pk\3\4", b"\x1f\x8b", b"7z\xbc\xaf", b"rar!", b"\xfd7zxz")),
    (b"%pdf-", f"a PDF document. {_AGAIN}"),
)
_SOUND_STARTS = (b"fLaC", b"OggS", b"ID3", b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"\xff\xfb", b"\xff\xfa")
_SOUND_STARTS += (b"\xff\xf3", b"\xff\xf2", b"wvpk")
_MEDIA_STARTS = (  # where, what, codec
    *((4, b"ftyp", "AAC"), (0, b"\xff\xf1", "AAC"), (0, b"\xff\xf9", "AAC"), (0, b"\x0b\x77", "AC-3")),
    *((0, b"\x1a\x45\xdf\xa3", "Matroska"), (0, b"\x30\x26\xb2\x75", "WMA"), (0, b"wvpk", "WavPack")),
    *((0, b"MAC ", "Monkey's Audio"), (0, b"#!AMR", "AMR"), (28, b"Speex", "Speex")),
)
_OGG_SUFFIXES = (".ogg", ".oga", ".opus")
_MPEG_SUFFIXES = (".mp3", ".mp2", ".mp1", ".mpga", ".mpa")


@dataclass(frozen=True)
class AudioInfo:
    """A sound file's facts.

    sample_rate: Hz. n_channels: count. seconds: duration; None where only the header was read and does not say.
    format, subtype: the decoder's words, such as "WAV" and "PCM_16".
    """

    sample_rate: int
    n_channels: int
    seconds: float | None
    format: str
    subtype: str


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


def is_sound(path: str | Path) -> bool:
    """Whether a file is meant to be a sound, by its suffix or, without one, by its first bytes.

    Only regular files are opened, so that no pipe can block. What cannot be reached is judged by its name.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = stat.S_IFREG if path.suffix else 0
    if path.suffix:
        return path.suffix.lower() in (*SUFFIXES, *CONVERTIBLE) and not stat.S_ISDIR(mode)
    if not stat.S_ISREG(mode):
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    if start[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX", b"FORM"):
        return start[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    return start.startswith(_SOUND_STARTS)


def open_sound(path: Path, watch: Watch = watch_nothing) -> Sound:
    """Open a sound file for reading.

    Args:
        path: of the file.
        watch: told what is decoded.

    Raises:
        AudioError: it is no sound that can be decoded; the text says what it is and what to do.
    """
    require_file(path)
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data[:64]
            if foreign := _foreign(path, start):
                raise AudioError(f"{path}: {foreign}")
            parts = _parts(path, data)
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror}). Check its permissions.") from error
    try:
        sound: Sound | None = PartsSound(path, parts, watch)
    except soundfile.LibsndfileError as error:
        if any(part.cut for part in parts):
            raise CutOffError(
                f"{path}: is cut off before anything of it can be decoded. Fetch it again.", 0.0, None
            ) from error
        sound = open_media(path, watch)
        if sound is None:
            raise AudioError(f"{path}: {_diagnosis(path, start, error)}") from error
    if problem := _header_problem(sound):
        sound.close()
        raise AudioError(f"{path}: {problem}")
    return sound


def probe(path: str | Path) -> AudioInfo:
    """Read a sound file's header. Where it does not say how long the sound is, decode it.

    Raises:
        AudioError: the file cannot be read as sound.
    """
    with open_sound(Path(path)) as sound:
        info = _info(sound)
        if info.seconds is None:
            n_samples = sum(len(frames) for frames in sound.frames(0, None))
            info = replace(info, seconds=n_samples / sound.sample_rate)
        return info


def read_header(path: str | Path, watch: Watch = watch_nothing) -> AudioInfo:
    """What a sound file's header says, nothing decoded: its `seconds` are None where the header does not say.

    Args:
        path: of the file.
        watch: asked on the way through a file of many parts.

    Raises:
        AudioError: the file cannot be read as sound.
    """
    with open_sound(Path(path), watch) as sound:
        return _info(sound)


def _info(sound: Sound) -> AudioInfo:
    seconds = None if sound.n_claimed is None else sound.n_claimed / sound.sample_rate
    return AudioInfo(sound.sample_rate, sound.n_channels, seconds, sound.format, sound.subtype)


def _parts(path: Path, data: mmap.mmap) -> tuple[Part, ...]:
    """The sounds in a file, as libsndfile reads them whole."""
    start = data[:12]
    whole = (Part(((0, len(data)),)),)
    suffix = path.suffix.lower()
    if start.startswith(MAGICS):
        return is_mpeg(data) and mpeg_parts(data) or chunk_parts(path, data)
    if start.startswith(b"OggS") or suffix in _OGG_SUFFIXES:
        return ogg_parts(path, data)
    behind_id3 = foreign_bytes(data, 0)
    if data[behind_id3 : behind_id3 + 4] == b"fLaC":
        return flac_parts(data, behind_id3)
    if behind_id3 or suffix in _MPEG_SUFFIXES or (start[:1] == b"\xff" and start[1:2] >= b"\xe2"):
        return mpeg_parts(data) or whole
    return whole


def _header_problem(sound: Sound) -> str:
    """What a header that could be read can still have wrong; "" if nothing."""
    if sound.n_samples == 0:
        return "holds no sound (0 samples). Remove it, or record or fetch it again."
    if not LOWEST_RATE <= sound.sample_rate <= HIGHEST_RATE:
        return f"claims a sample rate of {sound.sample_rate} Hz, so its header is damaged. Fetch it again."
    return ""


def _foreign(path: Path, start: bytes) -> str:
    """What a file is that is no sound, and what to do; "" if it may be one."""
    if path.suffix.lower() == ".raw":
        return "raw samples say neither rate nor format. Convert the file to WAV or FLAC."
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, as far as it is ASCII
        text = start[2:].replace(b"\0", b"").lstrip().lower()
    return next((f"is {what}" for foreign, what in _FOREIGN_STARTS if text.startswith(foreign)), "")


def _diagnosis(path: Path, start: bytes, error: soundfile.LibsndfileError) -> str:
    """Why nothing decodes the file, from its first bytes and its name, and what to do."""
    codec = next((name for at, sign, name in _MEDIA_STARTS if start[at:].startswith(sign)), None)
    codec = codec or CONVERTIBLE.get(path.suffix.lower())
    if codec and not is_available():
        return (
            f"{codec} needs the PyAV package to decode. pip install 'earmark[media]', or convert the file to WAV "
            "or FLAC."
        )
    shown = start[:12].decode("ascii", "replace").encode("ascii", "replace").decode()
    printable = "".join(character if character.isprintable() else "." for character in shown)
    reason = error.error_string.rstrip(".")
    return (
        f"is not a sound that can be decoded ({reason}; it starts with '{printable}'). "
        "Fetch it again, or convert it to WAV or FLAC."
    )
