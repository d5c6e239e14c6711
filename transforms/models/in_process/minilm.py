"""all-MiniLM-L6-v2 (Reimers and Gurevych, arXiv:1908.10084; Wang et al., arXiv:2002.10957) as an
ONNX model: BERT (Devlin et al., arXiv:1810.04805) with six layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from transforms.models.in_process.onnx_graph import Array, Graph

LAYERS, HEADS = 6, 12
_NORM_EPSILON = 1e-12
# Added to the score of padding: its share becomes 0.
_NEVER = -1e9


def build_network(weights: Mapping[str, Array]) -> bytes:
    """Return the network: `tokens` int64 (texts, tokens) and `mask` float32 of the same shape, 1
    for a token and 0 for padding, to token vectors, float32 (texts, tokens, 384).
    """
    network = _Network(weights)
    states = network.embeddings()
    for layer in range(LAYERS):
        states = network.layer(states, f"encoder.layer.{layer}.")
    inputs = {"tokens": ("int64", ("texts", "length")), "mask": ("float32", ("texts", "length"))}
    return network.graph.model(inputs, [states])


class _Network:
    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.graph = Graph()
        self._weights = weights
        self._width = weights["embeddings.LayerNorm.weight"].size
        add = self.graph.add
        # (texts, 1, 1, tokens): the same for every head and for every token that looks.
        away = add("Mul", add("Sub", self._floats(1), "mask"), self._floats(_NEVER))
        self._away = add("Unsqueeze", away, self._ints(1, 2))
        self._apart = self._ints(0, 0, HEADS, self._width // HEADS)
        self._joined = self._ints(0, 0, self._width)

    def _floats(self, *values: float) -> str:
        return self.graph.weight(np.array(values, np.float32))

    def _ints(self, *values: int) -> str:
        return self.graph.weight(np.array(values, np.int64))

    def _weight(self, name: str) -> str:
        return self.graph.weight(self._weights[name])

    def embeddings(self) -> str:
        """Add the vectors of words, and of the places that they stand at."""
        add = self.graph.add
        words = add("Gather", self._weight("embeddings.word_embeddings.weight"), "tokens")
        # Every token is of the first kind of text.
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        table = self.graph.weight(self._weights["embeddings.position_embeddings.weight"] + kind)
        length = add("Gather", add("Shape", "tokens"), self._ints(1))
        places = add("Slice", table, self._ints(0), length, self._ints(0))
        return self._normal(add("Add", words, places), "embeddings.LayerNorm")

    def layer(self, states: str, name: str) -> str:
        """Add attention and the two linear steps after it."""
        add = self.graph.add
        seen = self._dense(
            self._attention(states, f"{name}attention.self."), f"{name}attention.output.dense"
        )
        states = self._normal(add("Add", states, seen), f"{name}attention.output.LayerNorm")
        wide = self._dense(states, f"{name}intermediate.dense")
        # GELU (Hendrycks and Gimpel, arXiv:1606.08415), in the form that the runtime knows.
        share = add("Add", add("Erf", add("Div", wide, self._floats(2**0.5))), self._floats(1))
        wide = add("Mul", add("Mul", wide, share), self._floats(0.5))
        narrow = self._dense(wide, f"{name}output.dense")
        return self._normal(add("Add", states, narrow), f"{name}output.LayerNorm")

    def _attention(self, states: str, name: str) -> str:
        add = self.graph.add
        parts = [
            add("Reshape", self._dense(states, f"{name}{part}"), self._apart)
            for part in ("query", "key", "value")
        ]
        query, value = (add("Transpose", part, perm=[0, 2, 1, 3]) for part in parts[::2])
        key = add("Transpose", parts[1], perm=[0, 2, 3, 1])
        scale = self._floats((self._width // HEADS) ** -0.5)
        scores = add("Add", add("Mul", add("MatMul", query, key), scale), self._away)
        seen = add("MatMul", add("Softmax", scores, axis=-1), value)
        return str(add("Reshape", add("Transpose", seen, perm=[0, 2, 1, 3]), self._joined))

    def _dense(self, states: str, name: str) -> str:
        weight = self.graph.weight(np.ascontiguousarray(self._weights[f"{name}.weight"].T))
        made = self.graph.add("MatMul", states, weight)
        return str(self.graph.add("Add", made, self._weight(f"{name}.bias")))

    def _normal(self, states: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        made = self.graph.add(
            "LayerNormalization", states, scale, shift, axis=-1, epsilon=_NORM_EPSILON
        )
        return str(made)
