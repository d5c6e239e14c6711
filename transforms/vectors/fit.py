"""Whether an encoder fits a vector table: the canaries are embedded again and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from schemas.texts import one_line
from transforms.models import build_image_encoder, build_text_encoder, missing_requirements
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Encoder
from transforms.vectors.canaries import Agreement, Canary, CanaryError, agreement, embed_canaries
from transforms.vectors.contract import VectorContract


class UnusableEncoderError(ValueError):
    """An encoder cannot be built or loaded; the message is one line and says why."""


@dataclass
class Encoders:
    """Loaded encoders by their options, so that tables of one encoder load it once.

    models: options that all share, such as threads.
    """

    models: ModelOptions
    _loaded: dict[tuple[bool, EncoderOptions], Encoder] = field(default_factory=dict)

    def get(self, options: EncoderOptions, *, of_pictures: bool) -> Encoder:
        """Return the loaded encoder of pictures, or of texts. Raises UnusableEncoderError."""
        key = of_pictures, options
        if key not in self._loaded:
            self._loaded[key] = self._load(options, of_pictures)
        return self._loaded[key]

    def _load(self, options: EncoderOptions, of_pictures: bool) -> Encoder:
        named = f"{options.backend} {options.model}".strip()
        try:
            encoder: Encoder
            if of_pictures:
                encoder = build_image_encoder(replace(self.models, image=options))
            else:
                encoder = build_text_encoder(replace(self.models, text=options))
            missing = missing_requirements(encoder)
            if not missing:
                encoder.load()
        except Exception as error:  # whatever a model library raises for a folder that is no model
            raise UnusableEncoderError(f"{named}: {one_line(str(error))}") from error
        if missing:
            fix = f"pip install 'catalog-enrich[{options.backend}]'"
            raise UnusableEncoderError(f"{named} needs {', '.join(missing)}; {fix}")
        return encoder


def fit(contract: VectorContract, encoder: Encoder, wanted: Sequence[Canary]) -> Agreement:
    """Embed canaries of a contract again with a loaded encoder and compare them.

    A vector that the encoder cannot give is a problem like one that differs.
    """
    if encoder.dimension != contract.dimension:
        numbers = f"{encoder.dimension} numbers instead of {contract.dimension}"
        return Agreement(-1.0, 0, f"vectors have {numbers}")
    try:
        now = embed_canaries(encoder, [canary.key for canary in wanted])
    except CanaryError as error:
        return Agreement(-1.0, 0, str(error))
    return agreement(wanted, now)


def canaries_of_queries(contract: VectorContract) -> tuple[Canary, ...]:
    """Return the canaries that an encoder of queries is compared by: those that were embedded as
    queries, or, where queries and documents are embedded alike, all.
    """
    queries = tuple(each for each in contract.canaries if each.role == "query")
    return queries or contract.canaries
