"""TIFF: axes, samples, palettes, pixel sizes, channel names, and files that are not whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from tests.io.reading import numbers, read_both_ways

from nucleate.errors import InputError, TooLargeError
from nucleate.io.images import pictures_of, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


pytestmark = pytest.mark.base


def _written(folder: Path, pixels: NDArray[Any], **options: Any) -> Path:  # noqa: ANN401 - tifffile's own
    path = folder / "a.tif"
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_every_real_dtype_reads_back(tmp_path: Path, dtype: str, compression: str | None) -> None:
    pixels = numbers(7, 9, dtype=dtype)
    image = read_both_ways(_written(tmp_path, pixels, compression=compression))
    assert image.axes == "YX"
    assert image.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"tile": (16, 16)}, {"rowsperstrip": 2}])
def test_layouts(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = numbers(33, 20, dtype=np.uint16)
    np.testing.assert_array_equal(read_both_ways(_written(tmp_path, pixels, **options)).pixels, pixels)


def test_nan_and_inf_are_read_as_they_are(tmp_path: Path) -> None:
    pixels = np.array([[np.nan, np.inf], [-np.inf, 1.5]], np.float32)
    np.testing.assert_array_equal(read_both_ways(_written(tmp_path, pixels)).pixels, pixels)


def test_one_bit(tmp_path: Path) -> None:
    mask = numbers(5, 11) % 3 == 0
    image = read_both_ways(_written(tmp_path, mask, photometric="minisblack"))
    assert image.pixels.dtype == np.bool_
    np.testing.assert_array_equal(image.pixels, mask)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, np.ones((4, 5), np.complex64))
    with pytest.raises(InputError, match=r"a.tif: pixels must be real numbers: got complex64; save the real part"):
        read_both_ways(path)


def test_no_picture_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\0\0\0\0")
    with pytest.raises(InputError, match="without a picture"):
        read_both_ways(path)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_red_green_blue(tmp_path: Path, planar: str, samples: int) -> None:
    colours = numbers(6, 7, samples)
    stored = colours if planar == "contig" else np.moveaxis(colours, -1, 0)
    image = read_both_ways(_written(tmp_path, stored, photometric="rgb", planarconfig=planar))
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels, colours[..., :3])


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_samples_that_are_channels(tmp_path: Path, samples: int) -> None:
    pixels = numbers(6, 7, samples, dtype=np.uint16)
    image = read_both_ways(_written(tmp_path, pixels, photometric="minisblack", planarconfig="contig"))
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.pixels, np.moveaxis(pixels, -1, 0))


def test_grey_with_alpha(tmp_path: Path) -> None:
    pixels = numbers(6, 7, 2)
    path = _written(tmp_path, pixels, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    image = read_both_ways(path)
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.pixels, pixels[..., 0])


def test_white_is_zero_is_turned_over(tmp_path: Path) -> None:
    pixels = numbers(6, 7, dtype=np.uint8)
    np.testing.assert_array_equal(
        read_both_ways(_written(tmp_path, pixels, photometric="miniswhite")).pixels, 255 - pixels
    )


def test_palette(tmp_path: Path) -> None:
    palette = np.zeros((3, 256), np.uint16)
    palette[0], palette[1] = np.arange(256) * 256, 7 * 256
    pixels = numbers(6, 7, dtype=np.uint8)
    image = read_both_ways(_written(tmp_path, pixels, photometric="palette", colormap=palette))
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels[..., 0], pixels)
    assert (image.pixels[..., 1] == 7).all()


def test_the_palette_of_imagej_is_only_for_display(tmp_path: Path) -> None:
    palette = np.zeros((3, 256), np.uint16)
    palette[0] = np.arange(256) * 256
    pixels = numbers(6, 7, dtype=np.uint8)
    path = _written(tmp_path, pixels, photometric="palette", colormap=palette, description="ImageJ=1.53t\nimages=1\n",
                    metadata=None)  # fmt: skip
    image = read_both_ways(path)
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_spaces_come_as_red_green_blue(tmp_path: Path, mode: str) -> None:
    grey = np.full((8, 8, 3), 119, np.uint8)
    if mode == "LAB":  # L* of 119 is 50 of 100
        stored = np.full((8, 8, 3), (128, 0, 0), np.uint8)
        path = _written(tmp_path, stored, photometric="cielab", planarconfig="contig")
    else:
        path = tmp_path / "a.tif"
        PIL.Image.fromarray(grey).convert(mode).save(path)
    image = read_both_ways(path)
    assert image.axes == "YXS"
    np.testing.assert_allclose(image.pixels, grey, atol=1)


def test_cmyk_as_pillow_does_it(tmp_path: Path) -> None:
    inks = np.random.default_rng(0).integers(0, 256, (9, 9, 4), np.uint8)
    path = _written(tmp_path, inks, photometric="separated", planarconfig="contig")
    theirs = np.array(PIL.Image.fromarray(inks, mode="CMYK").convert("RGB")) if PIL.__version__ < "13" else None
    ours = read_both_ways(path).pixels
    expected = (255 - inks[..., :3].astype(int)) * (255 - inks[..., 3:].astype(int)) / 255 if theirs is None else theirs
    np.testing.assert_allclose(ours, expected, atol=1)


def test_imagej_hyperstack(tmp_path: Path) -> None:
    pixels = numbers(2, 3, 4, 5, 6, dtype=np.uint16)
    labels = ["c:1/4 z:1/3 - DAPI", "c:2/4 z:1/3 - GFP", "c:3/4 - RFP", "c:4/4 - Cy5"] * 6
    path = _written(
        tmp_path, pixels, imagej=True, resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "unit": "um", "Labels": labels},
    )  # fmt: skip
    image = read_both_ways(path)
    assert image.axes == "TZCYX"
    assert image.channel_names == ("DAPI", "GFP", "RFP", "Cy5")
    assert image.pixel_size_um == (0.5, 0.25)
    np.testing.assert_array_equal(image.pixels, pixels)


def test_labels_that_tell_nothing_are_no_names(tmp_path: Path) -> None:
    labels = ["c:1/2 - Snap.czi", "c:2/2 - Snap.czi"]
    path = _written(tmp_path, numbers(2, 5, 6), imagej=True, metadata={"axes": "CYX", "Labels": labels})
    image = read_both_ways(path)
    assert image.axes == "CYX"
    assert image.channel_names == ()


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 0.5), ("\\u00B5m", 0.5), ("nm", 0.0005), ("nanometers", 0.0005), ("mm", 500.0),
     ("pixel", None), ("furlong", None)],
)  # fmt: skip
def test_units_of_imagej(tmp_path: Path, unit: str, um: float | None) -> None:
    path = _written(tmp_path, numbers(5, 6), imagej=True, resolution=(2.0, 2.0), metadata={"unit": unit})
    size = read_both_ways(path).pixel_size_um
    assert size == (None if um is None else pytest.approx((um, um)))


def test_ome_axes_sizes_and_names(tmp_path: Path) -> None:
    pixels = numbers(3, 2, 5, 6, dtype=np.uint16)
    metadata = {
        "axes": "ZCYX", "PhysicalSizeX": 325.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.65,
        "Channel": {"Name": ["Hoechst 33342", "actin"]},
    }  # fmt: skip
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)
    image = read_both_ways(path)
    assert image.axes == "ZCYX"
    assert image.pixel_size_um == pytest.approx((0.65, 0.325))
    assert image.channel_names == ("Hoechst 33342", "actin")
    assert image.channel().channel_names == ("Hoechst 33342",)
    np.testing.assert_array_equal(image.pixels, pixels)


def test_pixels_of_which_only_the_width_is_known_are_square(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "YX", "PhysicalSizeX": 454, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(path, numbers(5, 6), ome=True, metadata=metadata)
    assert read_both_ways(path).pixel_size_um == pytest.approx((0.454, 0.454))


def test_ome_order_of_axes_is_put_right(tmp_path: Path) -> None:
    pixels = numbers(2, 3, 5, 6)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "CTYX"})
    image = read_both_ways(path)
    assert image.axes == "TCYX"
    np.testing.assert_array_equal(image.pixels, pixels.swapaxes(0, 1))


def test_planes_that_ome_promises_and_the_file_lacks_are_not_made_up(tmp_path: Path) -> None:
    pixels = numbers(4, 5, 6) + 1
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels[:3], ome=True, metadata={"axes": "TYX", "PhysicalSizeX": 0.5})
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata
    assert text is not None
    more = text.replace('SizeT="3"', 'SizeT="4"').replace('PlaneCount="3"', "")
    tifffile.imwrite(path, pixels[:3], description=more.encode(), metadata=None, photometric="minisblack")
    image = read_both_ways(path)
    assert image.axes == "IYX"
    assert image.pixel_size_um == (0.5, 0.5)
    np.testing.assert_array_equal(image.pixels, pixels[:3])


@pytest.mark.parametrize(
    ("resolution", "unit", "um"),
    [((20_000, 10_000), "CENTIMETER", (1.0, 0.5)), ((50_800, 50_800), "INCH", (0.5, 0.5)), ((300, 300), "INCH", None),
     ((72, 72), "INCH", None), ((20_000, 20_000), "NONE", None)],
)  # fmt: skip
def test_resolution_tags_count_only_when_sane(
    tmp_path: Path, resolution: tuple[int, int], unit: str, um: tuple[float, float] | None
) -> None:
    path = _written(tmp_path, numbers(5, 6), resolution=resolution, resolutionunit=unit)
    size = read_both_ways(path).pixel_size_um
    assert size == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize(("unit", "per_um"), [("CENTIMETER", 1e4), ("INCH", 25400.0)])
def test_imagej_without_a_unit_has_that_of_the_tags(tmp_path: Path, unit: str, per_um: float) -> None:
    resolution = (2 * per_um, per_um)
    path = _written(tmp_path, numbers(5, 6), imagej=True, resolution=resolution, resolutionunit=unit)
    assert read_both_ways(path).pixel_size_um == pytest.approx((1.0, 0.5), rel=1e-4)


def test_pages_of_unknown_meaning(tmp_path: Path) -> None:
    pages = [numbers(5, 6) + i for i in range(3)]
    path = tmp_path / "a.tif"
    first, *others = [PIL.Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=others)
    image = read_both_ways(path)
    assert image.axes == "IYX"
    np.testing.assert_array_equal(image.pixels, pages)


def test_thumbnails_and_pyramid_levels_are_passed_over(tmp_path: Path) -> None:
    full = numbers(40, 60, dtype=np.uint16)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(full[::8, ::8], metadata=None)
        writer.write(full, subifds=1, metadata=None)
        writer.write(full[::2, ::2], subfiletype=1, metadata=None)
        writer.write(full[::4, ::4], metadata=None)
    image = read_both_ways(path)
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.pixels, full)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["Macrophages 1", "unlabeled", "labeled", "label", "Thumbelina"], 5),  # as large as the others
        (["slide", "second", "-label", "-macro image", "-Thumbnail", "-Barcode image", "-Overview", "-macro_mask"], 2),
        (["slide", "second", "-Slide Label", "-macroimage", "-label_1", "-s.svs [macro]"], 2),
        (["slide", "second", "-Macrophages", "-unlabeled", "-labeled"], 5),
    ],
)
def test_pictures_beside_slides_are_known_by_all_of_their_names(tmp_path: Path, names: list[str], kept: int) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for name in names:
            side = 8 if name.startswith("-") else 16
            writer.write(numbers(side, side), metadata={"axes": "YX", "Name": name.removeprefix("-")})
    assert pictures_of(tmp_path / "a.ome.tif") == [name.removeprefix("-") for name in names[:kept]]


def test_memory_limit_is_held_before_decoding(tmp_path: Path) -> None:
    path = _written(tmp_path, np.zeros((10, 100, 100), np.uint16), compression="zlib")
    with pytest.raises(TooLargeError, match="10 x 100 x 100"):
        read_image(path, max_bytes=199_999)
    assert read_image(path, max_bytes=200_000).pixels.shape == (10, 100, 100)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("imagej", [True, False])
def test_a_stack_cut_short_is_not_read_as_a_shorter_or_black_one(
    tmp_path: Path, compression: str | None, *, imagej: bool
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, 40, 40), np.uint8)
    path = _written(tmp_path, noise, compression=compression, imagej=imagej, photometric="minisblack")
    content = path.read_bytes()
    for kept in (len(content) - 400, len(content) * 2 // 3, len(content) // 3):
        path.write_bytes(content[:kept])
        try:
            image = read_both_ways(path)
        except InputError:
            assert kept < len(content)
        else:  # only a page's header was lost, not its pixels
            assert kept == len(content) - 400
            np.testing.assert_array_equal(image.pixels, noise)


def test_real_files(shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = shared_data / "formats"
    seen = {}
    for path in sorted([*folder.glob("tiff/*.tif"), *folder.glob("ome-tiff/*.tif"), *folder.glob("svs/cmu*.svs")]):
        image = read_both_ways(path)
        seen[path.name] = (image.axes, image.pixels.shape, image.pixel_size_um)
        assert np.ptp(image.pixels.astype(float)) > 0
    if not seen:
        pytest.skip("no TIFF files in the data folder")
    assert seen["xyz_8bit__nucleus.tif"] == ("ZYX", (7, 207, 207), None)
    assert seen["xyc_8bit__dapi_tublin.tif"][0] == "CYX"
    assert seen["xyc_8bit__dapi_tublin.tif"][2] == pytest.approx((0.454, 0.454), abs=1e-5)
    assert seen["multi-channel.ome.tif"][:2] == ("CYX", (3, 167, 439))
    assert seen["cmu-1-small-region.svs"] == ("YXS", (2967, 2220, 3), (0.499, 0.499))
    with pytest.raises(InputError, match=r"broken.svs: its content is not TIFF"):
        read_both_ways(folder / "svs" / "broken.svs")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_written_one_by_one_are_a_stack(tmp_path: Path, compression: str | None) -> None:
    pixels = numbers(4, 7, 9, dtype=np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pixels:
            writer.write(page, compression=compression)
    image = read_both_ways(tmp_path / "a.tif")
    assert image.axes == "IYX"
    np.testing.assert_array_equal(image.pixels, pixels)


def test_pages_stored_in_other_ways_are_planes_of_one_stack(tmp_path: Path) -> None:
    pages = [numbers(7, 9, dtype=dtype) for dtype in (np.uint8, np.uint16, np.uint8, np.uint8)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, compression in zip(pages, [None, None, "zlib", None], strict=True):
            writer.write(page, compression=compression, metadata=None)
        writer.write(pages[0][:4, :4], metadata=None)  # a thumbnail
        writer.write(np.zeros((7, 9, 3), np.uint8), photometric="rgb", metadata=None)
        writer.write(pages[0] > 9, photometric="minisblack", subfiletype=4, metadata=None)  # where it is transparent
    image = read_both_ways(tmp_path / "a.tif")
    assert (image.axes, image.pixels.dtype) == ("IYX", np.dtype(np.uint16))
    np.testing.assert_array_equal(image.pixels, np.stack(pages))
    with pytest.raises(TooLargeError):
        read_image(tmp_path / "a.tif", max_bytes=4 * 7 * 9 * 2 - 1)


def test_a_grey_page_beside_a_coloured_one_is_no_stack(tmp_path: Path) -> None:
    pages = {"minisblack": numbers(7, 9), "rgb": numbers(7, 9, 3, dtype=np.uint8)}
    for order in (["minisblack", "rgb"], ["rgb", "minisblack"]):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for photometric in order:
                writer.write(pages[photometric], photometric=photometric, metadata=None)
        image = read_both_ways(tmp_path / "a.tif")
        assert image.stack_shape == ()
        np.testing.assert_array_equal(image.pixels, pages["rgb" if "S" in image.axes else "minisblack"])


def test_coloured_pages_stored_in_other_ways_are_planes_of_one_stack(tmp_path: Path) -> None:
    pages = [numbers(7, 9, 3, dtype=np.uint8) for _ in range(2)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, compression in zip(pages, [None, "zlib"], strict=True):
            writer.write(page, photometric="rgb", compression=compression, metadata=None)
    image = read_both_ways(tmp_path / "a.tif")
    assert image.axes == "IYXS"
    np.testing.assert_array_equal(image.pixels, np.stack(pages))


@pytest.mark.parametrize(
    "kinds", [("u1", "u2"), ("u1", "u2", "u1"), ("f4", "u1")], ids=["two", "two of three are alike", "floats"]
)
def test_pages_of_other_numbers_written_one_by_one_are_a_stack(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    pages = [numbers(7, 9, dtype=kind) for kind in kinds]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page)
    np.testing.assert_array_equal(read_both_ways(tmp_path / "a.tif").pixels, np.stack(pages))


@pytest.mark.parametrize(("per_inch", "size_um"), [(72, None), (50800, 0.5)])
def test_inches_of_imagej_are_a_size_only_where_a_microscope_may_have_it(
    tmp_path: Path, per_inch: int, size_um: float | None
) -> None:
    path = _written(tmp_path, numbers(7, 9), imagej=True, metadata={"unit": "inch"}, resolution=(per_inch, per_inch))
    assert read_both_ways(path).pixel_size_um == (None if size_um is None else pytest.approx((size_um, size_um)))
