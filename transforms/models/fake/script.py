"""Fake models: the same answer for the same content, scripted answers and failures, counted calls.

They load nothing, so whole runs can be tried and tested without a model. A script is a YAML
list, of which the first entry for the model that matches a request's picture digests or text
answers it:

    - match: ^3f2a           # regular expression, searched in each digest and in the text or prompt
      answer: {image.description: A red shirt., color: Red}  # other keys say unknown
    - match: broken
      failure: backend-failed  # a reason id: this request fails
    - match: poison
      raise: true              # the call raises, for all requests in the batch
    - match: garbage
      raw: '{"descr'           # the answer as it comes, here cut off
      finish_reason: length
    - match: ^77aa
      model: tagger            # describer (the default), tagger, image-encoder or text-encoder
      description: Tags.
      colors: {red: 0.8, white: 0.2}
      text: SALE
    - match: Mug
      model: text-encoder
      failure: embed-failed
    - match: Cup
      model: text-encoder
      vector: moved          # the vector of an encoder of this name; nan: no numbers
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from schemas.reasons import Effect, check_registered
from schemas.sections.patterns import check_expression, occurs
from schemas.sections.vectors import Modality
from transforms.models.contract import (
    Failure,
    ModelOptions,
    Picture,
    TagRequest,
    Tags,
    Vector,
)
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import EncoderCard, ImageEncoding, Role

DIMENSION = 64


# Model → the keys of an entry that say what it answers.
_OUTCOMES: dict[str, tuple[str, ...]] = {
    "describer": ("answer", "raw"),
    "tagger": ("description",),
    "image-encoder": ("vector",),
    "text-encoder": ("vector",),
}


class ScriptEntry(BaseModel):
    """One entry of a script: which requests it answers, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    match: str
    model: Literal["describer", "tagger", "image-encoder", "text-encoder"] = "describer"
    answer: dict[str, Any] | None = None
    raw: str | None = None
    finish_reason: str = "stop"
    description: str | None = None
    colors: dict[str, Annotated[float, Field(ge=0, le=1, strict=False)]] = {}
    text: str = ""
    vector: str | None = None
    failure: str | None = None
    raises: Annotated[bool, Field(alias="raise")] = False

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return check_expression(pattern)

    @field_validator("failure")
    @classmethod
    def _registered(cls, reason: str | None) -> str | None:
        if reason is not None:
            check_registered(reason, Effect.FLAG)
        return reason

    @model_validator(mode="after")
    def _one_outcome(self) -> ScriptEntry:
        own_keys = _OUTCOMES[self.model]
        unexpected = [
            key
            for key in ("answer", "raw", "description", "vector")
            if getattr(self, key) is not None and key not in own_keys
        ]
        if unexpected:
            article = "an" if self.model[0] in "aeiou" else "a"
            choice = ", ".join([*own_keys, "failure or raise: true"])
            raise ValueError(
                f"has {unexpected[0]}, which {article} {self.model} does not give; say {choice}"
            )
        if (
            sum(getattr(self, key) is not None for key in own_keys)
            + (self.failure is not None)
            + self.raises
            != 1
        ):
            raise ValueError(
                f"has to say exactly one of {', '.join([*own_keys, 'failure'])} and raise: true"
            )
        return self

    def matches(self, texts: Sequence[str]) -> bool:
        return any(occurs(self.match, text) for text in texts)


class Script:
    """The scripted outcomes of one model. text: as written, for content addressing."""

    def __init__(self, options: ModelOptions, model: str) -> None:
        self.text = _read_script(options.fake_script) if options.fake_script else "[]"
        self._entries = [
            e for e in parse_script(self.text, options.fake_script or "") if e.model == model
        ]

    def outcome(self, texts: Sequence[str]) -> ScriptEntry | Failure | None:
        """Return what the script says of a request with these texts; None when nothing.

        Raises RuntimeError where the script says so.
        """
        entry = next((entry for entry in self._entries if entry.matches(texts)), None)
        if entry is not None and entry.raises:
            raise RuntimeError(f"the fake script raises for match {entry.match!r}")
        if entry is not None and entry.failure is not None:
            return Failure(entry.failure, f"the fake script fails match {entry.match!r}")
        return entry


def parse_script(text: str, source: str) -> tuple[ScriptEntry, ...]:
    """Return the entries of a script; `source` names it in errors.

    Raises ValueError naming every wrong entry and key.
    """
    try:
        entries = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"fake script {source} is not YAML: {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"fake script {source} is not a list; write - match: ... for each entry")  # noqa: TRY004
    script, problems = [], []
    for number, entry in enumerate(entries, start=1):
        try:
            script.append(ScriptEntry.model_validate(entry))
        except ValidationError as error:
            problems += [f"entry {number}: {_explain(finding)}" for finding in error.errors()]
    if problems:
        raise ValueError(f"fake script {source}: " + "; ".join(problems))
    return tuple(script)


