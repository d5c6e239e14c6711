"""Tiny encoders with random weights, made without network: they prove wiring, never quality.

Each is a folder as released checkpoints are: configuration, a trained tokenizer of some hundred
pieces, safetensors. All together take some seconds; each is made when a test first asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transforms.models.in_process.quiet import quiet_transformers

SEED = 16
VOCABULARY = 600
HIDDEN = 32
SHARED_DIMENSION = 24  # of CLIP, whose towers are projected
IMAGE_SIDE_PX, PATCH_SIDE_PX = 28, 7
BERT_TOKENS, LONG_TOKENS, CLIP_TOKENS, SIGLIP_TOKENS = 64, 8192, 24, 16
MATRYOSHKA = (8, 16, 32)
DENSE_DIMENSION = 12
PROMPTS = {"document": "passage: ", "query": "query: "}

SENTENCES = (
    "A red cotton shirt with long sleeves, a round collar and two pockets, size medium.",
    "Fresh whole milk in a blue and white carton, one litre, 3.5 % fat; keep cool.",
    "A wooden kitchen table with four chairs, 120 x 80 x 75 cm, natural oak, made in Sweden.",
    "Wireless headphones, black, with charging case; the battery lasts up to 30 hours.",
    "Brand, category, color, material, size, weight, volume, price, title, description.",
    "query: passage: search document a photo of the lemon, Gewürztee für 2 €, crème brûlée, 緑茶, кофе",
)


def build_bert(folder: Path) -> Path:
    """BERT: right padding, token types, 64 positions; no pooling is declared."""
    from transformers import BertConfig, BertModel

    tokenizer = _wordpiece(BERT_TOKENS)
    sizes = _sizes(vocab_size=len(tokenizer), max_position_embeddings=BERT_TOKENS)
    return _saved(folder, BertModel, BertConfig(**sizes), tokenizer)


def build_modernbert(folder: Path) -> Path:
    """ModernBERT: 8,192 positions, local attention in every other layer."""
    from transformers import ModernBertConfig, ModernBertModel

    tokenizer = _bytelevel(LONG_TOKENS, begin="[CLS]", end="[SEP]")
    config = ModernBertConfig(
        **_sizes(vocab_size=len(tokenizer), max_position_embeddings=LONG_TOKENS),
        local_attention=16,
        global_attn_every_n_layers=2,
        **_special(tokenizer),
        cls_token_id=tokenizer.bos_token_id,
        sep_token_id=tokenizer.eos_token_id,
    )
    return _saved(folder, ModernBertModel, config, tokenizer)


def build_decoder(folder: Path) -> Path:
    """A decoder of Qwen's kind, which reads from left to right: its last token has seen the text."""
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = _bytelevel(LONG_TOKENS, begin="", end="<|end|>")
    config = Qwen3Config(
        **_sizes(vocab_size=len(tokenizer), max_position_embeddings=LONG_TOKENS),
        num_key_value_heads=2,
        head_dim=16,
        **_special(tokenizer),
    )
    return _saved(folder, Qwen3Model, config, tokenizer)


def build_clip(folder: Path) -> Path:
    """CLIP: texts of 24 tokens and pictures in one space of 24 numbers."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = _bytelevel(CLIP_TOKENS, begin="<|start|>", end="<|end|>")
    text = _sizes(vocab_size=len(tokenizer), max_position_embeddings=CLIP_TOKENS)
    config = CLIPConfig(
        text_config={**text, **_special(tokenizer)},
        vision_config=_vision(),
        projection_dim=SHARED_DIMENSION,
    )
    side = {"height": IMAGE_SIDE_PX, "width": IMAGE_SIDE_PX}
    CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIDE_PX}, crop_size=side).save_pretrained(
        folder
    )
    return _saved(folder, CLIPModel, config, tokenizer)


def build_siglip(folder: Path) -> Path:
    """SigLIP: texts are padded to 16 tokens, of which the last one is the vector."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tokenizer = _bytelevel(SIGLIP_TOKENS, begin="", end="</s>")
    text = _sizes(vocab_size=len(tokenizer), max_position_embeddings=SIGLIP_TOKENS)
    config = SiglipConfig(
        text_config={**text, **_special(tokenizer), "projection_size": HIDDEN},
        vision_config=_vision(),
    )
    side = {"height": IMAGE_SIDE_PX, "width": IMAGE_SIDE_PX}
    SiglipImageProcessorPil(size=side).save_pretrained(folder)
    return _saved(folder, SiglipModel, config, tokenizer)


