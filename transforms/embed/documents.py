"""Documents encoded: whole where the encoder reads as much, else cut, or in chunks.

Everything that has to be encoded goes in batches by tokens, equal texts once. `pool` and `chunks`
make the same vectors: the mean of the chunks stands for a document that is not read whole, and
`chunks` keeps the vectors of all of them.

A chunk that is encoded alone is told what it is about: its document's context goes before it. An
encoder with token vectors reads it among its neighbours instead (late chunking, see chunking.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from schemas.elements import TextChunk
from schemas.reasons import EMBED_FAILED
from transforms.embed.batching import MAX_BATCH_TEXTS, batches_of
from transforms.embed.chunking import Chunk, Window, divide, pooled, shortened, windows
from transforms.models.contract import (
    Failure,
    Vector,
    answer_each,
    call_each,
    checked_vector,
)
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import SpanEncoder, TextEncoder, batches_at_once

# Of a chunk, in parts: what it has in common with the one before, and its document's context.
OVERLAP = CONTEXT = 8


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be encoded; context: a few words on what it is about, such as a title."""

    text: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A document's vector, float32 (dimension,), of length one.

    cut: what was read of a document that is too long, in words; else empty.
    chunks: where they are kept, all of the document, also a single one.
    """

    vector: Vector
    cut: str = ""
    chunks: tuple[TextChunk, ...] = ()


def embed_documents(
    documents: Sequence[Document],
    encoder: TextEncoder,
    options: EncoderOptions,
    known: Mapping[Document, Embedded] = MappingProxyType({}),
    count: Callable[[int], None] | None = None,
) -> dict[Document, Embedded | Failure]:
    """Return what each distinct document with a text was encoded to, or why it was not.

    encoder: loaded, if anything is not known. options: those that it was built from.
    known: what need not be encoded.
    count: called after each batch with how many more of `documents` are done, or need nothing.
    """
    holders = Counter(documents)
    open_ = unknown(documents, known)
    done: dict[Document, Embedded | Failure] = {
        document: known[document] for document in holders if document in known
    }
    report = count or _ignore
    if open_:
        encoding = _Encoding(Reader.of(encoder, options))
        for document, embedded in encoding.of(open_):
            done[document] = embedded
            report(holders[document])
    report(len(documents) - sum(holders[document] for document in open_))
    return done


def unknown(documents: Iterable[Document], known: Collection[Document]) -> set[Document]:
    """Return the documents that have to be encoded."""
    return {document for document in documents if document.text and document not in known}


def _ignore(_: int) -> None:
    pass


@dataclass(frozen=True)
class Reader:
    """How much of a text an encoder reads.

    added: tokens that it puts around every text. reads: most tokens of a text, those included and
    its prompt not; 0 where it is not known.
    """

    encoder: TextEncoder
    options: EncoderOptions
    added: int
    reads: int

    @classmethod
    def of(cls, encoder: TextEncoder, options: EncoderOptions) -> Reader:
        """Return it for a loaded encoder."""
        card = encoder.card
        added, prompt = encoder.count_tokens(["", card.document_prompt])
        reads = max(1 + added, card.max_tokens - (prompt - added)) if card.max_tokens else 0
        return cls(encoder, options, added, reads)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens the texts themselves have."""
        counted = self.encoder.count_tokens(texts) if texts else []
        return [max(0, tokens - self.added) for tokens in counted]

    @property
    def size(self) -> int:
        """Most tokens of a chunk."""
        most = self.options.chunk_tokens
        return min(most, self.reads - self.added) if self.reads else most

    def is_too_long(self, tokens: int) -> bool:
        return 0 < self.reads < tokens

    def is_divided(self, tokens: int) -> bool:
        """Tell whether a document of so many tokens is encoded in chunks."""
        kept = self.options.long_texts == "chunks"
        is_long = self.is_too_long(tokens)
        return is_long or tokens - self.added > self.size if kept else is_long and self.pools

    @property
    def reads_together(self) -> bool:
        """Whether chunks are pooled from token vectors of their document: not with a class token,
        which is one for all that is read.
        """
        is_capable = isinstance(self.encoder, SpanEncoder)
        return is_capable and self.encoder.card.pooling in ("mean", "last")

    @property
    def pools(self) -> bool:
        """Whether the mean of its chunks stands for a document that is not read whole."""
        return self.options.long_texts != "cut"


@dataclass(frozen=True, slots=True)
class _Work:
    """One document on its way.

    tokens: of its text, with what the encoder adds. chunks: empty where it is encoded whole only.
    contexts: what goes before each chunk. windows: of a document whose chunks are read together.
    """

    document: Document
    tokens: int
    is_whole: bool
    chunks: Sequence[Chunk] = ()
    contexts: Sequence[str] = ()
    windows: Sequence[Window] = ()

    @property
    def pieces(self) -> list[tuple[str, int]]:
        """What is encoded alone, with about as many tokens as it has."""
        text = self.document.text
        whole = [(text, self.tokens)] if self.is_whole else []
        if self.windows:
            return whole
        # What a context adds differs little from chunk to chunk: batches need not know it.
        return whole + [
            (context + chunk.of(text), chunk.tokens + len(context.split()))
            for chunk, context in zip(self.chunks, self.contexts, strict=True)
        ]


