"""Libraries for constrained decoding, side by side: what is right, what it costs to compile and to
mask a token.

`python -m benchmarks.constrained_decoding` (`--vocabulary 128000` for a real model's size, trained
on Python's own sources in about a minute). Libraries that are not installed are skipped. Each
library works on each schema in a process of its own, which ends after `--limit-secs`.

- right: of the answers that obey the schema and are taken; wrong: of those that break it and are
  refused.
- walks: answers made by picking allowed tokens at random: how many ended, and of these, how many
  break the schema
  or are no JSON. An unbounded number need not end, whatever the library: that is the schema's
  doing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

SEED = 7
MAX_TOKENS = 4000
COLORS = (
    "red",
    "crème",
    "vert d’eau",
    'so-called "natural"',
    "緑",
    "кофе",
    "back\\slash",
    "50 % / 50 %",
    "unknown",
)
SURE = ("certain", "likely", "guess")
SEEN = ("title", "description", "image 1", "image 2", "nowhere")


Words = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One answer in the making.

    `mask` sets bits of int32 words, one bit a token, 1 where the token may follow.
    """

    mask: Callable[[Words], Any]
    accept: Callable[[int], Any]
    ended: Callable[[], bool]


class Llguidance:
    module = "llguidance"

    def __init__(self, tokenizer: Any) -> None:
        from llguidance.hf import from_tokenizer

        self.tokens = from_tokenizer(tokenizer)

    def compile(self, schema: dict[str, Any]) -> Callable[[], Matcher]:
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_json_schema(
            json.dumps(schema), overrides={"whitespace_flexible": False}
        )
        compiled = LLMatcher(self.tokens, grammar)
        if compiled.is_error():
            raise ValueError(compiled.get_error())

        def matcher() -> Matcher:
            own = compiled.deep_copy()
            return Matcher(
                lambda words: own.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes),
                lambda token: own.try_consume_tokens([token]),
                own.is_accepting,
            )

        return matcher


class Xgrammar:
    module = "xgrammar"

    def __init__(self, tokenizer: Any) -> None:
        import xgrammar

        self.library: Any = xgrammar
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
        self.compiler = xgrammar.GrammarCompiler(info, max_threads=2, cache_enabled=False)

    def compile(self, schema: dict[str, Any]) -> Callable[[], Matcher]:
        import torch

        compiled = self.compiler.compile_json_schema(
            schema, any_whitespace=False, separators=(",", ":")
        )

        def matcher() -> Matcher:
            own = self.library.GrammarMatcher(compiled, terminate_without_stop_token=True)
            return Matcher(
                lambda words: own.fill_next_token_bitmask(torch.from_numpy(words)[None]),
                own.accept_token,
                own.is_terminated,
            )

        return matcher


class OutlinesCore:
    module = "outlines_core"

    def __init__(self, tokenizer: Any) -> None:
        import outlines_core

        self.library: Any = outlines_core
        letters = dict(zip(_byte_letters(), range(256), strict=True))
        ids: dict[bytes, list[int]] = {}
        for text, token in tokenizer.get_vocab().items():
            if token not in tokenizer.all_special_ids:
                ids.setdefault(bytes(letters[letter] for letter in text), []).append(token)
        self.vocabulary = outlines_core.Vocabulary(tokenizer.eos_token_id, ids)

    def compile(self, schema: dict[str, Any]) -> Callable[[], Matcher]:
        expression = self.library.json_schema.build_regex_from_schema(
            json.dumps(schema), whitespace_pattern=""
        )
        index = self.library.Index(expression, self.vocabulary)

        def matcher() -> Matcher:
            own = self.library.Guide(index)

            def accept(token: int) -> bool:
                try:
                    own.advance(token, return_tokens=False)
                except ValueError:
                    return False
                return True

            return Matcher(
                lambda words: own.write_mask_into(words.ctypes.data, words.size, words.itemsize),
                accept,
                own.is_finished,
            )

        return matcher


