"""Vector spaces: the section `vectors` of a template, one entry for each table of vectors.

A space is a table `embeddings/NAME`, made by one encoder of the same parts of every item. The
spaces `text` and `image` are always there; an entry of that name says how theirs are made.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.choices import Strict

Modality = Literal["text", "image"]
Pooling = Literal["mean", "cls", "last"]
LongTexts = Literal["cut", "pool", "chunks"]
DType = Literal["auto", "bfloat16", "float16", "float32"]
Device = Literal["auto", "cpu", "cuda"]
Runtime = Literal["torch", "onnx", "openvino"]

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"
# Ends the names of tables that hold the chunks of a space's texts; no space is called so.
CHUNKS_SUFFIX = "-chunks"
# What flags of the space `text` name where its vector could not be made.
TEXT_FIELD = "text_enriched"
# Of `parts`, besides the names of attributes: what the pictures show.
IMAGE_DESCRIPTION = "image_description"
IMAGE_PARTS = ("image_labels", "image_colors", "image_text", IMAGE_DESCRIPTION)

_AtLeastNone = Annotated[int, Field(ge=0)]


def vector_table(space: str) -> str:
    """Return the name of the table that holds the vectors of a space."""
    return f"embeddings/{space}"


def vector_column(space: str) -> str:
    """Return the name of the column that holds the vectors of a space."""
    return f"{space.replace('-', '_')}_vector"


def flag_fields(space: str) -> frozenset[str]:
    """Return what flags name that say why an item has no vector of a space, or one of less.

    >>> sorted(flag_fields("text")), sorted(flag_fields("title-e5"))
    (['text_enriched', 'text_vector'], ['title_e5_vector'])
    """
    column = vector_column(space)
    return frozenset([column, TEXT_FIELD] if space == "text" else [column])


def space_of(field: str) -> str:
    """Return the space that a flag names: by its column, and `text` also by that of its text, as
    flags of an encoder's failures do.

    >>> space_of(vector_column("text-long"))
    'text-long'
    """
    if field == TEXT_FIELD:
        return "text"
    return field.removesuffix("_vector").replace("_", "-")


class VectorSpec(Strict):
    """One space.

    of: what is encoded. parts: of an item's text, names of attributes and of IMAGE_PARTS, in
    the order in which they are put together; none: the text of `text_enriched`.
    encoder and what follows: as the options `--text-encoder`, `--text-model` ... of the command
    line. Without `encoder` they are those of the command line, but for what is said here.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    of: Modality
    parts: tuple[str, ...] = ()
    encoder: str | None = None
    model: str | None = None
    revision: str | None = None
    pooling: Pooling | None = None
    prompt: str | None = None
    query_prompt: str | None = None
    max_tokens: _AtLeastNone | None = None
    long_texts: LongTexts | None = None
    chunk_tokens: Annotated[int, Field(ge=16)] | None = None
    dimension: _AtLeastNone | None = None
    dtype: DType | None = None
    device: Device | None = None
    runtime: Runtime | None = None
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    endpoint: str | None = None
    api_key_env: str | None = None
    vllm_args: str | None = None
    remote_code: bool | None = None

    @property
    def table(self) -> str:
        """Name of its table."""
        return vector_table(self.name)

    @property
    def column(self) -> str:
        """Name of the column that holds the vectors."""
        return vector_column(self.name)

    @property
    def chunks_table(self) -> str:
        """Name of the table that holds the chunks of its texts, where they are kept."""
        return f"{self.table}{CHUNKS_SUFFIX}"

    @property
    def chunks_column(self) -> str:
        """Name of the column that holds the vectors of chunks."""
        return vector_column(f"{self.name}{CHUNKS_SUFFIX}")

    @property
    def keeps_chunks(self) -> bool:
        """Whether the template says so; the command line may say it of a space that does not."""
        return self.of == "text" and self.long_texts == "chunks"

    @property
    def about(self) -> str:
        """What one vector is of, for the column's description."""
        if self.of == "image":
            return "unit mean of the unit vectors of the item's pictures"
        return f"unit vector of {', '.join(self.parts) or 'text_enriched'}"

    def settings(self) -> dict[str, object]:
        """Return what is said of the encoder, by the names of its options."""
        said = self.model_dump(exclude={"name", "of", "parts", "encoder"}, exclude_none=True)
        return said if self.encoder is None else {"backend": self.encoder, **said}


# Of a template that says nothing else, made by the encoders of the command line.
DEFAULT_SPACES = (VectorSpec(name="text", of="text"), VectorSpec(name="image", of="image"))


def with_defaults(given: tuple[VectorSpec, ...]) -> tuple[VectorSpec, ...]:
    """Return `text` and `image`, as they are given or by default, then the others in their order.

    >>> [each.name for each in with_defaults((VectorSpec(name="title", of="text"),))]
    ['text', 'image', 'title']
    """
    named = {each.name: each for each in given}
    always = [named.pop(each.name, each) for each in DEFAULT_SPACES]
    return (*always, *named.values())
