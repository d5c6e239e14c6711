"""EfficientNet-Lite0 (Tan and Le, arXiv:1905.11946; the Lite variants are from
github.com/tensorflow/tpu, models/official/efficientnet/lite) as an ONNX model.

The normalisation after each convolution is folded into its weights, which changes the vectors by
less than 1e-6.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from transforms.models.in_process.onnx_graph import Array, Graph

SIDE_PX = 224
# Of a feature map that counts for the style, in cells: coarser maps hold what the vector is pooled
# from.
STYLE_MIN_SIDE = 14
BLOCKS = 16
# The blocks that halve the sides of the map; all else is in the shapes of the weights.
_HALVING = frozenset({1, 3, 5, 11})
_NORM_EPSILON = 1e-3
# PyTorch's format of before 1.6: a number, a version, the machine, the tensors, and the bytes.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ELEMENTS = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Tensors(pickle.Unpickler):
    """Reads names, shapes and places of tensors, and refuses whatever else a pickle may name."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, Array] = {}

    def persistent_load(self, pid: Any) -> Array:
        _, storage, key, _, size, _ = pid
        return self.storages.setdefault(key, np.empty(size, _ELEMENTS[storage]))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _ELEMENTS:
            return name
        raise pickle.UnpicklingError(f"weights do not need {module}.{name}")


def _tensor(
    storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Array:
    steps = tuple(step * storage.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)


def read_weights(path: str | Path) -> dict[str, Array]:
    """Return name → weights of a file in PyTorch's older format; runs no code of the file.

    Raises UnpicklingError when it is in another format, or names anything but tensors.
    """
    with Path(path).open("rb") as file:
        header = [_Tensors(file).load() for _ in range(3)]
        if header[:2] != [_MAGIC, _PROTOCOL]:
            raise pickle.UnpicklingError(f"{path} is not in PyTorch's format of before 1.6")
        reader = _Tensors(file)
        tensors: dict[str, Array] = dict(reader.load())
        for key in _Tensors(file).load():
            storage = reader.storages[key]
            file.read(8)  # its size once more
            storage[:] = np.frombuffer(file.read(storage.nbytes), storage.dtype)
    return tensors


def build_network(weights: Mapping[str, Array]) -> bytes:
    """Return the network: `pixels` float32 (1, 3, 224, 224), about -1 to 1, to pooled features
    (1, 1280), probabilities of the classes (1, 1000), and the style (1, 1440).
    """
    network = _Network(weights)
    add, weight = network.graph.add, network.graph.weight
    maps, side = network.conv("pixels", "_conv_stem", "_bn0", stride=2), SIDE_PX // 2
    style: list[str] = []
    for number in range(BLOCKS):
        stride = 2 if number in _HALVING else 1
        maps, side = network.block(maps, f"_blocks.{number}.", stride), side // stride
        if side >= STYLE_MIN_SIDE:
            mean = add("ReduceMean", maps, axes=[2, 3], keepdims=1)
            off = add("Sub", maps, mean)
            spread = add("Sqrt", add("ReduceMean", add("Mul", off, off), axes=[2, 3], keepdims=1))
            style += [mean, spread]
    maps = network.conv(maps, "_conv_head", "_bn1")
    pooled = add("ReduceMean", maps, axes=[2, 3], keepdims=0)
    scores = add(
        "Gemm", pooled, weight(weights["_fc.weight"]), weight(weights["_fc.bias"]), transB=1
    )
    outputs = [pooled, add("Softmax", scores), add("Flatten", add("Concat", *style, axis=1))]
    return network.graph.model({"pixels": ("float32", (1, 3, SIDE_PX, SIDE_PX))}, outputs)


class _Network:
    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.graph = Graph()
        self._weights = weights
        self._six = self.graph.weight(np.array(6, np.float32))
        self._zero = self.graph.weight(np.array(0, np.float32))

    def conv(
        self,
        maps: str,
        conv: str,
        norm: str,
        *,
        stride: int = 1,
        depthwise: bool = False,
        cut: bool = True,
    ) -> str:
        """Add a convolution with its normalisation, and unless `cut` is off the limits 0 and 6."""
        kernel = self._weights[f"{conv}.weight"].astype(np.float64)
        mean, variance, scale, shift = (
            self._weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = scale / np.sqrt(variance + _NORM_EPSILON)
        folded = (kernel * scale[:, None, None, None]).astype(np.float32)
        bias = (shift - mean * scale).astype(np.float32)
        made = self.graph.add(
            "Conv",
            maps,
            self.graph.weight(folded),
            self.graph.weight(bias),
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            pads=_pads(kernel.shape[2], stride),
            group=len(kernel) if depthwise else 1,
        )
        return str(self.graph.add("Clip", made, self._zero, self._six) if cut else made)

    def block(self, maps: str, name: str, stride: int) -> str:
        """Add an inverted bottleneck (Sandler et al., arXiv:1801.04381)."""
        wide = maps
        if f"{name}_expand_conv.weight" in self._weights:
            wide = self.conv(maps, f"{name}_expand_conv", f"{name}_bn0")
        deep = self.conv(
            wide, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride, depthwise=True
        )
        narrow = self.conv(deep, f"{name}_project_conv", f"{name}_bn2", cut=False)
        first = self._weights.get(f"{name}_expand_conv.weight")
        came = first.shape[1] if first is not None else 0
        if stride == 1 and came == len(self._weights[f"{name}_project_conv.weight"]):
            return str(self.graph.add("Add", narrow, maps))
        return narrow


def _pads(kernel: int, stride: int) -> list[int]:
    """Return top, left, bottom, right, so that an even side is divided by the stride exactly; what
    is odd goes to the end.
    """
    total = kernel - stride
    return [total // 2, total // 2, total - total // 2, total - total // 2]
