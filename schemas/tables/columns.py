"""The columns that tables have whatever the template says, each with its description.

The data dictionary (`docs/tables.md`), the writers and the template loader all read these lists.
Descriptions are written into the files' schemas: changing one changes the bytes of every file.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.elements import KEY_BYTES
from schemas.sections.vectors import VectorSpec


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    """Return an Arrow field with its description in its metadata."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


TIMESTAMP = pa.timestamp("us", tz="UTC")

EVIDENCE = pa.struct(
    [
        column(
            "field",
            pa.string(),
            "column of this table whose text holds the span; `image_text`; or `column:<raw "
            "column>`",
        ),
        column("begin", pa.int32(), "first code point of the span"),
        column("end", pa.int32(), "code point after the span"),
        column("text", pa.string(), "the span itself"),
        column("image", pa.string(), "SHA-256 of the picture that shows it"),
    ]
)

PROVENANCE = pa.struct(
    [
        column("source", pa.string(), "record, text, image, neighbour or model; null when unknown"),
        column(
            "method",
            pa.string(),
            "given, rule:<kind>, probe:<text, image or both>, span:crf or mllm:<model>",
        ),
        column("confidence", pa.float32(), "0 to 1"),
        column("evidence", EVIDENCE, "where the value was seen"),
        column("model", pa.string(), "model and revision, for values that a model gave"),
        column("prompt_hash", pa.string(), "SHA-256 of the prompt, for values that a model gave"),
        column("fingerprint", pa.string(), "SHA-256 of everything that the value was derived from"),
        column("reason", pa.string(), "why the value is unknown; null when there is one"),
        column(
            "candidate",
            pa.string(),
            "of an unknown, the value that was considered; several as a JSON list",
        ),
    ]
)

_SCORED = pa.struct([pa.field("name", pa.string()), pa.field("score", pa.float32())])

IMAGE = pa.struct(
    [
        column("path", pa.string(), "the picture reference, relative to --images-root"),
        column("digest", pa.string(), "SHA-256 of the file's bytes"),
        column("phash", pa.string(), "64-bit perceptual hash (DCT), 16 hexadecimal digits"),
        column("width_px", pa.int32(), "width after EXIF rotation"),
        column("height_px", pa.int32(), "height after EXIF rotation"),
        column("format", pa.string(), "JPEG, PNG, WEBP, GIF, BMP or TIFF"),
        column("frames", pa.int32(), "frames in the file; the first one is used"),
        column("labels", pa.list_(_SCORED), "labels of the image encoder with their probability"),
        column("colors", pa.list_(_SCORED), "dominant colours with their share of the foreground"),
        column("text", pa.string(), "text read off the picture"),
        column("description", pa.string(), "description of this picture"),
        column(
            "version",
            pa.string(),
            "size and time of modification of the file when it was read, for later runs",
        ),
        column(
            "reason",
            pa.string(),
            "why the picture, or its description, is missing; null when all went well",
        ),
        column("message", pa.string(), "details of the reason"),
    ]
)

FLAG = pa.struct(
    [
        column("reason", pa.string(), "reason id, see docs/reasons.md"),
        column("field", pa.string(), "attribute, column or picture concerned"),
        column("detail", pa.string(), "the value, what is allowed, what to do"),
    ]
)

ITEM_HEAD = [
    column("item_id", pa.string(), "the record's id; unique, sorted within a file", nullable=False)
]

ITEM_TAIL = [
    column("image_description", pa.string(), "what the pictures show, by the describe backend"),
    column("image_alt_text", pa.string(), "one sentence on the first picture, by a language model"),
    column("image_description__provenance", PROVENANCE, "where image_description came from"),
    column("images", pa.list_(IMAGE), "every picture reference in the record's order"),
    column("image_count", pa.int32(), "pictures that could be used", nullable=False),
    column(
        "text_source", pa.string(), "key-value sentence of the source's values only", nullable=False
    ),
    column(
        "text_enriched",
        pa.string(),
        "the text that is embedded: source's and filled values, and what the pictures show",
        nullable=False,
    ),
    column("flags", pa.list_(FLAG), "what a reader should know of this row", nullable=False),
    column("event_ts", TIMESTAMP, "when the source changed, if the catalog says so"),
    column(
        "created_ts",
        TIMESTAMP,
        "when this row was produced; rebuilding an equal row leaves it",
        nullable=False,
    ),
    column(
        "deleted_ts",
        TIMESTAMP,
        "when a run found that the record had left the catalog; null while it is there "
        "(--keep-deleted)",
    ),
    column(
        "fingerprint",
        pa.string(),
        "SHA-256 of the record's bytes and its pictures' digests",
        nullable=False,
    ),
]

FIXED_ITEM_COLUMNS = frozenset(field.name for field in (*ITEM_HEAD, *ITEM_TAIL))

