"""Encoders that transformers runs, for models that sentence-transformers has no card of: the
architecture is the library's, the pooling is declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Role, Span
from transforms.models.in_process.checkpoint import FILLED_UP, TWO_TOWERS, Checkpoint
from transforms.models.in_process.encoder import LocalEncoder
from transforms.models.in_process.vectors import tokens_of

POOLINGS = ("cls", "last", "mean")
# Parts of a sentence-transformers model that this backend does itself.
_KNOWN_PARTS = frozenset({"Transformer", "CLIPModel", "Pooling", "Normalize"})


class _TransformersEncoder(LocalEncoder):
    """What the encoders of texts and of pictures share."""

    backend = "transformers"
    library = "transformers"
    requires = ("torch", "transformers")

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        super().__init__(options, models)
        self._tokenizer: Any = None
        self._pixels: Any = None

    def _check_options(self) -> None:
        if self._options.runtime != "torch":
            raise ValueError(
                f"runtime is {self._options.runtime!r}, which transformers does not have; leave it "
                "out, or choose the encoder sentence-transformers"
            )

    def _check_fit(self) -> Checkpoint:
        files = self.checkpoint
        others = [kind for kind, _ in files.parts if kind not in _KNOWN_PARTS]
        if others:
            raise ValueError(
                f"{files.id} has a part of sentence-transformers ({others[0]}) that transformers "
                f"does not run; choose --{self.modality}-encoder sentence-transformers"
            )
        return super()._check_fit()

    def _load(self, files: Checkpoint) -> None:
        from transformers import AutoModel

        source: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": self._options.remote_code,
        }
        if "text" in files.modalities:
            self._tokenizer = _tokenizer(files, source)
        if "image" in files.modalities:
            self._pixels = _pixels(files, source)
        network: Any = AutoModel.from_pretrained(
            files.network, dtype=self._dtype, use_safetensors=True, **source
        )
        # Of a model that also writes, what reads.
        if getattr(network.config, "is_encoder_decoder", False):
            network = network.get_encoder()
        self._network = network.eval().to(self._device)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        read = self._tokenizer(list(texts), truncation=False, verbose=False)
        tokens: list[list[int]] = read["input_ids"]
        return tokens

    def _encode(self, texts: Sequence[str], prompt: str, role: Role) -> Any:  # noqa: ARG002 the prompt is what tells roles apart
        import torch

        files = self.checkpoint
        is_filled = files.kind in FILLED_UP
        inputs = self._tokenizer(
            [prompt + text for text in texts],
            padding="max_length" if is_filled else True,
            truncation=bool(files.max_tokens),
            max_length=files.max_tokens or None,
            return_tensors="pt",
            **({"return_attention_mask": False} if is_filled else {}),
        ).to(self._device)
        with torch.inference_mode():
            if files.kind in TWO_TOWERS:
                return _pooler(self._network.get_text_features(**inputs))
            states = self._network(**inputs).last_hidden_state
            return pooled(states, inputs["attention_mask"], self._pooling)

    def _see(self, images: Sequence[Any]) -> Any:
        import torch

        pixels = self._pixels(list(images)).to(self._device, self._network.dtype)
        with torch.inference_mode():
            if self.checkpoint.kind in TWO_TOWERS:
                return _pooler(self._network.get_image_features(pixel_values=pixels))
            found = self._network(pixel_values=pixels)
            if self._pooling == "own":
                return _pooler(found)
            states = found.last_hidden_state
            if self._pooling == "cls":
                return states[:, 0]
            # The class token and the registers come first; the patches are the rest.
            return states[:, 1 + self._registers() :].mean(dim=1)

    def _registers(self) -> int:
        return int(getattr(self._network.config, "num_register_tokens", 0) or 0)

    def _encode_spans(self, text: str, prompt: str, spans: Sequence[Span]) -> list[Any]:
        import torch

        most = self.checkpoint.max_tokens
        inputs = self._tokenizer(
            [prompt + text],
            truncation=bool(most),
            max_length=most or None,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets = inputs.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            states = self._network(**inputs.to(self._device)).last_hidden_state
            rows = []
            for begin, end in spans:
                places = tokens_of((len(prompt) + begin, len(prompt) + end), offsets)
                if not places:
                    raise ValueError(f"characters {begin} to {end} are beyond what is read")
                part = states[:, places]
                rows.append(pooled(part, torch.ones_like(part[..., 0]), self._pooling))
        return rows


class TransformersTextEncoder(_TransformersEncoder):
    """`--text-encoder transformers`: any architecture of `AutoModel` that reads texts."""

    modality = "text"

    @property
    def _pooling(self) -> str:
        declared, wanted = self.checkpoint.pooling, self._options.pooling
        if declared == "own":
            if wanted:
                raise ValueError(
                    f"pooling is {wanted!r}, but {self.checkpoint.id} has a text vector of its "
                    "own; leave it out"
                )
            return declared
        if (wanted or declared) not in POOLINGS:
            why = (
                f"declares the pooling {declared!r}, which this backend does not have"
                if declared
                else "does not declare how token vectors become one"
            )
            raise ValueError(
                f"{self.checkpoint.id} {why}; give --text-pooling mean, cls or last, as its "
                "description says"
            )
        return wanted or declared


class TransformersImageEncoder(_TransformersEncoder):
    """`--image-encoder transformers`: CLIP, SigLIP, or a network for pictures such as DINOv2."""

    modality = "image"

    @property
    def _pooling(self) -> str:
        wanted = self._options.pooling
        if not wanted:
            return "own"
        if self.checkpoint.kind in TWO_TOWERS or wanted == "last":
            raise ValueError(
                f"pooling is {wanted!r}; for pictures it is cls or mean (of the patches), and is "
                "left out where the model has a vector of its own, as CLIP and SigLIP have"
            )
        return wanted


def pooled(states: Any, mask: Any, pooling: str) -> Any:
    """Return one row for each text: the mean of its tokens, its first, or its last one.

    states: (texts, tokens, width); mask: (texts, tokens), 0 where a text is padded, on either side.
    Means are taken in single precision. Raises ValueError for another pooling.
    """
    import torch

    if pooling == "mean":
        weights = mask.to(torch.float32)[..., None]
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    if pooling == "cls":
        places = mask.long().argmax(dim=1)
    elif pooling == "last":
        places = mask.shape[1] - 1 - mask.long().flip(1).argmax(dim=1)
    else:
        raise ValueError(f"pooling is {pooling!r}; choose one of: {', '.join(POOLINGS)}")
    return states[torch.arange(len(states), device=states.device), places]


def _pooler(found: Any) -> Any:
    """Return the model's own vector, which some versions of the library wrap."""
    return getattr(found, "pooler_output", found)


