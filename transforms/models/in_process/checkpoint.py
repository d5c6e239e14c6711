"""What the files of an encoder say of it: read and checked before any model library is imported.

Known are the folders of transformers (config.json, tokenizer, safetensors) and those of
sentence-transformers (modules.json, with a folder for each part).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Modality
from transforms.models.identity import model_identity, weights_digest
from transforms.models.in_process.hub import fetched, is_folder_name, local_folder
from transforms.models.in_process.model_files import (
    TOKENIZERS,
    check_code,
    check_weights,
    module_parts,
    read_json,
)

# Texts and pictures go through a network each and meet in one space.
TWO_TOWERS = frozenset(
    {"align", "altclip", "chinese_clip", "clip", "metaclip_2", "siglip", "siglip2"}
)
# Their text vector is what stands at the last place, so that texts are filled up to the last place,
# as they were in training, and no mask tells the filling apart.
FILLED_UP = frozenset({"siglip", "siglip2"})
# Positions are counted from behind the padding's id, so that two of them are never used.
COUNTED_FROM_TWO = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"})
# Of prompts that a model declares, by role, the first that is there.
PROMPT_NAMES = {"document": ("document", "passage", "corpus"), "query": ("query",)}
# Tokenizers that know no limit state a number like 1e30.
NO_LIMIT = 10**6
_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}
_MATRYOSHKA = re.compile(r'"matryoshka_dims"\s*:\s*\[([\d,\s]+)\]')


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder and what it declares.

    commit: of the hub; empty for a folder of one's own. parts: of a sentence-transformers model,
    kind and folder, in order; empty for others.
    """

    options: EncoderOptions
    folder: Path
    commit: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    _json: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, options: EncoderOptions, *, weights: bool = False) -> Checkpoint:
        """Return the checked files of the model that `options` name.

        weights: whether those of a hub id are fetched too. Raises ValueError that says what is
        missing, or why the model is not run.
        """
        if is_folder_name(options.model):
            folder, commit = local_folder(options.model), ""
        else:
            folder, commit = fetched(options, weights=weights)
        made = cls(options, folder, commit, tuple(module_parts(folder)))
        made._check_config()
        check_code(made.network, folder, made.parts, allowed=options.remote_code)
        if weights or not commit:
            check_weights(made.network, folder, made.parts, options.runtime)
        return made

    @property
    def network(self) -> Path:
        """The folder of the network itself: in older sentence-transformers models one below."""
        return self.folder / self.parts[0][1] if self.parts else self.folder

    @property
    def model(self) -> str:
        """Id and revision, or the folder's name with a digest of its files."""
        place = self.options.model if self.commit else str(self.folder)
        return model_identity(place, self.options.revision)

    @property
    def id(self) -> str:
        return self.options.model if self.commit else self.folder.resolve().name

    @property
    def weights_sha256(self) -> str:
        """Digest of a folder's files; empty for a hub id, whose commit says as much."""
        return "" if self.commit else weights_digest(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.read(self.network / "config.json")

    @property
    def kind(self) -> str:
        return str(self.config.get("model_type", ""))

    @cached_property
    def modalities(self) -> tuple[Modality, ...]:
        """What the model reads, texts first."""
        declared = self.read(self.network / "sentence_bert_config.json").get("modality_config")
        if declared:
            found = {name for name in ("text", "image") if name in declared}
        elif self.kind in TWO_TOWERS:
            found = {"text", "image"}
        else:
            takes_images = bool(self.image_settings)
            found = {"text"} if "vocab_size" in self._flat or self._tokenizer() else set()
            if takes_images and (not found or "vision_config" in self.config):
                found.add("image")
        known: tuple[Modality, ...] = ("text", "image")
        return tuple(name for name in known if name in found) or ("text",)

    @cached_property
    def image_settings(self) -> dict[str, Any]:
        """How images are prepared for the model, as its files say; empty where it takes none."""
        own = self.read(self.network / "preprocessor_config.json")
        # Newer versions of transformers keep all processors of a model in one file.
        together = self.read(self.network / "processor_config.json")
        return own or dict(together.get("image_processor") or {})

    @cached_property
    def pooling(self) -> str:
        """The pooling that is declared, `own` where the towers end in one, else empty."""
        if self.kind in TWO_TOWERS:
            return "own"
        pooling = self.part("Pooling")
        modes = pooling.get("pooling_mode")
        if isinstance(modes, str):
            modes = [modes]
        names = modes or [name for flag, name in _POOLINGS.items() if pooling.get(flag)]
        return "+".join("last" if name == "lasttoken" else name for name in names)

    @cached_property
    def width(self) -> int:
        """Length of the vectors as the model makes them. Raises ValueError where it is not said."""
        last = [self.part(kind, n) for n, (kind, _) in enumerate(self.parts) if kind == "Dense"]
        if last and last[-1].get("out_features"):
            return int(last[-1]["out_features"])
        width = self._network_width()
        modes = self.pooling.count("+") + 1 if self.parts else 1
        return width * modes

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The Matryoshka widths that the model declares, ascending, its own included; empty
        without a declaration. Kusupati et al., arXiv:2205.13147.
        """
        declared: list[int] = []
        for name in ("matryoshka_dimensions", "matryoshka_dims"):
            for content in (self.config, self._sentence):
                declared += [int(each) for each in content.get(name) or ()]
        # Where sentence-transformers writes them when it has trained a model.
        card = self.folder / "README.md"
        if not declared and card.is_file():
            for listed in _MATRYOSHKA.findall(card.read_text("utf-8", errors="replace")):
                declared += [int(each) for each in listed.split(",") if each.strip()]
        if self._sentence.get("truncate_dim"):
            declared.append(int(self._sentence["truncate_dim"]))
        if not declared and self.config.get("is_matryoshka"):
            return tuple(range(1, self.width + 1))
        narrower = {each for each in declared if 0 < each <= self.width}
        return tuple(sorted({*narrower, self.width})) if narrower else ()

    @property
    def dimension(self) -> int:
        """Length of the vectors that are asked for. Raises ValueError for a width that the model
        does not declare.
        """
        wanted, own = self.options.dimension, self._sentence.get("truncate_dim") or self.width
        if not wanted or wanted == own:
            return int(own)
        if not self.widths:
            raise ValueError(
                f"dimension is {wanted}, but {self.id} does not declare that it was trained for "
                f"shorter vectors (Matryoshka); leave dimension out for {own}"
            )
        if wanted not in self.widths:
            allowed = (
                ", ".join(map(str, self.widths))
                if len(self.widths) < self.width
                else f"1 to {self.width}"
            )
            raise ValueError(f"dimension is {wanted}; {self.id} declares {allowed}")
        return wanted

    @cached_property
    def positions(self) -> int:
        """Most tokens that the network can take; 0 where it is not limited, or not said."""
        most = self._number("max_position_embeddings", "n_positions", section="text_config")
        return max(most - 2, 0) if self.kind in COUNTED_FROM_TWO else most

    @property
    def max_tokens(self) -> int:
        """Most tokens of a text that are read, its prompt included; 0 where nothing limits them.

        Raises ValueError when more are asked for than the network can take.
        """
        wanted = self.options.max_tokens
        if wanted and self.positions and wanted > self.positions:
            raise ValueError(
                f"max_tokens is {wanted:,}; {self.id} takes at most {self.positions:,}"
            )
        if wanted:
            return wanted
        declared = self.read(self.network / "sentence_bert_config.json").get("max_seq_length")
        limit = self.read(self.network / "tokenizer_config.json").get("model_max_length") or 0
        limits = [declared or (int(limit) if limit < NO_LIMIT else 0), self.positions]
        return min((each for each in limits if each), default=0)

    def prompt(self, role: str) -> str:
        """Return what is put before a text of this role: as asked for, else as declared."""
        given = self.options.prompt if role == "document" else self.options.query_prompt
        declared: Mapping[str, str] = self._sentence.get("prompts") or {}
        named = (declared.get(name) for name in PROMPT_NAMES[role])
        return given or next((prompt for prompt in named if prompt), "")

    def part(self, kind: str, place: int | None = None) -> dict[str, Any]:
        """Return the configuration of the first part of this kind, or of the part at a place."""
        for n, (name, path) in enumerate(self.parts):
            if name == kind and place in (None, n):
                return self.read(self.folder / path / "config.json")
        return {}

    def read(self, path: Path) -> dict[str, Any]:
        """Return the content of a JSON file, {} if it is not there."""
        key = str(path)
        if key not in self._json:
            self._json[key] = read_json(path)
        return self._json[key]

    @property
    def _sentence(self) -> dict[str, Any]:
        return self.read(self.folder / "config_sentence_transformers.json")

    @property
    def _flat(self) -> dict[str, Any]:
        return {**(self.config.get("text_config") or {}), **self.config}

    def _tokenizer(self) -> bool:
        return any((self.network / name).is_file() for name in TOKENIZERS)

    def _network_width(self) -> int:
        names = ("hidden_size", "d_model", "dim", "n_embd")
        if self.kind in FILLED_UP:
            width = self._number("hidden_size", section="vision_config")
        elif self.kind in TWO_TOWERS:
            width = self._number("projection_dim")
        else:
            section = "vision_config" if self.modalities == ("image",) else "text_config"
            width = self._number(*names, section=section)
        if not width:
            raise ValueError(
                f"{self.network / 'config.json'} does not say how long the vectors are; none of "
                f"{', '.join(names)} is in it"
            )
        return width

    def _number(self, *names: str, section: str = "") -> int:
        """Return the first of these settings: of the section, of the whole, or the default of this
        kind of network; 0 if there is none.
        """
        for content in (self.config.get(section) or {}, self.config):
            found = next((content[name] for name in names if content.get(name)), None)
            if found:
                return int(found)
        # A configuration leaves out what is the default. Only the library knows that.
        whole = self._whole_config
        for content in (getattr(whole, section, None) if section else None, whole):
            found = next((getattr(content, n) for n in names if getattr(content, n, None)), None)
            if isinstance(found, int):
                return found
        return 0

    @cached_property
    def _whole_config(self) -> Any:
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(
                self.network,
                local_files_only=True,
                trust_remote_code=self.options.remote_code,
            )
        except ValueError:
            raise ValueError(
                f"{self.network / 'config.json'}: model_type {self.kind!r} is not known to the "
                "transformers that is installed; upgrade it, or choose another model"
            ) from None

    def _check_config(self) -> None:
        if not (self.network / "config.json").is_file():
            raise ValueError(
                f"the model's folder {str(self.network)!r} has no config.json; name the folder "
                "that a model was saved in"
            )
        if not self.kind:
            raise ValueError(
                f"{self.network / 'config.json'} has no model_type; save the model again with "
                "save_pretrained"
            )
        if "text" in self.modalities and not self._tokenizer():
            raise ValueError(
                f"the model's folder {str(self.network)!r} has no tokenizer (none of "
                f"{', '.join(TOKENIZERS)}); save it there with tokenizer.save_pretrained"
            )
