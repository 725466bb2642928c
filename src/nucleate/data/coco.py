"""COCO files: outlines of many pictures, as polygons or run-length codes, in one JSON file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.pieces import count_pieces
from nucleate.data.names import picture_id
from nucleate.data.parsing import Damaged, quiet, read_json, ring
from nucleate.data.regions import Region, region_of_rings, region_of_runs, union
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    Shape = tuple[int, int]
    Note = Callable[[str], None]

__all__ = ["coco_pictures", "coco_regions"]

_OURS = "nucleate"  # the description that `nucleate.export.coco` writes
_NUCLEI = re.compile(r"(?<!non)(?<!micro)(?<!non[-_ ])(?<!not[-_ ])nucle(?!ol)", re.IGNORECASE)


def coco_pictures(data: bytes, name: str) -> dict[str, dict[str, Any]] | None:
    """List the pictures of a COCO file; None if it is JSON of another kind.

    Returns
    -------
    dict
        Id -> ``{"file_name": str, "shape": (rows, columns) or None, "annotations": [...], "left_out": str}``. The id
        is the file's name without folders and ending; in files of ours (`nucleate.export.coco`) the name of the
        results, of a plane of a stack with its number: ``stack/0``. Where annotations are of several categories, those
        called nuclei are listed, and the text says what is not.

    Raises
    ------
    DataError
        If it is damaged, an id stands for several pictures, as in other programs' files for the planes of a stack, or
        annotations are of several categories and none is called nucleus.
    """
    parsed = read_json(data, name)
    if not isinstance(parsed, dict) or not {"images", "annotations"} <= parsed.keys():
        return None
    with Damaged(name):
        ours = parsed.get("info", {}).get("description") == _OURS
        categories = _nuclear(parsed, name)
        annotations: dict[str, list[Any]] = {str(entry["id"]): [] for entry in parsed["images"]}
        for one in parsed["annotations"]:
            if str(one["image_id"]) not in annotations:  # some programs write numbers as text
                raise DataError(f"{name} outlines image {one['image_id']}, which it does not list; export it again")
            annotations[str(one["image_id"])].append(one)
        found: dict[str, dict[str, Any]] = {}
        for entry in parsed["images"]:
            file_name = str(entry["file_name"]).replace("\\", "/")
            image_id = picture_id(file_name)
            if ours:
                image_id = entry.get("name", image_id) + (f"/{entry['plane']}" if "plane" in entry else "")
            if image_id in found:
                raise DataError(f"{name} has several pictures called {file_name}; give each a name of its own")
            sized = entry.get("height") is not None and entry.get("width") is not None
            found[image_id] = {
                "file_name": file_name,
                "shape": (int(entry["height"]), int(entry["width"])) if sized else None,
                **_sorted_out(annotations[str(entry["id"])], categories),
            }
        return found


def coco_regions(annotations: list[dict[str, Any]], name: str, *, shape: Shape, note: Note = quiet) -> list[Region]:
    """Read the nuclei of one picture of a COCO file: polygons, or run-length codes plain or compressed.

    Some programs call all that they write as run-length codes crowds (``iscrowd``). So one in one piece is a nucleus,
    and one in several pieces, which is several nuclei outlined as one, is passed over.

    Raises
    ------
    DataError
        If one is damaged, has a box and no outline, or all are crowds: the picture would count as without nuclei.
    """
    found: list[Region] = []
    with Damaged(name):
        for one in annotations:
            code = one.get("segmentation")
            if not code:
                raise DataError(f"{name} has boxes and no outlines: a segmentation is empty; export outlines or masks")
            if isinstance(code, list):
                # Parts of one object; each is filled by itself.
                parts = [region_of_rings([ring(np.reshape(part, (-1, 2)))], shape) for part in code]
                found.append(union(parts))
            else:
                counts, size = code["counts"], tuple(code.get("size", shape))
                if size != shape:
                    raise DataError(f"{name} has a mask of {size}, its image is {shape}; export the masks again")
                runs = _decompress(counts) if isinstance(counts, str) else counts
                found.append(region_of_runs(runs, shape))
    nuclei = [
        region
        for one, region in zip(annotations, found, strict=True)
        if not one.get("iscrowd") or count_pieces(region.mask) < 2
    ]
    if len(nuclei) < len(found):
        crowds = f"{len(found) - len(nuclei)} of {len(found)} outlines: crowds (iscrowd) in several pieces"
        if not nuclei:
            raise DataError(f"{name} has no nuclei of a picture, but {crowds}; outline each nucleus or take it out")
        note(crowds)
    return nuclei


def _nuclear(parsed: dict[str, Any], name: str) -> dict[str, bool] | None:
    """Tell which categories are nuclei; None if all that is outlined is of one."""
    listed = parsed.get("categories") or ()
    names = {str(one["id"]): str(one.get("name", one["id"])) for one in listed}
    above = {str(one["id"]): str(one.get("supercategory", "")) for one in listed}
    used = sorted({str(one["category_id"]) for one in parsed["annotations"] if "category_id" in one})
    if len(used) < 2:
        return None
    nuclear = {one: bool(_NUCLEI.search(names.get(one, "")) or _NUCLEI.search(above.get(one, ""))) for one in used}
    if not any(nuclear.values()):
        shown = ", ".join(names.get(one, one) for one in used[:6])
        raise DataError(f"{name} has {len(used)} categories, none called nucleus: {shown}; give nuclei one category")
    return nuclear


def _sorted_out(annotations: list[dict[str, Any]], nuclear: dict[str, bool] | None) -> dict[str, Any]:
    kept = [one for one in annotations if nuclear is None or nuclear.get(str(one.get("category_id")), False)]
    left = len(annotations) - len(kept)
    return {
        "annotations": kept,
        "left_out": f"{left} of {len(annotations)} outlines: of categories not called nucleus" if left else "",
    }


def _decompress(text: str) -> list[int]:
    """Read COCO's compressed run lengths: five bits a character, low ones first; from the third on, differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
