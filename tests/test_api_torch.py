"""Choosing between ONNX Runtime and torch, where torch is installed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate import api
from nucleate.core.normalize import Normalizer
from nucleate.errors import ModelError, UsageError
from nucleate.run.engine import OnnxEngine
from nucleate.run.weights import ModelCard, write_card

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="torch is not installed")

NETWORK = {"name": "unet", "channels_in": 1, "channels_out": 1, "width": 4, "depth": 2}


def put_model(folder: Path, *, export: bool = False, **fields: Any) -> Path:  # noqa: ANN401 - fields of a card
    """Write a small network with drawn weights for torch and, since that takes seconds, for ONNX only when told."""
    from safetensors.torch import save_file

    from nucleate.nets.build import NetConfig, build
    from nucleate.nets.to_onnx import export_onnx

    torch.manual_seed(0)
    module = build(NetConfig(**NETWORK)).eval()  # type: ignore[arg-type]
    onnx, tensors = folder / "drawn.onnx", folder / "drawn.safetensors"
    onnx.write_bytes(b"never opened")
    if export:
        export_onnx(module, onnx, channels_in=1, multiple=4)
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, tensors)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (onnx, tensors)]
    given = {"name": "drawn", "network": NETWORK, "multiple": 4, "sha256": digests[0], "sha256_torch": digests[1]}
    write_card(folder / "drawn.toml", ModelCard(**(given | {"normalizer": Normalizer(polarity="keep")} | fields)))
    return onnx


def test_both_engines_give_the_same_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nucleate.nets.engine import TorchEngine

    def on_processor(module: Any, device: str) -> TorchEngine:  # noqa: ANN401 - a torch module
        assert device == "cuda"
        return TorchEngine(module, "cpu")

    model = put_model(tmp_path, export=True)
    plane = np.random.default_rng(0).random((37, 50))
    monkeypatch.setattr("nucleate.nets.engine.TorchEngine", on_processor)
    by_torch = api.load_segmenter(model, device="cuda")
    by_onnx = api.load_segmenter(model, device="cpu")
    assert isinstance(by_torch.engine, TorchEngine)
    assert isinstance(by_onnx.engine, OnnxEngine)
    np.testing.assert_allclose(by_torch.maps(plane), by_onnx.maps(plane), atol=1e-5)


def test_without_a_graphics_card_auto_takes_onnx_and_cuda_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(*_: object) -> None:
        raise RuntimeError("Found no NVIDIA driver on your system")

    model = put_model(tmp_path)
    monkeypatch.setattr("nucleate.nets.engine.TorchEngine", no_device)
    assert isinstance(api.load_segmenter(model).engine, OnnxEngine)
    with pytest.raises(UsageError, match="no graphics card"):
        api.load_segmenter(model, device="cuda")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    model = put_model(tmp_path, network=NETWORK | {"width": 8})
    with pytest.raises(ModelError, match="do not fit the card's network") as caught:
        api.load_segmenter(model, device="cuda")
    assert "\n" not in str(caught.value)