@dataclass
class _Encoding:
    """The documents of a bucket while they are encoded. vectors: of texts that were encoded."""

    reader: Reader
    vectors: dict[str, Vector | Failure] = field(default_factory=dict)

    def of(self, documents: Collection[Document]) -> Iterator[tuple[Document, Embedded | Failure]]:
        """Yield each document as soon as all of it is encoded."""
        # The longest first, also of those that are not read in batches.
        ordered = sorted(documents, key=lambda each: (-len(each.text), each.text, each.context))
        counted = call_each(self._count, [each.text for each in ordered], EMBED_FAILED)
        waiting: dict[str, list[_Work]] = defaultdict(list)
        left: Counter[Document] = Counter()
        pieces: dict[str, int] = {}
        for document, tokens in zip(ordered, counted, strict=True):
            if isinstance(tokens, Failure):
                yield document, tokens
                continue
            work = self._planned(document, tokens)
            needed = dict(work.pieces)
            for piece in needed:
                waiting[piece].append(work)
            left[document] = len(needed)
            pieces |= needed
            if not needed:
                yield document, self._embedded(work)
        at_once = batches_at_once(self.reader.encoder)
        most_tokens = at_once * self.reader.options.batch_tokens
        for batch in batches_of(self._as_read(pieces), most_tokens, at_once * MAX_BATCH_TEXTS):
            self._encode(batch)
            for piece in batch:
                for work in waiting.pop(piece):
                    left[work.document] -= 1
                    if not left[work.document]:
                        yield work.document, self._embedded(work)

    def _count(self, texts: Sequence[str]) -> list[int | Failure]:
        return [*self.reader.encoder.count_tokens(texts)]

    def _planned(self, document: Document, tokens: int) -> _Work:
        reader = self.reader
        if not reader.is_divided(tokens):
            return _Work(document, tokens, is_whole=True)
        is_whole = not reader.is_too_long(tokens)
        text, size = document.text, reader.size
        if reader.reads_together:
            chunks = divide(text, reader.count, size)
            most = reader.reads - reader.added if reader.reads else tokens
            return _Work(document, tokens, is_whole, chunks, windows=[*windows(chunks, most)])
        about = shortened(document.context, reader.count, size // CONTEXT)
        before = f"{about} " if about.endswith((".", "!", "?")) else f"{about}. "
        room = size
        if about:
            room = max(1, size - reader.count([before])[0])
        chunks = divide(text, reader.count, room, room // OVERLAP)
        contexts = ["" if about in chunk.of(text) else before for chunk in chunks]
        return _Work(document, tokens, is_whole, chunks, contexts)

    def _as_read(self, pieces: Mapping[str, int]) -> Mapping[str, int]:
        most = self.reader.reads
        return {text: min(n, most) for text, n in pieces.items()} if most else pieces

    def _encode(self, texts: Sequence[str]) -> None:
        encoder = self.reader.encoder
        answers = call_each(encoder.encode_texts, texts, EMBED_FAILED)
        for text, answer in zip(texts, answers, strict=True):
            self.vectors[text] = checked_vector(answer, encoder.dimension, EMBED_FAILED)

    def _embedded(self, work: _Work) -> Embedded | Failure:
        reader, text = self.reader, work.document.text
        whole = self.vectors[text] if work.is_whole else None
        if isinstance(whole, Failure):
            return whole
        chunks = self._chunks(work)
        if isinstance(chunks, Failure):
            return chunks
        if whole is None:
            whole = pooled([chunk.vector for chunk in chunks], [chunk.tokens for chunk in chunks])
        if whole is None:
            return Failure(
                EMBED_FAILED, f"the vectors of its {len(chunks)} chunks cancel each other out"
            )
        if reader.is_too_long(work.tokens) and not reader.pools:
            return Embedded(whole, f"{work.tokens} tokens, of which {reader.reads} were read")
        if reader.options.long_texts != "chunks":
            return Embedded(whole)
        if not chunks:
            begin = len(text) - len(text.lstrip())
            own = text.strip()
            tokens = work.tokens - reader.added
            chunks = (TextChunk(begin, begin + len(own), tokens, "", own, whole),)
        return Embedded(whole, chunks=chunks)

    def _chunks(self, work: _Work) -> tuple[TextChunk, ...] | Failure:
        text = work.document.text
        contexts = work.contexts or [""] * len(work.chunks)
        encoder = self.reader.encoder
        if work.windows and isinstance(encoder, SpanEncoder):
            vectors = self._read_together(work, encoder)
        else:
            pieces = [c + chunk.of(text) for c, chunk in zip(contexts, work.chunks, strict=True)]
            vectors = [self.vectors[piece] for piece in pieces]
        chunks = []
        for chunk, context, vector in zip(work.chunks, contexts, vectors, strict=True):
            if isinstance(vector, Failure):
                return vector
            about = context.strip()
            chunks.append(
                TextChunk(chunk.begin, chunk.end, chunk.tokens, about, chunk.of(text), vector)
            )
        return tuple(chunks)

    def _read_together(self, work: _Work, encoder: SpanEncoder) -> list[Vector | Failure]:
        """Return the vectors of chunks that are pooled from their own tokens."""

        def encode(window: Window) -> list[Vector]:
            spans = [(c.begin - window.begin, c.end - window.begin) for c in window.chunks]
            vectors = encoder.encode_spans(work.document.text[window.begin : window.end], spans)
            if len(vectors) != len(spans):
                raise ValueError(f"{len(vectors)} vectors for {len(spans)} parts of a text")
            return vectors

        found: list[Vector | Failure] = []
        for window, answer in zip(
            work.windows, answer_each(encode, work.windows, EMBED_FAILED), strict=True
        ):
            given = [answer] * len(window.chunks) if isinstance(answer, Failure) else answer
            found += [
                checked_vector(each, self.reader.encoder.dimension, EMBED_FAILED) for each in given
            ]
        return found
