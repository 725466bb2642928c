"""The files of networks and runs: equal ones have equal bytes, and those of older versions are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nucleate.errors import OutputError
from nucleate.nets.build import NetConfig, build
from nucleate.train.checkpoint import facts_of_state, load_network, load_state, save_network, save_state

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


def test_files_of_older_versions_are_read(tmp_path: Path) -> None:
    module = build(NETWORK)
    parts = (module, None, torch.optim.AdamW(module.parameters()))
    net, state = tmp_path / "net.safetensors", tmp_path / "state.safetensors"
    save_network(net, module, config=NETWORK)
    save_state(state, parts, facts={})
    save_file(load_file(net), net, {"network": json.dumps(NETWORK.to_dict()), "facts": json.dumps(FACTS)})
    save_file(load_file(state), state, {"facts": json.dumps(FACTS)})
    again, network, facts = load_network(net)
    assert (network, facts) == (NETWORK, FACTS)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items())
    assert facts_of_state(state) == FACTS
    load_state(state, parts)
    with safe_open(state, "pt") as stream:
        assert list(stream.metadata()) == ["facts"]


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
