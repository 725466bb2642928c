"""Inputs that do not fit the memory: every file is, to the byte, the one that is made in memory."""

from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from tests.run.test_large_planes import LocalEngine, drawn, segmenter

from nucleate.core import bands
from nucleate.core.files import HALF_WRITTEN
from nucleate.errors import TooLargeError
from nucleate.export import overlay
from nucleate.run import large, outputs
from nucleate.run.batch import BatchSummary, Progress, run_batch
from nucleate.run.exports import EXPORTS
from nucleate.run.inputs import Source, expand
from nucleate.run.large import StripBench
from nucleate.run.settings import BatchSettings
from nucleate.run.single import WorkBench

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.run.engine import Engine


pytestmark = [pytest.mark.base, pytest.mark.once]

ROOT = str(Path(__file__).resolve().parents[2])


def contents(out: Path) -> dict[str, str]:
    """Hash every file; of archives that note the time, what is in them."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file() and p.name not in {"summary.csv", "run.json"}):
        if path.suffix == ".npz":
            with np.load(path) as stored:
                data = b"".join(name.encode() + stored[name].tobytes() for name in stored.files)
        elif path.name == ".nucleate-journal.jsonl":
            continue
        else:
            data = path.read_bytes()
        found[path.relative_to(out).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def two_ways(path: Path, out: Path, *, exports: tuple[str, ...], **more: Any) -> list[BatchSummary]:  # noqa: ANN401 - settings
    """Do an input in memory, then part by part in bands of a few rows."""
    sources = expand([str(path)])
    settings = BatchSettings(exports=exports, **more)
    whole = run_batch(sources, out / "whole", segmenter=segmenter(tile=256), settings=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND_PIXELS", 40_000)
        patch.setattr(WorkBench, "_segment_whole", lambda *_, **__: None)
        for name, value in (("_check_room", None), ("_spare", 0)):  # the least memory that there can be
            patch.setattr(large.StripBench, name, lambda *_, value=value, **__: value)
        patch.setattr(large, "_MOST_HELD", 0)
        parts = run_batch(sources, out / "parts", segmenter=segmenter(tile=256), settings=settings)
    return [whole, parts]


def check(path: Path, out: Path, *, exports: tuple[str, ...], **more: Any) -> dict[str, str]:  # noqa: ANN401 - settings
    summaries = two_ways(path, out, exports=exports, **more)
    ends = [[(o.status, o.error, o.nuclei, o.median_area_px) for o in summary.outcomes] for summary in summaries]
    assert ends[0] == ends[1]
    assert ends[0][0][:2] == ("ok", "")
    assert (ends[0][0][2] or 0) > 20
    whole, parts = contents(out / "whole"), contents(out / "parts")
    assert parts == whole
    assert not list(out.rglob(f"{HALF_WRITTEN}*"))
    assert not list(out.rglob("*strip*"))
    return whole


@pytest.fixture(autouse=True)
def small_overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "MOST_PIXELS", 300**2)
    for name in ("parquet", "anndata"):  # the parts are compared; their libraries may be missing
        monkeypatch.setitem(EXPORTS, name, replace(EXPORTS[name], join=lambda *_: None))


def test_every_export_of_a_pyramid(tmp_path: Path) -> None:
    exports = tuple(name for name in EXPORTS if name != "zarr")
    picture = drawn((603, 517), 200)
    channels = np.stack([picture // 3, picture])
    metadata = {"axes": "CYX", "Channel": {"Name": ["actin", "DAPI"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.4}
    with tifffile.TiffWriter(tmp_path / "slide.ome.tif", ome=True) as writer:
        writer.write(channels, metadata=metadata, subifds=1, tile=(128, 128), compression="zlib")
        writer.write(channels[:, ::2, ::2], subfiletype=1, tile=(128, 128), compression="zlib")
    files = check(tmp_path / "slide.ome.tif", tmp_path / "out", exports=exports)
    assert len([name for name in files if "/" not in name]) == 8
    assert len([name for name in files if name.startswith(".nucleate-parts/slide.ome")]) == 5


@pytest.mark.parametrize("project", [None, "mean"])
def test_a_stack_with_colours(tmp_path: Path, project: str | None) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    first, second = drawn((310, 420), 90, colour=True), drawn((310, 420), 70, colour=True)
    stack = np.stack([first, np.full_like(first, 250), second])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", metadata={"axes": "ZYXS"}, compression="zlib")
    exports = ("labels", "overlay", "measurements", "geojson", "imagej", "coco", "ome-tiff", "zarr", "rle")
    files = check(tmp_path / "a.tif", tmp_path / "out", exports=exports, project=project)
    assert any(name.startswith("a.ome.zarr/labels/nuclei/1/") for name in files)


def test_frames_of_which_depth_is_put_together(tmp_path: Path) -> None:
    frame = drawn((310, 420), 70)
    stack = np.stack([np.stack([frame, frame[::-1]]), np.stack([frame // 2, frame])])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    check(tmp_path / "a.tif", tmp_path / "out", exports=("labels", "imagej"), project="max")


def test_what_can_only_be_decoded_whole(tmp_path: Path) -> None:
    Pillow.fromarray(drawn((603, 517), 200)).save(tmp_path / "a.png")
    check(tmp_path / "a.png", tmp_path / "out", exports=("labels", "measurements"))


def test_ome_zarr(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_image

    picture = drawn((603, 517), 200)
    pixels = np.stack([np.full_like(picture, 9), picture])
    path = write_image(tmp_path / "a.zarr", pixels, axes="cyx", channels=("actin", "DAPI"), chunks=(1, 100, 100))
    check(path, tmp_path / "out", exports=("labels", "overlay", "measurements", "zarr"))


def test_too_little_memory_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", drawn((603, 517), 200), tile=(128, 128))
    sources = expand([str(tmp_path / "a.tif")])
    for limit, word in ((10**6, "take a smaller --tile and do without --export"), (4 * 10**7, "--export geojson")):
        settings = BatchSettings(exports=("labels", "geojson"), max_bytes=limit)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WorkBench, "_segment_whole", lambda *_, **__: None)
            found = segmenter(tile=256)
            if limit == 4 * 10**7:
                patch.setattr(found, "estimate_bytes", lambda shape_HW, **_: 4 * shape_HW[0] * shape_HW[1])
            summary = run_batch(sources, tmp_path / str(limit), segmenter=found, settings=settings)
        assert summary.outcomes[0].status == "failed"
        assert word in summary.outcomes[0].error
        assert "603 x 517 pixels need about" in summary.outcomes[0].error
        assert f" MB even part by part, {limit / 1e6:.1f} MB are allowed; " in summary.outcomes[0].error


@pytest.mark.parametrize("held", [(1 << 25, 1 << 28), (1 << 20, 1 << 28), (1 << 20, 1 << 21)])
@pytest.mark.parametrize("exports", [("labels",), ("labels", "geojson")])
def test_the_memory_that_a_picture_is_said_to_need_is_enough(
    tmp_path: Path, exports: tuple[str, ...], held: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "_LEAST_HELD", held[0])
    monkeypatch.setattr(large, "_MOST_HELD", held[1])
    tifffile.imwrite(tmp_path / "a.tif", drawn((2048, 2048), 20), tile=(128, 128))
    source = Source(tmp_path / "a.tif")

    def plan(limit: float) -> None:
        settings = BatchSettings(exports=exports, max_bytes=int(limit))
        StripBench(segmenter(tile=256), settings, output=tmp_path, scratch=tmp_path).plan(source, "a", sha256="")

    with pytest.raises(TooLargeError) as caught:
        plan(10**8)
    said = re.search(r"need about ([\d.]+) MB even part by part, 100.0 MB are", str(caught.value))
    assert said
    plan(float(said[1]) * 1e6)
    with pytest.raises(TooLargeError):
        plan(float(said[1]) * 1e6 - 3e5)


def test_chunks_that_are_several_planes_deep_count_as_memory(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_image

    stack = np.stack([drawn((603, 517), 20)] * 4)
    found = segmenter(tile=256)
    limit = found.estimate_bytes((603, 517), max_bytes=0) + large._LEAST_HELD
    settings = BatchSettings(exports=("labels",), max_bytes=limit)
    bench = StripBench(found, settings, output=tmp_path, scratch=tmp_path)
    for depth in (1, 4):
        path = write_image(tmp_path / f"{depth}.zarr", stack, axes="tyx", chunks=(depth, 603, 517))
        taken = contextlib.nullcontext() if depth == 1 else pytest.raises(TooLargeError, match="603 x 517 pixels need")
        with taken:
            plan = bench.plan(Source(path), str(depth), sha256="")
            assert plan is not None
            assert len(plan.planes) == 4


class Stopping:
    """An engine that gives up after so many tiles, as a kill would, and counts them."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        self.count += len(batch_NCHW)
        if self.count > self.most:
            raise KeyboardInterrupt
        return LocalEngine()(batch_NCHW)


