"""transforms.extraction.identifiers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean

from transforms.extraction.identifiers import Scheme, find_identifiers, normalise_identifier


@pytest.mark.parametrize(
    ("scheme", "text", "compact"),
    [
        ("gtin", "4006381333931", "4006381333931"),
        ("gtin", " 400638 133393 1 ", "4006381333931"),
        ("gtin", "4006381333931.0", "4006381333931"),
        ("gtin", "EAN-13: 4006381333931", "4006381333931"),
        ("gtin", "UPC-A 095205742466", "095205742466"),
        ("gtin", "96385074", "96385074"),
        ("isbn", "ISBN 978-0-306-40615-7", "9780306406157"),
        ("isbn", "0-8044-2957-x", "080442957X"),
        ("issn", "0378-5955", "03785955"),
        ("orcid", "https://orcid.org/0000-0002-1694-233X", "000000021694233X"),
        ("orcid", "0000 0002 1825 0097", "0000000218250097"),
    ],
)
def test_normalise(scheme: Scheme, text: str, compact: str) -> None:
    """A valid identifier comes out compact, a label in front aside."""
    assert normalise_identifier(scheme, text) == compact


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("gtin", "4006381333932"),
        ("gtin", "12345"),
        ("gtin", ""),
        ("gtin", "0000000000000"),
        ("gtin", "4.00638E+12"),
        ("isbn", "978-0-306-40615-8"),
        ("issn", "0378-5954"),
        ("orcid", "0000-0002-1825-0098"),
        ("orcid", "0000 0001 2281 955X"),
    ],
)
def test_refused(scheme: Scheme, text: str) -> None:
    """A wrong check digit, another length, all zeros and an ISNI that is no ORCID iD are no
    identifier.
    """
    assert normalise_identifier(scheme, text) is None


@pytest.mark.parametrize(
    ("scheme", "text", "stated"),
    [
        ("gtin", "Pen, EAN 4006381333931, blue", ["4006381333931"]),
        ("gtin", "21939440, 106R01409UPC: 095205742466", ["095205742466"]),
        ("gtin", "UPC: 039956980999INNER PACKAGING", ["039956980999"]),
        ("gtin", "EAN 4006381333931 500 g", ["4006381333931"]),
        ("gtin", "EAN: 4006381333931 / 96385074", ["4006381333931", "96385074"]),
        (
            "isbn",
            "ISBN 0-306-40615-2 and 978-0-306-40615-7",
            ["0-306-40615-2", "978-0-306-40615-7"],
        ),
        ("isbn", "Book, ISBN-10 080442957X.", ["080442957X"]),
        ("gtin", " 4006381333931 ", ["4006381333931"]),
        ("gtin", "GTIN 4006381333931 ", ["4006381333931"]),
        ("gtin", "EAN: 4 006381 333931", ["4 006381 333931"]),
        ("isbn", "ISBN: 978 0 306 40615 7, hardcover", ["978 0 306 40615 7"]),
        ("isbn", "isbn 978–0–306–40615–7", ["978–0–306–40615–7"]),
        ("issn", "Journal, ISSN: 0378-5955", ["0378-5955"]),
        ("issn", "e-ISSN 0378 5955 (online)", ["0378 5955"]),
        ("orcid", "Ann Lee (https://orcid.org/0000-0002-1825-0097)", ["0000-0002-1825-0097"]),
        ("orcid", "ORCID iD: 0000-0002-1694-233X.", ["0000-0002-1694-233X"]),
    ],
)
def test_found_behind_a_label(scheme: Scheme, text: str, stated: list[str]) -> None:
    """A label just before, or nothing else in the text, makes valid digits an identifier."""
    found = find_identifiers(scheme, text)
    assert (
        [text[mention.begin : mention.end] for mention in found]
        == stated
        == [mention.text for mention in found]
    )


@pytest.mark.parametrize(
    "text",
    [
        "order no 4006381333931",
        "ocean 4006381333931",
        "EAN 4006381333932",
        "EAN 40063813339315",
        "UPC: 39956980999",
        "EAN on the back of the carton: 4006381333931",
        "ISBN 4006381333931 is an EAN-less book",
        "",
    ],
)
def test_not_found(text: str) -> None:
    """Without a label nearby, or with a wrong check digit, digits are just digits."""
    assert find_identifiers("gtin", text) == []


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("issn", "1998-2003"),
        ("issn", "ISSN: 0378-5954"),
        ("isbn", "ISBN 978-0-306-40615-8"),
        ("orcid", "ORCID 0000-0002-1825-0098"),
        ("orcid", "card 0000-0002-1825-0097"),
    ],
)
def test_check_digit_and_label_decide(scheme: Scheme, text: str) -> None:
    """A wrong check digit is refused behind its label, and a span of years is no ISSN even where
    its digit fits.
    """
    assert find_identifiers(scheme, text) == []


@given(
    st.text(alphabet="0123456789", min_size=12, max_size=12).filter(
        lambda digits: set(digits) != {"0"}
    ),
    st.text(),
)
def test_check_digit_law(digits: str, tail: str) -> None:
    """Exactly one last digit makes a GTIN, and no text makes the search fail."""
    valid = digits + ean.calc_check_digit(digits)
    assert [d for d in "0123456789" if normalise_identifier("gtin", digits + d)] == [valid[-1]]
    assert all(m.value for m in find_identifiers("gtin", f"EAN {valid} {tail}"))
