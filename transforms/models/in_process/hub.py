"""Where the files of a model are: a folder of this machine, or a copy of what a hub id names.

From a hub come configuration, tokenizer and safetensors. Pickled weights are never fetched, and
Python code only where it was asked for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from schemas.texts import one_line
from transforms.models.encoder_options import EncoderOptions

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "README.md")
WEIGHTS = {
    "torch": ("*.safetensors",),
    "onnx": ("*.safetensors", "onnx/model.onnx", "onnx/model.onnx_data"),
    "openvino": ("*.safetensors", "openvino/openvino_model.xml", "openvino/openvino_model.bin"),
}
MAX_ERROR_CHARS = 300


def is_folder_name(model: str) -> bool:
    """Return whether a name can only be that of a folder: it exists, or no hub id looks like it.

    >>> is_folder_name("intfloat/multilingual-e5-small"), is_folder_name("./models/e5")
    (False, True)
    """
    return (
        Path(model).expanduser().exists()
        or model.startswith((".", "/", "~"))
        or model.count("/") > 1
        or "\\" in model
    )


def local_folder(model: str) -> Path:
    """Return the folder. Raises ValueError when there is none."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise ValueError(
            f"the model's folder {model!r} {problem}; name the folder that holds its "
            "config.json, or a hub id such as intfloat/multilingual-e5-small"
        )
    return folder


def fetched(options: EncoderOptions, *, weights: bool) -> tuple[Path, str]:
    """Return the folder with what the hub has of the model, and the commit it is of.

    weights: whether these are fetched too. Files of a commit that are in the cache already are not
    fetched again. Raises ValueError when the hub cannot be asked or has no such model.
    """
    patterns = [*SMALL_FILES, *(WEIGHTS[options.runtime] if weights else ())]
    patterns += ["*.py"] * options.remote_code
    folder = _snapshot(options.model, options.revision, tuple(patterns))
    return folder, folder.name


@cache  # an encoder is built several times in a run, always of the same commit
def _snapshot(model: str, revision: str, patterns: tuple[str, ...]) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = repr(model)
    try:
        folder = huggingface_hub.snapshot_download(
            model, revision=revision or None, allow_patterns=list(patterns)
        )
    except HFValidationError as error:
        raise ValueError(f"{named} is neither a folder nor a hub id: {_said(error)}") from None
    except RevisionNotFoundError:
        raise ValueError(
            f"the hub's {named} has no revision {revision!r}; name a commit, branch or tag of it"
        ) from None
    # Before its parent: the hub has the model and does not give it to everybody.
    except GatedRepoError:
        raise ValueError(
            f"the hub gives {named} only to those who accepted its terms; accept them on its page "
            "and set HF_TOKEN, or name a local folder with its files"
        ) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"the hub has no model {named}, or not for you; correct the id, set HF_TOKEN for a "
            "private one, or name a local folder"
        ) from None
    # Whatever the network, the proxy or the disk raises.
    except Exception as error:
        raise ValueError(
            f"the model {named} could not be fetched from the hub ({_said(error)}); a local folder "
            "with its files needs no network"
        ) from None
    return Path(folder)


def _said(error: Exception) -> str:
    return one_line(str(error), MAX_ERROR_CHARS)
