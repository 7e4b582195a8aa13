"""Tables in the encodings that people have, and labels that went through a wrong one."""

from __future__ import annotations

import logging
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.data import read_manifest
from earmark.data.readers.encodings import find_encoding, repair
from earmark.errors import ManifestError

WORDS = {
    "german": "Glöckchen Gebläse Möwe Schlüssel Fußgänger Böe Türgong Käuzchen Bügelsäge Ölpumpe Rührgerät Straße",
    "french": "sifflet-à-roulette rivière tempête école fontaine-gelée crécelle flûte marée bébé tracteur-à-l’arrêt",
    "spanish": "gorrión trueno-lejano cañón río jabalí mosquito-pequeño violín tractor-eléctrico niña ratón",
    "portuguese": "leitão sabiá chuva-de-verão máquina ônibus violão maré avó trovoada-próxima aviões",
    "swedish": "åskväder mås tåg gök vattenpöl dörrklocka sågverk fläkt kör höna",
    "finnish": "räkättirastas myrsky pöllö lämmitys kyyhkynen ääni jäätelöauto sähkömoottori tyttö",
    "chinese": "海鸥 火车 敲键盘 打喷嚏 小提琴 青蛙 水滴 闹钟 直升机 拖拉机 教堂的钟声 鼓掌",
    "japanese": "カモメ 電車 キーボード くしゃみ バイオリン 蛙 水滴 目覚まし時計 ヘリコプター 拍手 教会の鐘",
}
ENCODINGS = dict.fromkeys(WORDS, ("cp1252", "mac_roman")) | {"chinese": ("gb18030",), "japanese": ("cp932",)}


def made_tables(n_rows: int, n_tables: int = 40):
    """(language, encoding, text) of tables of labels, with columns in ASCII beside."""
    draw = random.Random(0)
    for language, words in WORDS.items():
        for encoding in ENCODINGS[language]:
            for _ in range(n_tables):
                labels = [draw.choice(words.split()) for _ in range(n_rows)]
                lines = [f"{row}.wav,{label},{row % 5},forest" for row, label in enumerate(labels)]
                text = "file,label,fold,site\n" + "\n".join(lines) + "\n"
                if not text.isascii() and not is_utf_8(text.encode(encoding, "replace")):
                    yield language, encoding, text


def is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def table(folder: Path, data: bytes, *names: str) -> Path:
    for name in ("1.wav", "2.wav", *names):
        (folder / name).touch()
    (folder / "t.csv").write_bytes(data)
    return folder / "t.csv"


@pytest.mark.parametrize(("n_rows", "least"), [(3, 0.97), (10, 0.995)])
def test_the_encoding_of_small_tables_is_told_by_their_characters(n_rows, least):
    right = []
    for _, encoding, text in made_tables(n_rows):
        data = text.encode(encoding, "replace")
        try:
            found = find_encoding(data, Path("t.csv"), None, list).name
        except ManifestError:
            found = "ascii"
        right.append(data.decode(found, "replace") == data.decode(encoding))
    assert len(right) > 400
    assert sum(right) / len(right) >= least


def test_charset_normalizer_is_worse_at_it():
    charset_normalizer = pytest.importorskip("charset_normalizer")
    right = []
    for _, encoding, text in made_tables(3):
        data = text.encode(encoding, "replace")
        among = ["cp1252", "mac_roman", "gb18030", "cp932"]
        best = charset_normalizer.from_bytes(data, cp_isolation=among, threshold=1.0).best()
        right.append(best is not None and str(best) == data.decode(encoding))
    assert sum(right) / len(right) < 0.9


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "cp932", "cp1252", "mac_roman"]
)
@pytest.mark.parametrize("header", ["file,label", '"file","label"'])
def test_tables_read_the_same_in_every_encoding(tmp_path, encoding, header, caplog):
    label = {"gb18030": "狗叫", "cp932": "犬の声"}.get(encoding, "Türklingel")
    path = table(tmp_path, f"{header}\r\n1.wav,{label}\r\n2.wav,cat\r\n".encode(encoding))
    with caplog.at_level(logging.INFO):
        manifest = read_manifest(path)
    assert set(manifest.vocabulary) == {label, "cat"}
    said = [record for record in caplog.records if "read as" in record.message]
    assert bool(said) == (encoding not in ("utf-8", "utf-8-sig"))
    if encoding in ("gb18030", "cp932", "cp1252", "mac_roman"):
        assert f"read as {encoding} ('{label}'). Pass --encoding if that is wrong" in caplog.text
        assert said[0].levelno == logging.WARNING


def test_names_of_files_that_exist_decide(tmp_path, caplog):
    data = "file,label\n1.wav,dog\nbúho.wav,cat\n".encode("mac_roman")  # as cp1252 it is just as good: bœho
    (tmp_path / "other").mkdir()
    assert find_encoding(data, Path("t.csv"), None, list).name == "cp1252"
    with caplog.at_level(logging.INFO):
        manifest = read_manifest(table(tmp_path, data, "búho.wav"))
    assert manifest.table["path"].tolist() == ["1.wav", "búho.wav"]
    assert "read as mac_roman, in which 2 names of files that exist stand in it" in caplog.text


