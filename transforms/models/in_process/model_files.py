"""The files that a model comes in: its parts, and whether reading them could run code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.txt",
    "vocab.json",
)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, {} if there is no such file.

    Raises ValueError when it is not JSON, or no object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}; fetch it again") from None
    if not isinstance(content, dict):
        raise ValueError(  # noqa: TRY004 the file, not its type, is wrong
            f"{path} holds a {type(content).__name__}, not an object; fetch it again"
        )
    return content


def module_parts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield kind and folder of each part of a sentence-transformers model, in order.

    A kind that is not the library's own keeps its module's name: `custom.Transformer`.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        for module in json.loads(path.read_text("utf-8")):
            kind, place = str(module["type"]), str(module["path"])
            if Path(place).is_absolute() or ".." in Path(place).parts:
                raise ValueError(f"{place!r} leads out of the folder")
            own = kind.startswith("sentence_transformers.")
            yield (kind.rpartition(".")[2] if own else kind), place
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no list of modules: {error}; fetch it again") from None


def check_code(
    network: Path, folder: Path, parts: Sequence[tuple[str, str]], *, allowed: bool
) -> None:
    """Raise ValueError when the model needs Python code of its own that is not allowed."""
    if allowed:
        return
    for name, named in _code_named_by(network):
        if named:
            first = next(iter(named.values())) if isinstance(named, dict) else named
            raise ValueError(_code_problem(folder, f"{name} names {first}"))
    for kind, place in parts:
        if "." in kind:
            raise ValueError(_code_problem(folder, f"modules.json names {kind}"))
        function = read_json(folder / place / "config.json").get("activation_function", "torch.")
        if kind == "Dense" and not str(function).startswith("torch."):
            raise ValueError(_code_problem(folder, f"{place}/config.json names {function}"))


def _code_named_by(network: Path) -> Iterator[tuple[str, Any]]:
    """Yield each file that may name code of the model's own, and what it names."""
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        yield name, read_json(network / name).get("auto_map")
    together = read_json(network / "processor_config.json")
    for part in (together, *together.values()):
        if isinstance(part, dict):
            yield "processor_config.json", part.get("auto_map")


def _code_problem(folder: Path, what: str) -> str:
    return (
        f"the model in {str(folder)!r} needs Python code that comes with it ({what}), which is not "
        "run unasked; read that code and give --text-remote-code or --image-remote-code, or choose "
        "another model"
    )


def check_weights(
    network: Path, folder: Path, parts: Sequence[tuple[str, str]], runtime: str
) -> None:
    """Raise ValueError unless all weights are in safetensors files, or exported for the runtime: a
    pickle can run code.
    """
    dense = [folder / place for kind, place in parts if kind == "Dense"]
    for place in (network, *dense):
        if any(place.glob("*.safetensors")):
            continue
        if place == network and runtime != "torch" and (network / runtime).is_dir():
            continue
        pickled = sorted(path.name for pattern in PICKLED for path in place.glob(pattern))
        contents = (
            f"{', '.join(pickled)}, which can run code when read" if pickled else "no weights"
        )
        raise ValueError(
            f"the model's folder {str(place)!r} holds {contents}; save the model as safetensors "
            "(save_pretrained does), or name a revision that has them"
        )
