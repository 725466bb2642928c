"""ONNX Runtime's engine on small networks made by hand."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.errors import InputError, ModelError
from nucleate.run.breaking import Breakable
from nucleate.run.engine import OnnxEngine, load_onnxruntime

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

pytest.importorskip("onnx", reason="onnx, which draws the test networks, is not installed")


def network(*, stride: int = 1, layers: int = 1) -> bytes:
    """One 3 × 3 average with padding, or more of them, then a sigmoid."""
    from onnx import TensorProto, helper, numpy_helper

    batch = helper.make_tensor_value_info("batch", TensorProto.FLOAT, ["N", 1, "H", "W"])
    maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 1, "h", "w"])
    weight = numpy_helper.from_array(np.full((1, 1, 3, 3), 1 / 9, np.float32), "weight")
    nodes = [
        helper.make_node("Conv", [before, "weight"], [after], pads=[1, 1, 1, 1], strides=[stride, stride])
        for before, after in pairwise(["batch", *(f"mean{i}" for i in range(layers))])
    ]
    nodes.append(helper.make_node("Sigmoid", [f"mean{layers - 1}"], ["maps"]))
    graph = helper.make_graph(nodes, "average", [batch], [maps], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def expected(
    batch_NCHW: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    from scipy import ndimage

    mean = ndimage.uniform_filter(batch_NCHW, (0, 0, 3, 3), mode="constant")
    return np.asarray(1 / (1 + np.exp(-mean)), np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 1, 5, 13), (1, 1, 1, 1)])
def test_maps_of_any_size(shape: tuple[int, ...]) -> None:
    batch = np.random.default_rng(0).random(shape, np.float32)
    maps = OnnxEngine(network(), threads=1)(batch)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected(batch), atol=1e-6)


def test_file_and_bytes_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(network())
    batch = np.random.default_rng(0).random((1, 1, 16, 16), np.float32)
    np.testing.assert_array_equal(OnnxEngine(tmp_path / "m.onnx", 1)(batch), OnnxEngine(network(), 1)(batch))


def test_a_call_is_broken_off_in_the_midst_of_a_tile() -> None:
    engine, block = OnnxEngine(network(layers=400), threads=1), Breakable()
    batch = np.zeros((1, 1, 1000, 1000), np.float32)
    engine(batch[..., :8, :8])
    threading.Timer(0.2, block.interrupt).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        block.run(lambda: engine(batch))
    broken_off = time.monotonic() - started
    assert broken_off < 2.0
    assert engine(batch[..., :8, :8]).shape == (1, 1, 8, 8), "it can be called again"
    end = time.monotonic() + 1.0
    while any(thread.name == "nucleate-engine" for thread in threading.enumerate()):
        assert time.monotonic() < end, "it computes on"


@pytest.mark.parametrize(
    ("raised", "told"), [(RuntimeError("can't start new thread"), InputError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_thread_that_never_starts_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, raised: BaseException, told: type[BaseException]
) -> None:
    engine, batch, ends = OnnxEngine(network(), threads=1), np.ones((1, 1, 4, 4), np.float32), list[BaseException]()

    class Refused(threading.Thread):
        def start(self) -> None:
            raise raised

    def ask() -> None:
        try:
            engine(batch)
        except BaseException as error:  # whatever it is
            ends.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    monkeypatch.setattr(threading, "Thread", Refused)
    asking.start()
    asking.join(10.0)
    assert [type(end) for end in ends] == [told]
    if told is InputError:
        assert str(ends[0]).startswith("no thread can be started; ")


def test_an_engine_can_be_pickled_after_use() -> None:
    engine = OnnxEngine(network(), threads=1)
    batch = np.ones((1, 1, 4, 4), np.float32)
    first = engine(batch)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(engine))(batch), first)


def test_turned_views_are_taken() -> None:
    batch = np.random.default_rng(0).random((1, 1, 6, 9), np.float32)
    turned = np.rot90(batch, axes=(2, 3))
    maps = OnnxEngine(network(), threads=1)(turned)
    np.testing.assert_allclose(maps, expected(np.ascontiguousarray(turned)), atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"garbage", network()[:40]])
def test_a_damaged_model_is_one_line(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="cannot read ONNX model") as caught:
        OnnxEngine(content)(np.ones((1, 1, 4, 4), np.float32))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_threads_that_the_runtime_cannot_start_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("env.cc:327 PosixThread pthread_create failed, error code: 11")

    monkeypatch.setattr(load_onnxruntime().InferenceSession, "_create_inference_session", refuse)
    with pytest.raises(InputError, match="no thread can be started; use fewer with --threads"):
        OnnxEngine(network()).warm_up()
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file .*none\.onnx"):
        OnnxEngine(tmp_path / "none.onnx")(np.ones((1, 1, 4, 4), np.float32))


def test_wrong_channels_are_the_models_fault(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="does not take a batch of shape"):
        OnnxEngine(network(), threads=1)(np.ones((1, 3, 4, 4), np.float32))
    assert capfd.readouterr().err == ""


def test_a_network_must_keep_height_and_width() -> None:
    with pytest.raises(ModelError, match="must keep height and width"):
        OnnxEngine(network(stride=2), threads=1)(np.ones((1, 1, 8, 8), np.float32))


def test_onnx_runtime_reports_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    # It stays quiet where it finds itself in a test.
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "SYSTEMROOT"}}
    words = [sys.executable, "-c", "from nucleate.run.engine import load_onnxruntime as load; load().InferenceSession"]
    places = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(tmp_path))
    subprocess.run(words, env=kept | places | {"PYTHONDONTWRITEBYTECODE": "1"}, check=True)
    assert list(tmp_path.rglob("*")) == []
