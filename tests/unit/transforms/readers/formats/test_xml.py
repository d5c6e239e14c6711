"""Feeds and other documents of XML: which elements are records, and what they hold."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Reject
from schemas.sections.inputs import InputDescription
from transforms.readers import (
    InputRefusedError,
    ParsedRecord,
    ReadLimits,
    SplitReport,
    plan_splits,
    read_split,
    rebuild,
)

RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<item><g:id>1</g:id><title>Mug &amp; saucer</title><g:price>12.50 EUR</g:price></item>
<item><g:id>2</g:id><title><![CDATA[Pot & <b>pan</b>]]></title><g:price/>
  <g:additional_image_link>a.jpg</g:additional_image_link>
  <g:additional_image_link>b.jpg</g:additional_image_link></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Shop</title>
<entry><id>1</id><link href="https://shop.example/1" rel="self"/></entry></feed>"""
YML = """<?xml version="1.0" encoding="windows-1251"?><yml_catalog><shop>
<currencies><currency id="RUR" rate="1"/><currency id="EUR" rate="90"/></currencies>
<categories><category id="1">Чай</category><category id="2">Кофе</category></categories>
<offers><offer id="9" available="true"><price>10</price><name>Чай</name>
<param name="Вес" unit="г">100</param><param name="Цвет">белый</param></offer>
<offer id="8" available="false"><price>20</price><name>Кофе</name></offer></offers>
</shop></yml_catalog>"""


def read(
    path: Path, limits: ReadLimits | None = None, **said: Any
) -> tuple[list[dict[str, Any]], list[Reject], SplitReport]:
    """Cells of the records, of which each comes back from its own bytes; rejects; the report."""
    (split,) = plan_splits([str(path)], description=InputDescription(**said))
    elements = list(read_split(split, limits or ReadLimits()))
    records = [each for each in elements if isinstance(each, ParsedRecord)]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]
    report = elements[-1]
    assert isinstance(report, SplitReport)
    return (
        [each.cells for each in records],
        [each for each in elements if isinstance(each, Reject)],
        report,
    )


def write(folder: Path, text: str | bytes, name: str = "feed.xml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rss_of_google(tmp_path):
    """Items of a merchant feed are records; what repeats is a list, CDATA is text."""
    records, rejects, report = read(write(tmp_path, RSS))
    assert records == [
        {"g:id": "1", "title": "Mug & saucer", "g:price": "12.50 EUR"},
        {
            "g:id": "2",
            "title": "Pot & <b>pan</b>",
            "g:price": None,
            "g:additional_image_link": ["a.jpg", "b.jpg"],
        },
    ]
    assert (rejects, report.read_as) == ([], "XML, each rss.channel.item is a record")


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (ATOM, [{"id": "1", "link": {"@href": "https://shop.example/1", "@rel": "self"}}]),
        (
            "<products><product sku='1'><name xml:lang='de'>Krug</name></product>"
            "<product sku='2'/></products>",
            [{"@sku": "1", "name": {"@xml:lang": "de", "#text": "Krug"}}, {"@sku": "2"}],
        ),
        (
            "<rows><row id='1' title='Mug'/><row id='2' title='Pot'/></rows>",
            [{"@id": "1", "@title": "Mug"}, {"@id": "2", "@title": "Pot"}],
        ),
        ("<shop><goods><id>1</id><title>Mug</title></goods></shop>", [{"id": "1", "title": "Mug"}]),
        (
            "<a><b><c><id>1</id><t>x</t></c><c><id>2</id></c></b><d>3</d></a>",
            [{"id": "1", "t": "x"}, {"id": "2"}],
        ),
        (
            "<x:list xmlns:x='urn:y'><x:art><x:id>1</x:id></x:art><x:art><x:id>2</x:id></x:art></x:list>",
            [{"x:id": "1"}, {"x:id": "2"}],
        ),
        (
            "<p><product><id>1</id><t>Salt &nbsp;& pepper &copy; &amp; &#65;</t></product></p>",
            [{"id": "1", "t": "Salt \xa0& pepper © & A"}],
        ),
        (
            "<p><product><id>1</id><t>a<br/>b</t></product></p>",
            [{"id": "1", "t": "a<br/>b"}],
        ),
        ("<p><!-- one --><product><id>1</id></product><?x y?></p>", [{"id": "1"}]),
    ],
)
def test_documents(tmp_path, text, records):
    """One element a record is found in each kind of document, and told."""
    found, rejects, report = read(write(tmp_path, text))
    assert (found, rejects) == (records, [])
    assert report.read_as.startswith("XML, each ")


