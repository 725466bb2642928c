"""Damage files and read them: only images and our own one-line errors may come of it.

Run from the repository: python -m benchmarks.fuzz_readers FILE_OR_FOLDER... [--mutations N] [--first N] [--keep FOLDER]

Each file and OME-Zarr folder found is damaged N times, the same way in each run, and read as a whole and by windows in
a process of its own. Told at the end: how many gave an image and how many an error; and each mutation that gave another
exception, an error of several lines, a crash, took over 10 s or over 2 GB. Those files are kept in FOLDER. Small drawn
files of the formats of which no sample is at hand (LIF, ND2, Zarr plates, TIFF layouts) are added with --drawn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.io.mutations import generator, mutated_copy

from nucleate.errors import NucleateError
from nucleate.io.images import IMAGE_SUFFIXES, open_image, read_image

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MOST_SECONDS = 10.0
MOST_BYTES = 2_000_000_000
ALLOWED_PICTURE = 200_000_000


def read(path: Path) -> str:
    """Read a file in every way; tell what came of it."""
    found = "image"
    for whole in (True, False):
        try:
            if whole:
                read_image(path, max_bytes=ALLOWED_PICTURE, first=True)
                continue
            with open_image(path, max_bytes=ALLOWED_PICTURE) as image:
                one = image.channel()
                one.read(slice(0, 300), slice(0, 300), at=(0,) * len(one.stack_shape))
                middle = [slice(n // 2, n // 2 + 300) for n in one.shape_HW]
                one.read(middle[0], middle[1], at=tuple(n - 1 for n in one.stack_shape))
        except NucleateError as error:
            found = "error"
            if "\n" in str(error):
                return f"several lines: {error!r}"
        except BaseException as error:  # everything else is what is looked for
            return f"{type(error).__name__}: {error}"
    return found


def child(pipe: Connection, source: Path, *, folder: Path) -> None:
    """Read one mutation after the other, as the parent asks."""
    soft = 6 * MOST_BYTES  # keeps the machine alive; what is looked for is the memory really used
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    while True:
        number = pipe.recv()
        path = mutated_copy(source, folder / f"damaged{''.join(source.suffixes)}", rng=generator(source.name, number))
        start = time.perf_counter()
        found = read(path)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send((found, time.perf_counter() - start, used))


class Reader:
    """A process that reads mutations of one file; a new one after each crash or hang."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.start()

    def start(self) -> None:
        """Begin a new process."""
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=child, args=(other, self.source), kwargs={"folder": self.folder}, daemon=True
        )
        self.process.start()
        other.close()

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.join()

    def ask(self, number: int) -> tuple[str, float]:
        """Read one mutation: what came of it, and the seconds it took."""
        self.pipe.send(number)
        start = time.perf_counter()
        try:
            # The first answer waits for the imports too.
            while not self.pipe.poll(0.5):
                if time.perf_counter() - start > 60 + MOST_SECONDS:
                    self.stop()
                    self.start()
                    return "hang", time.perf_counter() - start
            found, seconds, used = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            self.start()
            return f"crash, exit code {code}", time.perf_counter() - start
        if used > MOST_BYTES:
            self.stop()
            self.start()
            return f"memory: {used / 1e9:.1f} GB", seconds
        return ("slow" if seconds > MOST_SECONDS else found), seconds


def sources_in(places: list[str]) -> list[Path]:
    """List files and OME-Zarr folders."""
    found = []
    for place in map(Path, places):
        if place.is_file() or place.suffix == ".zarr":
            found.append(place)
            continue
        found += [p for p in sorted(place.rglob("*")) if p.suffix == ".zarr" and p.is_dir()]
        inside = [p for p in sorted(place.rglob("*")) if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES]
        found += [p for p in inside if not any(parent.suffix == ".zarr" for parent in p.parents)]
    return found


def fuzz(source: Path, mutations: range, *, folder: Path, keep: Path | None) -> tuple[Counter[str], float]:
    """Read many mutations of one file; count what came of them, and give the longest time."""
    counts: Counter[str] = Counter()
    longest = 0.0
    reader = Reader(source, folder)
    for number in mutations:
        found, seconds = reader.ask(number)
        longest = max(longest, seconds)
        if found in {"image", "error"}:
            counts[found] += 1
            continue
        counts["bad"] += 1
        sys.stdout.write(f"  {source.name} {number}: {found}\n")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            mutated_copy(source, keep / f"{number}-{source.name}", rng=generator(source.name, number))
    reader.stop()
    return counts, longest


def draw(folder: Path) -> None:
    """Write small files of every format that can be written here."""
    import tifffile
    from tests.io.lif_files import Series, write_lif
    from tests.io.nd2_files import Recording, write_nd2
    from tests.io.zarr_files import write_image, write_plate

    rng = np.random.default_rng(0)
    grey: Any = rng.integers(0, 4000, (2, 3, 40, 50)).astype(np.uint16)
    colour = rng.integers(0, 255, (40, 50, 3), np.uint8)
    write_lif(folder / "drawn.lif", [Series("a", grey[0], "CYX"), Series("b", colour, "YXS")])
    for packed in (False, True):
        write_nd2(folder / f"drawn-{packed}.nd2", Recording(grey, "ZCYX", ("a", "b", "c"), compressed=packed))
    for version in ("0.4", "0.5"):
        write_image(folder / f"drawn-{version}.zarr", grey, axes="czyx", version=version, channels=("a", "b"))
        write_plate(folder / f"plate-{version}.zarr", {"A/1/0": grey[0], "B/2/0": grey[1]}, version=version)
    write_image(folder / "shards.zarr", grey[0, 0], chunks=(5, 5), shards=(20, 25))
    for name in ("zlib", "lzw", "jpeg", "packbits", "zstd"):
        tifffile.imwrite(folder / f"{name}.tif", colour, compression=name, tile=(16, 16), photometric="rgb")
    tifffile.imwrite(folder / "hyper.tif", grey, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(folder / "stack.ome.tif", grey, ome=True, metadata={"axes": "CZYX"}, compression="zlib")
    tifffile.imwrite(folder / "slide.bif", colour, tile=(16, 16), photometric="rgb", compression="lzw")


def main() -> None:
    """Read the words, damage, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*")
    parser.add_argument("--mutations", type=int, default=300, help="of each file")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation; others damage otherwise")
    parser.add_argument("--keep", type=Path, help="folder for the files that gave something bad")
    parser.add_argument("--drawn", action="store_true", help="add small drawn files")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    numbers = range(options.first, options.first + options.mutations)
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder, "drawn")
        drawn.mkdir()
        if options.drawn:
            draw(drawn)
        for source in sources_in([*options.places, str(drawn)]):
            counts, longest = fuzz(source, numbers, folder=Path(folder), keep=options.keep)
            total += counts
            told = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
            sys.stdout.write(f"{source.name}: {told}; longest {longest:.2f} s\n")
            sys.stdout.flush()
            shutil.rmtree(Path(folder, f"damaged{''.join(source.suffixes)}"), ignore_errors=True)
    sys.stdout.write(f"all: {dict(total)}\n")
    sys.exit(1 if total["bad"] else 0)


if __name__ == "__main__":
    main()
