"""Loading, tables and splits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.files import pack, png, read_samples, two_nuclei, write

from nucleate.data import kaggle
from nucleate.data import samples as samples_module
from nucleate.data.check import check_dataset
from nucleate.data.sample import Sample
from nucleate.data.samples import attach_table, grouped_folds, hold_out, load_samples, split, without_numbers
from nucleate.data.source import open_source
from nucleate.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

TABLE = "image_id,width,mosaic,fold,image_type\none,3,7,0,grey\ntwo,3,8,1,colour\nother,1,7,0,grey\n"


def sample(image_id: str, group: str, fold: int | None = None) -> Sample:
    return Sample(image_id, np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.int32), group=group, fold=fold)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pack(tmp_path / "set.zip", two_nuclei())


@pytest.mark.parametrize("names", [("labels", "{}.tif"), ("masks", "{}.png"), ("labels", "{}.labels.tif")])
def test_label_folders_are_loaded(tmp_path: Path, names: tuple[str, str]) -> None:
    files = {"images/b.png": png([[1, 2]]), "images/a.png": png([[3, 4]]), "notes.txt": b""}
    files |= {f"{names[0]}/{names[1].format(i)}": png([[0, k]]) for k, i in ((7, "a"), (0, "b"))}
    found = load_samples(write(tmp_path / "s", files), cache=tmp_path / "c")
    assert [(s.image_id, s.image.tolist(), s.labels.tolist()) for s in found] == [
        ("a", [[3, 4]], [[0, 1]]),
        ("b", [[1, 2]], [[0, 0]]),
    ]


def test_label_images_may_lie_beside_the_images(tmp_path: Path) -> None:
    files = {"a.png": png([[3, 4]]), "a.labels.tif": png([[0, 1]]), "b.png": png([[3, 4]])}
    with pytest.raises(DataError, match="b has no label image"):
        read_samples(write(tmp_path / "s", files))
    (tmp_path / "s" / "b.png").unlink()
    assert [s.image_id for s in read_samples(tmp_path / "s")] == ["a"]


def test_several_parts_have_to_be_chosen_from(tmp_path: Path) -> None:
    files = {f"{part}/{kind}/x.png": png([[1]]) for part in ("train", "test") for kind in ("images", "masks")}
    path = pack(tmp_path / "s.zip", files)
    with pytest.raises(DataError, match=r"has several sets: test, train; choose one, as in .*s\.zip::test"):
        read_samples(path)
    assert len(read_samples(f"{path}::train")) == 1


def binary_set(*masks: list[list[int]], layout: str) -> dict[str, bytes]:
    """Give images with one mask each, as label images or in Kaggle's layout."""
    names = ("images/{0}.png", "labels/{0}.png") if layout == "labels" else ("{0}/images/{0}.png", "{0}/masks/1.png")
    image, labels = names
    files = {image.format(f"i{n}"): png([[n] * len(mask[0])]) for n, mask in enumerate(masks)}
    return files | {labels.format(f"i{n}"): png(mask) for n, mask in enumerate(masks)}


@pytest.mark.parametrize("layout", ["labels", "kaggle"])
def test_masks_of_all_nuclei_are_refused(tmp_path: Path, layout: str) -> None:
    whole, parted, empty = [[0, 255, 255, 0]], [[255, 0, 0, 255]], [[0, 0, 0, 0]]
    folder = write(tmp_path / "most", binary_set(parted, whole, parted, empty, layout=layout))
    for _ in range(2):  # nothing of them is kept
        with pytest.raises(DataError, match="in 2 of 3 annotated images: got a sole id in several pieces in i0"):
            load_samples(folder, cache=tmp_path)
    report = check_dataset(folder)
    assert [found.image_id for found in report.findings if found.kind == "binary mask"] == ["i0", "i2"]
    assert not report.usable
    folder = write(tmp_path / "few", binary_set(parted, whole, whole, empty, layout=layout))
    assert len(read_samples(folder)) == 4
    assert check_dataset(folder).usable


def test_classes_of_sparse_nuclei_are_refused_where_the_whole_set_is_so(tmp_path: Path) -> None:
    parted, whole = [[1, 0, 1, 0, 2, 0, 2]], [[1, 1, 0, 0, 2, 2, 0]]
    folder = write(tmp_path / "classes", binary_set(*[parted] * 4, *[whole] * 5, layout="labels"))
    with pytest.raises(DataError, match="classes, not numbered nuclei, in 4 of 9 annotated images: got 2 ids"):
        read_samples(folder)
    told = [found.image_id for found in check_dataset(folder).findings if found.kind == "binary mask"]
    assert told == ["i0", "i1", "i2", "i3"]
    more = binary_set(*[parted] * 4, *[whole] * 5, [[1, 2, 3, 4, 5, 0, 0]], layout="labels")
    assert len(read_samples(write(tmp_path / "more", more))) == 10


