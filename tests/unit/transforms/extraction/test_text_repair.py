"""Texts that programs have harmed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transforms.extraction.plain_text import to_plain_text
from transforms.extraction.text_repair import repair, repair_encoding, undo_escapes


@pytest.mark.parametrize(
    ("given_text", "meant"),
    [
        (r"Soft cotton tee.\n\nWash at 30 degrees.", "Soft cotton tee.\n\nWash at 30 degrees."),
        (r"Warm.\nBlue shell", "Warm.\nBlue shell"),
        (r"one size\nfits all", "one size\nfits all"),
        (r"Warm.\r\nBlue", "Warm.\nBlue"),
        (r"Warm.\\nBlue", "Warm.\nBlue"),
        (r"Size S:\nfits small", "Size S:\nfits small"),
        (r"Was $20.\nNow $15.", "Was $20.\nNow $15."),
        (r"Warm \u2013 Blue", "Warm – Blue"),
        (r"Smile \ud83d\ude00 now", "Smile 😀 now"),
        (r"12\" pan, and\/or it\'s", "12\" pan, and/or it's"),
        ("Warm_x000D_\nBlue", "Warm\r\nBlue"),
        (r"Blue.\nWarm", "Blue.\nWarm"),
        (r"Perfume\, Cologne", r"Perfume\, Cologne"),
        (r"data\new", r"data\new"),
        (r"C:\New", r"C:\New"),
        (r"see D:\data\notes now", r"see D:\data\notes now"),
        (r"on \\nas\share now", r"on \\nas\share now"),
        (r"the value $\nu$ of it", r"the value $\nu$ of it"),
        (r"match \d+\n here", r"match \d+\n here"),
        (r"half \ud83d here", "half � here"),
    ],
)
def test_escapes_in_prose(given_text, meant):
    """Escapes are undone where they can be nothing else; paths and formulas stay."""
    assert undo_escapes(given_text) == meant


def test_escapes_by_template():
    """`escapes: true` undoes all escapes, false none."""
    assert undo_escapes(r"data\new\\x\t\xe9", always=True) == "data\new\\x\té"
    assert undo_escapes(r"Warm.\nBlue \u2013", always=False) == r"Warm.\nBlue \u2013"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60), st.data())
def test_written_escapes_read_back(text, data):
    r"""Any text written with \n, \uXXXX, \\ and \" is read back where the template says so."""
    lines = f"{text}\n{data.draw(st.text('ab ', max_size=5))}"
    written = lines.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    escaped = "".join(c if c.isascii() else _escape(c) for c in written)
    assert undo_escapes(escaped, always=True) == lines


def _escape(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Café crème parka",
            "Größe M. Blue shell",
            "It’s “quoted”",
            "Über Ångström",
            "50 £ – 60 €",
        ),
        *("Привет мир", "日本語 Tee", "naïve façade", "Crème brûlée à la carte", "Żółw i jaźń"),
    ],
)
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_mojibake_is_undone(text, encoding):
    """UTF-8 that was decoded as a western encoding is read as what it was."""
    try:
        harmed = text.encode().decode(encoding)
    except UnicodeDecodeError:
        harmed = text.encode().decode("latin-1")
    assert repair_encoding(harmed) == (text, "repaired")
    assert repair_encoding(text) == (text, "")


@given(st.text("éèüößñçàâêÉÜÄÖ «»’“”–€£°²½ abc.", max_size=40))
def test_right_texts_stay(text):
    """A repair gives a text that would be harmed into the given one, or nothing is repaired."""
    repaired, outcome = repair_encoding(text)
    if outcome != "repaired":
        assert repaired == text
    else:
        assert len(repaired) < len(text)


@pytest.mark.parametrize(
    "text", ["CAFÉ»", "«À la carte»", "Preis 5 €", "Â la mode", "São Tomé", "ÑANDÚ°", "С° Москва"]
)
def test_texts_that_look_so_stay(text):
    """Letters and signs that stand side by side rightly are not taken for harm."""
    assert repair_encoding(text) == (text, "")


@pytest.mark.parametrize("text", ["Ã©tÃ© et été", "Ã  la carte, GrÃ¶Ãe"])
def test_what_cannot_be_undone_exactly_is_told(text):
    """Text that is harmed in parts stays as it is, and that is told."""
    assert repair_encoding(text) == (text, "doubtful")


def test_structures_and_lists():
    """Entries of lists and mappings are repaired, structures in texts keep their own escapes."""
    assert repair(["CafÃ©", "x"]) == (["Café", "x"], "repaired")
    assert repair({"en": r"A.\nB c"}) == ({"en": "A.\nB c"}, "")
    assert repair(r'["a\nb", "c"]') == (r'["a\nb", "c"]', "")
    same = [("en", "mug"), 5, None]
    assert repair(same)[0] is same


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<![CDATA[<p>Outer shell: Blue</p>]]>", "Outer shell: Blue"),
        ("&lt;![CDATA[Blue &amp; green]]&gt;", "Blue & green"),
        ("<p><![CDATA[Blue]]></p> shell", "Blue\nshell"),
        ("<![CDATA[cut off", "cut off"),
        ("a <![CDATA[b]]><![CDATA[c]]> d", "a b c d"),
    ],
)
def test_cdata(text, plain):
    """Marks of CDATA are none of a text's own characters."""
    assert to_plain_text(text) == plain


@given(st.text(max_size=80))
def test_never_raises(text):
    """Whatever a text holds, its reading is a text, and repairing twice changes nothing more."""
    assume("\\" not in text)
    repaired, outcome = repair(text)
    assert isinstance(repaired, str)
    assert outcome in ("", "repaired", "doubtful")
