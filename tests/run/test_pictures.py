"""One input a picture: plates, scenes, series, and sets of files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from tests.io.ome_sets import write_set

from nucleate.core.lazy import lazy
from nucleate.io.images import FORMATS, layout_of, open_image, read_image
from nucleate.run.content import content_hash
from nucleate.run.exports import EXPORTS
from nucleate.run.inputs import Source, expand
from nucleate.run.naming import unique_names
from nucleate.run.pictures import each_picture, files_of_set, split_part
from nucleate.run.results import Result
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.base


def _group(folder: Path, metadata: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps(metadata))
    return folder


def _plate(folder: Path, wells: dict[str, list[str]]) -> Path:
    """Write the metadata of a plate; its images have no pixels, which nobody asks for here."""
    for well, fields in wells.items():
        _group(folder / well, {"well": {"images": [{"path": field} for field in fields]}})
        for field in fields:
            _group(folder / well / field, {"multiscales": [{"datasets": [{"path": "0"}]}]})
            (folder / well / field / "pixels").write_text(f"{well}/{field}")
    return _group(folder, {"plate": {"wells": [{"path": well} for well in wells]}})


def _names(sources: list[Source]) -> list[str]:
    return list(unique_names(sources).values())


def test_a_plate_is_its_fields(tmp_path: Path) -> None:
    plate = _plate(tmp_path / "screen.ome.zarr", {"A/1": ["0", "1"], "B/12": ["0"]})
    for words in ([str(plate)], [str(tmp_path)], [str(tmp_path / "*.zarr")]):
        sources = expand(words)
        assert _names(sources) == ["screen_A_1_0", "screen_A_1_1", "screen_B_12_0"]
        assert [source.path for source in sources] == [plate / "A/1/0", plate / "A/1/1", plate / "B/12/0"]
        assert all(source.picture is None for source in sources)
    assert _names(expand([str(plate / "A/1")])) == ["screen_A_1_0", "screen_A_1_1"]
    assert _names(expand([str(plate / "A/1/0"), str(plate / "B/12/0")])) == ["screen_A_1_0", "screen_B_12_0"]
    assert [source.path for source in expand([str(plate / "A/1/0")])] == [plate / "A/1/0"]
    assert [source.path for source in expand([str(plate / "A/1/0"), str(plate)])] == [s.path for s in sources]


def test_a_picture_of_a_series_is_named_as_the_series_names_it(tmp_path: Path) -> None:
    series = _group(tmp_path / "mice.zarr", {"bioformats2raw.layout": 3})
    for number in ("0", "1"):
        _group(series / number, {"multiscales": [{"datasets": [{"path": "0"}]}]})
    assert _names(expand([str(series / "1")])) == ["mice_1"] == _names(expand([str(series)]))[1:]


def test_a_field_is_hashed_by_itself(tmp_path: Path) -> None:
    plate = _plate(tmp_path / "p.zarr", {"A/1": ["0", "1"]})
    first, second = expand([str(plate)])
    before = content_hash(first), content_hash(second)
    (plate / "A/1/1/pixels").write_text("other")
    assert content_hash(first) == before[0]
    assert content_hash(second) != before[1]


def test_a_zarr_image_is_one_input_whatever_it_is_called(tmp_path: Path) -> None:
    image = _group(tmp_path / "folder" / "converted", {"multiscales": [{"datasets": [{"path": "0"}]}]})
    (image / "0").mkdir()
    (image / "0" / "chunk.png").write_bytes(b"no picture of ours")
    assert expand([str(tmp_path)]) == [Source(image)]
    assert expand([str(image)]) == [Source(image)]


def test_results_of_the_folder_one_is_in_have_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = _group(tmp_path / "x.ome.zarr", {"multiscales": [{"datasets": [{"path": "0"}]}]})
    plate = _plate(tmp_path / "p.zarr", {"A/1": ["0"]})
    for place, word, name in ((image, ".", "x.ome"), (plate, ".", "p_A_1_0"), (plate / "A", "..", "p_A_1_0")):
        monkeypatch.chdir(place)
        assert _names(expand([word])) == [name]


def test_results_are_never_hidden(tmp_path: Path) -> None:
    (tmp_path / ".a.png").write_bytes(b"a picture")
    assert _names(expand([str(tmp_path / ".a.png")])) == ["_a"]
    assert _names([Source(Path("/"))]) == ["_"]


def test_a_damaged_plate_stays_one_input(tmp_path: Path) -> None:
    plate = _group(tmp_path / "p.zarr", {"plate": {"wells": [{"path": "../outside"}]}})
    assert expand([str(plate)]) == [Source(plate)]
    empty = _group(tmp_path / "q.zarr", {"plate": {"wells": []}})
    assert expand([str(empty)]) == [Source(empty)]


def test_series_of_an_ome_tiff(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(np.zeros((20, 30), np.uint8), metadata={"Name": "Position 1/3"})
        writer.write(np.ones((25, 35), np.uint8), metadata={"Name": "Position 2/3"})
    sources = expand([str(tmp_path)])
    assert _names(sources) == ["two_Position_1_3", "two_Position_2_3"]
    assert [source.key for source in sources] == [f"{path}#0", f"{path}#1"]
    assert [source.shown for source in sources] == [f"{path}#0", f"{path}#1"]
    for number, source in enumerate(sources):
        image = source.read(tmp_path)
        assert image.name == f"{path}#{number}"
        assert (image.pixels == number).all()
        labels = np.zeros(image.shape_HW, np.int32)
        none = np.zeros(0, np.float32)
        result = Result(source.stem, lazy(image), lazy(image), labels, none, file_name=source.file_name)
        EXPORTS["coco"].write(result, tmp_path / "coco.json")
        (listed,) = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))["images"]
        assert PurePosixPath(listed["file_name"]).name == "two.ome.tif"
        assert listed["name"] == source.stem


def test_series_saved_from_python_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name in ("Position 1/2", "pos", "pos", "/"):
            writer.write(np.zeros((20, 30), np.uint8), metadata={"Name": name})
    for number in range(4):
        image = read_image(path, picture=number)
        with open_image(path, picture=number) as source:
            assert source.name == image.name
        labels = np.zeros(image.shape_HW, np.int32)
        labels[:2, : 2 + number] = 1
        Segmentation(labels, np.ones(1, np.float32), image).save(tmp_path / "out", ["labels", "coco"])
    names = ["two_Position_1_2", "two_pos", "two_pos-2", "two_3"]
    assert sorted(one.name for one in (tmp_path / "out").glob("*.tif")) == sorted(f"{n}.labels.tif" for n in names)
    listed = json.loads((tmp_path / "out" / "coco.json").read_text(encoding="utf-8"))["images"]
    assert {one["file_name"] for one in listed} == {"two.ome.tif"}
    assert sorted(one["name"] for one in listed) == sorted(names)
    assert _names(expand([str(path)]))[:2] == names[:2]
    assert read_image(path).name == "two.ome.tif"


@pytest.mark.parametrize("series", [["A", "A", "A-2", "a"], ["x" * 260, "b"]])
def test_series_saved_from_python_are_called_as_by_the_command(tmp_path: Path, series: list[str]) -> None:
    path = tmp_path / "several.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name in series:
            writer.write(np.zeros((20, 30), np.uint8), metadata={"Name": name})
    for number in range(len(series)):
        image = read_image(path, picture=number)
        labels = np.zeros(image.shape_HW, np.int32)
        Segmentation(labels, np.zeros(0, np.float32), image).save(tmp_path / "out", ["labels"])
    names = unique_names(expand([str(path)])).values()
    assert sorted(one.name for one in (tmp_path / "out").glob("*.tif")) == sorted(f"{n}.labels.tif" for n in names)


@pytest.mark.parametrize("folder", ["plate", "exp.v2", "p.ome.zarr"])
def test_fields_saved_from_python_are_called_as_by_the_command(tmp_path: Path, folder: str) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_plate

    fields = dict.fromkeys(("A/1/f0", "B/2/f0", "B/2/f 1"), np.zeros((5, 6), np.uint8))
    plate = write_plate(tmp_path / folder, fields, axes="yx", version="0.4")
    names, out = unique_names(expand([str(plate)])).values(), tmp_path / "out"
    for whole in (True, False):
        for number, field in enumerate(fields):
            image = read_image(plate, picture=number) if whole else read_image(plate / field)
            Segmentation(np.zeros((5, 6), np.int32), np.zeros(0, np.float32), image).save(out, ["labels", "coco"])
        assert sorted(one.name for one in out.glob("*.tif")) == sorted(f"{name}.labels.tif" for name in names)
    listed = json.loads((out / "coco.json").read_text(encoding="utf-8"))["images"]
    assert {one["file_name"] for one in listed} == {f"{folder}/{field}" for field in fields}


def test_other_files_are_left_as_they_are(tmp_path: Path) -> None:
    for name in ("a.czi", "b.lif", "c.ome.tif"):
        (tmp_path / name).write_bytes(b"damaged")
        assert each_picture(Source(tmp_path / name)) == [Source(tmp_path / name)]
    problem = Source(tmp_path / "d.czi", problem="gone")
    assert each_picture(problem) == [problem]


@pytest.mark.parametrize("suffix", [suffix for one in FORMATS if one.several for suffix in one.suffixes])
def test_each_format_of_several_pictures_is_asked_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr("nucleate.run.pictures.layout_of", lambda *_: (["one", "two"], {}))
    monkeypatch.setattr("nucleate.run.pictures.is_ome", lambda _: True)
    path = tmp_path / f"mice{suffix.upper()}"
    path.write_bytes(b"content")
    assert [source.stem for source in each_picture(Source(path))] == ["mice_one", "mice_two"]


def test_scenes_of_a_real_file(shared_data: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed (extra formats)")
    path = shared_data / "formats" / "czi" / "xyz__multiple_images.czi"
    if not path.is_file():
        pytest.skip("no CZI file in the data folder")
    first, second = expand([str(path)])
    assert (first.stem, second.stem) == ("xyz__multiple_images_scene_0", "xyz__multiple_images_scene_1")
    assert first.read(Path()).pixels.mean() != second.read(Path()).pixels.mean()


def _set(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{t}.ome.tif" for t in range(count)]
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="{path.name}">urn:uuid:{t}</UUID></TiffData>'
        for t, path in enumerate(paths)
    )
    for t, path in enumerate(paths):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{t}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="5" SizeZ="1" SizeC="1" '
            f'SizeT="{count}"><Channel ID="Channel:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path, np.full((5, 6), t, np.uint8), description=text, metadata=None)
    return paths


def test_a_file_is_hashed_once_for_all_its_pictures(tmp_path: Path) -> None:
    path = tmp_path / "mice.lif"
    path.write_bytes(b"first")
    os.utime(path, ns=(0, 1))
    before = content_hash(Source(path, picture=0))
    assert before == content_hash(Source(path)) == hashlib.sha256(b"first").hexdigest()
    path.write_bytes(b"other")
    os.utime(path, ns=(0, 1))
    assert content_hash(Source(path, picture=1)) == before, "looked at no second time"
    os.utime(path, ns=(0, 2))
    assert content_hash(Source(path, picture=1)) == hashlib.sha256(b"other").hexdigest()


def test_a_set_of_files_is_one_input(tmp_path: Path) -> None:
    first, *others = _set(tmp_path, 3)
    (source,) = expand([str(tmp_path)])
    assert source == Source(first)
    assert files_of_set(source) == others
    assert source.read(tmp_path).pixels.shape == (3, 5, 6)
    before, stamp = content_hash(source), source.stamp()
    assert len(stamp) == 3
    assert source.stamp() == stamp
    tifffile.imwrite(others[1], np.full((5, 6), 9, np.uint8))
    assert content_hash(source) != before
    assert source.stamp() != stamp
    assert expand([str(others[0])]) == [Source(others[0])]


def test_files_of_a_set_are_not_opened_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = _set(tmp_path, 4)
    opened: list[Path] = []

    def noted(path: Path, named: Callable[[set[Path]], None]) -> object:
        opened.append(path)
        return layout_of(path, named)

    monkeypatch.setattr("nucleate.run.pictures.layout_of", noted)
    assert expand([str(tmp_path), str(others[1])]) == [Source(first)]
    assert opened == [first], "once"
    assert expand([str(others[1]), str(tmp_path)]) == [Source(first)]
    opened.clear()
    content_hash(Source(first))
    assert (len(Source(first).stamp()), opened) == (4, []), "what belongs to it is known"
    others[1].unlink()
    assert (len(Source(first).stamp()), opened) == (1, [first])


def test_a_set_that_is_not_whole_is_read_file_by_file(tmp_path: Path) -> None:
    first, second, third = _set(tmp_path, 3)
    third.unlink()
    assert expand([str(tmp_path)]) == [Source(first), Source(second)]


def test_a_set_is_put_together_when_the_last_of_it_is_copied(tmp_path: Path) -> None:
    first, second = _set(tmp_path, 2)
    content = second.read_bytes()
    second.write_bytes(b"")  # as while it is copied: the folder does not change any more
    assert expand([str(tmp_path)]) == [Source(first), Source(second)]
    second.write_bytes(content)
    assert expand([str(tmp_path)]) == [Source(first)]
    assert files_of_set(Source(first)) == [second]


def test_a_set_is_put_together_when_the_file_with_its_metadata_comes(tmp_path: Path) -> None:
    first, second = _set(tmp_path, 2)
    content = second.read_bytes()
    pointer = '<BinaryOnly MetadataFile="1.ome.tif" UUID="urn:uuid:1"/>'
    text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">{pointer}</OME>'
    tifffile.imwrite(first, np.zeros((5, 6), np.uint8), description=text, metadata=None)
    second.unlink()
    assert (expand([str(tmp_path)]), files_of_set(Source(first))) == ([Source(first)], [])
    second.write_bytes(content)
    assert (expand([str(tmp_path)]), files_of_set(Source(first))) == ([Source(first)], [second])


@pytest.mark.parametrize("ending", [".tif", ".TIF", ".ome.tif", ""])
def test_ome_metadata_count_whatever_a_file_is_called(tmp_path: Path, ending: str) -> None:
    for folder, pictures in (("several", [["s"] * 2] * 2), ("set", [["c0", "c1"]])):
        (tmp_path / folder).mkdir()
        write_set(tmp_path / folder, [[name + ending for name in files] for files in pictures])
    several = tmp_path / "several" / f"s{ending}"
    sources = expand([str(several)])
    assert [(one.path, one.picture, one.stem) for one in sources] == [(several, n, f"s_Pos{n}") for n in range(2)]
    assert expand([f"{several}#1"]) == sources[1:]
    first, other = sorted((tmp_path / "set").iterdir())
    (source,) = expand([str(first), str(other)])
    assert (source.path, files_of_set(source)) == (first, [other])


def test_names_that_are_there_go_before_parts(tmp_path: Path) -> None:
    for name in ("s.png", "s.png#1x/q.png", "s.png#[1]/q.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for word in ("s.png#1x", "s.png#1x/q.png", "s.png#1x/*.png", "s.png#?x", "s.png#[1]"):
        assert split_part(f"{tmp_path}/{word}") == (f"{tmp_path}/{word}", ""), word
    for part in ("#1", "#1y/*.png", "#[2]", "#*\0/*"):
        assert split_part(f"{tmp_path}/s.png{part}") == (f"{tmp_path}/s.png", part), part
