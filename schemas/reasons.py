"""Every reason why a record is quarantined, an image is skipped or a value stays unknown.

A reason id is stable: it is a counter, a column value, a documentation row and a test assertion.
`docs/reasons.md` is generated from this registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.sections.patterns import PATTERN_SECS


class Effect(StrEnum):
    """Effect of a reason on the record it is raised for."""

    QUARANTINE = "quarantine"  # the whole record goes to the quarantine table
    FLAG = "flag"  # the item goes on; the row carries the reason in `flags`
    UNKNOWN = "unknown"  # one attribute stays null, its provenance has the reason


@dataclass(frozen=True, slots=True)
class Reason:
    """One stable reason id with what it means and what to do about it.

    stage: that raises it; effects: which of them, depending on where it is raised.
    passes: the cause may go away by itself, so the next run tries the record again.
    """

    id: str
    stage: str
    effects: tuple[Effect, ...]
    meaning: str
    fix: str
    passes: bool = False


_Q, _F, _U = (Effect.QUARANTINE,), (Effect.FLAG,), (Effect.UNKNOWN,)
# A model's failure: the item goes on with unknown values and a flag, or is quarantined where
# the template says so.
# Of a text that is longer than what was read of it; counted by space of vectors.
TEXT_CUT = "text-cut"
BUCKET_TOO_LARGE = "bucket-too-large"
TOO_MANY_IMAGE_ROWS = "too-many-image-rows"
EMBED_FAILED = "embed-failed"
BUDGET = "budget"
TOO_LONG = "took-too-long"
PRICE_RANGE = "price-range"
CURRENCY_UNKNOWN = "currency-unknown"
CODE_RESTORED = "code-restored"
CODE_LOST_DIGITS = "code-lost-digits"
SPREADSHEET_ERROR = "spreadsheet-error"
# Flags of values that are kept and not wrong.
REMARKS = frozenset({PRICE_RANGE, CURRENCY_UNKNOWN, CODE_RESTORED})

_MODEL = (Effect.UNKNOWN, Effect.FLAG, Effect.QUARANTINE)

_ALL = (
    # read: bytes that never became a record
    Reason(
        "file-unreadable",
        "read",
        _Q,
        "An input file vanished, may not be read, or breaks off (corrupt gzip or Parquet).",
        "Restore the file and run again; the snapshot is refused until every file was read whole.",
    ),
    Reason(
        "invalid-utf8",
        "read",
        _Q,
        "The record holds bytes that are not UTF-8.",
        "Export the catalog as UTF-8 (UTF-16 and Latin-1 are not guessed).",
    ),
    Reason(
        "malformed-json",
        "read",
        _Q,
        "The line is not one JSON value (truncated, trailing text, NaN, nested too deeply).",
        "Fix the exporter: one complete JSON object a line.",
    ),
    Reason(
        "not-an-object",
        "read",
        _Q,
        "The line is valid JSON but not an object.",
        "Write one JSON object a line; a file that is one big array has to be split into lines.",
    ),
    Reason(
        "malformed-csv",
        "read",
        _Q,
        "The row breaks CSV quoting rules, for example a quote that is never closed.",
        "Double the quotes inside a quoted cell.",
    ),
    Reason(
        "csv-column-count",
        "read",
        _Q,
        "The row has more or fewer cells than the header.",
        "Quote cells that hold the delimiter or a line break.",
    ),
    Reason(
        "record-too-large",
        "read",
        _Q,
        "The record is larger than --max-record-bytes.",
        "Raise --max-record-bytes, or remove the oversized cell at the source.",
    ),
    Reason(
        BUCKET_TOO_LARGE,
        "assemble",
        _Q,
        "The items that share a bucket with this record are larger together than --max-bucket-bytes; the largest of them are set aside.",
        "Raise --buckets, or --max-bucket-bytes if the machine has the memory.",
    ),
    Reason(
        "no-row-above",
        "read",
        _Q,
        "The row leaves the first column of `record.fill_down` empty, and no row above it in its file has it, or the one above could not be read.",
        "Fill the column in this row, or mend the row above it.",
    ),
    # normalise: identity
    Reason(
        "missing-id",
        "normalise",
        _Q,
        "No id column of the template holds a value.",
        "Fill the id at the source, or name the right column under record.id.",
    ),
    Reason(
        "id-wrong-type",
        "normalise",
        _Q,
        "The id is neither text nor a whole number (a list, an object, a boolean, a fraction).",
        "Export ids as text.",
    ),
    Reason(
        "id-invalid",
        "normalise",
        _Q,
        "The id is longer than 512 characters or holds control characters.",
        "Use short printable ids.",
    ),
    Reason(
        "duplicate-id",
        "normalise",
        _Q,
        "Another record with this id was kept, or none of them, as `record.duplicates` of the "
        "template says; without that key they are merged.",
        "Make ids unique at the source, or merge the records.",
    ),
    Reason(
        "too-many-rows",
        "normalise",
        _Q,
        "More rows have this id than one item is made of: 10,000 of a group, 100 without one, and 250 that have no id themselves.",
        "Check that `record.id` and `record.group` name the right columns.",
    ),
    Reason(
        "image-table-row-invalid",
        "normalise",
        _Q,
        "A row of the image table lacks its item id, or its image's path or bytes.",
        "Fill both columns named under record.images.table.",
    ),
    Reason(
        TOO_MANY_IMAGE_ROWS,
        "assemble",
        _Q,
        "Tables of pictures have more than 10,000 different rows of one item, which goes on without "
        "them.",
        "Check that `record.images.table.id` names the column with the item's id.",
    ),
    Reason(
        "image-table-orphan",
        "validate",
        _Q,
        "The item that a row of the image table names is not in the catalog.",
        "Remove the row, or add the item.",
    ),
    # normalise: values the source gave that do not fit the template
    Reason(
        "value-wrong-type",
        "normalise",
        _F,
        "The cell cannot be read as the attribute's type.",
        "Fix the cell; what the source gave stays in the __given column.",
    ),
    Reason(
        "value-not-in-list",
        "normalise",
        _F,
        "The source's value is not in the attribute's closed list.",
        "Add the value or a synonym to the template, or fix the source.",
    ),
    Reason(
        "value-out-of-range",
        "normalise",
        _F,
        "The number lies outside the attribute's min and max.",
        "Fix the source, or widen the range in the template.",
    ),
    Reason(
        "value-bad-check-digit",
        "normalise",
        _F,
        "The identifier's check digit is wrong.",
        "Fix the identifier at the source.",
    ),
    Reason(
        "value-pattern-mismatch",
        "normalise",
        _F,
        "The text does not match the attribute's pattern.",
        "Fix the source, or the pattern in the template.",
    ),
    Reason(
        "value-pattern-timeout",
        "normalise",
        _F,
        f"The attribute's pattern did not come to an end on the text in {PATTERN_SECS} s.",
        "Write the pattern so that each text can be read in one way only: `[a-z]+( [a-z]+)*` "
        "instead of `([a-z]+ ?)+`.",
    ),
    Reason(
        "value-too-long",
        "normalise",
        _F,
        "The text is longer than the attribute's max_length.",
        "Shorten the text, or raise max_length in the template.",
    ),
    Reason(
        PRICE_RANGE,
        "normalise",
        _F,
        "The cell gives a range of prices; `amount` is the lowest and `amount_to` the highest.",
        "Nothing to do; the range is kept.",
    ),
    Reason(
        CURRENCY_UNKNOWN,
        "normalise",
        _F,
        "An amount has no currency, or a sign that several share, and neither its columns nor the template decide.",
        "Write currency: EUR at the attribute, or name the column: unit_from: under columns:.",
    ),
    Reason(
        CODE_RESTORED,
        "normalise",
        _F,
        "A spreadsheet took the zeros at a code's begin; they were given back, as its check digit proves.",
        "Nothing to do; export the column as text to keep its zeros.",
    ),
    Reason(
        CODE_LOST_DIGITS,
        "normalise",
        _F,
        "A spreadsheet took a code for a number and rounded it (4.00638E+12), or for a date (3-Feb); what it was is lost.",
        "Export the column as text from where it came from.",
    ),
    Reason(
        SPREADSHEET_ERROR,
        "normalise",
        _F,
        "The cell holds an error of a spreadsheet (#N/A, #REF!) and no value; a further column of the attribute is looked at.",
        "Fix the formula and export again.",
    ),
    Reason(
        "rows-merged",
        "normalise",
        _F,
        "Several rows have this id and no group puts them together: the item has the newest value "
        "of each attribute, and `records` names its rows.",
        "Say `record.group` if they belong together, `record.duplicates` if they do not.",
    ),
    Reason(
        "rows-differ",
        "normalise",
        _F,
        "Rows of one item give different values for an attribute that has one; the first, or "
        "without a group the newest, is kept.",
        "Say `rows: first`, `last` or `all` under the attribute.",
    ),
    Reason(
        "event-ts-invalid",
        "normalise",
        _F,
        "The record's event time cannot be read as a date or time.",
        "Write ISO 8601, for example 2026-01-31T12:00:00Z.",
    ),
    Reason(
        "input-mended",
        "read",
        _F,
        "The record was almost in its format (NaN, half a pair of surrogates, a comma behind it, Python's repr) and was read as it is meant.",
        "Nothing to do here; values that were NaN or Infinity are unknown.",
    ),
    Reason(
        "text-mojibake",
        "normalise",
        _F,
        "The text was decoded with the wrong encoding (CafÃ© for Café). Where that can be undone exactly, the value is the text as it was; else it is as given.",
        "Export the catalog as UTF-8, or name its encoding: input: {encoding: ...}.",
    ),
    Reason(
        "no-content",
        "normalise",
        _F,
        "The record holds an id and nothing else.",
        "Nothing to do here; the item is kept with unknown values.",
    ),
    # images
    Reason(
        "image-missing",
        "images",
        _F,
        "The picture's file does not exist.",
        "Add the file below --images-root, or remove the reference.",
    ),
    Reason(
        "image-outside-root",
        "images",
        _F,
        "The picture's path is absolute, climbs with '..', or leads out of --images-root by a "
        "symbolic link.",
        "Keep pictures below --images-root; set record.images.strip_prefix for paths written with "
        "a leading slash.",
    ),
    Reason(
        "image-path-invalid",
        "images",
        _F,
        "The picture reference is not a usable path (a URL, control characters, too long).",
        "References are paths relative to --images-root; name the hosts of URLs in --fetch-images, or download them first.",
    ),
    Reason(
        "image-data-invalid",
        "normalise",
        _F,
        "A data: address, or base64, holds no picture's bytes.",
        "Export the picture again, or write its path.",
    ),
    Reason(
        "image-host-not-allowed",
        "fetch",
        _F,
        "The picture's address is of a host or bucket that --fetch-images does not name.",
        "Add the host, or s3://bucket or gs://bucket, to --fetch-images, or put the picture below --images-root.",
    ),
    Reason(
        "image-address-forbidden",
        "fetch",
        _F,
        "The host has an address that is not public (loopback, private, link-local, metadata ...); nothing was connected to.",
        "If it is yours, name the address itself in --fetch-images.",
    ),
    Reason(
        "image-address-secret",
        "fetch",
        _F,
        "The picture's address holds a name or password; it was not asked.",
        "Remove it from the address.",
    ),
    Reason(
        "image-redirect-refused",
        "fetch",
        _F,
        "The address leads to a host that --fetch-images does not name, or on and on.",
        "Name that host too, or write the last address.",
    ),
    Reason(
        "image-fetch-status",
        "fetch",
        _F,
        "The server answered with another status than 200.",
        "Look at the status: 404 is a wrong address, 403 one that wants a login.",
    ),
    Reason(
        "image-content-type",
        "fetch",
        _F,
        "The server answered with something else than a picture (an HTML page, a video).",
        "Write the address of the picture itself.",
    ),
    Reason(
        "image-too-slow",
        "fetch",
        _F,
        "The picture was not there whole within --fetch-timeout-secs.",
        "Raise --fetch-timeout-secs; the next run asks again.",
        passes=True,
    ),
    Reason(
        "image-fetch-failed",
        "fetch",
        _F,
        "The host or store could not be found or reached, failed several times, or the connection broke.",
        "The next run asks again.",
        passes=True,
    ),
    Reason(
        "image-ambiguous",
        "find",
        _F,
        "No file has the picture's path, and several fit it (by case, accents, ending, or as the end of an address).",
        "Write the path of one; the message names them.",
    ),
    Reason(
        "image-reference-mended",
        "find",
        _F,
        "The picture's reference was read otherwise than it is written (percent-encoding, case, an address of which the file is the end ...) and exactly one file fits, or the picture that an earlier run fetched is used.",
        "Nothing to do if it is the right file; the message names it.",
    ),
    Reason(
        "image-not-a-file",
        "images",
        _F,
        "The path names a directory, device or pipe.",
        "Name a picture file.",
    ),
    Reason(
        "image-unreadable",
        "images",
        _F,
        "The file exists but may not be read.",
        "Give the job read permission.",
    ),
    Reason("image-empty", "images", _F, "The file has zero bytes.", "Export the picture again."),
    Reason(
        "image-too-many-bytes",
        "images",
        _F,
        "The file is larger than --max-image-bytes.",
        "Shrink the picture, or raise the limit.",
    ),
    Reason(
        "image-not-an-image",
        "images",
        _F,
        "The file is not an image, whatever its name says (an HTML error page, text).",
        "Download the picture again.",
    ),
    Reason(
        "image-unsupported",
        "images",
        _F,
        "An image format that is not supported (SVG, HEIC, PDF, PSD, ICO ...).",
        "Convert to JPEG, PNG, WebP, GIF, BMP or TIFF.",
    ),
    Reason(
        "image-too-many-pixels",
        "images",
        _F,
        "The header announces more pixels than --max-image-pixels; nothing was decoded.",
        "Shrink the picture, or raise the limit.",
    ),
    Reason(
        "image-side-ratio",
        "images",
        _F,
        "One side is more than --max-image-side-ratio times the other.",
        "Crop the picture.",
    ),
    Reason(
        "image-too-many-frames",
        "images",
        _F,
        "The animation has more than --max-image-frames frames.",
        "Keep the first frame.",
    ),
    Reason(
        "image-truncated",
        "images",
        _F,
        "The picture's data ends early.",
        "Export the picture again.",
    ),
    Reason(
        "image-decode-failed",
        "images",
        _F,
        "The decoder refused the picture's data.",
        "Export the picture again.",
    ),
    Reason(
        "image-required",
        "validate",
        _Q,
        "The template requires a picture and none could be used.",
        "Supply a picture, or set record.images.required to false.",
    ),
    # models
    Reason(
        "backend-failed",
        "describe",
        _MODEL,
        "The model backend failed on this picture or item; others are not affected.",
        "Look at the message; run again when the backend works.",
        passes=True,
    ),
    Reason(
        "model-unavailable",
        "describe",
        _MODEL,
        "The model's server could not be reached, crashed too often, or was given up.",
        "Look at the message and at the server's log; run again when it works: answers so far "
        "are kept.",
        passes=True,
    ),
    Reason(
        "model-timeout",
        "describe",
        _MODEL,
        "No complete answer within --request-timeout-secs, not on the last retry either.",
        "Raise --request-timeout-secs or lower --max-inflight; run again: only open values are "
        "asked for.",
        passes=True,
    ),
    Reason(
        "model-busy",
        "describe",
        _MODEL,
        "The server answered 429 (too many requests) up to the last retry.",
        "Set --requests-per-min and --tokens-per-min to what the server allows; run again.",
        passes=True,
    ),
    Reason(
        "model-error",
        "describe",
        _MODEL,
        "The last retry failed too: the connection broke, or the answer was an error or not a chat "
        "completion.",
        "Look at the message and at the server's log; run again.",
        passes=True,
    ),
    Reason(
        "model-refused",
        "describe",
        _MODEL,
        "The server refused this request (HTTP 4xx): too long, a picture it cannot take, a key it "
        "does not accept; or the model declined to answer.",
        "Look at the message: lower --max-pictures, --max-text-chars or --describe-image-px, or "
        "set the right key.",
    ),
    Reason(
        "answer-too-large",
        "describe",
        _MODEL,
        "The language model's answer is longer than --max-answer-bytes; the quarantine has so much of it.",
        "Look at the answer in the quarantine; raise the limit if such answers are meant.",
    ),
    Reason(
        "answer-truncated",
        "describe",
        _MODEL,
        "The answer reached its token limit twice, also with the longer limit of the retry.",
        "Raise --max-answer-tokens, or ask a model that keeps to the point.",
    ),
    Reason(
        "answer-empty",
        "describe",
        _MODEL,
        "The model answered with nothing or white space, twice.",
        "A reasoning model may have spent its tokens thinking: raise --max-answer-tokens or switch "
        "thinking off.",
    ),
    Reason(
        "answer-malformed",
        "describe",
        _MODEL,
        "The answer did not hold one JSON object, twice; the quarantine table keeps it as it came.",
        "Check that the server decodes by JSON Schema (response_format json_schema). The answer is "
        "kept: delete OUTPUT/answers to ask again.",
    ),
    Reason(
        "answer-off-schema",
        "describe",
        _MODEL,
        "The answer was JSON, twice, but not what was asked for: values missing, of a wrong type or "
        "outside the list.",
        "Check that the server decodes by JSON Schema (response_format json_schema). The answer is "
        "kept: delete OUTPUT/answers to ask again.",
    ),
    Reason(
        EMBED_FAILED,
        "embed",
        _F,
        "An encoder failed on this item; the table of those vectors has no row of it.",
        "Look at the message; run again.",
        passes=True,
    ),
    Reason(
        TEXT_CUT,
        "embed",
        _F,
        "The text is longer than what the encoder reads, and the vector is of its beginning. The "
        "field is the column of the vector.",
        "Choose --text-long-texts pool or chunks, or an encoder that reads more.",
    ),
    # contradictions: the source's value stays as it is
    Reason(
        "text-contradicts-value",
        "contradict",
        _F,
        "A title or text states another value than the source gave.",
        "Look at the span in the detail: fix the value, or the text, which may belong to another "
        "item.",
    ),
    Reason(
        "picture-contradicts-value",
        "contradict",
        _F,
        "The pictures show another value than the source gave: a colour far from it, or the look "
        "of other values' pictures.",
        "Look at the picture: replace it if it shows another item, else fix the value.",
    ),
    Reason(
        "picture-text-other-title",
        "contradict",
        _F,
        "No word of the title is on the pictures, though other words are and this catalog's "
        "pictures usually bear their titles.",
        "Look at the picture: it may be that of another item, or of an edition in another "
        "language.",
    ),
    Reason(
        "shared-picture-other-title",
        "contradict",
        _F,
        "Another item with a clearly different title has the same picture.",
        "Look at both items: at most one of them is likely to own the picture.",
    ),
    Reason(
        "shared-text-other-title",
        "contradict",
        _F,
        "Another item with a clearly different title has the same long text.",
        "Look at both items: at most one of them is likely to own the text.",
    ),
    Reason(
        "same-item-other-value",
        "contradict",
        _F,
        "An item with the same title and the same picture or text has another value from the "
        "source.",
        "Merge the two records, or fix the value of one.",
    ),
    Reason(
        "placeholder-content",
        "contradict",
        _F,
        "The same placeholder image or text, such as 'no picture', appears under many unrelated "
        "titles.",
        "Remove the placeholder at the source.",
    ),
    Reason(
        "value-outlier",
        "contradict",
        _F,
        "The number lies far outside what the catalog's other records have.",
        "Check the number; with it the whole record may belong to another item.",
    ),
    Reason(
        "rows-contradict-value",
        "fill",
        _F,
        "A probe trained on the catalog's other rows is sure of another value than the source "
        "gave.",
        "Check the value: it may be wrong, or the row may hold another item's text or picture.",
    ),
    # fill
    Reason(
        "stated-absent",
        "fill",
        _U,
        "The source says that there is no value, in a word that the template lists under `absent`.",
        "Nothing to do; such a value is never filled.",
    ),
    Reason(
        "too-few-labels",
        "fill",
        _U,
        "Nothing states the value, and too few rows have one to train a probe.",
        "Add labelled rows with --reference, or ask a language model.",
    ),
    Reason(
        "not-stated",
        "fill",
        _U,
        "Nothing in the record states a value.",
        "Nothing to do: a later step of the cascade may fill it.",
    ),
    Reason(
        "ambiguous",
        "fill",
        _U,
        "The text states several different values.",
        "Nothing to do: guessing is not allowed.",
    ),
    Reason(
        "below-threshold",
        "fill",
        _U,
        "A value was found with less confidence than the attribute's min_confidence.",
        "Lower min_confidence in the template if the precision suffices.",
    ),
    Reason(
        "given-invalid",
        "fill",
        _U,
        "The source gave a value that does not fit the template; it is not replaced.",
        "See the row's flags and the __given column.",
    ),
    Reason(
        "not-fillable",
        "fill",
        _U,
        "The template says that this attribute is never filled.",
        "Set fill: true in the template.",
    ),
    Reason(
        "model-unknown",
        "fill",
        _U,
        "The model was asked and says that neither texts nor pictures show a value.",
        "Nothing to do; a better picture or another model may show it.",
    ),
    Reason(
        BUDGET,
        "fill",
        (Effect.UNKNOWN, Effect.FLAG),
        "The run's budget (--max-model-calls, --max-tokens, --max-cost) was spent before this item "
        "was asked for, or before its vector was made; then the field is the column of the vector.",
        "Run again: only what is open is asked for, answers and vectors so far are kept.",
        passes=True,
    ),
    # validate
    Reason(
        "required-missing",
        "validate",
        _Q,
        "An attribute that the template requires has no value, not even after filling.",
        "Fill it at the source, or set required to false.",
    ),
    Reason(
        "value-rejected",
        "validate",
        _Q,
        "A value does not fit the template and the attribute says on_invalid: quarantine.",
        "Fix the source; see the message for the value and what is allowed.",
    ),
    Reason(
        TOO_LONG,
        "any",
        _MODEL,
        "A worker spent more than --max-element-secs on the record, the picture or the answer; the "
        "run went on without it.",
        "Look at what it holds, or raise --max-element-secs and replay.",
    ),
    Reason(
        "internal-error",
        "any",
        _Q,
        "This program failed on the record; the run went on without it.",
        "Report it with the message; replay after the fix.",
    ),
)

REASONS: dict[str, Reason] = {reason.id: reason for reason in _ALL}


def reason(reason_id: str) -> Reason:
    """Return the registered reason. Raises KeyError with the id when it is not registered."""
    return REASONS[reason_id]


def may_pass(reason_ids: Iterable[str | None]) -> bool:
    """Tell whether any of these causes may go away by itself; unknown ids of other versions do not.

    >>> may_pass([None, "embed-failed"]), may_pass(["text-cut", "of-another-version"])
    (True, False)
    """
    return any(REASONS[each].passes for each in reason_ids if each in REASONS)


def ids_with(effect: Effect) -> frozenset[str]:
    """Return the ids of the reasons that have an effect."""
    return frozenset(each.id for each in REASONS.values() if effect in each.effects)


def check_registered(reason_id: str, *effects: Effect) -> None:
    """Raise ValueError unless `reason_id` is registered, with one of `effects` if any are named."""
    known = REASONS.get(reason_id)
    if known is None or (effects and not set(effects) & set(known.effects)):
        wanted = " or ".join(effects) if effects else "any"
        raise ValueError(
            f"reason {reason_id!r} is not registered with effect {wanted}; add it to "
            "schemas/reasons.py"
        )
