"""The page of limits: the options that set one, and those that are the same in every run."""

from __future__ import annotations

import argparse
import re

from pipelines.commands.run import RUN
from pipelines.docs.markdown import NOTE, option_row, table
from pipelines.monitoring import summary
from schemas import safe_yaml
from schemas.elements import LONG_HEADER_BYTES
from schemas.sections import patterns, pictures
from transforms.extraction import cells, quantities
from transforms.extraction.money import amounts
from transforms.extraction.structures import parse, paths
from transforms.images import files, listing
from transforms.images.remote import http, outcome
from transforms.models.http import embeddings, encodings, waits
from transforms.normalise import combine, ids
from transforms.readers import containers, recognise
from transforms.readers.formats import rows, xml
from transforms.runtime.bounds import picture_rows
from transforms.tables import build

_OF_A_LIMIT = re.compile(r"--max-|.*-secs$|.*-per-(?:host|min)$")
_MIB = 2**20
# What is limited, to what, and what becomes of what is above.
_FIXED = (
    (
        "a template",
        f"{safe_yaml.MAX_BYTES // _MIB} MiB, {safe_yaml.MAX_DEPTH} levels, "
        f"{safe_yaml.MAX_VALUES:,} values with aliases written out, numbers of "
        f"{safe_yaml.MAX_DIGITS} digits",
        "one error with the line",
    ),
    (
        "a pattern of a template",
        f"{patterns.MAX_PATTERN_CHARS:,} characters; {patterns.PATTERN_SECS} s for a text, where "
        "RE2 does not take it",
        "one error; `value-pattern-timeout`",
    ),
    ("a place in a picture's pattern", f"{pictures.MAX_WIDTH} characters", "one error"),
    (
        "an archive or packed file",
        f"{containers.MAX_ZIP_RATIO} times (zip) or {containers.MAX_RATIO:,} times its size, "
        f"{containers.MAX_MEMBERS:,} members, {recognise.MAX_LAYERS} layers",
        "`file-unreadable`",
    ),
    ("elements of XML", f"{xml.MAX_DEPTH} levels deep", "`file-unreadable`"),
    ("a record of delimited text", f"{rows.MAX_RECORD_LINES:,} lines", "`malformed-csv`"),
    ("an id", f"{ids.MAX_ID_CHARS} characters", "`id-invalid`"),
    (
        "rows of one item",
        f"{combine.MAX_GROUP_ROWS:,} of a group, {combine.MAX_SAME_ID_ROWS} of an id",
        "`too-many-rows`",
    ),
    (
        "rows of one item in tables of pictures",
        f"{picture_rows.MAX_IMAGE_ROWS:,} that differ",
        "`too-many-image-rows`, all of them; the item goes on without",
    ),
    (
        "rows of groups that share a bucket",
        "as many bytes as a bucket (--max-bucket-bytes)",
        "`bucket-too-large`, whole groups, the largest first",
    ),
    (
        "rows that a probe learns from",
        "--max-labelled, and as many bytes as a bucket",
        "the smallest are learnt from; the probe's note counts the others",
    ),
    (
        "headers of the rows of a bucket's quarantine",
        f"{build.MAX_HEADERS_BYTES // _MIB} MiB, where they have {LONG_HEADER_BYTES:,} bytes or "
        "more",
        "the rows are kept without, and cannot be replayed",
    ),
    (
        "a structure in a cell",
        f"{parse.MAX_CHARS // _MIB} Mi characters, {parse.MAX_DEPTH} levels; paths of "
        f"{paths.MAX_STEPS} steps",
        "the cell is a text",
    ),
    (
        "a number in a cell",
        f"{cells.MAX_DIGITS} digits; a price {amounts.MAX_CHARS} characters; an amount with its "
        f"unit {quantities.MAX_AMOUNT_CHARS}",
        "is not a number",
    ),
    ("a picture's name", f"{files.MAX_REFERENCE_CHARS:,} characters", "`image-path-invalid`"),
    ("listed files below --images-root", f"{listing.MAX_LISTED:,}", "asked for one by one"),
    ("redirects of a picture's address", f"{http.MAX_REDIRECTS}", "`image-redirect-refused`"),
    (
        "failures of a picture's host in a row",
        f"{outcome.MAX_FAILURES}",
        "`image-fetch-failed`, asked again by the next run",
    ),
    (
        "a server's response with vectors",
        f"{embeddings.MAX_RESPONSE_BYTES // _MIB} MiB unpacked, {encodings.MAX_LAYERS} layers of "
        "encodings",
        "`embed-failed`",
    ),
    (
        "a wait that a server asks for",
        f"{waits.LONGEST_WAIT_SECS:g} s, asked again until --busy-secs are over",
        "sent again earlier",
    ),
    (
        "names of columns on the terminal",
        f"{summary.MAX_NAMES} of {summary.MAX_NAME_CHARS} characters; the others are counted",
        "",
    ),
)


def limits_page() -> str:
    """Every limit on what comes from outside."""
    options = [option_row(action) for action in RUN.parser()._actions if _flag_of_a_limit(action)]
    return "\n".join(
        [
            "# Limits",
            NOTE,
            "",
            "What comes from outside (catalogs, pictures, templates, servers) is read up to these. "
            "What is above a limit costs itself and nothing else, with a reason.",
            "What follows for memory is in [operations](operations.md#what-a-run-takes-of-memory).",
            "",
            "## Set by an option of `catalog-enrich run`",
            "",
            *table(("option", "default", "meaning"), options),
            "",
            "## The same in every run",
            "",
            *table(("what", "at most", "above it"), list(_FIXED)),
            "",
        ]
    )


def _flag_of_a_limit(action: argparse.Action) -> bool:
    return any(_OF_A_LIMIT.match(flag) for flag in action.option_strings)
