"""Networks as ONNX models in memory, built from weights that were published in another form.

Only what is needed of the format (onnx.proto3 of github.com/onnx/onnx, IR version 8) is written, so
that neither the library of the format nor the one that the weights were trained with is needed to
run a model: importing them takes longer than encoding a small catalog.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import onnxruntime

Array = np.ndarray[Any, np.dtype[Any]]
# Of a serialised message: weights stay where they are.
Piece: TypeAlias = "bytes | memoryview"

IR_VERSION, OPSET = 8, 17
_VARINT, _BYTES, _FIXED32 = 0, 2, 5
# Of an attribute, and of a tensor's elements, by the names that the format has for them.
_FLOAT, _INT, _INTS = 1, 2, 7
_ELEMENTS = {"float32": 1, "int64": 7}


class Graph:
    """A network in the making: each call adds an operator and returns the name of what it makes."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        # In pieces, so that weights of 100 MB are copied once, when the whole model is put
        # together.
        self._weights: list[list[Piece]] = []

    def weight(self, array: Array) -> str:
        """Add a constant, float32 or int64."""
        name = f"w{len(self._weights)}"
        fields = [_varint(1, size) for size in array.shape]
        fields += [_varint(2, _ELEMENTS[str(array.dtype)]), _text(8, name)]
        numbers = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        self._weights.append([*fields, *_pieces(9, [numbers])])
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; returns the name of its output, or a tuple of names for several.

        attributes: whole numbers, fractions, or lists of whole numbers.
        """
        names = [f"n{len(self._nodes)}.{number}" for number in range(outputs)]
        fields = [_text(1, name) for name in inputs] + [_text(2, name) for name in names]
        fields.append(_text(4, operator))
        fields += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join(fields))
        return names[0] if outputs == 1 else tuple(names)

    def model(
        self, inputs: Mapping[str, tuple[str, Sequence[int | str]]], outputs: Sequence[str]
    ) -> bytes:
        """Return the whole model, serialised.

        inputs: name → element type and shape, with a word where a size is not fixed.
        """
        graph: list[Piece] = [_bytes(1, node) for node in self._nodes]
        graph.append(_text(2, "network"))
        for weight in self._weights:
            graph += _pieces(5, weight)
        graph += [_bytes(11, _value(name, *about)) for name, about in inputs.items()]
        graph += [_bytes(12, _text(1, name)) for name in outputs]
        opset = _text(1, "") + _varint(2, OPSET)
        return b"".join([_varint(1, IR_VERSION), *_pieces(7, graph), _bytes(8, opset)])


def open_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Return a session on the CPU that computes with so many threads.

    Raises RuntimeError when the model is unsound.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait for each other busily slow down whatever else the machine does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _number(value: int) -> bytes:
    """Return a whole number as protobuf's varint; negative ones in two's complement of 64 bits."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3 | _VARINT) + _number(value)


def _bytes(field: int, content: bytes) -> bytes:
    return _number(field << 3 | _BYTES) + _number(len(content)) + content


def _pieces(field: int, content: Sequence[Piece]) -> list[Piece]:
    """Return what `_bytes` returns of the pieces put together, still in pieces."""
    size = sum(map(len, content))
    return [_number(field << 3 | _BYTES) + _number(size), *content]


def _text(field: int, content: str) -> bytes:
    return _bytes(field, content.encode())


def _attribute(name: str, value: float | Sequence[int]) -> bytes:
    if isinstance(value, float):
        written = _number(2 << 3 | _FIXED32) + struct.pack("<f", value) + _varint(20, _FLOAT)
    elif isinstance(value, int):
        written = _varint(3, value) + _varint(20, _INT)
    else:
        written = b"".join(_varint(8, each) for each in value) + _varint(20, _INTS)
    return _text(1, name) + written


def _value(name: str, elements: str, shape: Sequence[int | str]) -> bytes:
    sizes = [_varint(1, size) if isinstance(size, int) else _text(2, size) for size in shape]
    tensor = _varint(1, _ELEMENTS[elements]) + _bytes(2, b"".join(_bytes(1, s) for s in sizes))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))