def _tokenizer(files: Checkpoint, source: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    read: Any = AutoTokenizer.from_pretrained
    tokenizer = read(files.network, **source)
    # On the right, whatever the model was made for: a decoder's tokens never see what follows, and
    # positions begin where the text does. The last token is found by the mask.
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _pixels(files: Checkpoint, source: dict[str, Any]) -> Any:
    """Return a function from PIL images to a tensor of shape (images, 3, height, width)."""
    settings = files.image_settings
    if str(settings.get("image_processor_type", "")).startswith("DINOv3"):
        return lambda images: _resized(images, settings)
    from transformers import AutoImageProcessor

    # PIL is asked for, so that pixels do not depend on whether torchvision is installed.
    read: Any = AutoImageProcessor.from_pretrained
    processor: Any = read(files.network, backend="pil", **source)
    return lambda images: processor(images=images, return_tensors="pt")["pixel_values"]


def _resized(images: Sequence[Any], settings: dict[str, Any]) -> Any:
    """Return pixels as DINOv3 takes them, in the order of its own code (scaled to 0 to 1, resized,
    normalised), which needs torchvision only to call PyTorch.
    """
    import torch

    side = settings["size"]
    mean, deviation = (
        torch.tensor(settings[name]).view(3, 1, 1) for name in ("image_mean", "image_std")
    )
    rows = []
    for image in images:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()
        scaled = torch.nn.functional.interpolate(
            (pixels * settings.get("rescale_factor", 1 / 255))[None],
            size=(side["height"], side["width"]),
            mode="bicubic" if settings.get("resample") == 3 else "bilinear",
            antialias=True,
            align_corners=False,
        )[0]
        rows.append((scaled - mean) / deviation)
    return torch.stack(rows)
