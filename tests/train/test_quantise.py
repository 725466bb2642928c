"""A network in integers: nearly the same maps, less space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from nucleate.core.normalize import Normalizer
from nucleate.data.sample import Sample
from nucleate.errors import ModelError, OutputError
from nucleate.nets.build import NetConfig, build
from nucleate.nets.to_onnx import export_onnx
from nucleate.run.engine import OnnxEngine
from nucleate.run.weights import ModelCard, find_model, list_models, write_card
from nucleate.train.quantise import calibration_crops, quantise, write_int8

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NETWORK = NetConfig(name="flagship", channels_in=1, channels_out=2, width=24, depth=2)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a small network with drawn weights and moved statistics."""
    import torch

    torch.manual_seed(0)
    module = build(NETWORK)
    module.train()
    with torch.no_grad():
        module(torch.rand(4, 1, 64, 64))
    path = tmp_path_factory.mktemp("network") / "drawn.onnx"
    export_onnx(module.eval(), path, channels_in=1, multiple=4)
    return path.read_bytes()


def batches(count: int = 3, side: int = 64) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.random((1, 1, side, side), np.float32) for _ in range(count)]


def test_integers_give_nearly_the_same_maps_in_less_space(content: bytes) -> None:
    small = quantise(content, batches())
    assert len(small) < 0.7 * len(content)
    assert quantise(content, batches()) == small
    batch = batches(4)[3]
    want, got = OnnxEngine(content, 1)(batch), OnnxEngine(small, 1)(batch)
    assert want.std() > 0.01
    assert np.abs(got - want).mean() < 0.1 * want.std()
    assert len(np.unique(got)) > 1000  # the last convolution is not rounded to 256 steps
    assert OnnxEngine(small, 1)(np.zeros((2, 1, 8, 24), np.float32)).shape == (2, 2, 8, 24)


def test_weights_have_seven_bits(content: bytes) -> None:
    import onnx
    from onnx import numpy_helper

    tensors = onnx.load_from_string(quantise(content, batches(1))).graph.initializer
    whole = [numpy_helper.to_array(t) for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert len(whole) > 5
    assert max(int(np.abs(w.astype(int)).max()) for w in whole) <= 64


def test_without_pictures_or_convolutions_it_is_one_line(content: bytes) -> None:
    with pytest.raises(ModelError, match="no pictures to measure"):
        quantise(content, [])


def test_crops_come_from_every_kind_and_are_the_same_again() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((50, 70), np.int32)
    samples = [
        Sample(f"{kind}{n}", rng.integers(0, 255, (50, 70), np.uint8), labels, group=f"{n}", kind=kind)
        for kind in ("a", "b")
        for n in range(3)
    ]
    samples.append(Sample("small", np.zeros((8, 90), np.uint8), np.zeros((8, 90), np.int32), group="s", kind="c"))
    first, second = (list(calibration_crops(samples, Normalizer())) for _ in range(2))
    assert [crop.shape for crop in first] == [(1, 1, 32, 64)] * 24
    for crop, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(crop, again)
    assert list(calibration_crops([], Normalizer())) == []


def test_integers_are_written_beside_the_model_and_checked(content: bytes, tmp_path: Path) -> None:
    from hashlib import sha256

    (tmp_path / "drawn.onnx").write_bytes(content)
    card = ModelCard(name="drawn", maps=("mask", "border"), multiple=4, sha256=sha256(content).hexdigest())
    write_card(tmp_path / "drawn.toml", card)
    assert find_model(tmp_path).read_int8() is None
    written = write_int8(tmp_path / "drawn.onnx", batches(1))
    found = find_model(tmp_path)  # the folder still holds one model
    assert found.card == written
    assert found.read_int8() == quantise(content, batches(1))
    found.int8.write_bytes(b"other")
    with pytest.raises(ModelError, match="not the file its card describes"):
        found.read_int8()
    assert all(not files.onnx.name.endswith("int8.onnx") for files in list_models())


def test_a_full_disk_is_one_line(content: bytes) -> None:
    full_disk = pytest.importorskip("tests.full_disk", reason="no limits on this system").full_disk
    for room in (len(content) // 4, len(quantise(content, batches(1))) // 2):
        with full_disk(room), pytest.raises(OutputError, match=r"cannot write into /.*; free space, or set TMPDIR"):
            quantise(content, batches(1))
