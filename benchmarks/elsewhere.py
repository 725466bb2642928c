"""Models on pictures of a laboratory that trained none of them, with truth drawn by hand.

    pip download mnfinder==1.2.3 --no-deps --no-binary :all:
    python benchmarks/elsewhere.py mnfinder-1.2.3.tar.gz [--part test,validation] [--model NAME_OR_FILE]... [--scale 1]
                                                         [--across 8,30,110]

The source package of MNFinder (Hatch Lab, Fred Hutchinson Cancer Center) holds 48 different fluorescent pictures of
RPE1, U2OS, HeLa, HFF and MCC13 cells from several microscopes, 8 and 16 bit, 512 to 1,024 pixels a side, with 3,139
nuclei, many of them lobed or broken. `unequal` and `spare` in `configs/flagship.toml` were settled while looking at
scores of all of them; what is decided from now on should be on the `training` part. Micronuclei have a truth of their
own there: what is found and lies for more than half in one is neither right nor wrong. Truth of fewer than 20 pixels
is a slip of the pen and left out. `--across` resizes each picture so that its median nucleus is so many pixels across.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image
from skimage.measure import label
from skimage.transform import resize

from nucleate.api import load_segmenter
from nucleate.core.labels import areas, drop_small, relabel
from nucleate.report.tables import markdown_table
from nucleate.run.segmenter import SegmentSettings
from nucleate.score.bootstrap import interval
from nucleate.score.images import score_image
from nucleate.train.device import choose_device, describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.run.segmenter import Segmenter
    from nucleate.score.images import ImageScore

_LEAST = 20  # pixels of a true nucleus
_WIDEST = 2000  # pixels a side of a resized picture, of which the rest is cut off


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture with its truth: `labels` and `small`, label images (H, W); `small` marks micronuclei."""

    name: str
    session: str
    image: NDArray[Any]
    labels: NDArray[np.int32]
    small: NDArray[np.int32]


def read_pictures(package: Path, parts: tuple[str, ...]) -> list[Picture]:
    """Read the pictures of some parts of the package, each once."""
    pictures, known = [], set()
    with tarfile.open(package) as archive:
        content = {member.name: member for member in archive.getmembers() if member.isfile()}

        def read(path: PurePosixPath) -> bytes:
            stream = archive.extractfile(content[str(path)])
            return b"" if stream is None else stream.read()

        for name in sorted(content):
            path = PurePosixPath(name)
            part, folder = path.parts[-4:-2] if len(path.parts) > 4 else ("", "")
            if path.parent.name != "nucleus_masks" or part.removesuffix("-data") not in parts:
                continue
            image = tifffile.imread(io.BytesIO(read(path.parents[1] / "images" / f"{path.stem}.tif")))
            digest = hashlib.sha256(image.tobytes()).hexdigest()
            if digest in known:
                continue
            known.add(digest)
            labels, small = (
                _objects(read(path.parents[1] / kind / path.name)) for kind in ("nucleus_masks", "mn_masks")
            )
            pictures.append(Picture(path.stem, f"{folder} {part}", image, drop_small(labels, _LEAST), small))
    return pictures


def _objects(png: bytes) -> NDArray[np.int32]:
    """Give each connected piece of one colour an id."""
    colours = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(np.int64)
    key = (colours[..., :3] * (1 << 16, 1 << 8, 1)).sum(-1) * (colours[..., 3] > 0)
    return np.asarray(label(key, background=0, connectivity=1), np.int32)


def resized(picture: Picture, across: float) -> Picture:
    """Give a picture whose median nucleus is so many pixels across, as wide as a round one of its area."""
    factor = across / float(2 * np.sqrt(np.median(areas(picture.labels)) / np.pi))
    cut = round(_WIDEST / factor)
    image, labels, small = (plane[:cut, :cut] for plane in (picture.image, picture.labels, picture.small))
    shape = tuple(round(side * factor) for side in image.shape[:2])
    grey = resize(image.astype(np.float64), shape, order=1, anti_aliasing=factor < 1)
    near = {"order": 0, "anti_aliasing": False, "preserve_range": True}
    return replace(
        picture,
        image=grey.round().astype(image.dtype),
        labels=relabel(resize(labels, shape, **near).astype(np.int32)),
        small=resize(small, shape, **near).astype(np.int32),
    )


def judge(segmenter: Segmenter, picture: Picture) -> ImageScore:
    """Score a picture, micronuclei left out of what was found."""
    found = segmenter.segment_plane(picture.image)[0]
    inside = np.bincount(found.ravel(), ((picture.small > 0) & (picture.labels == 0)).ravel())
    small = np.append(False, 2 * inside[1:] > areas(found))
    found = relabel(np.where(small[found], 0, found))
    return score_image(picture.labels, found, image_id=picture.name)


def row_of(name: str, scores: list[ImageScore], *, model: str) -> list[str]:
    """Give the row of the table for some pictures."""
    each = np.array([[one.kaggle, one.f1_50, one.ap[0], one.ap[5]] for one in scores])
    around = interval(lambda drawn: drawn @ each[:, :1] / len(each), range(len(each)))
    kaggle = f"{each[:, 0].mean():.3f}" + ("" if around is None else f" [{around[0][0]:.3f}, {around[1][0]:.3f}]")
    nuclei = f"{sum(one.nuclei_true for one in scores)}", f"{sum(one.nuclei_pred for one in scores)}"
    return [name, model, str(len(scores)), *nuclei, kaggle, *(f"{value:.3f}" for value in each[:, 1:].mean(0))]


def main() -> None:
    """Print a table by session, all pictures first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--part", default="test,validation")
    parser.add_argument("--model", action="append")
    parser.add_argument("--scale", type=float, help="in place of what the rule of scales chooses")
    parser.add_argument("--across", help="pixels across the median nucleus, several by commas; as they are without it")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    choose_device("cpu", given.threads)
    pictures = read_pictures(given.package, tuple(given.part.split(",")))
    if not pictures:
        parser.error(f"{given.package.name} has no pictures in part {given.part!r}; give training, test or validation")
    rows = []
    for model in given.model or ["nucleate"]:
        segmenter = load_segmenter(model, threads=given.threads, settings=SegmentSettings(scale=given.scale or "auto"))
        if given.across:
            for across in given.across.split(","):
                scores = [judge(segmenter, resized(picture, float(across))) for picture in pictures]
                rows.append(row_of(f"{across} px across", scores, model=model))
            continue
        scores = [judge(segmenter, picture) for picture in pictures]
        rows.append(row_of("**all**", scores, model=model))
        for session in sorted({picture.session for picture in pictures}):
            own = [score for score, picture in zip(scores, pictures, strict=True) if picture.session == session]
            rows.append(row_of(session, own, model=model))
    header = ["pictures", "model", "number", "nuclei", "found", "Kaggle score [95 %]", "F1 0.5", "AP 0.5", "AP 0.75"]
    print("\n".join(markdown_table(header, rows)))
    print(f"\n{describe('cpu')}.")


if __name__ == "__main__":
    main()
