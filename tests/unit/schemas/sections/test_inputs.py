"""What a template and the command line say of an input: names, characters and clear refusals."""

import pytest

from schemas.sections.inputs import InputDescription, parse_description


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ("delimiter=semicolon", "delimiter", ";"),
        ("delimiter=tab", "delimiter", "\t"),
        ("delimiter=\\t", "delimiter", "\t"),
        ("delimiter=::", "delimiter", "::"),
        ("quote=none", "quote", ""),
        ("quote='", "quote", "'"),
        ("escape=\\", "escape", "\\"),
        ("encoding=latin1", "encoding", "iso8859-1"),
        ("header=3", "header", 3),
    ],
)
def test_entries_of_the_command_line(given, field, expected):
    """Delimiters go by name or character, encodings by any name that Python has."""
    assert getattr(parse_description([given]), field) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["delimter=;"], "--input-as 'delimter=;' is no KEY=VALUE with a known key; the keys are"),
        (["delimiter"], "is no KEY=VALUE"),
        (["encoding=klingon"], "--input-as encoding: there is no encoding 'klingon'"),
        (["quote=ab"], "write one character, or none"),
        (["header=0"], "write the number of the header's line, or none"),
        (["header=none"], "header: none needs the names of the columns"),
        (["columns=a,b,a"], "columns names a more than once"),
        (['delimiter="'], "a delimiter holds no quote"),
    ],
)
def test_refused_entries(given, message):
    """What cannot be meant is refused with the key, the value and what is allowed."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_description(given)
    assert message in str(caught.value)


def test_the_command_line_goes_over_the_template():
    """One run may say otherwise than the template, and keeps the rest of it."""
    both = parse_description(["delimiter=,"]).over(InputDescription(delimiter=";", header=2))
    assert (both.delimiter, both.header) == (",", 2)
