"""Choosing between ONNX Runtime and torch, where torch is installed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate import api
from nucleate.core.normalize import Normalizer
from nucleate.errors import MissingExtraError, ModelError, UsageError
from nucleate.run.engine import OnnxEngine, WithinMemory
from nucleate.run.weights import ModelCard, write_card
from tests.calls import CALLS

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="torch is not installed")

NETWORK = {"name": "unet", "channels_in": 1, "channels_out": 1, "width": 4, "depth": 2}


def put_model(folder: Path, **fields: Any) -> Path:  # noqa: ANN401 - fields of a card
    """Write a small network with drawn weights as a model."""
    from nucleate.nets.build import NetConfig, build
    from nucleate.nets.to_onnx import export_onnx

    torch.manual_seed(0)
    onnx = folder / "drawn.onnx"
    export_onnx(build(NetConfig(**NETWORK)).eval(), onnx, channels_in=1, multiple=4)  # type: ignore[arg-type]
    digest = hashlib.sha256(onnx.read_bytes()).hexdigest()
    given = {"name": "drawn", "network": NETWORK, "multiple": 4, "sha256": digest}
    write_card(folder / "drawn.toml", ModelCard(**(given | {"normalizer": Normalizer(polarity="keep")} | fields)))
    return onnx


def test_both_engines_give_the_same_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nucleate.nets.engine import TorchEngine

    def on_processor(module: Any, device: str, *, half: bool) -> TorchEngine:  # noqa: ANN401 - a torch module
        assert device == "cuda"
        return TorchEngine(module, "cpu", half=half)

    model = put_model(tmp_path)
    plane = np.random.default_rng(0).random((37, 50))
    monkeypatch.setattr("nucleate.nets.engine.TorchEngine", on_processor)
    by_torch = api.load_segmenter(model, device="cuda", precision="full")
    by_onnx = api.load_segmenter(model, device="cpu")
    assert isinstance(by_torch.engine, WithinMemory)
    assert isinstance(by_torch.engine.engine, TorchEngine)
    assert not by_torch.engine.engine.half
    assert isinstance(by_onnx.engine, OnnxEngine)
    np.testing.assert_allclose(by_torch.maps(plane), by_onnx.maps(plane), atol=1e-5)
    halved = api.load_segmenter(model, device="cuda")
    np.testing.assert_allclose(halved.maps(plane), by_onnx.maps(plane), atol=0.02)
    assert np.abs(halved.maps(plane) - by_onnx.maps(plane)).max() > 1e-5


def test_a_card_without_memory_hands_over_to_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def __call__(self, batch_NCHW: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr("nucleate.nets.engine.TorchEngine", lambda *_, **__: Full())
    segmenter = api.load_segmenter(put_model(tmp_path), device="cuda")
    plane = np.random.default_rng(0).random((37, 50))
    maps = segmenter.maps(plane)
    np.testing.assert_array_equal(maps, api.load_segmenter(tmp_path / "drawn.onnx", device="cpu").maps(plane))
    said = [record.message for record in caplog.records if record.name == "nucleate.run.engine"]
    assert said == ["the graphics card's memory is full: going on on the processor"]


def test_without_a_graphics_card_auto_takes_onnx_and_cuda_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(*_: object, **__: object) -> None:
        raise RuntimeError("Found no NVIDIA driver on your system")

    model = put_model(tmp_path)
    monkeypatch.setattr("nucleate.nets.engine.TorchEngine", no_device)
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert isinstance(api.load_segmenter(model).engine, OnnxEngine)
    with pytest.raises(UsageError, match="no graphics card"):
        api.load_segmenter(model, device="cuda")


def test_without_a_driver_torch_is_not_even_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = put_model(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setitem(sys.modules, "nucleate.nets.engine", None)
    assert isinstance(api.load_segmenter(model).engine, OnnxEngine)


@pytest.mark.parametrize(
    ("library", "verbs"),
    [
        *((name, ()) for name in ("torch", "onnx", "onnxscript", "safetensors")),
        ("optuna", ("search", "paper")),
        ("matplotlib", ("crossval", "paper", "ablate")),
    ],
)
def test_a_library_that_cannot_be_loaded_is_told_by_every_verb_that_needs_it(
    tmp_path: Path, library: str, verbs: tuple[str, ...]
) -> None:
    model, broken, out = str(put_model(tmp_path)), tmp_path / "broken", str(tmp_path / "out")
    (broken / library).mkdir(parents=True)
    reason = "libcudart.so.12: cannot open shared object file"
    (broken / library / "__init__.py").write_text(f"raise ImportError({reason!r})")
    (tmp_path / "net.toml").touch()
    picture, config = tmp_path / "cells.npy", ["--config", str(tmp_path / "net.toml")]
    np.save(picture, np.eye(40, dtype=np.uint8))
    more = {"tune": ["--model", model], "stress": ["--model", model], "crossval": config, "benchmark": config}
    trained = verbs or ("train", "paper", "search", "ablate", *more)
    calls = [[verb, str(tmp_path), "-o", out, *more.get(verb, [])] for verb in trained]
    calls += [] if verbs else [["export", model, "-o", out, "--to", "onnx"]]
    if library in ("torch", "onnx"):
        calls += [["segment", str(picture), "-o", out, "--model", model, "--device", "cuda"]]
    ended = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps(calls)], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(broken), *filter(None, sys.path)])},
    )  # fmt: skip
    told = f"nucleate: {library} cannot be loaded: {reason}; run: pip install --force-reinstall {library}"
    assert ended.stderr.splitlines() == [told, "2"] * len(calls)
    assert not (tmp_path / "out").exists()


def test_auto_goes_without_a_torch_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, extra: str) -> None:
        raise MissingExtraError(name, extra, reason="libcudart.so.12")

    model = put_model(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(api, "library", broken)
    assert isinstance(api.load_segmenter(model).engine, OnnxEngine)
    with pytest.raises(MissingExtraError, match=r"torch cannot be loaded: libcudart\.so\.12; run: pip install"):
        api.load_segmenter(model, device="cuda")


def test_weights_of_another_network_run_on_onnx_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = put_model(tmp_path, network=NETWORK | {"width": 8})
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert isinstance(api.load_segmenter(model).engine, OnnxEngine)
    with pytest.raises(ModelError, match="weights of another network") as caught:
        api.load_segmenter(model, device="cuda")
    assert "\n" not in str(caught.value)
