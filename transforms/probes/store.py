"""Probes as files: Probe ↔ bytes in the safetensors format.

Nothing is pickled: a file from elsewhere runs no code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import orjson

from transforms.attribute_types.contract import ProbeKind
from transforms.probes.calibration import Calibration, Cut
from transforms.probes.classifier import Classifier, Columns, Design
from transforms.probes.features import VIEWS
from transforms.probes.spans import Lexicon, Tagger
from transforms.probes.training import Disagreement, Probe
from transforms.runtime import storage

FOLDER = "probes"
# The format keeps the order of its tensors but not of its metadata: one key, so that equal probes
# are equal bytes.
_ABOUT = "about"


class ProbeFileError(ValueError):
    """A file that holds no probe, or one of another version."""


@dataclass(frozen=True, slots=True)
class StoredProbe:
    """Where a probe lies. path: of its file; digest: SHA-256 of the file, hexadecimal."""

    attribute: str
    path: str
    digest: str


def save_probe(folder: str, probe: Probe) -> StoredProbe:
    """Write a probe below `folder`, which may be on any of Beam's file systems."""
    data = to_bytes(probe)
    path = storage.join(folder, f"{probe.attribute}.safetensors")
    storage.write_bytes(path, data)
    return StoredProbe(probe.attribute, path, hashlib.sha256(data).hexdigest())


def load_probe(stored: StoredProbe) -> Probe:
    """Read a probe. Raises ProbeFileError when the file is not the one that was stored."""
    data = storage.read_bytes(stored.path)
    if hashlib.sha256(data).hexdigest() != stored.digest:
        raise ProbeFileError(
            f"{stored.path} is not the file that was stored: its digest differs; train it again"
        )
    return from_bytes(data)


def to_bytes(probe: Probe) -> bytes:
    """Return the probe as a safetensors file; the same probe gives the same bytes."""
    from safetensors.numpy import save

    model, tensors = probe.model, {}
    if isinstance(model, Classifier):
        tensors = _classifier_tensors(model)
    elif isinstance(model, Tagger):
        tensors = {"crfsuite": np.frombuffer(model.model, np.uint8)}
    about = orjson.dumps(_about(probe), option=orjson.OPT_SORT_KEYS).decode()
    return bytes(save(tensors or {"none": np.zeros(1, np.uint8)}, {_ABOUT: about}))


def from_bytes(data: bytes) -> Probe:
    """Return the probe that `to_bytes` wrote. Raises ProbeFileError for anything else."""
    import safetensors
    from safetensors.numpy import load

    try:
        header = orjson.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = orjson.loads(header["__metadata__"][_ABOUT])
        return _probe(about, load(data))
    except (
        safetensors.SafetensorError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise ProbeFileError(f"no probe: {type(error).__name__}: {error}") from error


def _classifier_tensors(model: Classifier) -> dict[str, Any]:
    design = model.design
    tensors = {
        "words.columns": design.words.columns,
        "words.idf": design.words.idf,
        "text.mean": design.text_mean,
        "pictures.columns": design.pictures.columns,
        "pictures.idf": design.pictures.idf,
        "image.mean": design.image_mean,
        "bias": model.bias,
    }
    tensors |= {f"weights.{number}": weights for number, weights in enumerate(model.weights)}
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _about(probe: Probe) -> dict[str, Any]:
    model = probe.model
    return {
        "attribute": probe.attribute,
        "kind": probe.kind,
        "labelled": probe.labelled,
        "absent": probe.absent,
        "classes": probe.classes,
        "majority": probe.majority,
        "view": probe.view,
        "calibration": asdict(probe.calibration),
        "cut": asdict(probe.cut),
        "right": probe.right,
        "rules": [
            [kind, place, right, trials]
            for (kind, place), (right, trials) in sorted(probe.rules.items())
        ],
        "note": probe.note,
        "disagreements": {item: asdict(each) for item, each in sorted(probe.disagreements.items())},
        "names": model.names if isinstance(model, Classifier) else (),
        "several": isinstance(model, Classifier) and model.several,
        "blocks": len(model.weights) if isinstance(model, Classifier) else 0,
        "known": sorted([list(key), rows] for key, rows in model.known.items())
        if isinstance(model, Tagger)
        else [],
    }


def _probe(about: Mapping[str, Any], tensors: Mapping[str, Any]) -> Probe:
    if about["kind"] not in get_args(ProbeKind) or about["view"] not in VIEWS:
        raise KeyError(f"kind {about['kind']}, view {about['view']}")
    model: Classifier | Tagger | None = None
    if about["names"]:
        design = Design(
            Columns(tensors["words.columns"], tensors["words.idf"]),
            tensors["text.mean"],
            Columns(tensors["pictures.columns"], tensors["pictures.idf"]),
            tensors["image.mean"],
        )
        weights = tuple(tensors[f"weights.{number}"] for number in range(about["blocks"]))
        model = Classifier(
            about["view"], design, tuple(about["names"]), about["several"], weights, tensors["bias"]
        )
    elif "crfsuite" in tensors:
        model = Tagger(
            tensors["crfsuite"].tobytes(),
            Lexicon((tuple(key), rows) for key, rows in about["known"]),
        )
    calibration, cut = about["calibration"], about["cut"]
    return Probe(
        attribute=about["attribute"],
        kind=about["kind"],
        labelled=about["labelled"],
        absent=about["absent"],
        classes=about["classes"],
        majority=tuple(about["majority"]),
        view=about["view"],
        model=model,
        calibration=Calibration(
            calibration["kind"],
            tuple(calibration["x"]),
            tuple(calibration["y"]),
            calibration["ceiling"],
            calibration["floor"],
        ),
        cut=Cut(**cut),
        right=about["right"],
        rules={(kind, place): (right, trials) for kind, place, right, trials in about["rules"]},
        note=about["note"],
        disagreements={
            item: Disagreement(tuple(each["value"]), each["confidence"])
            for item, each in about["disagreements"].items()
        },
    )