LIBRARIES: tuple[type[Any], ...] = (Llguidance, Xgrammar, OutlinesCore)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _words(values: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def item_schema() -> dict[str, Any]:
    """29 properties, as a template of nine attributes makes them."""
    number = r"^(unknown|-?[0-9]{1,9}(\.[0-9]{1,4})?)$"
    values: dict[str, Any] = {
        "color": _words(COLORS),
        "material": {"type": "string", "maxLength": 400},
        "weight": {"anyOf": [{"type": "number"}, _words(["unknown"])]},
        "volume": {"type": "string", "pattern": number},
        "labels": {"type": "array", "items": _words(COLORS[:-1]), "maxItems": 3},
        "organic": _words(["yes", "no", "unknown"]),
        "größe": _words(["S", "M", "L", "unknown"]),
        "code": {"type": "string", "pattern": "^(unknown|[0-9Xx -]{8,20})$"},
        "brand": {"type": "string", "minLength": 1, "maxLength": 80},
    }
    properties: dict[str, Any] = {
        "description": {"type": "string", "minLength": 1, "maxLength": 400},
        "alt_text": {"type": "string", "maxLength": 160},
    }
    for name, schema in values.items():
        properties |= {
            name: schema,
            f"{name}.confidence": _words(SURE),
            f"{name}.seen": _words(SEEN),
        }
    return _object(properties)


def category_schema() -> dict[str, Any]:
    """One closed list of 1,000 values that share their beginnings."""
    values = [f"Food & Drink > {COLORS[n % 8]} > shelf {n // 40} > no. {n}" for n in range(1000)]
    return _object({"category": _words(values), "category.confidence": _words(SURE)})


SCHEMAS = {"item": item_schema, "category of 1,000": category_schema}


def right_and_wrong(name: str) -> tuple[list[str], list[str]]:
    """Answers that obey the schema, and answers that break it in one place each, as compact
    JSON.
    """
    if name != "item":
        values = category_schema()["properties"]["category"]["enum"]
        base: dict[str, Any] = {"category": values[999], "category.confidence": "likely"}
        changes: list[dict[str, Any]] = [{"category": value} for value in values[::100]]
        faults: list[dict[str, Any]] = [
            {"category": values[3][:-1]},
            {"category": ""},
            {"category.confidence": "no"},
        ]
    else:
        base = {"description": 'A "green" bottle — 1 l\n(new)', "alt_text": ""}
        given = ("red", "oak", 2.5, "12.5", ["crème", "緑"], "yes", "M", "12345678", "Å")
        for attribute, value in zip(list(item_schema()["properties"])[2::3], given, strict=True):
            base |= {
                attribute: value,
                f"{attribute}.confidence": "certain",
                f"{attribute}.seen": "image 1",
            }
        changes = [{"color": color} for color in COLORS]
        changes += [
            {"description": "ü" * 400},
            {"material": "\\" * 400},
            {"weight": "unknown"},
            {"weight": -3},
        ]
        changes += [
            {"labels": []},
            {"labels": list(COLORS[:3])},
            {"volume": "unknown"},
            {"brand": "😀" * 80},
        ]
        faults = [
            {"description": "x" * 401},
            {"description": ""},
            {"brand": "😀" * 81},
            {"weight": "none"},
        ]
        faults += [
            {"labels": list(COLORS[:4])},
            {"labels": ["pink"]},
            {"volume": "1.23456"},
            {"color": "Red"},
        ]
        faults += [{"color": None}, {"code": "123"}, {"extra": 1}]
    lines = [_compact({**base, **change}) for change in ({}, *changes)]
    broken = [_compact({**base, **fault}) for fault in faults]
    missing = _compact({key: value for key, value in base.items() if key != next(iter(base))})
    return lines, [*broken, missing, json.dumps(base), lines[0][:-1] + "\n}", lines[0] + " "]


def _compact(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def takes(matcher: Matcher, tokens: Sequence[int]) -> bool:
    return all(matcher.accept(token) for token in tokens) and matcher.ended()


def walk(matcher: Matcher, vocabulary: int, dice: random.Random, times: list[float]) -> list[int]:
    """Tokens picked at random among the allowed, to the end or to MAX_TOKENS."""
    words = np.zeros((vocabulary + 31) // 32, dtype=np.int32)
    tokens: list[int] = []
    while not matcher.ended() and len(tokens) < MAX_TOKENS:
        words[:] = 0
        started = time.perf_counter()
        matcher.mask(words)
        times.append(time.perf_counter() - started)
        allowed = np.flatnonzero(
            np.unpackbits(words.view(np.uint8), bitorder="little")[:vocabulary]
        )
        if not allowed.size:
            break
        tokens.append(int(allowed[dice.randrange(allowed.size)]))
        if not matcher.accept(tokens[-1]):
            raise RuntimeError(f"token {tokens[-1]} was allowed and is refused")
    return tokens


def measure(library: type[Any], folder: str, name: str, walks: int, pipe: Any) -> None:
    """Send one row of the table."""
    import psutil
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    started = time.perf_counter()
    backend = library(tokenizer)
    ready = time.perf_counter()
    memory_bytes = psutil.Process().memory_info().rss
    schema = SCHEMAS[name]()
    compiled = backend.compile(schema)
    compiled_at = time.perf_counter()
    compiled()
    row = {"prepare s": ready - started, "compile ms": 1e3 * (compiled_at - ready)}
    row["new answer ms"] = 1e3 * (time.perf_counter() - compiled_at)
    times: list[float] = []
    dice, ended, broken = random.Random(SEED), 0, 0
    check = jsonschema.Draft202012Validator(schema)
    for _ in range(walks):
        matcher = compiled()
        tokens = walk(matcher, len(tokenizer), dice, times)
        if matcher.ended():
            ended += 1
            broken += not _obeys(check, tokenizer.decode(tokens, skip_special_tokens=False))
    right, wrong = right_and_wrong(name)
    encode = [tokenizer.encode(text, add_special_tokens=False) for text in (*right, *wrong)]
    taken = [takes(compiled(), tokens) for tokens in encode]
    cuts = statistics.quantiles(times, n=100)
    row |= {
        "mask µs": 1e6 * cuts[49],
        "95 %": 1e6 * cuts[94],
        "99 %": 1e6 * cuts[98],
        "max": 1e6 * max(times),
    }
    grown_mib = (psutil.Process().memory_info().rss - memory_bytes) / 2**20
    refused = taken[len(right) :].count(False)
    pipe.send(
        {key: f"{value:,.1f}" for key, value in (row | {"MiB": grown_mib}).items()}
        | {"right": f"{sum(taken[: len(right)])}/{len(right)}", "wrong": f"{refused}/{len(wrong)}"}
        | {"walks ended": f"{ended}/{walks}", "of these broken": str(broken)}
    )


def _obeys(check: Any, text: str) -> bool:
    try:
        # An unbounded number may have more digits than Python turns into an int.
        return bool(check.is_valid(json.loads(text, parse_int=float)))
    except json.JSONDecodeError:
        return False


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in a byte-level vocabulary, as GPT-2 laid it down."""
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printing]
    letters = {byte: chr(byte) for byte in printing} | {
        byte: chr(256 + n) for n, byte in enumerate(others)
    }
    return [letters[byte] for byte in range(256)]


def save_tokenizer(folder: Path, vocabulary: int) -> None:
    """Byte-level BPE of that size, trained on the sources of Python and of what is installed beside
    it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sources(), trainer)
    fast: Any = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>"
    )
    fast.save_pretrained(folder)


def _sources() -> Iterator[str]:
    for root in ("stdlib", "purelib"):
        files = sorted(Path(sysconfig.get_paths()[root]).rglob("*.py"))
        yield from (file.read_text("utf-8", errors="replace") for file in files[:6000])


def row_of(
    library: type[Any], folder: str, name: str, walks: int, limit_secs: float
) -> dict[str, str]:
    if importlib.util.find_spec(library.module) is None:
        return {"": "not installed"}
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=measure, args=(library, folder, name, walks, there), daemon=True
    )
    process.start()
    there.close()
    try:
        row: dict[str, str] = here.recv() if here.poll(limit_secs) else {"": f"> {limit_secs:g} s"}
    except EOFError:
        row = {"": "failed"}
    process.terminate()
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table of what is installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=8000, help="tokens in the vocabulary")
    parser.add_argument("--walks", type=int, default=20, help="random answers a library and schema")
    parser.add_argument(
        "--limit-secs", type=float, default=120, help="for one library on one schema"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(Path(folder), options.vocabulary)
        for name in SCHEMAS:
            for library in LIBRARIES:
                row = row_of(library, folder, name, options.walks, options.limit_secs)
                cells = "  ".join(f"{key} {value}".strip() for key, value in row.items())
                sys.stdout.write(f"{name} | {library.module} | {cells}\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