def test_offers_beside_categories(tmp_path):
    """Of lists that lie side by side, the one whose elements are records is taken."""
    records, _, report = read(write(tmp_path, YML.encode("cp1251")))
    assert [record["@id"] for record in records] == ["9", "8"]
    assert records[0]["param"] == [
        {"@name": "Вес", "@unit": "г", "#text": "100"},
        {"@name": "Цвет", "#text": "белый"},
    ]
    assert report.read_as == "XML, each yml_catalog.shop.offers.offer is a record"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings(tmp_path, encoding):
    """The document says its encoding, and is read in it."""
    name = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{name}"?><p><product><t>Küche</t></product></p>'
    assert read(write(tmp_path, text.encode(encoding)))[0] == [{"t": "Küche"}]


def test_an_encoding_that_is_said(tmp_path):
    """An encoding that the template says is that of the document."""
    path = write(tmp_path, "<p><product><t>Küche</t></product></p>".encode("cp1252"))
    assert read(path, encoding="cp1252")[0] == [{"t": "Küche"}]


def test_named_records(tmp_path):
    """The template can say which elements are records, by the end of their place."""
    path = write(tmp_path, YML.encode("cp1251"))
    for named in ("category", "categories.category", "yml_catalog.shop.categories.category"):
        assert [record["#text"] for record in read(path, records=named)[0]] == ["Чай", "Кофе"]
    with pytest.raises(InputRefusedError, match="no element 'product' in the first"):
        read(path, records="product")


def test_two_lists_that_are_as_good(tmp_path):
    """Where two lists could be meant, the document is refused with both, and the line to write."""
    text = "".join(f"<{n}><id>1</id><t>x</t></{n}>" * 2 for n in ("lamp", "mug"))
    with pytest.raises(InputRefusedError, match=r"elements a.lamp or a.mug; say which.*records: a"):
        read(write(tmp_path, f"<a>{text}</a>"))


def test_a_document_that_breaks_off(tmp_path):
    """What a cut document holds is read, and then it says where it ends."""
    records, (reject,), _ = read(write(tmp_path, RSS[: RSS.index("<item><g:id>2")]))
    assert [record["g:id"] for record in records] == ["1"]
    assert reject.reason == "file-unreadable"
    assert "is no XML from line 4 on" in reject.message


def test_entities_and_the_network_are_off(tmp_path):
    """An entity that a document declares is not resolved: neither files nor bombs come of it."""
    secret = write(tmp_path, "secret", "secret.txt")
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = (
        f'<!DOCTYPE p [<!ENTITY a0 "lol">{bomb}<!ENTITY x SYSTEM "file://{secret}">]>'
        "<p><product><id>1</id><t>&x;&a11;</t></product></p>"
    )
    (record,), _, _ = read(write(tmp_path, text))
    assert record == {"id": "1", "t": "&x;&a11;"}


def test_one_record_is_in_memory(tmp_path):
    """A long feed takes as much memory as a short one, also where it is told to be one record."""
    path = tmp_path / "long.xml"
    with path.open("w") as file:
        file.write("<p><head>" + "<x><y>1</y></x>" * 50_000 + "</head>")
        file.writelines(f"<product><id>{n}</id><t>{'x' * 500}</t></product>" for n in range(20_000))
        file.write("</p>")
    (split,) = plan_splits([str(path)], description=InputDescription(records="product"))
    tracemalloc.start()
    assert sum(isinstance(each, ParsedRecord) for each in read_split(split)) == 20_000
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    limits = ReadLimits(max_record_bytes=1_000, max_raw_bytes=100_000)
    (split,) = plan_splits([str(path)], description=InputDescription(records="p"))
    tracemalloc.start()
    rejects = [each for each in read_split(split, limits) if isinstance(each, Reject)]
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert [each.reason for each in rejects] == ["record-too-large"]
    assert rejects[0].raw.true_size_bytes > 10_000_000 > 100_000 > len(rejects[0].raw.data)


