"""Vector spaces of a run: what is encoded, of which parts, by which encoder.

An encoder is the same for all stages and spaces of a process that name it with the same options: it
is built and loaded once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from schemas.hashing import digest
from schemas.sections.vectors import Modality, VectorSpec
from schemas.template import Template
from transforms.models import build_image_encoder, build_text_encoder
from transforms.models.backends import OWN_ENCODERS
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Encoder, ImageEncoder, TextEncoder, encoder_identity


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """A space of the template with the encoder that this run makes it with."""

    spec: VectorSpec
    options: EncoderOptions

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def modality(self) -> Modality:
        return self.spec.of

    @property
    def parts(self) -> tuple[str, ...]:
        return self.spec.parts

    def build(self, models: ModelOptions) -> Encoder:
        """Return its encoder, not loaded. Raises ValueError where the options name none."""
        if self.modality == "text":
            return build_text_encoder(models, self.options)
        return build_image_encoder(models, self.options)


def spaces_of(template: Template, models: ModelOptions) -> tuple[VectorSpace, ...]:
    """Return the template's spaces; what it does not say of an encoder is as on the command
    line.
    """
    return tuple(VectorSpace(spec, _options_of(spec, models)) for spec in template.spaces)


def _options_of(spec: VectorSpec, models: ModelOptions) -> EncoderOptions:
    given: dict[str, Any] = spec.settings()
    if "backend" in given:
        return EncoderOptions(**given)
    return replace(models.text if spec.of == "text" else models.image, **given)


def with_long_texts(template: Template, models: ModelOptions) -> Template:
    """Return the template with what becomes of long texts in each space of texts: tables depend on
    it, and where the template does not say it, the command line does.
    """
    vectors = tuple(
        space.spec.model_copy(update={"long_texts": space.options.long_texts})
        if space.modality == "text"
        else space.spec
        for space in spaces_of(template, models)
    )
    return template.model_copy(update={"vectors": vectors})


def space_identity(space: VectorSpace, template: Template, models: ModelOptions) -> str:
    """Return what two tables of a space have in common if their vectors may be mixed.

    The encoder, and what the template says of the parts that go in. Raises ValueError as the
    encoder's card does.
    """
    identity = encoder_identity(space.build(models), space.options)
    if space.parts:
        identity += f" of {_said_of(template, space.parts)}"
    if space.modality == "text" and space.options.long_texts != "cut":
        # The vector is the same whether its chunks are kept or not.
        context = _said_of(template, template.titles)
        identity += f" in chunks of {space.options.chunk_tokens} with {context}"
    return identity


def _said_of(template: Template, parts: Sequence[str]) -> str:
    said = [
        template.by_name[part].model_dump(mode="json", by_alias=True)
        if part in template.by_name
        else part
        for part in parts
    ]
    return digest(said, sort_keys=True)[:12]


def own_text_options(models: ModelOptions) -> EncoderOptions:
    """Return the encoder of texts that the run itself works with."""
    return models.text if models.text.backend in OWN_ENCODERS else EncoderOptions()


def own_image_options(models: ModelOptions) -> EncoderOptions:
    """Return the encoder of pictures that the run itself works with; it gives labels and style."""
    return models.image if models.image.backend in OWN_ENCODERS else EncoderOptions()


Model = TypeVar("Model", bound=Encoder)


@dataclass(eq=False)
class Shared(Generic[Model]):
    """An encoder of this process.

    encoder: for what is known without loading it.
    """

    encoder: Model
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_loaded: bool = False

    @contextmanager
    def loaded(self) -> Iterator[Model]:
        """Give the encoder to one thread at a time; loads it the first time."""
        with self._lock:
            if not self._is_loaded:
                self.encoder.load()
                self._is_loaded = True
            yield self.encoder


# Kept as long as a stage holds it, so that a process that is done with a run lets its models go.
_shared: WeakValueDictionary[tuple[Any, ...], Shared[Any]] = WeakValueDictionary()
_building = threading.Lock()


def shared_text_encoder(
    models: ModelOptions, options: EncoderOptions | None = None
) -> Shared[TextEncoder]:
    """Return this process's encoder of texts with these options, by default those of `models`.

    Raises ValueError where they name none.
    """
    chosen = options or models.text
    return _share("text", models, chosen, lambda: build_text_encoder(models, chosen))


def shared_image_encoder(
    models: ModelOptions, options: EncoderOptions | None = None
) -> Shared[ImageEncoder]:
    """Return this process's encoder of pictures with these options, as `shared_text_encoder`."""
    chosen = options or models.image
    return _share("image", models, chosen, lambda: build_image_encoder(models, chosen))


def _share(
    modality: Modality, models: ModelOptions, options: EncoderOptions, build: Callable[[], Model]
) -> Shared[Model]:
    script = Path(models.fake_script).read_bytes() if models.fake_script else b""
    key = (modality, options, replace(models, text=options, image=options), script)
    with _building:
        found: Shared[Model] | None = _shared.get(key)
        if found is None:
            found = _shared[key] = Shared(build())
        return found
