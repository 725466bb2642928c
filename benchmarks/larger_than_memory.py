"""Draw an OME-Zarr image block by block, segment it from the command line in bounded memory, count against the truth.

Each nucleus stands in a cell of 50 x 50 pixels of its own, alone or with one that it touches; cells are drawn from
their number, so any part of the picture, and of the truth, can be made by itself. Cells, chunks (1024), tiles (768),
bands (256 rows) and blocks of labels (512) do not fit each other: nuclei lie across all of those borders.

The truth's rule: a nucleus belongs to the block of 1000 x 1000 pixels in which its centre lies. The count is exact when
the ids at all centres are those of 1..n, each once, n is the highest id and the number of rows of the table, and no
pixel is nucleus in one of truth and result and background in the other.

Run: python benchmarks/larger_than_memory.py [--memory GB] [--export NAME,...] [--model FILE.onnx] [SIZE ...]

The stand-in for a network, which costs next to nothing, needs onnx (extra train); it takes the picture for its maps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL, BLOCK, CHUNK = 50, 1000, 1024
FIELDS = ("count", "row", "col", "down", "across", "row2", "col2")


def cells(number: int, width: int) -> dict[str, NDArray[np.float32]]:
    """Give one row of cells: how many nuclei are in each, their centres and half axes."""
    rng = np.random.default_rng([7, number])
    across = width // CELL
    kind = rng.random(across)
    count = np.where(kind < 0.1, 0, np.where(kind < 0.3, 2, 1))
    pair = count == 2
    radius = rng.uniform(5, 6.5, across)
    down = np.where(pair, radius, rng.uniform(6, 11, across))
    beside = np.where(pair, radius, rng.uniform(6, 11, across))
    angle, reach = rng.uniform(0, 2 * np.pi, across), np.where(pair, radius - 0.2, 0)
    jitter = np.where(pair, 10, 12)
    middle = rng.uniform(-1, 1, (2, across)) * jitter + CELL / 2
    row, col = np.round(middle[0] + reach * np.sin(angle)), np.round(middle[1] + reach * np.cos(angle))
    row2, col2 = np.round(middle[0] - reach * np.sin(angle)), np.round(middle[1] - reach * np.cos(angle))
    values = (count, row, col, down, beside, row2, col2)
    return dict(zip(FIELDS, (value.astype(np.float32) for value in values), strict=True))


def paint(rows: slice, cols: slice, *, width: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Give a part of the picture and of its mask."""
    i, j = np.arange(rows.start, rows.stop), np.arange(cols.start, cols.stop)
    first = rows.start // CELL
    table = [cells(n, width) for n in range(first, -(-rows.stop // CELL))]
    which = (i // CELL - first)[:, None], (j // CELL)[None, :]
    here = {name: np.stack([row[name] for row in table])[which] for name in FIELDS}
    down, across = (i % CELL).astype(np.float32)[:, None], (j % CELL).astype(np.float32)[None, :]
    away = ((down - here["row"]) / here["down"]) ** 2 + ((across - here["col"]) / here["across"]) ** 2
    second = ((down - here["row2"]) / here["down"]) ** 2 + ((across - here["col2"]) / here["across"]) ** 2
    away = np.where(here["count"] == 2, np.minimum(away, second), away)
    inside = (away <= 1) & (here["count"] > 0)
    mixed = (i.astype(np.uint32) * np.uint32(73856093))[:, None] ^ (j.astype(np.uint32) * np.uint32(19349663))[None, :]
    noise = (mixed * np.uint32(2654435761)) >> np.uint32(29)
    picture = np.where(inside, 90 + 140 * (1 - away), 20) + noise
    return picture.astype(np.uint8), inside


def centres(number: int, width: int) -> NDArray[np.int64]:
    """Give the centres of the nuclei in one row of cells, (n, 2)."""
    row = cells(number, width)
    left = np.arange(width // CELL) * CELL
    one, two = row["count"] > 0, row["count"] == 2
    down = np.concatenate([row["row"][one], row["row2"][two]]) + number * CELL
    across = np.concatenate([(row["col"] + left)[one], (row["col2"] + left)[two]])
    return np.stack([down, across], axis=1).astype(np.int64)


def draw(folder: Path, size: tuple[int, int]) -> None:
    """Write the picture, chunk by chunk."""
    import zarr

    root: Any = zarr.open_group(str(folder), mode="w", zarr_format=2)
    root.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"],
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]}],
        }
    ]
    options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    array = root.create_array("0", shape=size, dtype=np.uint8, chunks=(CHUNK, CHUNK), **options)
    for top in range(0, size[0], CHUNK):
        for left in range(0, size[1], CHUNK):
            rows, cols = slice(top, min(top + CHUNK, size[0])), slice(left, min(left + CHUNK, size[1]))
            array[rows, cols] = paint(rows, cols, width=size[1])[0]


