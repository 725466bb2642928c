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
from scipy import ndimage
from tests.data.files import ONE, equal, npy, pack, png, read_samples, snapshot, two_nuclei, write

from nucleate.core.labels import relabel
from nucleate.data import kaggle
from nucleate.data.check import check_dataset
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
    one, two = kaggle.samples_of(open_source(path))
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
    assert [sample.image_id for sample in kaggle.samples_of(open_source(path))] == ["one"]


def test_a_part_of_a_set(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.zip", {**two_nuclei("train/"), **two_nuclei("test/")})
    with pytest.raises(DataError, match="image one occurs twice"):
        kaggle.samples_of(open_source(path))
    parts = open_source(f"{path}::test"), open_source(f"{path}::train")
    assert [len(kaggle.samples_of(source)) for source in parts] == [2, 2]


def test_images_without_masks_are_listed_but_no_truth(tmp_path: Path) -> None:
    files = {name: data for name, data in two_nuclei("stage1_test/").items() if "/masks/" not in name}
    path = pack(tmp_path / "s.zip", files)
    images = kaggle.list_images(path)
    assert [image_id for image_id, _ in images] == ["one", "two"]
    read = [opener() for _, opener in images]
    assert [image.axes for image in read] == ["YX", "YXS"]
    assert read[0].name == "one"
    with pytest.raises(DataError, match="image one has no masks folder"):
        kaggle.samples_of(open_source(path))


def test_an_empty_masks_folder_says_no_nuclei(tmp_path: Path) -> None:
    files = {"one/images/one.png": png([[1, 2]]), "one/masks/": b""}
    for path in (write(tmp_path / "s", files), pack(tmp_path / "s.zip", files)):
        (sample,) = kaggle.samples_of(open_source(path))
        assert equal(sample.labels, [[0, 0]])


def test_faults_name_the_file(tmp_path: Path) -> None:
    other_size = {**two_nuclei(), "one/masks/b.png": png([[255, 0], [0, 0]])}
    with pytest.raises(DataError, match=r"one/masks/b.png has another size than its image: got \(2, 2\)"):
        kaggle.samples_of(open_source(pack(tmp_path / "size.zip", other_size)))
    broken = write(tmp_path / "broken", {**two_nuclei(), "one/images/one.png": b"\x89PNG\r\n\x1a\nrubbish"})
    with pytest.raises(DataError, match=r"one/images/one\.png: damaged PNG file"):
        kaggle.samples_of(open_source(broken))
    with pytest.raises(InputError, match=r"one/images/one\.png: damaged PNG file"):
        kaggle.list_images(broken)[0][1]()
    with pytest.raises(DataError, match="not in Kaggle's layout"):
        kaggle.samples_of(open_source(write(tmp_path / "text", {"a.txt": b""})))


THREE = np.zeros((40, 40), np.int32)
for _id, (_top, _left) in enumerate([(2, 2), (2, 20), (20, 12)], 1):
    THREE[_top : _top + 12, _left : _left + 12] = _id


def per_image(mask: bytes, *others: bytes, name: str = "x") -> dict[str, bytes]:
    """Give one image of the size of `THREE` in a folder of its own."""
    masks = {f"x/masks/{number}.png": data for number, data in enumerate(others)}
    return {"x/images/x.png": png(THREE.astype(np.uint8) + 7), f"x/masks/{name}.png": mask, **masks}


@pytest.mark.parametrize("name", ["x", "x.labels", "all"])
@pytest.mark.parametrize(
    "stored", [THREE.astype(np.uint8), (THREE * 80).astype(np.uint8), (THREE * 900 + 5 * (THREE > 0)).astype(np.uint16)]
)
def test_a_sole_mask_may_be_a_label_image(tmp_path: Path, stored: NDArray[np.uint8], name: str) -> None:
    path = write(tmp_path, per_image(png(stored), name=name))
    (sample,) = read_samples(path)
    assert equal(sample.labels, THREE)
    report = check_dataset(path)
    assert (report.images, report.nuclei, report.findings) == (1, 3, [])


def test_touching_nuclei_are_a_label_image_too(tmp_path: Path) -> None:
    touching = np.zeros((40, 40), np.uint8)
    touching[5:20, 5:20], touching[5:20, 20:35] = 1, 2
    (sample,) = read_samples(write(tmp_path, per_image(png(touching))))
    assert equal(sample.labels, touching)


def soft_masks() -> dict[str, NDArray[np.uint8]]:
    disk = np.hypot(*(np.indices((40, 40)) - 18.3)) < 9.4
    sharp = np.where(disk, 255.0, 0)
    frame = np.zeros((40, 40))
    frame[9:31, 9:31] = np.outer(np.r_[0.3, np.ones(20), 0.6], np.r_[0.2, np.ones(20), 0.8]) * 255
    coarse = Image.fromarray(disk[::4, ::4].astype(np.uint8) * 255)
    jpeg = io.BytesIO()
    Image.fromarray(sharp.astype(np.uint8)).save(jpeg, "JPEG", quality=60)
    made = {
        "one": disk,
        "white": sharp,
        "several places": np.where(THREE, 255, 0),
        "blurred": ndimage.gaussian_filter(sharp, 1),
        "much blurred": ndimage.gaussian_filter(sharp, 3),
        "fractions of pixels": frame,
        "enlarged": np.asarray(coarse.resize((40, 40), Image.Resampling.BILINEAR)),
        "jpeg": np.asarray(Image.open(jpeg)),
    }
    return {name: np.asarray(mask).astype(np.uint8) for name, mask in made.items()}


@pytest.mark.parametrize("mask", soft_masks().values(), ids=soft_masks().keys())
def test_a_sole_mask_with_soft_edges_is_one_nucleus(tmp_path: Path, mask: NDArray[np.uint8]) -> None:
    (sample,) = kaggle.samples_of(open_source(write(tmp_path, per_image(png(mask)))))
    assert equal(sample.labels, mask > 0)


def test_of_several_masks_each_is_one_nucleus(tmp_path: Path) -> None:
    corner = np.zeros((40, 40), np.uint8)
    corner[36:, 36:] = 255
    folder = write(tmp_path, per_image(png(corner), png(THREE.astype(np.uint8)), name="a"))
    (sample,) = kaggle.samples_of(open_source(folder))
    assert sorted(np.bincount(sample.labels.ravel())[1:].tolist()) == [16, 432]


def test_a_coloured_sole_mask_is_one_nucleus_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    coloured = np.dstack([THREE == 1, THREE == 2, THREE == 3]).astype(np.uint8) * 255
    (sample,) = kaggle.samples_of(open_source(write(tmp_path / "colours", per_image(png(coloured)))))
    assert equal(sample.labels, THREE > 0)
    with pytest.raises(DataError, match=r"x/masks/x\.png: its content is not PNG"):
        read_samples(write(tmp_path / "damaged", per_image(b"rubbish")))
    with pytest.raises(DataError, match=r"x/masks/x\.png has another size than its image: got \(39, 40\)"):
        read_samples(write(tmp_path / "size", per_image(png(THREE[:-1].astype(np.uint8)))))


def test_one_pair_with_our_ending_is_a_pair(tmp_path: Path) -> None:
    files = {"images/a.png": png(THREE.astype(np.uint8) + 7), "masks/a.labels.tif": png(THREE.astype(np.uint8))}
    (sample,) = read_samples(write(tmp_path, files))
    assert sample.image_id == "a"
    assert equal(sample.labels, THREE)


@pytest.mark.parametrize(
    "names",
    [
        "two/images/two_small.png",
        "dup/images/dup.png dup/images/other.png",
        "set/images/p.png set/images/q.png set/masks/m.png",
    ],
)
def test_no_image_is_dropped_for_a_second_picture_in_its_folder(tmp_path: Path, names: str) -> None:
    path = write(tmp_path, {**two_nuclei(), **dict.fromkeys(names.split(), png([[1]]))})
    with pytest.raises(DataError, match=rf"several pictures in {names[:3]}/images; leave the one"):
        read_samples(path)


def test_a_picture_called_otherwise_than_its_folder_has_the_masks_beside_it(tmp_path: Path) -> None:
    masks = [np.equal(THREE, number).astype(np.uint8) for number in (1, 2, 3)]
    files = {f"x/masks/{at}.png": png(mask) for at, mask in enumerate(masks)}
    (sample,) = read_samples(write(tmp_path, {"x/images/picture.png": png(THREE.astype(np.uint8) + 7), **files}))
    assert sample.image_id == "x"
    assert equal(sample.labels, THREE)


def test_pictures_and_masks_in_two_folders_are_another_layout(tmp_path: Path) -> None:
    names = [f"set/{kind}/{name}.png" for kind in ("images", "masks") for name in "ab"]
    assert kaggle.find_entries(open_source(write(tmp_path, dict.fromkeys(names, png([[1]]))))) == []


def test_a_coloured_picture_has_the_size_of_its_masks(tmp_path: Path) -> None:
    colours = THREE.astype(np.uint8)[..., None] * np.array([10, 20, 30], np.uint8)
    files = per_image(png((THREE == 1).astype(np.uint8)), png((THREE == 2).astype(np.uint8)))
    source = open_source(write(tmp_path, {**files, "x/images/x.png": png(colours)}))
    (entry,) = kaggle.find_entries(source)
    (sample,) = read_samples(tmp_path)
    for labels in (kaggle.read_labels(source, entry), sample.labels):
        assert equal(labels > 0, (THREE == 1) | (THREE == 2))


def test_a_sole_mask_of_specks_is_no_label_image(tmp_path: Path) -> None:
    specks = np.zeros((40, 40), np.uint8)
    specks[::8, ::8] = np.arange(1, 26).reshape(5, 5)
    for size, is_labels in ((1, False), (2, True)):
        shown = ndimage.grey_dilation(specks, size=(size, size))
        source = open_source(write(tmp_path / str(size), per_image(png(shown))))
        assert (kaggle.sole_labels(source, *kaggle.find_entries(source)) is not None) == is_labels


@pytest.mark.parametrize("top", ["", "a/"])
def test_a_set_of_one_picture_in_a_folder_of_its_name_is_read_by_its_labels(tmp_path: Path, top: str) -> None:
    files = {f"{top}images/a.png": png(THREE.astype(np.uint8) + 7), f"{top}labels/a.png": png(THREE.astype(np.uint8))}
    (sample,) = read_samples(write(tmp_path / "a", files))
    assert equal(sample.labels, THREE)


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
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_the_real_set_loads_whole_in_little_memory_and_again_from_the_cache(dsb_zip: Path, tmp_path: Path) -> None:
    # A process of its own: the memory of this one was spent by other tests.
    command = [sys.executable, "-c", MEASURE, str(dsb_zip), str(tmp_path)]
    first, again = (subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in "12")
    assert first[:2] == again[:2] == ["664", "28986"]
    assert max(int(first[2]), int(again[2])) < 2 * 2**20
    assert len(list(tmp_path.iterdir())) == 1


def test_masks_may_be_arrays(tmp_path: Path) -> None:
    first = {"x/images/x.png": png([[5, 6, 7]]), "x/masks/1.npy": npy([[1, 0, 0]]), "x/masks/2.npy": npy([[0, 0, 1]])}
    second = {
        "y/images/y.png": png([[7, 6, 5]]),
        "y/masks/1.png": png([[0, 9, 0]]),
        "y/masks/all.npy": npy([[1, 1, 1]]),
    }
    write(tmp_path, {**first, **second, "y/masks/y_seg.npy": b"no", "z/other.npy": b"no"})
    assert [sample.labels.tolist() for sample in read_samples(tmp_path)] == [[[1, 0, 2]], [[0, 1, 0]]]
    assert [found.kind for found in check_dataset(tmp_path).findings] == []
    set_of_one = {"x/images/x.png": png([[5, 6, 7]]), "x/labels/x.npy": npy([[1, 0, 2]])}
    assert [sample.labels.max() for sample in read_samples(write(tmp_path / "one", set_of_one))] == [2]
