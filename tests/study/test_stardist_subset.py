"""StarDist's subset: the test images take no part in training, and the table stands beside the published rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.train.drawn import disks

from nucleate.data.write import write_sample
from nucleate.errors import UsageError
from nucleate.nets.build import NetConfig
from nucleate.study.stardist_subset import PUBLISHED, SHOWN, load_parts, run_subset, write_subset
from nucleate.train.config import TrainConfig

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = TrainConfig(
    network=NetConfig("unet", channels_out=3, width=4, depth=2), maps=("mask", "border", "distance"),
    loss="compound", crop=32, batch=4, epochs=1, lr=1e-2,
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))
    for part, samples in (("train", disks(16)), ("test", disks(2, seed=7))):
        for sample in samples:
            write_sample(tmp_path / "data" / part, sample, layout="labels")
    return tmp_path / "data"


def test_the_real_archive_has_its_split(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path))
    folder = shared_data / "dsb2018"
    if not (folder / "stardist_subset.zip").is_file():
        pytest.skip(f"no StarDist subset in {folder}")
    trained, held, test = load_parts(folder / "stardist_subset.zip", table=folder / "images.csv")
    assert len(trained) + len(held) == 447
    assert len(test) == 50
    assert 50 <= len(held) <= 60
    assert not {one.group for one in trained} & {one.group for one in held}


def test_the_table_stands_beside_the_published_rows(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="train it first"):
        run_subset(data, out, config=CONFIG, train=False)
    found = run_subset(data, out, config=CONFIG)
    assert found["plain"].images == found["twice"].images == 2
    trained, held, _ = load_parts(data, table=None)
    assert found["kept"].images == len(held)
    assert found["seen"].images == -(-len(trained) // 8)
    text = write_subset(out, found, config=CONFIG, command="nucleate benchmark data")
    assert text.count("nucleate**") == 4  # scores and intervals
    assert f"| those kept from it | {len(held)} | {found['kept'].ap['0.50']:.3f} |" in text
    assert all(f"| {name} |" in text for name, *_ in PUBLISHED)
    mean = sum(found["plain"].ap[key] for key in SHOWN) / 9
    assert f"{mean:.3f} |" in next(line for line in text.splitlines() if "**nucleate** |" in line)
