"""Plain text out of cells: markup goes, what people read stays."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import least_cpu_secs
from transforms.extraction.plain_text import decode_entities, to_plain_text, to_single_line

# Pieces of markup, text and invisible characters, to be thrown together at random.
MARKUP = "<p> </p> < > <b &amp; & amp; ; lt; &#60; &zwnj; <!-- --> <script> </script> <li> <br/> <o:p> &nbsp; x e می 👨"
PIECES = st.sampled_from(
    [*MARKUP.split(), " ", "\n", "\u200b", "\u200d", "\u0301", "\u0338", "\u037e"]
)


@pytest.mark.parametrize(
    "text",
    [
        "Salt & Pepper",
        "3 < 5",
        "a < b and c > d",
        "AT&T; R&D",
        "?a=1&copy=2",
        "<Brand> mug",
        "<john@shop.example>",
    ],
)
def test_text_without_markup_is_left_alone(text: str) -> None:
    """Angle brackets and ampersands that are no tag and no complete entity survive."""
    assert to_plain_text(text) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Soft.</p><p>Warm.</p>", "Soft.\nWarm."),
        ("<p>Soft.<p>Warm.", "Soft.\nWarm."),
        ("Soft.</p>", "Soft."),
        ("<ul><li>Zip<li>Hood</ul>", "* Zip\n* Hood"),
        ("<ol><li>Cut</li><li>Sew</li></ol>", "1. Cut\n2. Sew"),
        ("&bull; Lime tee. <br />&bull; Slim fit.", "• Lime tee.\n• Slim fit."),
        ("<td>a</td><td>b</td>", "ab"),
        ("<style>p {color: red}</style><script>if (a<b) alert('x')</script>Mug", "Mug"),
        ("a<!-- hidden -->b", "a b"),
        ("<o:p>Mug</o:p> <my-tag class='x'>Cup</my-tag>", "Mug Cup"),
        ("<b>3 < 5</b> &amp; 6 > 2", "3 < 5 & 6 > 2"),
    ],
)
def test_markup_becomes_lines(markup: str, text: str) -> None:
    """Paragraphs, list entries and line breaks are one newline each, balanced or not; scripts are
    dropped.
    """
    assert to_plain_text(markup) == text


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("LumaTech&trade;", "LumaTech™"),
        ("&frac14; zip", "¼ zip"),
        ("Tom &amp; Ann", "Tom & Ann"),
        ("Tom &amp;amp;amp; Ann", "Tom & Ann"),
        ("&lt;p&gt;Soft.&lt;/p&gt;&lt;p&gt;Warm.&lt;/p&gt;", "Soft.\nWarm."),
        ("50&nbsp;g", "50 g"),
        ("caf&#233; caf&#xE9; cafe&#769;", "café café café"),
        ("&#0;&#1;&notanentity;", "\ufffd&notanentity;"),
    ],
)
def test_entities_are_decoded_however_often_they_were_encoded(encoded: str, text: str) -> None:
    """Twice encoded text, as exports often hold it, reads like text encoded once."""
    assert to_plain_text(encoded) == text


def test_invisible_characters_go_unless_they_are_spelling() -> None:
    """Zero-width, bidirectional and control characters vanish; joiners inside Persian words and
    emoji stay.
    """
    assert to_plain_text("\ufeffso\u00adft\u200b \x00\x07mug\u202e \U000e0041") == "soft mug"
    assert to_plain_text("می\u200cخواهم 👨\u200d👩") == "می\u200cخواهم 👨\u200d👩"
    assert to_plain_text("so\u200cft \u200dmug\u200c") == "soft mug"


def test_space_is_collapsed_and_text_composed() -> None:
    """Runs of any white space are one space, empty lines go, accents are composed (NFC)."""
    assert to_plain_text("  a\u00a0\u3000 b \r\n\r\n\t c\u2028d ") == "a b\nc\nd"
    assert to_plain_text("e\u0301") == "é"
    assert to_single_line("<p>a</p><p>b</p>") == "a b"


@settings(deadline=None)  # the parser is imported on first use
@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60))
@example(">\u200d\u0338")
@example("<<b>p>x")
@example("&am&zwnj;p;lt;p>")
@example("&" + "amp;" * 50 + "lt;b>")
def test_cleaning_twice_changes_nothing(text: str) -> None:
    """Plain text is plain: cleaning it again gives the same, so values do not drift from run to
    run.
    """
    once = to_plain_text(text)
    assert to_plain_text(once) == once
    assert to_single_line(once) == to_single_line(text)


@given(st.text(max_size=80))
def test_decoding_is_complete(text: str) -> None:
    """Decoded text holds no further entity to decode."""
    once = decode_entities(text)
    assert decode_entities(once) == once


def test_deep_nesting_loses_no_text() -> None:
    """Markup nested deeper than the parser follows still gives its text."""
    assert to_plain_text("a " + "<div>" * 300 + "b") == "a\nb"
    assert to_plain_text("a " + "<div>" * 20_000 + "b") == "a b"


@pytest.mark.parametrize("piece", ["<!--", "&amp;", "amp;", "<b ", "<b>", "&am&zwnj;", "&;"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """Ten times as much nested or unclosed markup takes about ten times as long to clean, not a
    hundred times.
    """

    def clean(chars: int) -> None:
        to_plain_text("&" + piece * (chars // len(piece)))

    assert least_cpu_secs(lambda: clean(400_000)) < 40 * least_cpu_secs(lambda: clean(40_000))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("12<sup>90</sup> €", "12⁹⁰ €"),
        ("10<SUP class='x'> 3 </SUP>", "10³"),
        ("5&lt;sup&gt;1&lt;/sup&gt; g", "5¹ g"),
        ("5 m<sup>2</sup>", "5 m2"),
        ("12<sup>,90</sup>", "12,90"),
        ("Mug<sup>TM</sup>", "MugTM"),
    ],
)
def test_raised_digits_stay_raised(text: str, plain: str) -> None:
    """Digits that are raised behind others do not become digits of their number."""
    assert to_plain_text(text) == plain
    assert to_plain_text(plain) == plain
