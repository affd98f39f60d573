"""What all front ends share: options, paths, the folder they are in."""

import numpy as np
import pytest
from float_models import weights

from nmahw.errors import ModelError, UsageError
from nmahw.frontends import FRONTENDS, read_float_model


@pytest.mark.parametrize("options, message", [
    ({"input_shape": (1, "a")}, "a tensor's shape must be"),
    ({"input_shape": ()}, "a tensor's shape must be"),
    ({"input_scale": "x"}, "input scale must be a number .*, not 'x'"),
    ({"input_scale": 0}, "input scale must be a number .*, not 0"),
    ({"input_scale": 1e-9}, "input range must be .*: give the input range"),
    ({"input_range": ("a", 9)}, "input range must be two integers"),
    ({"input_range": (0, float("nan"))}, "input range must be two integers"),
    ({"input_range": (0, 2.5)}, "input range must be two integers"),
    ({"input_offset": "q"}, "input offset must be a number .*, not 'q'"),
    ({"input_offset": float("inf")}, "input offset must be a number .*, not inf"),
])
def test_option_refusals(options, message, tmp_path):
    np.savez(tmp_path / "m.npz", w1=weights(4, 9), b1=weights(4))
    with pytest.raises(ModelError, match=message):
        read_float_model(tmp_path / "m.npz", **options)


def test_a_quantised_network_is_not_imported_again(tmp_path):
    np.savez(tmp_path / "m.npz", network=np.array("{}"))
    with pytest.raises(UsageError, match="quantised already"):
        read_float_model(tmp_path / "m.npz")


def test_paths(tmp_path):
    with pytest.raises(UsageError, match=r"suffix must be one of \.npz, \.onnx, not '\.pt'"):
        read_float_model(tmp_path / "m.pt")
    with pytest.raises(ModelError, match="does not exist"):
        read_float_model(tmp_path / "m.onnx")
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        read_float_model(tmp_path / "d.npz")


def test_front_ends_are_listed_from_the_folder():
    assert {"npz", "onnx"} <= set(FRONTENDS.names())
    suffixes = [suffix for front_end in FRONTENDS for suffix in front_end.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix.startswith(".") and suffix.islower() for suffix in suffixes)
