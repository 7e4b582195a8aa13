"""In which encoding a table is written, and labels that were read in a wrong one.

UTF-8 and UTF-16 are told by their structure. For the others, names of files that exist are the strongest evidence:
the encoding in which the table names them is the right one. Without it, each reading is marked by how plausible its
characters are where they stand: accented small letters inside words, common Han characters, kana.
On made tables of three rows in eight languages the marks are right for 99 %, where charset-normalizer, choosing
between the same four encodings, is right for 77 % (tests/data/test_encodings.py).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import ftfy

from earmark.errors import ManifestError

UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
SAMPLE_BYTES = 65536
PLAUSIBLE = 0.3  # the mean mark from which an encoding is believed, found on made tables
SURE = 0.7  # the mean mark from which a label is believed to have been mended

_SMALL, _CAPITAL = "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßœ", "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝŒŸŠŽÐÞ"
_RARE = "šžðþ"
_WORDS = "àéèùòyåæ"  # letters that are words by themselves
_OPENING, _CLOSING = "“«¿¡„", "”»"
_APART = "–—…•€£°§©®™²³µ½ªº"  # signs that stand in no word


class Encoding(NamedTuple):
    """In which encoding a table is read; it can be decoded by it.

    remark: what to say about it, "" for nothing. certain: whether there was evidence beyond likelihood.
    """

    name: str
    remark: str = ""
    certain: bool = True


def find_encoding(data: bytes, path: Path, wanted: str | None, names: Callable[[], Iterable[str]]) -> Encoding:
    """The encoding of a table.

    Args:
        data: the table's bytes.
        path: of the table, for texts.
        wanted: the encoding to use, None to find it.
        names: gives names of files that the table may name; asked only if needed.

    Raises:
        ManifestError: it is no text, or the encoding is unknown, is not the table's, or cannot be told.

    >>> find_encoding("file,label\\n1.wav,Türe".encode("mac_roman"), Path("t.csv"), None, list).name
    'mac_roman'
    """
    if wanted is not None:
        _try(data, path, wanted)
        return Encoding(wanted)
    encoding = UTF_16.get(data[:2]) or _bare_utf_16(data[:4096])
    if encoding is not None:
        _try(data, path, encoding)
        return Encoding(encoding, f"read as {encoding.upper()}")
    if b"\0" in data[:4096]:
        raise ManifestError(
            f"{path}: is no table of text (it holds zero bytes, as sounds do). Pass a CSV, or the folder of the sounds."
        )
    try:
        data.decode()
    except UnicodeDecodeError:
        _refuse_broken_utf_8(data, path)
        return _guess(data, path, names)
    return Encoding("utf-8")


def _try(data: bytes, path: Path, encoding: str) -> None:
    """Refuse an encoding that does not exist or does not fit."""
    try:
        data.decode(encoding)
    except LookupError as error:
        raise ManifestError(
            f"{path}: '{encoding}' is no text encoding that Python knows. Pass one such as utf-8, gb18030, cp932, "
            "cp1252 or mac_roman with --encoding, or none to have it found."
        ) from error
    except UnicodeDecodeError as error:
        row = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        raise ManifestError(
            f"{path} row {row}: byte 0x{data[error.start]:02x} is not {encoding}. Save the table as UTF-8, or pass "
            "its encoding with --encoding."
        ) from error


def _bare_utf_16(start: bytes) -> str | None:
    """UTF-16 without a byte order mark: the zeros of its ASCII signs are all on one side."""
    first, second = start[::2].count(0), start[1::2].count(0)
    if max(first, second) * 8 < len(start) or min(first, second) * 8 > max(first, second):
        return None
    return "utf-16-be" if first > second else "utf-16-le"


def _refuse_broken_utf_8(data: bytes, path: Path) -> None:
    """Refuse a table most of whose signs are UTF-8: the others are damage, not another encoding."""
    text = data.decode(errors="surrogateescape")
    others = re.findall(r"[^\x00-\x7f]", text)
    if len(others) > 2 * sum("\udc80" <= sign <= "\udcff" for sign in others):
        _try(data, path, "utf-8")


def _guess(data: bytes, path: Path, names: Callable[[], Iterable[str]]) -> Encoding:
    """The likeliest of the encodings that were in use before UTF-8."""
    lines = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    readings = {
        encoding: lines[:SAMPLE_BYTES].decode(encoding, "ignore") for encoding in MARKS if _fits(data, encoding)
    }
    foreign = {unicodedata.normalize("NFC", name) for name in names() if not name.isascii()}
    found = {
        encoding: sum(name in unicodedata.normalize("NFC", text) for name in foreign)
        for encoding, text in readings.items()
    }
    most = max(found.values(), default=0)
    if most:
        readings = {encoding: text for encoding, text in readings.items() if found[encoding] == most}
    marks = {encoding: MARKS[encoding](text) for encoding, text in readings.items()}
    best = max(marks, key=marks.__getitem__, default=None)
    if best is None or (marks[best] < PLAUSIBLE and not most):
        row = data[: re.search(rb"[\x80-\xff]", data).start()].count(b"\n") + 1
        raise ManifestError(
            f"{path} row {row}: is not UTF-8, and it cannot be told what else ({', '.join(MARKS)} do not fit). Save "
            "the table as UTF-8, or pass its encoding with --encoding."
        )
    if most:
        return Encoding(best, f"read as {best}, in which {most} names of files that exist stand in it")
    example = re.search(r"[^,;\t\n\r\"]*[^\x00-\x7f][^,;\t\n\r\"]*", readings[best]).group()
    return Encoding(best, f"read as {best} ('{example}'). Pass --encoding if that is wrong.", certain=False)


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _western(text: str) -> float:
    """Mean mark of the signs beyond ASCII as those of a western European language, −3 to 1."""
    marks = []
    for match in re.finditer(r"[^\x00-\x7f]", text):
        sign, at = match.group(), match.start()
        before, after = text[at - 1 : at] or " ", text[at + 1 : at + 2] or " "
        mark = _western_mark(sign, before, after)
        if sign in "’‘" and before.isalpha() and after.isalpha():
            elided = not text[max(at - 2, 0) : at - 1].isalpha()  # l’eau
            mark = 1.0 if elided or (after in "stm" and not text[at + 2 : at + 3].isalpha()) else 0.0  # dog’s
        marks.append(mark - 2 * (not before.isascii() and not after.isascii()))  # such rows are of another script
    return sum(marks) / max(len(marks), 1)


def _western_mark(sign: str, before: str, after: str) -> float:
    """How well one sign stands between two others."""
    inside = before.isalpha() and after.isalpha()
    if sign in _SMALL:
        in_word = (before.isalpha() or after.isalpha() or sign in _WORDS) and not after.isupper()
        return 1.0 if in_word else 0.0
    if sign in _CAPITAL:
        return -1.0 if before.islower() else 0.8
    if sign in "’‘":
        return 1.0
    if sign in _OPENING:
        return -1.0 if before.isalpha() else 1.0
    if sign in _CLOSING:
        return -1.0 if after.isalpha() else 1.0
    if sign in _APART:
        return -1.0 if inside or (sign == "€" and after.isalpha()) else 1.0 if sign in "–°€…" else 0.5
    return 0.5 if sign in _RARE else -1.0


def _eastern(text: str, mark_of: Callable[[str], float]) -> float:
    """Mean mark of the signs beyond ASCII as those of an East Asian language, −1.5 to 1."""
    marks = []
    for match in re.finditer(r"[^\x00-\x7f]", text):
        # A Han character next to a small Latin letter is seldom meant.
        beside = text[max(match.start() - 1, 0) : match.start()] + text[match.end() : match.end() + 1]
        marks.append(mark_of(match.group()) - 0.5 * any("a" <= sign <= "z" for sign in beside))
    return sum(marks) / max(len(marks), 1)


def _chinese_mark(sign: str) -> float:
    """GB 2312 orders the commonest 3,755 Han characters first, the rarer after, and GBK adds those hardly met."""
    code = sign.encode("gb18030")
    if len(code) != 2 or code[1] < 0xA1:
        return -1.0
    if 0xB0 <= code[0] <= 0xD7:
        return 1.0
    return 0.5 if code[0] in (0xA1, 0xA3) else -0.2 if 0xD8 <= code[0] <= 0xF7 else -1.0


def _japanese_mark(sign: str) -> float:
    """Kana and the kanji of JIS level 1 are common; half-width katakana are what other encodings look like."""
    code = sign.encode("cp932")
    if len(code) == 1:
        return -0.5
    if 0x82 <= code[0] <= 0x83 or 0x88 <= code[0] <= 0x97:
        return 1.0
    return 0.5 if code[0] == 0x81 else -0.2 if code[0] <= 0x9F else -0.5


# How plausible a text is as one of an encoding, the likelier encoding first where marks are equal.
MARKS: dict[str, Callable[[str], float]] = {
    "cp1252": _western,
    "mac_roman": _western,
    "gb18030": lambda text: _eastern(text, _chinese_mark),
    "cp932": lambda text: _eastern(text, _japanese_mark),
}


def repair(label: str) -> str:
    """A label as it was before it was read in a wrong encoding; a sound label as it is.

    >>> repair("GrÃ¶ÃŸe"), repair("Größe"), repair("¹·½Ð"), repair("cafŽ")
    ('Größe', 'Größe', '狗叫', 'café')
    """
    if label.isascii():
        return label
    for wrong in ("cp1252", "mac_roman", "gb18030", "cp932"):
        text = _reread(label, wrong, "utf-8")
        beside_ascii = wrong in ("cp1252", "mac_roman") or re.search(r"[a-z][^\x00-\x7f]|[^\x00-\x7f][a-z]", label)
        if text and (
            all(sign >= "\u0800" or sign.isascii() for sign in text) or (beside_ascii and _western(text) > SURE)
        ):
            return text
    if _western(label) < 0:
        texts = {_reread(label, wrong, right): right for wrong in ("cp1252", "mac_roman") for right in MARKS}
        likely = [text for text, right in texts.items() if text != label and text and MARKS[right](text) > SURE]
        if len(likely) == 1:
            return likely[0]
    fixed = ftfy.fix_encoding(label)
    return label if ftfy.is_bad(fixed) else fixed


def _reread(text: str, wrong: str, right: str) -> str:
    """The text that was decoded by a wrong encoding, decoded by another; empty where it cannot have been."""
    try:
        return text.encode(wrong).decode(right)
    except UnicodeError:
        return ""