def test_names_may_be_composed_otherwise_on_disk():
    data = "file,label\nbúho,dog\n".encode("mac_roman")
    names = [unicodedata.normalize("NFD", "búho")]
    assert find_encoding(data, Path("t.csv"), None, lambda: names).name == "mac_roman"


def test_a_given_encoding_is_taken(tmp_path):
    path = table(tmp_path, "file,label\n1.wav,собака\n2.wav,кот\n".encode("koi8-r"))
    assert read_manifest(path, encoding="koi8-r").vocabulary.labels == ("кот", "собака")


def test_an_encoding_that_does_not_exist_or_does_not_fit_is_refused(tmp_path):
    path = table(tmp_path, "file,label\n1.wav,dog\n2.wav,Größe\n".encode("cp1252"))
    with pytest.raises(ManifestError, match="'cp125' is no text encoding that Python knows"):
        read_manifest(path, encoding="cp125")
    with pytest.raises(ManifestError, match="'rot13' is no text encoding"):
        read_manifest(path, encoding="rot13")
    with pytest.raises(ManifestError, match="t.csv row 3: byte 0xf6 is not utf-8. Save the table as UTF-8, or pass"):
        read_manifest(path, encoding="utf-8")


def test_damage_in_utf_8_is_located_not_taken_for_another_encoding(tmp_path):
    data = "file,label\n1.wav,Größe\n2.wav,Türe\n".encode().replace("ü".encode(), b"\xfc")
    with pytest.raises(ManifestError, match="row 3: byte 0xfc is not utf-8"):
        read_manifest(table(tmp_path, data))


@pytest.mark.parametrize("encoding", ["cp1251", "big5"])
def test_what_cannot_be_told_is_asked_for(tmp_path, encoding):
    label = "雷聲" if encoding == "big5" else "собака"
    with pytest.raises(ManifestError, match="row 2: is not UTF-8, and it cannot be told what else"):
        read_manifest(table(tmp_path, f"file,label\n1.wav,{label}\n".encode(encoding)))


@pytest.mark.parametrize("name", ["dog.wav", "dog.flac", "dog.ogg"])
def test_a_sound_is_no_table(tmp_path, name):
    audio.write(tmp_path / name, np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 8000)
    with pytest.raises(ManifestError, match=rf"{name}: is no table of text .* Pass a CSV, or the folder of the sounds"):
        read_manifest(tmp_path / name)


def test_a_cut_utf_16_table_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="is not utf-16-le"):
        read_manifest(table(tmp_path, "file,label\n1.wav,dog\n".encode("utf-16")[:-1]))


# Labels read in a wrong encoding


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        *(("utf-8", wrong) for wrong in ("cp1252", "mac_roman", "gb18030", "cp932")),
        *(("gb18030", "cp1252"), ("cp932", "cp1252"), ("mac_roman", "cp1252"), ("cp1252", "mac_roman")),
    ],
)
def test_mojibake_is_repaired_and_never_worsened(right, wrong):
    n_made = n_repaired = 0
    for language in WORDS if right == "utf-8" else [name for name in WORDS if right in ENCODINGS[name]]:
        for word in WORDS[language].split():
            try:
                mojibake = word.encode(right).decode(wrong)
            except UnicodeError:
                continue
            if mojibake != word:
                n_made += 1
                n_repaired += repair(mojibake) == word
                assert repair(mojibake) in (word, mojibake)
    least = 0.8 if right == "utf-8" else 0.1  # single letters in one byte: little to go by
    assert n_repaired >= least * n_made > 0, n_repaired / n_made


def test_sound_labels_are_left_alone():
    words = [word for words in WORDS.values() for word in words.split()]
    words += [
        "FORÊT",
        "ÉCOUTE",
        "São",
        "CO₂",
        "собака",
        "ćma",
        "5×7",
        "Þórr",
        "Ðuro",
        "m²",
        "µm",
        "Ñandú",
        "λ",
        "naïve",
    ]
    words += ["L’été", "강아지", "NAÏVE", "ÅÄÖ", "🐕", "½", "¿Qué?", "«oui»", "Å", "20 °C", "10–20", "Œuvre", "Ærø"]
    assert [repair(word) for word in words] == words


def test_mojibake_labels_are_told_with_the_repaired_text_once_each(tmp_path, caplog):
    text = "file,label\n1.wav,cat\n2.wav,GrÃ¶ÃŸe\n3.wav,GrÃ¶ÃŸe\n4.wav,d\ufffdg\n"
    path = table(tmp_path, text.encode(), "3.wav", "4.wav")
    problems = []
    assert len(read_manifest(path, problems=problems)) == 4
    assert [(found.path, found.problem, found.detail) for found in problems] == [
        ("2.wav", "mojibake_label", "label 'GrÃ¶ÃŸe' should read 'Größe'"),
        ("4.wav", "mojibake_label", "label 'd\ufffdg' has lost characters"),
    ]
    read_manifest(path)
    assert caplog.text.count("label 'GrÃ¶ÃŸe' should read 'Größe'") == 1