TEXTS = (
    st.text(
        st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"),
        min_size=1,
    )
    .map(str.strip)
    .filter(bool)
)


@given(st.lists(TEXTS, min_size=1, max_size=30), st.booleans())
def test_whatever_texts(tmp_path_factory, texts, is_cdata):
    """Any text comes back as ElementTree wrote it, escaped or as CDATA."""
    path = tmp_path_factory.mktemp("xml") / "feed.xml"
    if is_cdata:
        texts = [text.replace("]]>", "") or "x" for text in texts]
        items = "".join(f"<item><t><![CDATA[{text}]]></t></item>" for text in texts)
        path.write_text(f"<r>{items}</r>", "utf-8")
    else:
        root = ElementTree.Element("r")
        for text in texts:
            ElementTree.SubElement(ElementTree.SubElement(root, "item"), "t").text = text
        ElementTree.ElementTree(root).write(path, "utf-8")
    assert [record["t"] for record in read(path)[0]] == [text.strip() for text in texts]


@given(st.integers(0, 70_000), st.sampled_from(["&amp;", "&nbsp;", "&", "<![CDATA[&]]>", "]]&gt;"]))
def test_where_blocks_end(tmp_path_factory, before, mark):
    """An ampersand or CDATA that lies across two blocks of reading is read as elsewhere."""
    filler = "x" * (65_530 - 27 + before % 24)
    path = tmp_path_factory.mktemp("xml") / "feed.xml"
    path.write_text(f"<r><item><t>{filler}{mark} end</t></item></r>")
    meant = {"&amp;": "&", "&nbsp;": "\xa0", "<![CDATA[&]]>": "&", "]]&gt;": "]]>"}
    assert read(path)[0] == [{"t": f"{filler}{meant.get(mark, mark)} end"}]


def test_escaping_is_undone(tmp_path):
    """Text that a writer escaped is the text."""
    text = "1 < 2 & 'x' > \"y\""
    assert read(write(tmp_path, f"<r><item><t>{escape(text)}</t></item></r>"))[0] == [{"t": text}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_references_in_wide_characters(tmp_path: Path, encoding: str) -> None:
    """`&amp;` is one character in UTF-16 too, with a mark before the document or without."""
    head = (
        '<?xml version="1.0" encoding="utf-16"?>'
        if encoding == "utf-16"
        else "<?xml version='1.0'?>"
    )
    items = "".join(f"<p><id>{n}</id><name>Tea &amp; more</name></p>" for n in range(3))
    path = tmp_path / "a.xml"
    path.write_bytes(f"{head}<shop>{items}</shop>".encode(encoding))
    said = {} if encoding == "utf-16" else {"encoding": encoding}
    records, _, _ = read(path, **said)
    assert [record["name"] for record in records] == ["Tea & more"] * 3


PRODUCTS = "<product><id>1</id><t>x</t></product><product><id>2</id><t>y</t></product>"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (f"<r><groups><group><id>7</id><a>g</a><b>h</b></group></groups>{PRODUCTS}</r>", "12"),
        (
            "<r><groups>" + "<group><id>7</id><a>g</a><b>h</b></group>" * 9 + "</groups>"
            "<articles><article><id>1</id></article><article><id>2</id></article></articles></r>",
            "12",
        ),
        (
            "<k><artikel><id>1</id><bild><u>a</u><v>1</v></bild><bild><u>b</u></bild></artikel></k>",
            "1",
        ),
        (
            "<k><ding><id>1</id><n>x</n><image><u>a</u></image><image><u>b</u></image></ding></k>",
            "1",
        ),
        ("<P><PRODUCT><id>1</id></PRODUCT><PRODUCT><id>2</id></PRODUCT></P>", "12"),
        ("<SHOP><SHOPITEM><id>1</id></SHOPITEM></SHOP>", "1"),
        (
            "<document><meta><a>1</a></meta><ding><id>1</id></ding><ding><id>2</id></ding></document>",
            "12",
        ),
        ("<rss><channel><title>Nothing today</title></channel></rss>", ""),
        ("<feed><title>Nothing</title><updated>2024</updated></feed>", ""),
        ("<products count='0'/>", ""),
        ("<shop><categories><category><id>1</id></category></categories><offers/></shop>", ""),
        ("<rss><channel><title>T</title><link>x</link></channel></rss>", ""),
        ("<feed><ding><id>1</id><n>x</n></ding></feed>", "1"),
        ("<products><title>T</title><ding><id>1</id><n>x</n></ding></products>", "1"),
        ("<shop><groups><a>1</a><b>2</b></groups><ding><id>1</id><n>x</n></ding></shop>", "1"),
        ("<lamp><id>1</id><n>x</n></lamp>", "1"),
    ],
)
def test_what_is_a_record(tmp_path, text, ids):
    """Groups, pictures and other parts of records are none, however many there are and whatever
    they hold; a feed without records has none.
    """
    found, rejects, _ = read(write(tmp_path, text))
    assert ([each["id"] for each in found], rejects) == (list(ids), [])