def batch_of(path: Path, out: Path, *, engine: Engine, **more: Any) -> tuple[BatchSummary, list[Progress]]:  # noqa: ANN401 - settings
    """Do a picture that counts as large."""
    told: list[Progress] = []
    settings = BatchSettings(exports=("labels", "measurements", "overlay"), large_pixels=100_000, **more)
    found = segmenter(engine, tile=96)
    return run_batch(expand([str(path)]), out, segmenter=found, settings=settings, watch=told.append), told


def test_a_large_input_goes_on_at_the_strip_where_it_was_stopped(tmp_path: Path) -> None:
    path, out = tmp_path / "a.tif", tmp_path / "out"
    tifffile.imwrite(path, drawn((703, 517), 200), tile=(64, 64))
    unbroken, told = batch_of(path, tmp_path / "unbroken", engine=(first := Stopping(10**6)))
    total = told[0].total
    assert [(p.name, p.done, p.total) for p in told] == [("a", n, total) for n in range(total + 1)]
    assert total >= 6
    broken, told = batch_of(path, out, engine=Stopping(first.count // 2))
    assert broken.interrupted
    finished = told[-1].done
    assert 1 <= finished < total
    assert len(list(out.rglob("strip-*"))) == finished
    next(out.rglob("strip-*")).with_name(f"{HALF_WRITTEN}x").mkdir()  # a kill leaves such
    again, told = batch_of(path, out, engine=(second := Stopping(10**6)), resume=True)
    assert told[0].done == finished
    assert second.count <= first.count * (total - finished + 1) / total
    assert [o.nuclei for o in again.outcomes] == [o.nuclei for o in unbroken.outcomes]
    assert contents(out) == contents(tmp_path / "unbroken")
    assert not list(out.rglob("*strip*"))


def slowly(path: str, out: str) -> None:
    """Do the same in a process of its own, to be killed."""

    def engine(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(0.05)
        return LocalEngine()(batch_NCHW)

    batch_of(Path(path), Path(out), engine=engine)


def test_killed_in_the_middle_of_a_large_input_a_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    path, out = tmp_path / "a.tif", tmp_path / "out"
    tifffile.imwrite(path, drawn((703, 517), 200), tile=(64, 64))
    words = f"import sys; sys.path.insert(0, {ROOT!r}); from tests.run.test_large import slowly; slowly(*sys.argv[1:])"
    running = subprocess.Popen([sys.executable, "-c", words, str(path), str(out)])
    while outputs.kept_strips(out) < 2 and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    kept = outputs.kept_strips(out)
    _, told = batch_of(path, out, engine=Stopping(10**6), resume=True)
    assert 2 <= told[0].done == kept < told[0].total
    batch_of(path, tmp_path / "unbroken", engine=Stopping(10**6))
    assert contents(out) == contents(tmp_path / "unbroken")


def test_strips_of_another_content_are_not_taken(tmp_path: Path) -> None:
    path, out = tmp_path / "a.tif", tmp_path / "out"
    tifffile.imwrite(path, drawn((703, 517), 200), tile=(64, 64))
    batch_of(path, out, engine=Stopping(40))
    assert list(out.rglob("strip-*"))
    tifffile.imwrite(path, drawn((703, 517), 90), tile=(64, 64))
    _, told = batch_of(path, out, engine=Stopping(10**6), resume=True)
    assert told[0].done == 0
    batch_of(path, tmp_path / "fresh", engine=Stopping(10**6))
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_large_input_among_small_ones_done_at_once(tmp_path: Path) -> None:
    for number, shape in enumerate([(97, 88), (703, 517), (101, 64), (70, 80)]):
        tifffile.imwrite(tmp_path / f"{number}.tif", drawn(shape, shape[0] // 4), tile=(64, 64))
    sources = expand([str(tmp_path)])
    told: list[Progress] = []
    for at_once in (1, 3):
        settings = BatchSettings(exports=("labels", "measurements"), large_pixels=100_000, at_once=at_once)
        out = tmp_path / str(at_once)
        summary = run_batch(
            sources, out, segmenter=segmenter(LocalEngine(), tile=96), settings=settings, watch=told.append
        )
        assert summary.count("ok") == 4
    assert {part.name for part in told} == {"1"}
    for name in ("0.labels.tif", "1.labels.tif", "measurements.csv"):
        assert (tmp_path / "3" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
