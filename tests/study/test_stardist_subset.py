"""StarDist's subset: the test images take no part in training, and the table stands beside the published rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.calls import call
from tests.train.drawn import disks

from nucleate.data.write import write_sample
from nucleate.errors import UsageError
from nucleate.nets.build import NetConfig
from nucleate.run.weights import find_model
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
    found = run_subset(data, out, config=CONFIG)
    assert found["plain"].images == found["twice"].images == 2
    trained, held, _ = load_parts(data, table=None)
    assert found["kept"].images == len(held)
    assert found["seen"].images == -(-len(trained) // 8)
    text = write_subset(out, found, config=CONFIG, command="nucleate benchmark data", device="cpu")
    assert text.count("nucleate**") == 8  # scores and intervals, counted in two ways
    assert f"| those kept from it | {len(held)} | {found['kept'].ap['0.50']:.3f} |" in text
    assert all(f"| {name} |" in text for rows in PUBLISHED.values() for name, *_ in rows)
    ours = [line for line in text.splitlines() if "**nucleate** |" in line and "[" not in line]
    for line, ap in zip(ours, (found["plain"].ap, found["plain"].ap_by_image), strict=True):
        assert line.endswith(f"{sum(ap[key] for key in SHOWN) / 9:.3f} |")


def test_it_goes_on_over_all_training_images(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = run_subset(data, out, config=CONFIG, then=CONFIG.replace(epochs=2, seed=2))
    first, then = (find_model(folder / "subset.onnx") for folder in (out, out / "all"))
    assert then.read() != first.read()
    assert then.card.recipe == first.card.recipe
    assert then.card.confidence == first.card.confidence
    assert (then.card.min_confidence, then.card.diameter_px) == (first.card.min_confidence, first.card.diameter_px)
    assert len((out / "all" / "history.csv").read_text().splitlines()) == 3
    assert "16 training images" in then.card.data
    assert (len(then.card.trained_on or ()), then.card.trained_on_more) == (16, None)
    assert found["plain"] is not found["first"]
    assert "without the images" in write_subset(
        out, found, config=CONFIG, command="nucleate benchmark data", device="cpu"
    )


def test_what_cannot_go_on_is_refused_before_the_training(data: Path, tmp_path: Path) -> None:
    another = CONFIG.replace(network=NetConfig("unet", channels_out=3, width=6, depth=2).to_dict())
    with pytest.raises(UsageError, match="another network or other maps"):
        run_subset(data, tmp_path / "run", config=CONFIG, then=another)
    (tmp_path / "net.toml").write_text("maps = ['labels']\nnetwork = {name = 'mask-rcnn'}\n")
    assert call("benchmark", data, "-o", tmp_path / "run", "--config", tmp_path / "net.toml", "--threads", "1") == 2
    assert not (tmp_path / "run").exists()
