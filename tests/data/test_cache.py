"""What is kept of a set that was read."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.data.files import ONE, equal, flip, pack, png, read_samples, two_nuclei, write

from nucleate.data import cache, kaggle, source
from nucleate.data import samples as samples_module
from nucleate.data.samples import load_samples
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.data.sample import Sample

pytestmark = pytest.mark.base


def assert_as_written(found: list[Sample]) -> None:
    assert [s.image_id for s in found] == ["one", "two"]
    assert equal(found[0].labels, ONE)
    assert found[0].labels.dtype == np.int32
    assert equal(found[0].image, [[0, 1, 2], [3, 4, 5]])
    assert found[0].image.dtype == np.uint8
    assert found[1].image.shape == (2, 3, 3)
    found[0].image[0, 0] = 0  # arrays from the cache can be written to, as those read from files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pack(tmp_path / "set.zip", two_nuclei())


def test_the_second_load_reads_no_picture(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_as_written(load_samples(data, cache=tmp_path / "cache"))
    monkeypatch.setattr(kaggle, "read_picture", None)
    assert_as_written(load_samples(data, cache=tmp_path / "cache"))
    with pytest.raises(TypeError):
        read_samples(data)


def test_a_changed_set_is_read_anew(data: Path, tmp_path: Path) -> None:
    load_samples(data, cache=tmp_path / "cache")
    changed = {**two_nuclei(), "two/masks/d.png": png([[255, 0, 0], [0, 0, 0]])}
    again = load_samples(pack(tmp_path / "set.zip", changed), cache=tmp_path / "cache")
    assert again[1].labels.max() == 2
    folder = write(tmp_path / "set", two_nuclei())
    assert_as_written(load_samples(folder, cache=tmp_path / "cache"))
    (folder / "two/masks/c.png").write_bytes(png([[0, 0, 0], [255, 255, 255]]))
    assert load_samples(folder, cache=tmp_path / "cache")[1].labels.sum() == 3


def test_one_file_is_kept_of_a_set_whatever_lies_beside_the_pictures(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = write(tmp_path / "set", two_nuclei()), tmp_path / "cache"
    load_samples(data, cache=kept)
    load_samples(folder, cache=kept)
    first = {path.name for path in kept.iterdir()}
    assert len(first) == 2
    with monkeypatch.context() as blind:
        blind.setattr(kaggle, "read_picture", None)
        for name in ("notes.txt", "notes/day1/read.me", "two/masks.txt"):
            write(folder, {name: name.encode(), "notes/empty/": b""})
            assert_as_written(load_samples(folder, cache=kept))
            pack(data, {**two_nuclei(), name: name.encode(), "notes/": b""})
            assert_as_written(load_samples(data, cache=kept))
    assert {path.name for path in kept.iterdir()} == first
    for value in (1, 2, 3):
        (folder / "two/masks/c.png").write_bytes(png([[0, 0, 0], [0, value, value]]))
        load_samples(folder, cache=kept)
    assert len({path.name for path in kept.iterdir()}) == 2
    assert len({path.name for path in kept.iterdir()} & first) == 1  # that of the other set


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_an_empty_folder_of_masks_counts(tmp_path: Path, kind: str) -> None:
    def load(more: dict[str, bytes]) -> list[Sample]:
        files = {**two_nuclei(), "three/images/three.png": png([[1, 2]]), **more}
        made = pack(tmp_path / "s.zip", files) if kind == "zip" else write(tmp_path / "s", files)
        return load_samples(made, cache=tmp_path / "cache")

    with pytest.raises(DataError, match="three has no masks folder"):
        load({})
    assert [one.image_id for one in load({"three/masks/": b""})] == ["one", "three", "two"]
    keys = {path.name for path in (tmp_path / "cache").iterdir()}
    load({"three/masks/": b"", "three/masks/a.png": png([[0, 1]])})
    assert {path.name for path in (tmp_path / "cache").iterdir()} != keys


def test_files_of_old_names_go(data: Path, tmp_path: Path) -> None:
    kept = write(tmp_path / "cache", {f"samples-{'0a' * 16}.zip": b"old", "samples-mine.zip": b"", "other.zip": b""})
    load_samples(data, cache=kept)
    names = sorted(path.name for path in kept.iterdir())
    assert (len(names), names[0], names[-1]) == (3, "other.zip", "samples-mine.zip")


def test_what_another_version_read_is_read_anew(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_samples(data, cache=tmp_path / "cache")
    monkeypatch.setattr(samples_module, "__version__", "0.0.1")
    monkeypatch.setattr(kaggle, "read_picture", None)
    with pytest.raises(TypeError):
        load_samples(data, cache=tmp_path / "cache")


def test_a_large_file_beside_the_pictures_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "set", {**two_nuclei(), "slide.ndpi": b"x" * 5000})
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 4999)
    assert_as_written(load_samples(folder, cache=tmp_path / "cache"))


def test_parts_do_not_share_a_cache_file(tmp_path: Path) -> None:
    other = {f"b/{name}": data for name, data in two_nuclei().items() if name.startswith("two")}
    path = pack(tmp_path / "s.zip", {**two_nuclei("a/"), **other})
    assert len(load_samples(f"{path}::a", cache=tmp_path)) == 2
    assert len(load_samples(f"{path}::b", cache=tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "format"])
def test_a_damaged_cache_is_made_again(
    data: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    if damage == "format":
        monkeypatch.setattr(cache, "_FORMAT", 0)
    load_samples(data, cache=folder)
    monkeypatch.undo()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    if damage == "flipped":
        flip(path, content.index(bytes([0, 1, 2, 3, 4, 5])) + 2)
    elif damage != "format":
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"no zip"}[damage])
    with caplog.at_level(logging.WARNING):
        assert_as_written(load_samples(data, cache=folder))
    assert ("is damaged" in caplog.text) == (damage != "format")
    monkeypatch.setattr(kaggle, "read_picture", None)
    assert_as_written(load_samples(data, cache=folder))


def test_no_pickle_is_ever_loaded(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_samples(data, cache=tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    key = path.stem.removeprefix("samples-")
    index = json.dumps({"format": cache._FORMAT, "key": key, "ids": ["one"], "binary": []}).encode()
    pack(path, {"index.json": index, "0.image.npy": objects.read_bytes(), "0.labels.npy": objects.read_bytes()})
    with caplog.at_level(logging.WARNING):
        assert cache.load(tmp_path / "cache", key) is None
    assert "allow_pickle" in caplog.text


def test_the_cache_folder_is_looked_up_at_the_call(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "named"))
    load_samples(data)
    assert len(list((tmp_path / "named").iterdir())) == 1
    monkeypatch.delenv("NUCLEATE_CACHE")
    assert cache.cache_folder().name == "nucleate"


def test_without_a_place_for_the_cache_loading_goes_on(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert_as_written(load_samples(data, cache=tmp_path / "file"))
    assert f"{tmp_path / 'file'} is a file; set NUCLEATE_CACHE to another folder" in caplog.text