def test_labels_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = binary_set([[1, 0, 1, 0]], [[1, 0, 2, 0]], [[0, 1, 2, 0]], layout="labels")
    folder = write(tmp_path / "s", files)
    assert without_numbers(load_samples(folder, cache=tmp_path / "cache")) == ["i0"]
    monkeypatch.setattr(samples_module, "look_at_ids", None)
    assert without_numbers(load_samples(folder, cache=tmp_path / "cache")) == ["i0"]


def test_equal_pictures_are_one_group(tmp_path: Path) -> None:
    files = {f"{name}.png": png([[0, value]]) for name, value in (("a", 1), ("b", 2), ("c", 1), ("d", 0), ("e", 0))}
    write(tmp_path / "s", files | {f"{name}.labels.png": png([[0, 1]]) for name in "abcde"})
    for _ in range(2):
        assert "".join(one.group for one in load_samples(tmp_path / "s", cache=tmp_path / "cache")) == "abade"


def test_black_pictures_are_not_one_picture(tmp_path: Path) -> None:
    write(tmp_path / "s", {f"{name}.png": png([[0, 0]]) for name in "ab"})
    write(tmp_path / "s", {f"{name}.labels.png": png([[0, 0]]) for name in "ab"})
    table = tmp_path / "t.csv"
    table.write_text("image_id,mosaic,fold,image_type\na,,0,\nb,,1,\n")
    assert [(one.group, one.fold) for one in attach_table(read_samples(tmp_path / "s"), table)] == [("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("mosaics", "groups"),
    [((",", ","), "aab"), (("v,", ","), "vvb"), ((",", "w,"), "aab"), (("v,", "w,"), "vvb")],
)
def test_equal_pictures_stay_one_group_with_a_table(tmp_path: Path, mosaics: tuple[str, str], groups: str) -> None:
    files = {f"{name}.png": png([[0, value]]) for name, value in (("a", 1), ("a2", 1), ("b", 2))}
    write(tmp_path / "s", files | {f"{name}.labels.png": png([[0, 1]]) for name in ("a", "a2", "b")})
    table = tmp_path / "t.csv"
    table.write_text(f"image_id,mosaic,fold,image_type\na,{mosaics[0]}0,\na2,{mosaics[1]}0,\nb,,1,\n")
    loaded = read_samples(tmp_path / "s")
    assert "".join(one.group for one in attach_table(loaded, table)) == groups
    table.write_text(table.read_text().replace(f"a2,{mosaics[1]}0", f"a2,{mosaics[1]}1"))
    with pytest.raises(DataError, match="a and a2 are one picture and are in folds 0 and 1; give both one fold"):
        attach_table(loaded, table)


def test_fields_of_view_that_share_a_picture_are_one(tmp_path: Path) -> None:
    loaded = [sample("a", "a"), sample("b", "a"), sample("c", "c"), sample("d", "d"), sample("e", "e")]
    rows = "a,v,0,\nb,w,0,\nc,w,0,\nd,v,0,\ne,,0,\n"
    (tmp_path / "t.csv").write_text(f"image_id,mosaic,fold,image_type\n{rows}")
    assert [one.group for one in attach_table(loaded, tmp_path / "t.csv")] == ["v", "v", "v", "v", "e"]


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known layout"):
        read_samples(write(tmp_path / "text", {"a.txt": b""}))
    twice = {"images/x.png": png([[1]]), "labels/x.png": png([[1]]), "labels/x.tif": png([[1]])}
    with pytest.raises(DataError, match="id x occurs twice"):
        read_samples(write(tmp_path / "twice", twice))
    sizes = {"images/x.png": png([[1]]), "labels/x.png": png([[1, 1]])}
    with pytest.raises(DataError, match="x: image and labels differ in size"):
        read_samples(write(tmp_path / "sizes", sizes))
    lonely = {"images/x.png": png([[1]]), "labels/x.png": png([[1]]), "labels/y.png": png([[1]])}
    with pytest.raises(DataError, match="y has no image"):
        read_samples(write(tmp_path / "lonely", lonely))


def test_the_table_gives_group_fold_and_kind(data: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    loaded = read_samples(data)
    one, two = attach_table(loaded, tmp_path / "t.csv")
    assert (one.group, one.fold, one.kind) == ("7", 0, "grey")
    assert (two.group, two.fold, two.kind) == ("8", 1, "colour")
    assert one.image is loaded[0].image
    (tmp_path / "t.csv").write_text(TABLE.replace("mosaic", "group") + TABLE.splitlines()[1] + "\n")
    assert attach_table(loaded, tmp_path / "t.csv")[0].group == "7"
    train, held_out = split([one, two], 1)
    assert ([s.image_id for s in train], [s.image_id for s in held_out]) == (["one"], ["two"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image_id,fold,image_type\n", "lacks columns mosaic"),
        ("", "lacks columns"),
        (TABLE.replace("two", "three"), "no row for 1 of 2 images, the first is two"),
        (TABLE.replace(",8,1,", ",8,x,"), "no whole number as fold of two: got 'x'"),
        (TABLE.replace(",8,1,", ",7,1,"), "group 7 is in folds 0 and 1"),
        (TABLE + "two,3,8,0,colour\n", "two rows for two: got 8,1,colour and 8,0,colour; keep one"),
    ],
)
def test_a_bad_table_is_refused(data: Path, tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(DataError, match=said):
        attach_table(read_samples(data), tmp_path / "t.csv")


def test_a_missing_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the table"):
        attach_table([], tmp_path / "none.csv")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"cannot read the table .*endless\.csv: not a regular file; give a CSV"):
        attach_table([], tmp_path / "endless.csv")


def test_a_leaking_or_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="have no folds"):
        split([sample("a", "a")], 0)
    with pytest.raises(UsageError, match="no fold 2 to hold out"):
        split([sample("a", "a", 0), sample("b", "b", 1)], 2)
    with pytest.raises(UsageError, match="no fold 0 to hold out"):
        split([sample("a", "a", 0)], 0)
    with pytest.raises(DataError, match="group g is in folds 0 and 1"):
        split([sample("a", "g", 0), sample("b", "g", 1)], 0)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(2, 5), st.integers(0, 3))
