"""The files of networks and runs: equal ones have equal bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from nucleate.errors import ModelError, OutputError
from nucleate.nets.build import NetConfig, build
from nucleate.train.checkpoint import facts_of_state, load_network, load_state, save_network

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = NetConfig("unet", width=2, depth=1)
FACTS = {"epoch": 3, "score": 0.5}


def test_equal_networks_have_equal_bytes(tmp_path: Path) -> None:
    module, path = build(NETWORK), tmp_path / "net.safetensors"
    written = set()
    for _ in range(16):  # two keys came in either order, by chance
        save_network(path, module, config=NETWORK, facts=FACTS)
        written.add(path.read_bytes())
    assert len(written) == 1
    assert load_network(path)[1:] == (NETWORK, FACTS)


def test_what_is_no_file_of_ours_is_told(tmp_path: Path) -> None:
    module, path = build(NETWORK), tmp_path / "net.safetensors"
    save_file(module.state_dict(), path, {"network": "{}"})
    with pytest.raises(ModelError, match="holds no network of nucleate: no 'nucleate' in it; train it again"):
        load_network(path)
    with pytest.raises(ModelError, match="not the state of a run"):
        facts_of_state(path)
    with pytest.raises(ModelError, match="not the state of this run: no 'nucleate' in it; use another run folder"):
        load_state(path, (module, None, torch.optim.AdamW(module.parameters())))


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    full_disk = pytest.importorskip("tests.full_disk", reason="no limits on this system").full_disk
    module, path = build(NETWORK), tmp_path / "net.safetensors"
    save_network(path, module, config=NETWORK)
    before = path.read_bytes()
    with (
        full_disk(len(before) // 2),
        pytest.raises(OutputError, match=r"cannot write .*net\.safetensors: File too large"),
    ):
        save_network(path, module, config=NETWORK, facts=FACTS)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [before]
