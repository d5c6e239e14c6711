"""Encodings of texts, found out from their bytes."""

import pytest

from transforms.readers.clues.encodings import find_encoding

TEXTS = {
    "de": "1;Löffel groß;12,90\n2;Schüssel weiß;3\n",
    "fr": "1;Crème brûlée à la vanille;12,90\n2;Pâté de forêt\n",
    "pl": "1;Łyżka żółta;12\n2;Świeca źródło\n3;Kubek ze stali, pojemność 300 ml\n",
    "cs": "1;Žlutý hrnek příliš;12\n2;Lžíce nerez\n",
    "ru": "1;Ложка жёлтая;12\n2;Чайник стальной\n",
    "el": "1;Κίτρινο κουτάλι;12\n2;Μεταλλικός βραστήρας\n",
    "tr": "1;Şeker kaşığı ığdır;12\n",
    "ja": "1;コーヒーカップ;1200\n2;黄色いスプーン\n",
    "ja-json": '1;"{""ja"": ""エレキギター""}"\n2;"{""ja"": ""バイソン""}"\n',
    "zh": "1;不锈钢水壶;12\n2;黄色勺子\n",
    "ko": "1;스테인리스 주전자;12\n2;노란 숟가락\n",
    "sv": "1;Gul sked för smörgås på;12\n",
}


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        *((language, "utf-8") for language in TEXTS),
        *((language, "utf-8-sig") for language in TEXTS),
        *((language, "utf-16") for language in TEXTS),
        *((language, "cp1252") for language in ("de", "fr", "sv")),
        ("de", "mac-roman"),
        ("pl", "cp1250"),
        ("pl", "iso8859-2"),
        ("cs", "cp1250"),
        ("ru", "cp1251"),
        ("ru", "koi8-r"),
        ("ru", "cp866"),
        ("el", "cp1253"),
        ("tr", "cp1254"),
        ("ja", "cp932"),
        ("ja", "euc-jp"),
        ("ja-json", "cp932"),
        ("ja-json", "euc-jp"),
        ("zh", "gb18030"),
        ("ko", "cp949"),
    ],
)
def test_a_text_is_read_as_it_was_written(language, encoding):
    """A few words are enough to tell the encoding that their language is written in."""
    data = TEXTS[language].encode(encoding)
    found = find_encoding(data)
    assert not found.rival
    assert data.decode(found.name).removeprefix("\ufeff") == TEXTS[language]


def test_a_damaged_line_makes_no_other_encoding():
    """Where other lines are UTF-8, a line that is not is damaged, and stays so."""
    data = "1;Löffel\n2;Teller weiß\n".encode() + b"3;M\xfcsli\n4;plain\n"
    assert find_encoding(data).name == "utf-8"


def test_wide_characters_without_a_mark():
    """UTF-16 that lacks its byte order mark is told by the zeros between its letters."""
    assert find_encoding("id;name\n1;Kettle\n".encode("utf-16-le")).name == "utf-16-le"
    assert find_encoding("id;name\n1;Kettle\n".encode("utf-16-be")).name == "utf-16-be"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("sku;price\n1;5 €\n2;6 €\n", "cp1252"),
        ("sku;price\n1;5 €\n2;6 €\n", "iso8859-15"),
        ("sku;name;price\n1;Mug;5 €\n2;cœur;6 €\n", "iso8859-15"),
        ("sku;name\n1;Kessel 20 °C\n2;½ Liter\n3;Marke™\n", "cp1252"),
        ("sku;name\n1;Löffel\n2;Größe\n", "mac-roman"),
        ("sku;name\n1;Löffel\n2;Größe\n", "cp850"),
        ("sku;name\n1;Café\n2;Mug\n", "cp1252"),
        ("sku;name\n1;When Dracula—obsessed—comes\n2;Mug\n", "cp1252"),
        ("sku§name§price\n1§Mug§5\n2§Cup§6\n3§Pan§7\n", "cp1252"),
        ("sku¦name\n1¦Löffel\n2¦Pan\n3¦Größe\n", "cp1252"),
    ],
)
def test_a_few_signs_are_no_other_alphabet(text, encoding):
    """Signs, delimiters and a few letters of the west are not read as single letters of another
    alphabet, as capitals within words, or as signs between letters.
    """
    data = text.encode(encoding)
    found = find_encoding(data)
    assert not found.rival
    assert data.decode(found.name) == text


@pytest.mark.parametrize("language", sorted(set(TEXTS) - {"ja-json"}))
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_characters_of_any_language_without_a_mark(language, encoding):
    """UTF-16 without its mark is told in every script: digits and line ends have zeros."""
    assert find_encoding(TEXTS[language].encode(encoding)).name == encoding
