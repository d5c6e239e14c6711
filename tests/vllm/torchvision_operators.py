"""Declares the operators that torchvision describes but cannot load; see install.py, which puts
this in place.

It is imported at every start of the interpreter, so it does nothing until torchvision asks for its descriptions.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

DESCRIPTIONS = "torchvision._meta_registrations"
OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
# A library's declarations are withdrawn when it is collected.
_KEPT: list[Any] = []


class Declaring(MetaPathFinder):
    """Finds nothing; that it is asked for DESCRIPTIONS is the moment to declare."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname == DESCRIPTIONS:
            sys.meta_path.remove(self)
            _declare()
        return None


def _declare() -> None:
    import torch

    missing = [name for name in OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(name + OPERATORS[name])
        _KEPT.append(library)


sys.meta_path.insert(0, Declaring())