def test_folds_never_part_a_group(groups: list[int], n: int, seed: int) -> None:
    given_samples = [sample(str(number), str(group)) for number, group in enumerate(groups)]
    if len(set(groups)) < n:
        with pytest.raises(DataError, match="cannot make"):
            grouped_folds(given_samples, n, seed=seed)
        return
    dealt = grouped_folds(given_samples, n, seed=seed)
    assert [s.image_id for s in dealt] == [s.image_id for s in given_samples]
    assert {s.fold for s in dealt} == set(range(n))
    assert len({(s.group, s.fold) for s in dealt}) == len(set(groups))
    sizes = [sum(s.fold == fold for s in dealt) for fold in range(n)]
    assert max(sizes) - min(sizes) <= max(groups.count(group) for group in groups)
    train, held_out = split(dealt, 0)
    assert not {s.group for s in train} & {s.group for s in held_out}


def test_folds_depend_on_the_seed_alone() -> None:
    given_samples = [sample(str(number), str(number)) for number in range(20)]
    first = [s.fold for s in grouped_folds(given_samples, 4, seed=1)]
    assert first == [s.fold for s in grouped_folds(given_samples, 4, seed=1)]
    assert first != [s.fold for s in grouped_folds(given_samples, 4, seed=2)]
    reversed_samples = [replace(s, fold=None) for s in reversed(given_samples)]
    assert first == [s.fold for s in reversed(grouped_folds(reversed_samples, 4, seed=1))]


@given(
    groups=st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40).filter(lambda names: len(set(names)) > 1),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_a_share_is_held_out_in_whole_groups(groups: list[str], share: float, seed: int) -> None:
    samples = [sample(str(number), group) for number, group in enumerate(groups)]
    train, held = hold_out(samples, share, seed=seed)
    assert sorted(s.image_id for s in [*train, *held]) == sorted(s.image_id for s in samples)
    assert train
    assert held
    assert not {s.group for s in train} & {s.group for s in held}
    assert hold_out(samples, share, seed=seed)[1] == held
    assert share > 0.5 or len(held) <= len(train)


@pytest.mark.parametrize("name", ["A", "field", "m", "z"])
def test_a_large_field_of_view_is_trained_on(name: str) -> None:
    samples = [sample(str(number), name if number < 8 else f"g{number}") for number in range(10)]
    for seed in range(4):
        assert [len(hold_out(samples, share, seed=seed)[1]) for share in (0.1, 0.2, 0.4)] == [1, 2, 2]
    fields = [sample(str(number), str(number % 2)) for number in range(10)]
    assert len(hold_out(fields, 0.1, seed=0)[1]) == 5


def test_single_pictures_are_held_out_to_the_picture() -> None:
    samples = [sample(str(number), str(number)) for number in range(10)]
    assert [len(hold_out(samples, share, seed=0)[1]) for share in (0.1, 0.2, 0.5, 0.9)] == [1, 2, 5, 9]
    with pytest.raises(DataError, match="two or more"):
        hold_out(samples[:1], 0.5, seed=0)
    with pytest.raises(DataError, match=r"share of 1\.5"):
        hold_out(samples, 1.5, seed=0)


@pytest.mark.data
def test_the_real_table_splits_the_real_set(dsb_zip: Path) -> None:
    named = [
        sample(image_id, image_id)
        for image_id in sorted(entry.image_id for entry in kaggle.find_entries(open_source(dsb_zip)))
    ]
    found = attach_table(named, dsb_zip.parent / "images.csv")
    assert [len(split(found, fold)[1]) for fold in range(4)] == [166, 166, 166, 166]
    assert len({s.kind for s in found}) == 6
