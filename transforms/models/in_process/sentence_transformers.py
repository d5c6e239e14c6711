"""Encoders that sentence-transformers runs: texts, and pictures where the model reads them.

Reimers and Gurevych, arXiv:1908.10084. Prompts, pooling and widths are taken from the model's own
files (checkpoint.py), so that the card states what was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Role, Span
from transforms.models.in_process.checkpoint import FILLED_UP, Checkpoint
from transforms.models.in_process.encoder import LocalEncoder
from transforms.models.in_process.quiet import quiet_export
from transforms.models.in_process.vectors import tokens_of

# The library's names of poolings.
_MODES = {"cls": "cls", "mean": "mean", "last": "lasttoken"}
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_RUNTIME_MODULES = {
    "torch": (),
    "onnx": ("optimum.onnxruntime", "onnxruntime"),
    "openvino": ("optimum.intel", "openvino"),
}
# What a runtime is tried with when a model is loaded.
_TRIAL = "a"


class _SentenceTransformersEncoder(LocalEncoder):
    """What the encoders of texts and of pictures share: the model has both towers, or one."""

    backend = "sentence-transformers"
    library = "sentence-transformers"

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        super().__init__(options, models)
        if options.runtime == "onnx" and options.dtype not in ("auto", "float32"):
            raise ValueError(
                f"dtype is {options.dtype!r}, and onnx computes in that of the exported file; "
                "leave it out"
            )
        self.requires = (
            "torch",
            "transformers",
            "sentence_transformers",
            *_RUNTIME_MODULES[options.runtime],
        )

    @property
    def _pooling(self) -> str:
        declared, wanted = self.checkpoint.pooling, self._options.pooling
        if self.checkpoint.modalities == ("image",) and not declared:
            raise ValueError(
                f"{self.checkpoint.id} is a network for pictures without a card of "
                "sentence-transformers; choose --image-encoder transformers"
            )
        if declared == "own":
            if wanted:
                raise ValueError(
                    f"pooling is {wanted!r}, but {self.checkpoint.id} pools in a way of its own; "
                    "leave it out"
                )
            return declared
        if not (wanted or declared):
            raise ValueError(
                f"{self.checkpoint.id} does not declare how token vectors become one; give "
                f"--{self.modality}-pooling mean, cls or last, as its description says"
            )
        return wanted or declared

    def _check_fit(self) -> Checkpoint:
        files, runtime = super()._check_fit(), self._options.runtime
        if runtime != "torch" and files.modalities != ("text",):
            raise ValueError(
                f"{files.id} reads pictures, and {runtime} runs networks for texts alone; leave "
                f"--{self.modality}-runtime out"
            )
        return files

    def _load(self, files: Checkpoint) -> None:
        if self._options.runtime == "torch":
            self._open(files)
            return
        with quiet_export():
            self._open(files)
        try:
            self._encode([_TRIAL], "", "document")
        # The exporters know fewer networks than PyTorch runs, and some only when they compute.
        except Exception as error:
            runtime = self._options.runtime
            raise ValueError(
                f"{runtime} cannot compute it ({error}); leave --{self.modality}-runtime out"
            ) from error

    def _open(self, files: Checkpoint) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling

        weights: dict[str, Any] = {"dtype": self._dtype, "use_safetensors": True}
        if self._options.runtime == "openvino":
            # Left alone, it computes in half precision where the processor can.
            weights = {"ov_config": {"INFERENCE_PRECISION_HINT": _PRECISIONS[self._dtype]}}
        elif self._options.runtime == "onnx":
            weights = {}
        # PIL is asked for, so that pixels do not depend on whether torchvision is installed.
        reader: dict[str, Any] = {"backend": "pil"} if "image" in files.modalities else {}
        if "text" in files.modalities and files.max_tokens:
            reader["model_max_length"] = files.max_tokens
        model: Any = SentenceTransformer(
            str(files.folder),
            device=self._device,
            local_files_only=True,
            trust_remote_code=self._options.remote_code,
            backend=self._options.runtime,
            model_kwargs=weights,
            processor_kwargs=reader,
        )
        pooling = [module for module in model if isinstance(module, Pooling)]
        for module in pooling if self._options.pooling else ():
            module.pooling_mode = _MODES[self._options.pooling]
        if "text" in files.modalities and files.max_tokens:
            model.max_seq_length = files.max_tokens
        # Vectors are shortened by what all backends share.
        model.truncate_dim = None
        self._network = model.eval()
        self._processing: dict[str, Any] = {}
        if files.kind in FILLED_UP:
            filled = {"padding": "max_length", "max_length": files.max_tokens}
            self._processing = {"text": {**filled, "return_attention_mask": False}}

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        read = self._network.tokenizer(list(texts), truncation=False, verbose=False)
        tokens: list[list[int]] = read["input_ids"]
        return tokens

    def _encode(self, texts: Sequence[str], prompt: str, role: Role) -> Any:
        encode = self._network.encode_query if role == "query" else self._network.encode_document
        return self._computed(encode, list(texts), prompt=prompt)

    def _see(self, images: Sequence[Any]) -> Any:
        return self._computed(self._network.encode, list(images))

    def _computed(self, encode: Any, inputs: list[Any], **more: Any) -> Any:
        if self._processing and isinstance(inputs[0], str):
            more["processing_kwargs"] = self._processing
        return encode(
            inputs,
            batch_size=len(inputs),
            convert_to_tensor=True,
            show_progress_bar=False,
            **more,
        )

    def _encode_spans(self, text: str, prompt: str, spans: Sequence[Span]) -> list[Any]:
        import torch

        reader, *parts = list(self._network)
        tokens = self._network.tokenizer(
            [prompt + text], truncation=True, return_offsets_mapping=True, return_tensors="pt"
        )
        offsets = tokens.pop("offset_mapping")[0].tolist()
        rows = []
        with torch.inference_mode():
            found = reader({**tokens.to(self._network.device), "modality": "text"})
            for begin, end in spans:
                places = tokens_of((len(prompt) + begin, len(prompt) + end), offsets)
                if not places:
                    raise ValueError(f"characters {begin} to {end} are beyond what is read")
                part: dict[str, Any] = {"token_embeddings": found["token_embeddings"][:, places]}
                part["attention_mask"] = torch.ones_like(part["token_embeddings"][..., 0])
                # Pooling and what follows it, as for whole texts.
                for module in parts:
                    part = module(part)
                rows.append(part["sentence_embedding"])
        return rows


class SentenceTransformersTextEncoder(_SentenceTransformersEncoder):
    """`--text-encoder sentence-transformers`: texts, and pictures of the same space if the model
    reads both.
    """

    modality = "text"


class SentenceTransformersImageEncoder(_SentenceTransformersEncoder):
    """`--image-encoder sentence-transformers`: pictures, and texts of the same space if the model
    reads both.
    """

    modality = "image"
