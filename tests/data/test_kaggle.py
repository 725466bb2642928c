"""Kaggle's layout: found at any depth, merged by a stated rule, never written to."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from tests.data.files import ONE, equal, pack, png, snapshot, two_nuclei, write

from nucleate.core.labels import relabel
from nucleate.data import kaggle
from nucleate.data.source import open_source
from nucleate.errors import DataError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


@pytest.mark.parametrize("top", ["", "stage1_train/", "a/b/"])
@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_zip_and_folder_give_the_same_samples(tmp_path: Path, kind: str, top: str) -> None:
    files = {**two_nuclei(top), "__MACOSX/one/images/._one.png": b"", "readme.txt": b"hello"}
    path = pack(tmp_path / "s.zip", files) if kind == "zip" else write(tmp_path / "s", files)
    before = snapshot(tmp_path)
    one, two = kaggle.read_kaggle(path)
    assert (one.image_id, two.image_id, one.group, one.fold) == ("one", "two", "one", None)
    assert one.image.dtype == np.uint8
    assert equal(one.image, [[0, 1, 2], [3, 4, 5]])
    assert two.image.shape == (2, 3, 3)
    assert one.labels.dtype == np.int32
    assert equal(one.labels, ONE)
    assert equal(two.labels, [[0, 0, 0], [0, 0, 1]])
    assert snapshot(tmp_path) == before


def test_one_sample_s_own_folder_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path, two_nuclei()) / "one"
    assert [sample.image_id for sample in kaggle.read_kaggle(path)] == ["one"]


def test_a_part_of_a_set(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.zip", {**two_nuclei("train/"), **two_nuclei("test/")})
    with pytest.raises(DataError, match="image one occurs twice"):
        kaggle.read_kaggle(path)
    assert len(kaggle.read_kaggle(f"{path}::test")) == len(kaggle.read_kaggle(path, part="train")) == 2


def test_images_without_masks_are_listed_but_no_truth(tmp_path: Path) -> None:
    files = {name: data for name, data in two_nuclei("stage1_test/").items() if "/masks/" not in name}
    path = pack(tmp_path / "s.zip", files)
    images = kaggle.list_images(path)
    assert kaggle.is_kaggle(path)
    assert [image_id for image_id, _ in images] == ["one", "two"]
    read = [opener() for _, opener in images]
    assert [image.axes for image in read] == ["YX", "YXS"]
    assert read[0].name == "one"
    with pytest.raises(DataError, match="image one has no masks folder"):
        kaggle.read_kaggle(path)


def test_an_empty_masks_folder_says_no_nuclei(tmp_path: Path) -> None:
    files = {"one/images/one.png": png([[1, 2]]), "one/masks/": b""}
    for path in (write(tmp_path / "s", files), pack(tmp_path / "s.zip", files)):
        (sample,) = kaggle.read_kaggle(path)
        assert equal(sample.labels, [[0, 0]])


def test_faults_name_the_file(tmp_path: Path) -> None:
    other_size = {**two_nuclei(), "one/masks/b.png": png([[255, 0], [0, 0]])}
    with pytest.raises(DataError, match=r"one/masks/b.png has another size than its image: got \(2, 2\)"):
        kaggle.read_kaggle(pack(tmp_path / "size.zip", other_size))
    broken = write(tmp_path / "broken", {**two_nuclei(), "one/images/one.png": b"\x89PNG\r\n\x1a\nrubbish"})
    with pytest.raises(DataError, match=r"cannot decode .*one\.png"):
        kaggle.read_kaggle(broken)
    with pytest.raises(InputError, match=r"cannot decode .*one\.png"):
        kaggle.list_images(broken)[0][1]()
    with pytest.raises(DataError, match="not in Kaggle's layout"):
        kaggle.read_kaggle(write(tmp_path / "text", {"a.txt": b""}))
    assert not kaggle.is_kaggle(tmp_path / "text")
    assert not kaggle.is_kaggle(tmp_path / "none")


def test_label_folders_are_not_taken_for_kaggle(tmp_path: Path) -> None:
    files = {"set/images/x.png": png([[1]]), "set/masks/x.png": png([[1]])}
    assert not kaggle.is_kaggle(write(tmp_path, files))


@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 5), st.just(4), st.just(5))))
def test_merging_gives_each_pixel_to_the_first(masks: NDArray[np.bool_]) -> None:
    expected = np.zeros((4, 5), dtype=np.int32)
    for number in range(len(masks), 0, -1):
        expected[masks[number - 1]] = number
    named = [(str(n), mask.astype(np.uint8)) for n, mask in enumerate(masks)]
    np.testing.assert_array_equal(kaggle.merge_masks(named, (4, 5)), relabel(expected))


@pytest.mark.data
def test_real_samples_agree_with_a_slow_reader(dsb_zip: Path) -> None:
    source = open_source(dsb_zip)
    entries = kaggle.find_entries(source)
    assert len(entries) == 664
    assert sum(len(entry.masks or ()) for entry in entries) == 28_986
    with zipfile.ZipFile(dsb_zip) as archive:
        for entry in entries[:3]:
            expected = np.array(Image.open(io.BytesIO(archive.read(entry.image))).convert("L"), dtype=np.int32) * 0
            for number, name in reversed(list(enumerate(sorted(entry.masks or ()), 1))):
                expected[np.array(Image.open(io.BytesIO(archive.read(name)))) > 0] = number
            np.testing.assert_array_equal(kaggle.read_labels(source, entry), expected)


MEASURE = """
import resource, sys
from pathlib import Path
from nucleate.data.samples import load_samples
samples = load_samples(sys.argv[1], cache=Path(sys.argv[2]))
print(len(samples), sum(int(s.labels.max()) for s in samples), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_the_real_set_loads_whole_in_little_memory_and_again_from_the_cache(dsb_zip: Path, tmp_path: Path) -> None:
    # A process of its own: the memory of this one was spent by other tests.
    command = [sys.executable, "-c", MEASURE, str(dsb_zip), str(tmp_path)]
    first, again = (subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in "12")
    assert first[:2] == again[:2] == ["664", "28986"]
    assert max(int(first[2]), int(again[2])) < 2 * 2**20
    assert len(list(tmp_path.iterdir())) == 1