def test_elements_of_several_names(tmp_path):
    """Elements beside the records that hold the same are not left out in silence, and can be read
    all, each with its name.
    """
    text = f"<a>{'<book><id>1</id><t>x</t></book>' * 2}<dvd><id>2</id><t>y</t></dvd></a>"
    path = write(tmp_path, text)
    with pytest.raises(InputRefusedError, match=r"a\.book or a\.dvd; say which.*a\.\* is all"):
        read(path)
    assert [(each["#element"], each["id"]) for each in read(path, records="a.*")[0]] == [
        ("book", "1"),
        ("book", "1"),
        ("dvd", "2"),
    ]
    assert [each["id"] for each in read(path, records="dvd")[0]] == ["2"]


def test_one_record_with_parts_or_a_list(tmp_path):
    """Where the outermost element may be the record, it is refused until somebody decides."""
    path = write(tmp_path, "<x><id>1</id>" + "<image><u>a</u><v>b</v></image>" * 2 + "</x>")
    with pytest.raises(InputRefusedError, match="or x is one record"):
        read(path)
    assert read(path, records=".")[0][0]["id"] == "1"
    assert len(read(path, records="image")[0]) == 2


def test_what_stands_around_the_records_is_told(tmp_path):
    """Elements, texts and attributes that are in no record are told, wherever they stand."""
    text = (
        f"<s day='5'><info>from us</info>words<cat name='Mugs'>{PRODUCTS}lost</cat>"
        f"<cat name='Cups'>{PRODUCTS}<note>end</note></cat></s>"
    )
    found, _, report = read(write(tmp_path, text), records="cat.product")
    assert len(found) == 4
    for said in (
        "day 5",
        "info from us",
        "words",
        "cat@name Mugs",
        "lost",
        "cat@name Cups",
        "note end",
    ):
        assert said in report.left_out["around"], said
    assert "around" not in read(write(tmp_path, f"<a>{PRODUCTS}</a>"))[2].left_out


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ("a<br/>b <b>bold</b> c", "a<br/>b <b>bold</b> c"),
        ("<p>One &amp; two</p><p>three</p>", "<p>One &amp; two</p><p>three</p>"),
        ('<ul><li class="x">a</li></ul>', '<ul><li class="x">a</li></ul>'),
        ("5<currency>EUR</currency>", {"currency": "EUR", "#text": "5"}),
        ("<a>1</a><b>2</b>", {"a": "1", "b": "2"}),
    ],
)
def test_texts_with_marks(tmp_path, inner, value):
    """A text with marks of HTML keeps its order; elements that are data stay data."""
    text = f"<r><item><id>1</id><t>{inner}</t></item><item><id>2</id></item></r>"
    assert read(write(tmp_path, text))[0][0]["t"] == value


def test_a_text_of_many_megabytes(tmp_path):
    """A record that is too large costs itself, not the rest of the document."""
    text = f"<r><item><id>1</id><t>{'x' * (11 << 20)}</t></item><item><id>2</id></item></r>"
    found, rejects, _ = read(write(tmp_path, text))
    assert [each["id"] for each in found] == ["2"]
    assert [each.reason for each in rejects] == ["record-too-large"]


def test_elements_within_each_other(tmp_path):
    """What lies within itself hundreds of times ends in a message, not in a crash."""
    text = f"<r><item><id>1</id></item><item>{'<a>' * 900}x{'</a>' * 900}</item></r>"
    found, rejects, _ = read(write(tmp_path, text))
    assert [each["id"] for each in found] == ["1"]
    assert "within each other" in rejects[0].message
