"""Which pictures a run is trained on, so that a later call does not score it on them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from nucleate.core.files import write_text
from nucleate.data.pixels import is_flat
from nucleate.errors import UnfitDataError, UsageError
from nucleate.run.weights import find_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample

__all__ = [
    "check_apart",
    "check_nuclei",
    "check_same",
    "digest_of",
    "digest_of_kinds",
    "hashes_of",
    "keep",
    "part_known",
    "taught_facts",
]

_FILE = "pictures.json"
_SHORT = 12  # digits of a hash in a card: among a hundred thousand pictures two are alike once in fifty thousand cards
_KNOWN: WeakKeyDictionary[Sample, str] = WeakKeyDictionary()
"""Hashes of pictures in memory: a cross-validation asks for them once a fold, and again with each step."""


def digest_of(samples: Sequence[Sample]) -> str:
    """Hash ids, pixels and labels of pictures, whatever their order; 64 hexadecimal digits."""
    each = sorted(map(_digest_of_one, samples))
    return _digest("".join(each).encode())


def digest_of_kinds(samples: Sequence[Sample]) -> str:
    """Hash which kind each picture is of, whatever their order; 64 hexadecimal digits."""
    return _digest(*(text.encode() for one in sorted((s.image_id, s.kind) for s in samples) for text in one))


def check_apart(samples: Sequence[Sample], held: Sequence[Sample]) -> None:
    """Refuse held-out pictures that are among those to train on, by their pixels; those of one value may be.

    Raises
    ------
    UsageError
        If there is one.
    """
    known = {_digest(_pixels(one)) for one in samples}
    both = [one.image_id for one in held if _digest(_pixels(one)) in known and not is_flat(one.image)]
    if both:
        raise UsageError(
            f"{len(both)} of {len(held)} held-out images are among those to train on, the first is {both[0]}; "
            "take them out of one of the two"
        )


def hashes_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Hash the pixels of each picture for a model's card, 12 hexadecimal digits each, sorted."""
    return tuple(sorted(set(map(_short, samples))))


def taught_facts(samples: Sequence[Sample], *, init: str | None) -> dict[str, Any]:
    """Tell for a model's card what it was trained on, and whether on more than is known.

    Parameters
    ----------
    samples : sequence of Sample
        Pictures that its network was trained on.
    init : str, optional
        The model it started from; pictures that this was trained on count, too.

    Returns
    -------
    dict
        Fields of `nucleate.run.weights.ModelCard`.
    """
    hashes = hashes_of(samples)
    if init is None:
        return {"trained_on": hashes}
    start = find_model(init).card
    more = start.trained_on is None or start.trained_on_more
    return {"trained_on": tuple(sorted({*hashes, *(start.trained_on or ())})), "trained_on_more": more or None}


def part_known(samples: Sequence[Sample], hashes: Sequence[str]) -> tuple[list[Sample], list[Sample]]:
    """Divide pictures into those that a model was not trained on and those that it was, by the hashes in its card."""
    known = set(hashes)
    unseen: list[Sample] = []
    seen: list[Sample] = []
    for one in samples:
        (seen if _short(one) in known else unseen).append(one)
    return unseen, seen


def check_nuclei(samples: Sequence[Sample], where: str = "") -> None:
    """Refuse pictures in which no nucleus is outlined, since nothing can be learnt from them alone, or chosen by them.

    Parameters
    ----------
    samples : sequence of Sample
    where : str
        Which pictures they are, for the message.

    Raises
    ------
    DataError
        If there is none in all of them.
    """
    if not any(one.labels.any() for one in samples):
        which = f"{len(samples)} annotated images{where and ' '}{where}"
        raise UnfitDataError(f"no nucleus in {which}, the first is {samples[0].image_id}; add some")


def check_same(
    run: Path,
    samples: Sequence[Sample],
    *,
    held: Sequence[Sample] | None = None,
    kinds: bool = False,
    give: str = "DATA, --table and --val",
) -> None:
    """Refuse to go on with a run on other pictures than those it began with; a run without a record of them goes on.

    Parameters
    ----------
    run : Path
        Its folder.
    samples : sequence of Sample
        To train on.
    held : sequence of Sample, optional
        By which its epochs are judged; not checked when None.
    kinds : bool
        Whether the kinds of the pictures to train on must be the same, since balanced batches are drawn by kind.
    give : str
        The options that decide which pictures they are, for the message.

    Raises
    ------
    UsageError
        If the pictures differ, since those that are held out now may have been trained on.
    """
    path = run / _FILE
    if not path.is_file():
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    for name, pictures in (("sha256", samples), ("held_sha256", held)):
        if pictures is not None and name in known and known[name] != digest_of(pictures):
            raise UsageError(f"{run} was begun on other images or folds; give the same {give}, or another folder")
    if kinds and known.get("kinds_sha256", (now := digest_of_kinds(samples))) != now:
        raise UsageError(f"{run} was begun with other types of image; give the same --table, or another folder")


def keep(run: Path, samples: Sequence[Sample], *, held: Sequence[Sample]) -> None:
    """Write down the pictures that a run is trained on and judged by, for `check_same`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    hashes = {"sha256": digest_of(samples), "held_sha256": digest_of(held), "kinds_sha256": digest_of_kinds(samples)}
    known = {"images": len(samples), **hashes}
    write_text(run / _FILE, json.dumps(known) + "\n")


def _digest_of_one(one: Sample) -> str:
    if one not in _KNOWN:
        _KNOWN[one] = _digest(one.image_id.encode(), _pixels(one), one.labels.tobytes())
    return _KNOWN[one]


def _short(one: Sample) -> str:
    return _digest(_pixels(one))[:_SHORT]


def _pixels(one: Sample) -> bytes:
    return f"{one.image.shape} {one.image.dtype} ".encode() + np.ascontiguousarray(one.image).tobytes()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} ".encode())
        digest.update(part)
    return digest.hexdigest()