QUARANTINE = [
    column("item_id", pa.string(), "the record's id, where it could be read"),
    column("stage", pa.string(), "stage that set the record aside", nullable=False),
    column("reason", pa.string(), "reason id, see docs/reasons.md", nullable=False),
    column("field", pa.string(), "attribute or column concerned"),
    column("message", pa.string(), "the value, what is allowed, what to do", nullable=False),
    column("input", pa.string(), "catalog, image-table or model-answer", nullable=False),
    column("raw", pa.large_binary(), "the record's bytes as they came", nullable=False),
    column(
        "raw_format",
        pa.string(),
        "jsonl, csv, tsv, parquet (an Arrow IPC record batch) or answer",
        nullable=False,
    ),
    column(
        "raw_header", pa.binary(), "what reading `raw` alone needs: CSV header line or Arrow schema"
    ),
    column(
        "raw_size_bytes",
        pa.int64(),
        "length of the whole record, also where `raw` holds only its beginning",
        nullable=False,
    ),
    column("raw_digest", pa.string(), "SHA-256 of `raw`", nullable=False),
    column("raw_key", pa.binary(KEY_BYTES), "joins with records", nullable=False),
    column("source_file", pa.string(), "input file", nullable=False),
    column(
        "source_begin",
        pa.int64(),
        "byte offset or row group at which the part of the file starts",
        nullable=False,
    ),
    column("source_position", pa.int64(), "line within that part, or row", nullable=False),
    column("run_id", pa.string(), "run that set the record aside", nullable=False),
    column("quarantined_ts", TIMESTAMP, "when it was set aside", nullable=False),
]

# Values of `fate` in the records table for rows of an image table.
IMAGE_ROW_FATES = ("attached", "repeated", "item-quarantined")

RECORDS = [
    column("item_id", pa.string(), "the record's id, where it could be read"),
    column(
        "raw_key",
        pa.binary(KEY_BYTES),
        "what a later run knows the record by: hash of its bytes",
        nullable=False,
    ),
    column("input", pa.string(), "catalog or image-table", nullable=False),
    column(
        "fate",
        pa.string(),
        "item, merged (a further row of the item), quarantine, deleted (kept by --keep-deleted); "
        "of an image table's row attached, "
        "repeated (the item had "
        "the picture) or item-quarantined",
        nullable=False,
    ),
    column(
        "retry",
        pa.bool_(),
        "whether another run may find what is unknown (budget, dead model)",
        nullable=False,
    ),
]

# Of templates whose items have values of other rows of their group.
RECORD_GROUP = column("group", pa.string(), "the product that the row belongs to")

ANSWERS = [
    column(
        "fingerprint",
        pa.string(),
        "content address of the request: model, parameters, prompt, text, pictures",
        nullable=False,
    ),
    column("content", pa.string(), "the answer as it came", nullable=False),
    column("finish_reason", pa.string(), "why the model stopped: stop, length ...", nullable=False),
    column("prompt_tokens", pa.int64(), "tokens of the request, pictures included", nullable=False),
    column(
        "image_tokens",
        pa.int64(),
        "of these, the pictures', where the server tells",
        nullable=False,
    ),
    column("completion_tokens", pa.int64(), "tokens of the answer", nullable=False),
    column(
        "counted",
        pa.string(),
        "what counted the tokens: `reported` by the server, or `estimated` here, where it said "
        "nothing or what cannot be",
    ),
    column(
        "probabilities",
        pa.map_(pa.string(), pa.float64()),
        "key of the answer to the probability of its value, where the server gives "
        "log-probabilities",
        nullable=False,
    ),
    column("model", pa.string(), "model and revision", nullable=False),
    column("prompt_hash", pa.string(), "SHA-256 of the prompt", nullable=False),
    column("run_id", pa.string(), "run that asked", nullable=False),
    column("answered_ts", TIMESTAMP, "when the answer was kept", nullable=False),
]


def embedding(space: VectorSpec, dimension: int) -> list[pa.Field]:
    """Columns of one embeddings table: items without a vector have no row."""
    return [
        column("item_id", pa.string(), "joins with items", nullable=False),
        column(space.column, pa.list_(pa.float32(), dimension), space.about, nullable=False),
    ]


def chunks(space: VectorSpec, dimension: int) -> list[pa.Field]:
    """Columns of a table of chunks: every item with a vector has some.

    The text is there because nothing else holds that of a space with parts of its own, and a
    search has to show what it found; it takes a fraction of the vector's room.
    """
    return [
        column("item_id", pa.string(), "joins with items", nullable=False),
        column("chunk", pa.int32(), "number within the item, from 0", nullable=False),
        column("begin", pa.int32(), "first code point of the embedded text", nullable=False),
        column("end", pa.int32(), "code point after the chunk", nullable=False),
        column("tokens", pa.int32(), "the encoder's tokens of the chunk", nullable=False),
        column("text", pa.string(), "the chunk itself", nullable=False),
        column(
            "context",
            pa.string(),
            "what was put before the text when it was embedded; null where nothing was",
        ),
        column(
            space.chunks_column,
            pa.list_(pa.float32(), dimension),
            "unit vector of the chunk",
            nullable=False,
        ),
    ]
