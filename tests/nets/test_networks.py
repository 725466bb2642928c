"""One battery for every network in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

import nucleate
from nucleate.nets.build import NETWORKS, NetConfig, build, count_parameters
from nucleate.nets.engine import TorchEngine
from nucleate.nets.from_onnx import load_onnx
from nucleate.nets.to_onnx import export_onnx
from nucleate.nets.unet import pad_to

NAMES = sorted(NETWORKS)
SMALL = {"width": 4, "depth": 2}


def _small(name: str, channels_in: int = 1, channels_out: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(NetConfig(name, channels_in, channels_out, **SMALL))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (4, 9)])
def test_logits_have_the_size_of_the_batch(name: str, size: tuple[int, int]) -> None:
    module = _small(name, 3)
    assert module(torch.rand(2, 3, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    module = _small(name)
    module(torch.rand(2, 1, 24, 24)).square().mean().backward()
    without = [key for key, value in module.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_a_step_lowers_the_loss(name: str) -> None:
    module = _small(name, channels_out=1)
    batch = torch.rand(2, 1, 16, 16)
    truth = (batch > 0.5).float()
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(module(batch), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_weights_can_be_saved_and_loaded(name: str, tmp_path: Path) -> None:
    from nucleate.train.checkpoint import load_network, save_network

    module = _small(name).eval()
    save_network(tmp_path / "net.safetensors", module, config=NetConfig(name, 1, 2, **SMALL), facts={"epoch": 3})
    loaded, config, facts = load_network(tmp_path / "net.safetensors")
    batch = torch.rand(1, 1, 16, 20)
    assert torch.equal(loaded(batch), module(batch))
    assert config == NetConfig(name, 1, 2, **SMALL)
    assert facts == {"epoch": 3}


@pytest.mark.parametrize("name", NAMES)
def test_onnx_gives_the_maps_of_torch(name: str, tmp_path: Path) -> None:
    module = _small(name, 3)
    # Statistics as after training, so that normalisation does something.
    module.train()
    module(torch.rand(4, 3, 32, 32) * 3)
    export_onnx(module, tmp_path / "net.onnx", channels_in=3, multiple=4)
    session = ort.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    engine = TorchEngine(module)
    rng = np.random.default_rng(0)
    for count, rows, cols in ((1, 8, 8), (3, 20, 36)):
        batch = rng.random((count, 3, rows, cols), np.float32)
        maps = session.run(["maps"], {"batch": batch})[0]
        np.testing.assert_allclose(maps, engine(batch), atol=1e-5)
        assert 0 <= maps.min() <= maps.max() <= 1
    content = (tmp_path / "net.onnx").read_bytes()
    again = load_onnx(content, NetConfig(name, 3, 2, **SMALL).to_dict())
    weights = {key: value for key, value in again.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in weights.items())
    # The exporter would note where the source lies.
    assert str(Path(nucleate.__file__).parent).encode() not in content


@pytest.mark.parametrize(
    ("content", "network", "named"),
    [
        (b"\xff", {"name": "unet", "width": 4}, "no ONNX file"),
        (b"", {"name": "unet", "width": 4}, "another network"),
        (b"", {"name": "alexnet"}, "alexnet"),
        (b"", {"colour": 1}, "colour"),
    ],
)
def test_what_is_no_network_of_ours_is_refused_in_one_line(
    content: bytes, network: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        load_onnx(content, network)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "count"), [("unet", 31_030_593), ("unet-plus-one", 31_067_521), ("unet-minus-one", 30_919_937)]
)
def test_the_papers_networks_have_their_size(name: str, count: int) -> None:
    assert count_parameters(build(NetConfig(name))) == count


def test_one_more_convolution_is_all_that_plus_one_adds() -> None:
    width = 64
    more = count_parameters(build(NetConfig("unet-plus-one"))) - count_parameters(build(NetConfig("unet")))
    assert more == 9 * width * width + width


def test_minus_one_lacks_two_convolutions_and_reads_twice_the_maps() -> None:
    width = 64
    less = count_parameters(build(NetConfig("unet"))) - count_parameters(build(NetConfig("unet-minus-one")))
    assert less == (9 * 2 * width * width + width) + (9 * width * width + width) - width


def test_the_flagship_is_small() -> None:
    assert count_parameters(build(NetConfig("flagship", 3, 3, width=16, depth=5))) < 8_000_000


def test_padding_repeats_the_edge() -> None:
    padded = pad_to(torch.tensor([[[[1.0, 2.0]]]]), torch.zeros(1, 1, 2, 3))
    assert padded.tolist() == [[[[1, 2, 2], [1, 2, 2]]]]


@pytest.mark.parametrize("bad", [{"name": "alexnet"}, {"width": 0}])
def test_a_wrong_configuration_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown network|at least 1"):
        NetConfig(**bad)  # type: ignore[arg-type]


def test_engine_gives_the_same_maps_alone_or_in_a_batch() -> None:
    engine = TorchEngine(_small("flagship", 3))
    batch = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    np.testing.assert_allclose(engine(batch)[1:2], engine(batch[1:2]), atol=1e-6)
