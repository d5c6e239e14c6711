"""Networks built without the library of their format."""

import tracemalloc

import numpy as np
import pytest

from transforms.models.in_process.onnx_graph import Graph, open_session


def test_a_network_computes_what_was_put_together():
    """Constants of both types, whole numbers, fractions and lists as attributes, negative ones too,
    several outputs and sizes that are not fixed arrive as they were given.
    """
    graph = Graph()
    mean = graph.add("ReduceMean", "x", axes=[-1], keepdims=1)
    off = graph.add("LeakyRelu", graph.add("Sub", "x", mean), alpha=0.5)
    left, right = graph.add("Split", off, graph.weight(np.array([1, 2])), outputs=2, axis=1)
    scaled = graph.add("Mul", right, graph.weight(np.array([2, 4], np.float32)))
    model = graph.model({"x": ("float32", ("rows", 3))}, [left, scaled])
    session = open_session(model, threads=1)
    for rows in (1, 4):
        x = np.tile(np.array([1, 2, 6], np.float32), (rows, 1))
        first, rest = session.run(None, {"x": x})
        assert first.tolist() == [[-1.0]] * rows
        assert rest.tolist() == [[-1.0, 12.0]] * rows


def test_weights_are_copied_once() -> None:
    """A network takes the memory of its weights once more, however large they are: every worker
    process puts its own together.
    """
    weights = np.ones((1024, 1024), np.float32)
    tracemalloc.start()
    try:
        graph = Graph()
        model = graph.model(
            {"x": ("float32", (1, 1024))}, [graph.add("MatMul", "x", graph.weight(weights))]
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert weights.nbytes < len(model) < peak < 1.1 * weights.nbytes


def test_an_unsound_network_is_refused():
    """A network that reads what nobody makes is no session that answers something."""
    graph = Graph()
    model = graph.model({"x": ("float32", (1,))}, [graph.add("Relu", "y")])
    with pytest.raises(Exception, match="y"):
        open_session(model, threads=1)