def stand_in(folder: Path) -> Path:
    """Write a model whose maps are the picture, no border, and the picture again."""
    from onnx import TensorProto, helper, numpy_helper

    from nucleate.core.normalize import Normalizer
    from nucleate.post.recipe import PostRecipe
    from nucleate.run.weights import ModelCard, write_card

    free = [helper.make_tensor_value_info("batch", TensorProto.FLOAT, ["N", 1, "H", "W"])]
    maps = [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 3, "H", "W"])]
    weight = numpy_helper.from_array(np.array([1, 0, 1], np.float32).reshape(3, 1, 1, 1), "weight")
    nodes = [helper.make_node("Conv", ["batch", "weight"], ["maps"])]
    graph = helper.make_graph(nodes, "stand-in", free, maps, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content = bytes(model.SerializeToString())
    path = folder / "stand-in.onnx"
    path.write_bytes(content)
    card = ModelCard(
        name="stand-in",
        sha256=hashlib.sha256(content).hexdigest(),
        maps=("mask", "border", "distance"),
        normalizer=Normalizer(polarity="keep"),
        recipe=PostRecipe(split="markers", level=0.2, marker_level=0.8, smoothing=1.0, min_area=20),
        tile=768,
        margin=64,
        blend=32,
        bytes_per_pixel=50,
    )
    write_card(path.with_suffix(".toml"), card)
    return path


def count(labels: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Compare labels and truth, a row of blocks at a time."""
    from nucleate.io.images import open_image

    nuclei = wrong_pixels = wrong_blocks = highest = 0
    seen = np.zeros(0, np.bool_)
    with open_image(labels) as opened:
        for top in range(0, size[0], BLOCK):
            rows, cols = slice(top, min(top + BLOCK, size[0])), slice(0, size[1])
            found = opened.read(rows, cols).astype(np.int64)
            highest = max(highest, int(found.max()))
            for left in range(0, size[1], BLOCK):
                part = slice(left, min(left + BLOCK, size[1]))
                inside = paint(rows, part, width=size[1])[1]
                wrong_pixels += int(np.count_nonzero((found[:, part] > 0) != inside))
            here = np.concatenate([centres(n, size[1]) for n in range(top // CELL, rows.stop // CELL)])
            ids = found[here[:, 0] - top, here[:, 1]]
            seen = np.concatenate([seen, np.zeros(max(highest + 1 - len(seen), 0), np.bool_)])
            block = here[:, 1] // BLOCK
            fresh = (ids > 0) & ~seen[ids]
            seen[ids] = True
            new = [len(np.unique(ids[fresh & (block == b)])) for b in np.unique(block)]
            wrong_blocks += int(np.count_nonzero(np.array(new) != np.bincount(block)[np.unique(block)]))
            nuclei += len(here)
    exact = wrong_blocks == 0 and wrong_pixels == 0 and highest == nuclei == int(seen[1:].sum())
    return {
        "nuclei": nuclei,
        "highest_id": highest,
        "blocks_with_another_count": wrong_blocks,
        "wrong_pixels": wrong_pixels,
        "exact": exact,
    }


def one(size: tuple[int, int], given: argparse.Namespace) -> dict[str, Any]:
    """Draw, segment and count one size."""
    folder = Path(tempfile.mkdtemp(prefix="nucleate-large-", dir=given.folder))
    try:
        started = time.process_time()
        draw(folder / "drawn.ome.zarr", size)
        megapixels = size[0] * size[1] / 1e6
        told: dict[str, Any] = {"size": size, "megapixels": megapixels, "draw_cpu_s": time.process_time() - started}
        model = given.model or str(stand_in(folder))
        words = [sys.executable, "-c", "from nucleate.apps.cli.main import main; main()", "segment"]
        words += [str(folder / "drawn.ome.zarr"), "-o", str(folder / "out")]
        words += ["--model", model, "--device", "cpu", "--threads", "1", "--memory", str(given.memory)]
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*words, "--export", given.export], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        told |= {"wall_s": time.perf_counter() - clock, "cpu_s": processor}
        told |= {"cpu_s_per_megapixel": processor / megapixels}
        told |= {"peak_gb": after.ru_maxrss * 1024 / 1e9, "memory_gb": given.memory}
        if "measurements" in given.export:
            with (folder / "out" / "measurements.csv").open("rb") as stream:
                told["rows_of_the_table"] = sum(1 for _ in stream) - 1
        return told | ({} if given.model else count(folder / "out" / "drawn.ome.labels.tif", size))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Do every size, each run in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["5000"], help=f"SIDE or ROWSxCOLUMNS, multiples of {CELL}")
    parser.add_argument("--memory", type=float, default=4.0, help="GB, as nucleate takes it")
    parser.add_argument("--export", default="labels,overlay,measurements")
    parser.add_argument("--model", help="an .onnx file with its card: time and memory only, nothing is counted")
    parser.add_argument("--folder", help="where the files go for the while")
    given = parser.parse_args()
    for word in given.sizes:
        rows, _, columns = word.partition("x")
        print(json.dumps(one((int(rows), int(columns or rows)), given)), flush=True)


if __name__ == "__main__":
    main()
