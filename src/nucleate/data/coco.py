"""COCO files: outlines of many pictures, as polygons or run-length codes, in one JSON file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.endings import stem_of
from nucleate.core.pieces import count_pieces
from nucleate.data.parsing import outline_damage, quiet, read_json, ring
from nucleate.data.regions import Region, region_of_rings, region_of_runs, union
from nucleate.errors import DataError

if TYPE_CHECKING:
    from nucleate.data.parsing import Note, Shape

__all__ = ["CocoPicture", "coco_pictures", "coco_regions", "file_names"]

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")')
_OURS = "nucleate"  # the description that `nucleate.export.coco` writes
_PARTS = re.compile(r"cytoplasm|membrane|nucleol|micro[-_ ]?nucle|peri[-_ ]?nucle|no[nt][-_ ]?nucle", re.IGNORECASE)
_CELLS = {"cell", "cells", "whole"}
_NO_NUCLEI = _CELLS | {
    "artefact", "artefacts", "artifact", "artifacts", "background", "debris", "ignore", "ignored", "region", "regions",
    "roi", "rois", "tissue",
}  # fmt: skip


@dataclass(frozen=True)
class CocoPicture:
    """One picture in a COCO file.

    Parameters
    ----------
    file_name : str
        Its path as the file gives it, with forward slashes.
    shape : (int, int), optional
        Rows and columns, if the file gives them.
    annotations : list of dict
        Its nuclei, as in the file.
    left_out : str
        How many of its outlines are no nuclei by their category, and which categories; "" if there are none.
    """

    file_name: str
    shape: Shape | None
    annotations: list[dict[str, Any]]
    left_out: str


def coco_pictures(data: bytes, name: str) -> dict[str, CocoPicture] | None:
    """List the pictures of a COCO file; None if it is JSON of another kind.

    Returns
    -------
    dict
        Id -> picture. The id is the file's name without folders and ending; in files that we wrote
        (`nucleate.export.coco`), it is the name of the results, with its number for a plane of a stack: ``stack/0``.
        If annotations are of several categories, those with names other than of nuclei (cell, cytoplasm, membrane,
        nucleolus, micronucleus, tissue, background, artefact, debris, region, ROI, ignore) are left out; cells are
        taken if there is nothing else.

    Raises
    ------
    DataError
        If it is damaged, or an id stands for several pictures, as other programs write the planes of a stack.
    """
    parsed = read_json(data, name)
    if not isinstance(parsed, dict) or not {"images", "annotations"} <= parsed.keys():
        return None
    with outline_damage(name):
        ours = (parsed.get("info") or {}).get("description") == _OURS
        dropped = _no_nuclei(parsed)
        annotations: dict[str, list[Any]] = {_id(entry["id"]): [] for entry in parsed["images"]}
        for one in parsed["annotations"]:
            if _id(one["image_id"]) not in annotations:
                raise DataError(f"{name} outlines image {one['image_id']}, which it does not list; export it again")
            annotations[_id(one["image_id"])].append(one)
        found: dict[str, CocoPicture] = {}
        for entry in parsed["images"]:
            file_name = str(entry["file_name"]).replace("\\", "/")
            image_id = stem_of(file_name)
            if ours:
                image_id = entry.get("name", image_id) + (f"/{entry['plane']}" if "plane" in entry else "")
            if image_id in found:
                raise DataError(f"{name} has several pictures called {file_name}; give each a name of its own")
            sized = entry.get("height") is not None and entry.get("width") is not None
            shape = (int(entry["height"]), int(entry["width"])) if sized else None
            found[image_id] = CocoPicture(file_name, shape, *_sorted_out(annotations[_id(entry["id"])], dropped))
        return found


def file_names(data: bytes) -> set[str]:
    """Give the names of picture files in a JSON file that may be a COCO file; it is not parsed.

    Examples
    --------
    >>> file_names(b'{"images": [{"id": 1, "file_name": "a.png"}]}')
    {'a.png'}
    """
    return {
        json.loads(one.decode(errors="replace"), strict=False).replace("\\", "/") for one in _FILE_NAME.findall(data)
    }


def coco_regions(annotations: list[dict[str, Any]], name: str, *, shape: Shape, note: Note = quiet) -> list[Region]:
    """Read the nuclei of one picture of a COCO file: polygons, or run-length codes plain or compressed.

    Some programs mark all run-length codes as crowds (``iscrowd``). So a crowd in one piece is taken as a nucleus, and
    a crowd in several pieces, which is several nuclei outlined as one, is left out.

    Raises
    ------
    DataError
        If one is damaged, has a box and no outline, or all are crowds, so that the picture would seem to have none.
    """
    found: list[Region] = []
    with outline_damage(name):
        for one in annotations:
            code = one.get("segmentation")
            if not code:
                raise DataError(f"{name} has boxes and no outlines: a segmentation is empty; export outlines or masks")
            if isinstance(code, list):
                # Polygons are parts of one object, and each is filled separately.
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


def _id(value: object) -> str:
    """Give an id as text, since some programs write numbers as text, and others as fractions (1.0)."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _no_nuclei(parsed: dict[str, Any]) -> dict[str, str]:
    """Name the categories, by id, that are left out; none if all outlines are of one category."""
    names = {_id(one["id"]): str(one.get("name", "")) for one in parsed.get("categories") or ()}
    used = {_id(one["category_id"]) for one in parsed["annotations"] if "category_id" in one}
    words = {one: re.findall(r"[^\W\d_]+", names.get(one, "").lower()) for one in used}
    known = {one for one in used if _PARTS.search(names.get(one, "")) or (words[one] and {*words[one]} <= _NO_NUCLEI)}
    if known == used:
        known -= {one for one in used if words[one] and {*words[one]} <= _CELLS}
    return {one: names[one] for one in sorted(known)} if len(used) > 1 else {}


def _sorted_out(annotations: list[dict[str, Any]], dropped: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
    """Remove the annotations of categories that are left out, and say how many there were; "" if there were none."""
    kept = [one for one in annotations if _id(one.get("category_id")) not in dropped]
    if len(kept) == len(annotations):
        return kept, ""
    categories = {_id(one.get("category_id")) for one in annotations}
    named = ", ".join(sorted({dropped[one] for one in categories & dropped.keys()}))
    return kept, f"{len(annotations) - len(kept)} of {len(annotations)} outlines: no nuclei by their category ({named})"


def _decompress(text: str) -> list[int]:
    """Read COCO's compressed run lengths: five bits a character, low ones first; from the fourth on, differences."""
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
