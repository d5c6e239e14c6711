"""The contract of a vector table: what its vectors are, and which encoder a query must use.

It lies in `embeddings/vectors.json`, one entry a table, and in the schema metadata of every file of
the table. Not in the table's folder: pandas, pyarrow and Polars read a folder as one table and
refuse one that holds anything but Parquet.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.hashing import digest
from schemas.secrets import masked_in
from schemas.sections.vectors import CHUNKS_SUFFIX, Modality, VectorSpec
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import EncoderCard, Role
from transforms.runtime import storage
from transforms.runtime.sealed import decode_json
from transforms.vectors.canaries import Canary

# Below a snapshot.
CONTRACTS = "embeddings/vectors.json"
# Key of the schema metadata.
METADATA_KEY = "vectors"
# Options that only whoever calls may give: a table may come from anybody, and these decide which
# code is run, and which server is sent a key and the texts.
NEVER_FROM_A_FILE = ("endpoint", "api_key_env", "vllm_args", "remote_code")
_SPACE_DIGITS = 12


class ContractError(ValueError):
    """A contract cannot be read, or a table has none; the message says what to do."""


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """One encoder of a space, by what it is for. The fields are those of EncoderCard.

    role: `document`: made the vectors of the table; `query`: makes those that search in it.
    prompt: put before each text. dtype: of the computation.
    """

    role: Role
    modality: Modality
    id: str
    revision: str
    weights_sha256: str
    library: str
    pooling: str
    prompt: str
    max_tokens: int
    dtype: str


@dataclass(frozen=True, slots=True)
class VectorContract:
    """What the vectors of a table are.

    table: its folder below the snapshot; column: of its vectors.
    space: vectors of equal spaces may be compared, whichever table they are in.
    dimension, dtype, metric, normalized: of the vectors as they are stored; `ip` is the inner
      product, which of vectors of length one is the cosine.
    encoders: the one that made the vectors first, then those that queries may use.
    of: `text` or `image`; parts: of the item that the text is put together from, in order, empty
      where that is the enriched text as it is; long_texts: what becomes of a text that is longer
      than the encoder reads; empty for pictures.
    identity: what two tables whose rows may be mixed have in common, as the shape of a snapshot
      names it.
    built_with: options that the encoder is built from again, those that have their default left
      out.
    canaries: fixed contents and their vectors; none where nothing has been embedded yet.
    """

    table: str
    column: str
    space: str
    dimension: int
    dtype: str
    metric: str
    normalized: bool
    encoders: tuple[EncoderEntry, ...]
    of: Modality
    parts: tuple[str, ...]
    long_texts: str
    identity: str
    built_with: dict[str, Any]
    canaries: tuple[Canary, ...] = field(default=())

    @property
    def document(self) -> EncoderEntry:
        """The encoder that made the vectors."""
        return self.encoders[0]

    @property
    def queries(self) -> tuple[EncoderEntry, ...]:
        """The encoders that a query may use, by what is searched for."""
        return tuple(each for each in self.encoders if each.role == "query")

    @property
    def options(self) -> EncoderOptions:
        """Options that build the encoder again, but for those of NEVER_FROM_A_FILE.

        Raises ContractError for unknown ones.
        """
        given = {k: v for k, v in self.built_with.items() if k not in NEVER_FROM_A_FILE}
        try:
            return EncoderOptions(**given)
        except TypeError as error:
            raise ContractError(
                f"{self.table}: its encoder was built with options that this version does not "
                f"know ({error}); name it with --query-model"
            ) from error

    @property
    def digest(self) -> str:
        """What its rows and its queries depend on, as a digest: without canaries, which follow from
        the rest, and the versions of libraries, whose updates rebuild nothing.
        """
        encoders = [msgspec.to_builtins(entry) for entry in self.encoders]
        for entry in encoders:
            del entry["library"]
        stored = [self.space, self.dimension, self.dtype, self.metric, self.normalized]
        composed = [self.of, self.parts, self.long_texts, self.identity]
        return digest([stored, encoders, composed], sort_keys=True)


def contract_of(
    spec: VectorSpec, card: EncoderCard, options: EncoderOptions, identity: str
) -> VectorContract:
    """Return the contract of a space's table, without canaries.

    card, options: of the encoder that makes its vectors; identity: what its rows rest on.
    """
    modality = spec.of
    roles: list[tuple[Role, Modality]] = [("document", modality)]
    # What is searched for may be of every modality that the encoder reads; the table's own first.
    searched = sorted(card.modalities, key=lambda each: each != modality)
    roles += [("query", each) for each in searched]
    return VectorContract(
        table=spec.table,
        column=spec.column,
        space=space_of(card),
        dimension=card.dimension,
        dtype="float32",
        metric="ip",
        normalized=card.normalized,
        encoders=tuple(_entry(card, role, each) for role, each in roles),
        of=modality,
        parts=spec.parts,
        long_texts=options.long_texts if modality == "text" else "",
        identity=identity,
        built_with=_not_default(options),
    )


def space_of(card: EncoderCard) -> str:
    """Return the id of the space that an encoder's vectors are in.

    It follows from model, revision, weights, pooling and dimension. Prompts, limits and what is
    embedded are left out: they move a vector within its space.
    """
    content = [card.id, card.revision, card.weights_sha256, card.pooling, card.dimension]
    name = re.sub(r"[^a-z0-9.]+", "-", card.id.rpartition("/")[2].lower()).strip("-")
    return f"{name}-{digest([*content, card.normalized])[:_SPACE_DIGITS]}"


def _entry(card: EncoderCard, role: Role, modality: Modality) -> EncoderEntry:
    prompt = card.query_prompt if role == "query" else card.document_prompt
    reads_text = modality == "text"
    return EncoderEntry(
        role=role,
        modality=modality,
        id=card.id,
        revision=card.revision,
        weights_sha256=card.weights_sha256,
        library=card.library,
        pooling=card.pooling,
        prompt=prompt if reads_text else "",
        max_tokens=card.max_tokens if reads_text else 0,
        dtype=card.dtype,
    )


def _not_default(options: EncoderOptions) -> dict[str, Any]:
    """Return the options that are not the default and hold no secret."""
    default = EncoderOptions()
    given = {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}
    return {
        name: value
        for name, value in given.items()
        if value != getattr(default, name) and masked_in(value) == value
    }


def with_chunks(spec: VectorSpec, contract: VectorContract) -> tuple[VectorContract, ...]:
    """Return the contracts of a space: of its table, and of its chunks where these are kept."""
    if not spec.keeps_chunks:
        return (contract,)
    chunks = dataclasses.replace(contract, table=spec.chunks_table, column=spec.chunks_column)
    return contract, chunks


def with_canaries(
    contract: VectorContract, found: Mapping[str, Sequence[Canary]]
) -> VectorContract:
    """Return the contract with its canaries: those that it has, or else what was found.

    found: by table; chunks have the canaries of the table of their space.
    """
    own = found.get(contract.table.removesuffix(CHUNKS_SUFFIX), ())
    return dataclasses.replace(contract, canaries=contract.canaries or tuple(own))


def as_text(contract: VectorContract) -> str:
    """Return the contract as one line of JSON, as it stands in the schema metadata."""
    return msgspec.json.encode(contract).decode()


def of_text(text: str | bytes, place: str) -> VectorContract:
    """Return the contract that `as_text` wrote. place: named in errors. Raises ContractError."""
    try:
        return msgspec.json.decode(text, type=VectorContract)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{place}: what its vectors are cannot be read ({error})") from error


def write_contracts(snapshot: str, contracts: Mapping[str, VectorContract]) -> bytes:
    """Write the contracts of a snapshot's vector tables, by table; returns what was written.

    One table a line, so that a difference of two files says which tables differ.
    """
    lines = [
        f"{msgspec.json.encode(name).decode()}: {as_text(contracts[name])}" for name in contracts
    ]
    data = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    storage.write_bytes(storage.join(snapshot, *CONTRACTS.split("/")), data)
    return data


def parse_contracts(data: bytes, place: str) -> dict[str, VectorContract]:
    """Return the contracts that `write_contracts` wrote, by table.

    place: named in errors. Raises DamagedFileError.
    """
    return decode_json(data, dict[str, VectorContract], place)


def query_lines(contract: VectorContract) -> Iterator[str]:
    """Yield how to query the table, in words: one line for each kind of query."""
    for entry in contract.queries:
        named = entry.id + (f"@{entry.revision}" if entry.revision else "")
        prompt = f", with {entry.prompt!r} before it" if entry.prompt else ""
        what = "a text" if entry.modality == "text" else "a picture"
        yield (
            f"{contract.table}: embed {what} with {named}{prompt}; {contract.dimension} numbers, "
            f"compared by inner product"
        )