def _explain(finding: Any) -> str:
    key = ".".join(str(part) for part in finding["loc"])
    if finding["type"] == "extra_forbidden":
        allowed = ", ".join(field.alias or name for name, field in ScriptEntry.model_fields.items())
        return f"{key}: unknown key; allowed: {allowed}"
    message = finding["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


class _FakeEncoder:
    """What both fake encoders share: any `model` is another one, of any `dimension`."""

    requires: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, models: ModelOptions, modality: Modality) -> None:
        self._options, self._modality = options, modality
        self._script = Script(models, f"{modality}-encoder")
        self.dimension = options.dimension or DIMENSION
        self.calls = self.requests = self.loads = 0

    @property
    def model(self) -> str:
        named = (self._options.model, self._options.revision)
        return " ".join([f"fake-{self._modality} 1", *filter(None, named)])

    @property
    def card(self) -> EncoderCard:
        options = self._options
        return EncoderCard(
            id=options.model or f"fake-{self._modality}",
            revision=options.revision,
            weights_sha256="",
            library="fake 1",
            modalities=(self._modality,),
            pooling=options.pooling,
            max_tokens=options.max_tokens,
            document_prompt=options.prompt,
            query_prompt=options.query_prompt,
            dimension=self.dimension,
            dtype="float32",
        )

    def load(self) -> None:
        self.loads += 1

    def vector_of(self, content: str, scripted: ScriptEntry | None) -> Vector:
        if scripted is not None and scripted.vector == "nan":
            return np.full(self.dimension, np.nan, np.float32)
        # What is said of the model is part of what is hashed, so that no two models agree.
        said = f"{self._options.model}\n{self._options.revision}\n"
        moved = "" if scripted is None else f"{scripted.vector}\n"
        return hash_vector((said if said.strip() else "") + moved + content, self.dimension)


class FakeImageEncoder(_FakeEncoder):
    """Vectors from the picture's digest.

    calls, requests: how often it was called, with how many pictures; loads: how often it was
    loaded.
    """

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        super().__init__(options, models, "image")

    def encode_images(self, pictures: Sequence[Picture]) -> list[ImageEncoding | Failure]:
        self.calls += 1
        self.requests += len(pictures)
        return [self._encode(picture) for picture in pictures]

    def _encode(self, picture: Picture) -> ImageEncoding | Failure:
        scripted = self._script.outcome([picture.digest])
        if isinstance(scripted, Failure):
            return scripted
        return ImageEncoding(self.vector_of(picture.digest, scripted))


class FakeTextEncoder(_FakeEncoder):
    """Vectors from the text, its prompt before it; tokens are words.

    calls, requests: how often it was called, with how many texts; loads: how often it was loaded.
    """

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        super().__init__(options, models, "text")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_texts(self, texts: Sequence[str], role: Role = "document") -> list[Vector | Failure]:
        self.calls += 1
        self.requests += len(texts)
        prompt = self._options.prompt if role == "document" else self._options.query_prompt
        return [self._encode(prompt, text) for text in texts]

    def _encode(self, prompt: str, text: str) -> Vector | Failure:
        scripted = self._script.outcome([text])
        if isinstance(scripted, Failure):
            return scripted
        most, read = self._options.max_tokens, prompt + text
        words = read.split()
        cut = " ".join(words[:most]) if 0 < most < len(words) else read
        return self.vector_of(cut, scripted)


class FakeTagger:
    """Scripted tags, and a description from the digest where the script says nothing.

    calls, requests: how often it was called, with how many requests, batches that raised included.
    Raises ValueError for a script that cannot be used.
    """

    method = "fake"
    model = "fake 1"
    prompt_hash = ""
    requires: tuple[str, ...] = ()

    def __init__(self, options: ModelOptions) -> None:
        self._script = Script(options, "tagger")
        self.parameters: dict[str, Any] = {
            "script": hashlib.sha256(self._script.text.encode()).hexdigest()
        }
        self.calls = self.requests = 0

    def load(self) -> None:
        """There is nothing to load."""

    def tag(self, requests: Sequence[TagRequest]) -> list[Tags | Failure]:
        """Return one scripted or derived answer for each request.

        Raises RuntimeError where the script says so.
        """
        self.calls += 1
        self.requests += len(requests)
        return [self._answer(request) for request in requests]

    def _answer(self, request: TagRequest) -> Tags | Failure:
        digests = [picture.digest for picture in request.pictures]
        scripted = self._script.outcome([*digests, request.text])
        if scripted is None:
            return Tags(
                f"Fake description of picture {', '.join(d[:12] for d in digests) or 'none'}."
            )
        if isinstance(scripted, Failure):
            return scripted
        return Tags(scripted.description or "", tuple(scripted.colors.items()), scripted.text)


def hash_vector(content: str, dimension: int = DIMENSION) -> Vector:
    """Return a float32 vector of shape (dimension,) and length one, from a hash of `content`."""
    # Little-endian and surrogates let through, so that it is the same on every machine and for
    # every text that a catalog can hold.
    components = np.frombuffer(
        hashlib.shake_256(content.encode("utf-8", "surrogatepass")).digest(2 * dimension),
        dtype="<i2",
    )
    vector = components.astype(np.float32)
    return vector / np.linalg.norm(vector)


def _read_script(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"fake script {path} cannot be read: {error}; name a YAML file") from error