def build_dinov2(folder: Path) -> Path:
    """DINOv2: pictures only; the vector of the class token, or the mean of the patches."""
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    BitImageProcessorPil(
        size={"shortest_edge": 32},
        crop_size={"height": IMAGE_SIDE_PX, "width": IMAGE_SIDE_PX},
    ).save_pretrained(folder)
    return _saved(folder, Dinov2Model, Dinov2Config(**_vision()))


def build_dinov3(folder: Path) -> Path:
    """DINOv3: the same with four register tokens, which are no patches."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    folder.mkdir(parents=True)
    # Written by hand: the library's own class needs torchvision.
    processor = {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "size": {"height": IMAGE_SIDE_PX, "width": IMAGE_SIDE_PX},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    config = DINOv3ViTConfig(**_vision(), num_register_tokens=4)
    return _saved(folder, DINOv3ViTModel, config)


def build_matryoshka(folder: Path) -> Path:
    """A sentence-transformers folder, pooled by the mean, that declares the widths 8, 16, 32."""
    build_bert(folder)
    edit_json(folder / "config.json", matryoshka_dimensions=list(MATRYOSHKA))
    return _sentence_folder(folder, pooling="mean")


def build_prompted(folder: Path) -> Path:
    """A sentence-transformers folder, pooled by the class token, with prompts of its own."""
    return _sentence_folder(build_bert(folder), pooling="cls", prompts=PROMPTS)


def build_dense(folder: Path) -> Path:
    """A sentence-transformers folder whose vectors go through a dense layer: 12 numbers."""
    import torch
    from sentence_transformers.base.modules import Dense

    build_bert(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        layer = Dense(HIDDEN, DENSE_DIMENSION)
    (folder / "2_Dense").mkdir()
    layer.save(str(folder / "2_Dense"))
    return _sentence_folder(folder, pooling="mean", dense=True)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "bert": build_bert,
    "clip": build_clip,
    "decoder": build_decoder,
    "dense": build_dense,
    "dinov2": build_dinov2,
    "dinov3": build_dinov3,
    "matryoshka": build_matryoshka,
    "modernbert": build_modernbert,
    "prompted": build_prompted,
    "siglip": build_siglip,
}


@dataclass
class TinyEncoders:
    """The folders below `root`, each made once. Tests that change one copy it first."""

    root: Path
    made: dict[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Path:
        if name not in self.made:
            self.made[name] = BUILDERS[name](self.root / f"tiny-{name}")
        return self.made[name]


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _sizes(**more: Any) -> dict[str, Any]:
    """Of a network; weights are spread wider than usual, so that texts differ clearly."""
    return {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "initializer_range": 0.2,
        **more,
    }


def _vision() -> dict[str, Any]:
    return _sizes(image_size=IMAGE_SIDE_PX, patch_size=PATCH_SIDE_PX)


def _special(tokenizer: Any) -> dict[str, Any]:
    """The ids of special tokens as a configuration names them."""
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _saved(folder: Path, kind: Any, config: Any, tokenizer: Any = None) -> Path:
    """Save a network of this kind with random weights, the same each time."""
    import torch

    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(SEED)
        kind(config).eval().save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def _wordpiece(max_tokens: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=max_tokens,
    )


def _bytelevel(max_tokens: int, *, begin: str, end: str) -> Any:
    """Byte-level pairs, so that every text has tokens. begin, end: put around each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    named = [name for name in (begin, end) if name]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", *named],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(filter(None, [begin, "$A", end])),
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in named],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token=end,
        # As of released models of these kinds, which have no types of tokens.
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=max_tokens,
        **({"bos_token": begin} if begin else {}),
    )


def _sentence_folder(
    folder: Path, *, pooling: str, prompts: dict[str, str] | None = None, dense: bool = False
) -> Path:
    """Make a folder one of sentence-transformers, with files as its versions 2 to 5 write them."""
    modes = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
    chosen = {flag: name == pooling for name, flag in modes.items()}
    parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
    parts += [("2_Dense", "Dense")] * dense
    parts += [(f"{len(parts)}_Normalize", "Normalize")]
    for path, _ in parts[1:]:
        (folder / path).mkdir(exist_ok=True)
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(parts)
    ]
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": BERT_TOKENS, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": HIDDEN, **chosen},
        "config_sentence_transformers.json": {
            "prompts": prompts or {},
            "default_prompt_name": None,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder
