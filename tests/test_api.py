"""The face and `nucleate.api`: models found and loaded, arrays and files segmented, a fast and light import."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Picture

import nucleate
from nucleate import api, errors
from nucleate.core.image import Image
from nucleate.core.normalize import Normalizer
from nucleate.errors import InputError, ModelError, NucleateError, UsageError
from nucleate.run.segmenter import SegmentSettings
from nucleate.run.weights import ModelCard, write_card

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

ROOT = Path(__file__).resolve().parents[1]


def put_model(folder: Path, **fields: Any) -> Path:  # noqa: ANN401 - fields of a card
    """Write a model whose mask is the picture itself."""
    onnx = pytest.importorskip("onnx", reason="onnx, which draws the test network, is not installed")
    axes = ["N", 1, "H", "W"]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes) for name in ("batch", "maps")]
    node = onnx.helper.make_node("Clip", ["batch"], ["maps"])
    graph = onnx.helper.make_graph([node], "same", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    content = model.SerializeToString()
    (folder / "same.onnx").write_bytes(content)
    plain = Normalizer(scaling="range", polarity="keep")
    given = {"name": "same", "normalizer": plain, "sha256": hashlib.sha256(content).hexdigest()}
    write_card(folder / "same.toml", ModelCard(**(given | fields)))
    return folder / "same.onnx"


def squares() -> NDArray[np.uint8]:
    picture = np.zeros((30, 40), np.uint8)
    picture[3:9, 4:12] = 255
    picture[15:25, 20:30] = 200
    return picture


@pytest.mark.parametrize("kind", ["array", "colour", "image", "path", "text"])
def test_segment_takes_arrays_images_and_files(tmp_path: Path, kind: str) -> None:
    model = put_model(tmp_path)
    Picture.fromarray(squares()).save(tmp_path / "cells.png")
    colour = np.stack([squares()] * 3, axis=-1)
    inputs: dict[str, Any] = {
        "array": squares(),
        "colour": colour,
        "image": Image(squares(), name="x"),
        "path": tmp_path / "cells.png",
        "text": str(tmp_path / "cells.png"),
    }
    found = nucleate.segment(inputs[kind], model=model)
    np.testing.assert_array_equal(found.labels > 0, squares() > 0)
    assert found.table["area_px"].tolist() == [48, 100]
    np.testing.assert_allclose(found.confidence, np.array([255, 200]) / 255, rtol=1e-5)


def test_segment_takes_what_is_open_and_any_path(tmp_path: Path) -> None:
    class Elsewhere:
        def __fspath__(self) -> str:
            return str(tmp_path / "squares.png")

    model = put_model(tmp_path)
    Picture.fromarray(squares()).save(tmp_path / "squares.png")
    expected = nucleate.segment(tmp_path / "squares.png", model=model)
    assert len(expected)
    for given in (Elsewhere(), os.fsencode(tmp_path / "squares.png")):
        np.testing.assert_array_equal(nucleate.segment(given, model=model).labels, expected.labels)
    with nucleate.open_image(tmp_path / "squares.png") as opened:
        found = nucleate.segment(opened, model=model)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.image.name == "squares.png"
    for nothing in (None, 3.5, object(), np.array(7)):
        with pytest.raises(InputError, match=r"^\w+ is no picture; give an array, the path of a file"):
            nucleate.segment(nothing, model=model)  # type: ignore[arg-type]


def test_a_segmenter_takes_what_segment_takes(tmp_path: Path) -> None:
    segmenter = nucleate.load_segmenter(put_model(tmp_path), threads=1)
    Picture.fromarray(squares()).save(tmp_path / "cells.png")
    with nucleate.open_image(tmp_path / "cells.png") as opened:
        found = [segmenter.segment(given) for given in (tmp_path / "cells.png", squares(), opened)]
    assert [one.image.name for one in found] == ["cells.png", "image", "cells.png"]
    for one in found:
        np.testing.assert_array_equal(one.labels > 0, squares() > 0)
    with pytest.raises(InputError, match="NoneType is no picture"):
        segmenter.segment(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("read", [nucleate.read_image, nucleate.open_image])
def test_what_is_no_path_and_no_number_is_a_wrong_call(tmp_path: Path, read: Callable[..., object]) -> None:
    path = tmp_path / "cells.png"
    Picture.fromarray(squares()).save(path)
    assert read(os.fsencode(path), max_bytes=1e9, picture=0)
    for nothing in (None, 5, "", b""):
        with pytest.raises(UsageError, match=r"^no path: got "):
            read(nothing)
    wrong: list[dict[str, Any]] = [{"max_bytes": "1GB"}, {"max_bytes": -1}, {"picture": "a"}, {"picture": -1}]
    for option in wrong + ([{"level": 0.5}, {"level": None}] if read is nucleate.open_image else []):
        with pytest.raises(UsageError, match=rf"^{next(iter(option))} = .*; use a "):
            read(path, **option)


@pytest.mark.parametrize("address", ["s3://b/a.zarr", "https://x.org/a.tif", b"gs://b/a.zarr", Path("s3://b/a")])
def test_remote_stores_are_not_read(address: str | bytes | Path) -> None:
    for read in (nucleate.segment, nucleate.read_image, nucleate.open_image):
        with pytest.raises(InputError, match=r":/.*: an address; remote stores are not read: copy it here"):
            read(address)


def test_an_address_of_a_local_file_is_no_path() -> None:
    with pytest.raises(InputError, match=r"^file:///tmp/a.tif: an address; give the path alone, without file://$"):
        nucleate.read_image("file:///tmp/a.tif")


def test_bytes_that_are_no_name(tmp_path: Path) -> None:
    Picture.fromarray(squares()).save(tmp_path / "squares.png")
    content = (tmp_path / "squares.png").read_bytes()
    for given in (content, b"x" * 5000):
        with pytest.raises(InputError, match=r"^\d+ bytes are no name of a file, but the content of one; give"):
            nucleate.segment(given)
    with pytest.raises(InputError, match="no such file") as caught:
        nucleate.segment(b"\x89.png")
    assert str(caught.value).isprintable()


def test_a_segmenter_serves_many_images_and_the_options_arrive(tmp_path: Path) -> None:
    segmenter = nucleate.load_segmenter(put_model(tmp_path), threads=1, settings=SegmentSettings(min_area=60))
    assert [len(segmenter.segment(Image(squares()))) for _ in range(2)] == [1, 1]
    assert len(nucleate.segment(squares(), model=tmp_path, min_confidence=0.9)) == 1


@pytest.mark.parametrize("shape", [(4,), (4, 5, 2), (2, 3, 4, 5)])
def test_arrays_that_can_mean_many_things_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="array of shape"):
        nucleate.segment(np.zeros(shape))


@pytest.mark.parametrize("array", [np.zeros((0, 5)), np.zeros((3, 3), complex), np.array([["a"]])])
def test_arrays_that_are_no_pictures_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(InputError, match="image: "):
        nucleate.segment(array)


def test_wrong_calls_are_one_line(tmp_path: Path) -> None:
    model = put_model(tmp_path)
    with pytest.raises(UsageError, match="use auto, cpu or cuda"):
        nucleate.load_segmenter(model, device="tpu")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threads = 0"):
        nucleate.load_segmenter(model, threads=0)
    with pytest.raises(ModelError, match="no model 'none-such'"):
        nucleate.load_segmenter("none-such")
    with pytest.raises(InputError, match="no such file"):
        nucleate.segment(tmp_path / "none.png", model=model)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("channel", [1.5, True]),
        ("min_area", ["a", 2.5, True]),
        ("min_confidence", ["x", 2]),
        ("scale", [True, "double", 0]),
        ("tta", ["yes"]),
        ("model", [""]),
    ],
)
def test_options_of_a_wrong_kind_are_one_line(tmp_path: Path, option: str, values: list[object]) -> None:
    options = {"model": put_model(tmp_path)}
    for value in values:
        with pytest.raises(NucleateError, match=r"^[^\n]*$"):
            nucleate.segment(squares(), **{**options, option: value})  # type: ignore[arg-type]


def test_loading_with_options_of_a_wrong_kind_is_one_line(tmp_path: Path) -> None:
    model = put_model(tmp_path)
    wrong: list[dict[str, Any]] = [{"threads": "2"}, {"threads": 1.5}, {"threads": 10**6}, {"device": ["cpu"]}]
    for options in [*wrong, {"settings": {}}]:
        with pytest.raises(UsageError):
            nucleate.load_segmenter(model, **options)


def test_numbers_may_be_numpys(tmp_path: Path) -> None:
    model, picture = put_model(tmp_path), squares()
    numbers: dict[str, Any] = {"channel": np.int64(0), "scale": np.float32(1), "min_area": np.int16(3)}
    found = nucleate.segment(picture, model=model, **numbers)
    assert np.array_equal(found.labels, nucleate.segment(picture, model=model, scale=1.0, min_area=3).labels)


def test_what_is_masked_out_was_not_measured(tmp_path: Path) -> None:
    model, picture = put_model(tmp_path), squares()
    hidden = np.zeros(picture.shape, bool)
    hidden[:, : picture.shape[1] // 2] = True
    found = nucleate.segment(np.ma.masked_array(picture, hidden), model=model)
    gaps = nucleate.segment(np.where(hidden, np.nan, picture), model=model)
    assert np.array_equal(found.labels, gaps.labels)
    for refused in (np.ma.masked_array(picture, hidden), picture.tolist()):
        with pytest.raises(InputError, match="no plain NumPy array"):
            Image(refused)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    model, picture = put_model(tmp_path), squares()
    palette = Picture.fromarray(picture).convert("RGB").quantize(8)
    found = nucleate.segment(palette, model=model)  # type: ignore[arg-type]
    shown = nucleate.segment(np.asarray(palette.convert("RGB")), model=model)
    assert np.array_equal(found.labels, shown.labels)


def test_what_is_no_picture_is_one_line(tmp_path: Path) -> None:
    class Broken:
        def __array__(self, dtype: object = None, copy: object = None) -> NDArray[Any]:
            raise RuntimeError("on another device")

    for nothing in (Broken(), [[1, 2], [3]], None):
        with pytest.raises(InputError, match=r"no picture can be made of|can mean many things|is no picture"):
            nucleate.segment(nothing, model=put_model(tmp_path))  # type: ignore[arg-type]
    for labels in ([[1]], None):
        with pytest.raises(UsageError, match="no label images: got"):
            nucleate.evaluate(labels, np.ones((1, 1), int))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../esc", "/abs", "a/b", "a\\b", "a\0b", ".", "..", ".writing-x"])
def test_results_are_saved_under_plain_names_only(tmp_path: Path, name: str) -> None:
    found = nucleate.segment(squares(), model=put_model(tmp_path))
    with pytest.raises(UsageError, match="give a plain one"):
        found.save(tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()


def test_damaged_weights_are_refused_before_anything_runs(tmp_path: Path) -> None:
    model = put_model(tmp_path)
    model.write_bytes(b"other")
    with pytest.raises(ModelError, match="SHA-256"):
        nucleate.load_segmenter(model)


def test_the_face_names_what_it_has() -> None:
    assert {"segment", "load_segmenter", "read_image", "evaluate", "__version__"} <= set(dir(nucleate))
    assert nucleate.segment is api.segment
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(nucleate, "nothing")  # noqa: B009 - mypy knows that it is not there


def test_the_reference_names_every_option_and_error() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in set(nucleate.__all__) - {"__version__"}:
        first, *others = inspect.signature(getattr(nucleate, name)).parameters.values()
        given = [first.name, *(one.name for one in others if one.kind is not one.KEYWORD_ONLY)]
        named = [one.name for one in others if one.kind is one.KEYWORD_ONLY]
        assert f"| `nucleate.{name}({', '.join([*given, '*', *named])})` |" in page
    assert [name for name in errors.__all__ if not re.search(rf"\b{name}\b", page)] == []


def test_import_is_light() -> None:
    heavy = "{'torch', 'onnxruntime', 'skimage', 'scipy', 'pydantic', 'numpy'}"
    code = f"import sys, nucleate; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_segmenting_with_onnx_imports_no_torch(tmp_path: Path) -> None:
    model = put_model(tmp_path)
    code = (
        "import sys, numpy, nucleate\n"
        f"nucleate.segment(numpy.eye(40), model={str(model)!r})\n"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
