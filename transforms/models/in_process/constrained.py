"""Decoding that can only answer what a JSON Schema allows: grammars of a vocabulary, and the choice
of each next token.

The mask of tokens that may come next is llguidance's, chosen by
`benchmarks/constrained_decoding.py`: of the libraries there, only this one is right on every schema
and also compiles each in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from transforms.models.chat import SEED

if TYPE_CHECKING:
    import torch

# Compiled schemas that are kept, because compiling takes milliseconds and a run has few schemas.
# One takes 0.05 MiB for 30 attributes, 1.1 MiB for a closed list of 1,000 values.
GRAMMARS = 128


class Vocabulary:
    """A model's tokens as the grammars see them, and the grammars that were compiled for them.

    size: of the mask, in tokens; a network may score more tokens than its tokenizer knows, or
    fewer.
    """

    def __init__(self, tokenizer: Any, scored: int) -> None:
        from llguidance import LLTokenizer, TokenizerWrapper
        from llguidance.hf import from_tokenizer

        self.size = max(scored, len(tokenizer))
        spelling = Spelling(from_tokenizer(tokenizer, n_vocab=self.size), self.size)
        self._tokens = LLTokenizer(TokenizerWrapper(spelling), n_vocab=self.size)
        self._compiled = lru_cache(GRAMMARS)(self._compile)

    def matcher(self, schema: Mapping[str, Any]) -> Any:
        """Return a grammar at its start: of compact JSON that obeys the schema.

        Raises ValueError when the schema has no grammar.
        """
        # As text, because the order of the keys is the order of the answer. A copy, because a
        # matcher moves along with its answer.
        return self._compiled(orjson.dumps(schema).decode()).deep_copy()

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token stands for."""
        piece: bytes = self._tokens.decode_bytes([token])
        return piece

    def _compile(self, schema: str) -> Any:
        from llguidance import LLMatcher

        # Where white space is allowed, a model may write it until its limit.
        grammar = LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_flexible": False}
        )
        matcher = LLMatcher(self._tokens, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"the schema has no grammar: {matcher.get_error()}")
        return matcher


class Spelling:
    """How a grammar spells the parts of an answer that have no alternative.

    llguidance (1.9) spells a listed value like `<image>` with the control token, and then refuses
    it: such text is spelt by the longest tokens that are not control tokens. The attributes' names
    are those that llguidance's TokenizerWrapper reads.
    """

    bos_token_id = None

    def __init__(self, tokens: Any, size: int) -> None:
        self._own = tokens
        self.eos_token_id = tokens.eos_token
        self.tokens = [tokens.decode_bytes([token]) for token in range(size)]
        self.special_token_ids = [token for token in range(size) if tokens.is_special_token(token)]
        self._special = frozenset(self.special_token_ids)

    def __call__(self, text: bytes) -> list[int]:
        tokens: list[int] = self._own.tokenize_bytes(text)
        if self._special.isdisjoint(tokens):
            return tokens
        plain: list[int] = self._own.greedy_tokenize(text.decode())
        return plain


@dataclass(eq=False, slots=True)
class Row:
    """One answer in the making.

    logarithms: of each token's probability under the model's own distribution, before mask and
    temperature.
    problem: why there is no answer; ended_at: seconds on `perf_counter`'s clock.
    """

    matcher: Any
    max_tokens: int
    temperature: float
    tokens: list[int] = field(default_factory=list)
    logarithms: list[float] = field(default_factory=list)
    complete: bool = False
    problem: str = ""
    ended_at: float = 0.0
    # One for each answer, so that neighbours in the batch do not change what is drawn.
    generator: torch.Generator | None = None

    @property
    def open(self) -> bool:
        return not self.ended_at

    def take(self, token: int, logarithm: float) -> None:
        """Append the next token.

        An answer ends as soon as it is whole: nothing can follow a JSON object.
        """
        if math.isnan(logarithm):
            self.problem = "the model's scores are not numbers; choose another --dtype"
        elif not self.matcher.consume_token(token):
            self.problem = f"the grammar stopped: {self.matcher.get_error() or 'no token fits'}"
        else:
            self.tokens.append(token)
            self.logarithms.append(logarithm)
            self.complete = self.matcher.is_accepting()
        if self.problem or self.complete or len(self.tokens) >= self.max_tokens:
            self.ended_at = perf_counter()


class Choice:
    """Decides the next token of every answer of a batch; `generate` calls both methods at each
    step.
    """

    def __init__(self, rows: list[Row], executor: Any, size: int) -> None:
        self._rows = rows
        self._executor = executor
        # One bit a token, set where the token may come next; 32 to a word, as llguidance writes.
        self._words = np.zeros((len(rows), (size + 31) // 32), dtype=np.int32)

    def pick(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores, float32 of shape (batch, vocabulary), with nothing above -inf but the tokens that
        are taken.
        """
        import torch

        # Before mask and temperature: the confidence is to be the model's own, and with the mask a
        # value without an alternative would always have probability 1.
        totals = scores.logsumexp(-1)
        chosen = (
            self._drawn(scores)
            .masked_fill(~self._allowed(scores), -math.inf)
            .argmax(-1, keepdim=True)
        )
        logarithms = scores.gather(-1, chosen)[:, 0] - totals
        for row, token, logarithm in zip(
            self._rows, chosen[:, 0].tolist(), logarithms.tolist(), strict=True
        ):
            # `generate` goes on with the whole batch until the last answer has ended.
            if row.open:
                row.take(token, logarithm)
        # All but the chosen at -inf, so that greedy decoding takes it.
        return torch.full_like(scores, -math.inf).scatter_(-1, chosen, 0.0)

    def ended(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        """Bool of shape (batch,): which answers are done."""
        import torch

        return torch.tensor([not row.open for row in self._rows], device=input_ids.device)

    def _allowed(self, scores: torch.Tensor) -> torch.Tensor:
        import torch

        open_rows = [(row.matcher, position) for position, row in enumerate(self._rows) if row.open]
        row_bytes = self._words.shape[1] * self._words.itemsize
        # Into numpy's memory, for all rows in parallel. Rows that have ended keep their last mask:
        # what is chosen by it is not taken.
        self._executor.unsafe_compute_mask_ptr(
            open_rows, self._words.ctypes.data, row_bytes, len(self._rows)
        )
        words = torch.from_numpy(self._words).to(scores.device)
        # The mask is as long as the larger of tokenizer and network, in whole words; the scores are
        # the network's.
        bits = (words[:, :, None] >> torch.arange(32, dtype=torch.int32, device=scores.device)) & 1
        return bits.bool().flatten(1)[:, : scores.shape[1]]

    def _drawn(self, scores: torch.Tensor) -> torch.Tensor:
        """Return scores whose highest is the choice: as they are, or with Gumbel noise, which
        samples the softmax.
        """
        import torch

        drawn = scores.clone()
        for position, row in enumerate(self._rows):
            if row.temperature > 0 and row.open:
                # On the CPU, whose random numbers do not depend on the device of the model.
                row.generator = row.generator or torch.Generator().manual_seed(SEED)
                # -log of an exponential variable is a Gumbel variable; 0 has no logarithm.
                waits = (
                    torch.empty(scores.shape[1])
                    .exponential_(generator=row.generator)
                    .clamp_min_(1e-30)
                )
                drawn[position] = scores[position] / row.temperature - waits.log().to(scores.device)
        return drawn
