"""Damage done to files, the same for the same seed: bytes, numbers in text, lengths, cuts."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0", b"\0\0\1\0", b"\0\0\0\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff\xff\x7f",
)  # fmt: skip
NUMBERS = (b"0", b"-1", b"1", b"99999999999", b"4294967295", b"2147483648", b"1e999", b"NaN", b"65536", b"x", b"")
HEAD = 4096
"""Most of what decides about a file stands at its beginning, or at its end."""


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file in one to three places."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if not data:
            break
        _damage(data, rng)
    return bytes(data)


def mutated_copy(source: Path, target: Path, *, rng: np.random.Generator) -> Path:
    """Write a damaged copy of a file or of a folder, of which one file is damaged or lost."""
    if source.is_file():
        target.write_bytes(mutated(source.read_bytes(), rng))
        return target
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for folder in [target, *(p for p in target.rglob("*") if p.is_dir())]:
        folder.chmod(0o755)
    files = sorted(p for p in target.rglob("*") if p.is_file())
    texts = [p for p in files if p.name.startswith(".z") or p.suffix == ".json"]
    one = (texts if texts and rng.random() < 0.8 else files)[int(rng.integers(0, 1 << 30)) % len(texts or files)]
    if rng.random() < 0.05:
        one.unlink()
    else:
        one.write_bytes(mutated(one.read_bytes(), rng))
    return target


def _damage(data: bytearray, rng: np.random.Generator) -> None:
    place = _place(len(data), rng)
    kind = int(rng.integers(0, 8))
    if kind == 0:
        data[place] = int(rng.integers(0, 256))
    elif kind == 1:
        data[place] ^= 1 << int(rng.integers(0, 8))
    elif kind in {2, 3}:
        word = WORDS[int(rng.integers(0, len(WORDS)))]
        start = place if kind == 2 else place // 4 * 4  # lengths mostly stand at even places
        data[start : start + len(word)] = word
    elif kind == 4:
        del data[place : place + int(rng.integers(1, 60))]
    elif kind == 5:
        data[place:place] = data[place : place + int(rng.integers(1, 60))]
    elif kind == 6 and rng.random() < 0.3:
        del data[place:]
    else:
        found = list(re.finditer(rb"\d+", data[place : place + 4 * HEAD]))
        if found:
            one = found[int(rng.integers(0, len(found)))]
            number = NUMBERS[int(rng.integers(0, len(NUMBERS)))]
            data[place + one.start() : place + one.end()] = number


def _place(length: int, rng: np.random.Generator) -> int:
    drawn = rng.random()
    if drawn < 0.5:
        return int(rng.integers(0, min(length, HEAD)))
    if drawn < 0.7:
        return length - 1 - int(rng.integers(0, min(length, HEAD)))
    return int(rng.integers(0, length))


def generator(name: str, number: int) -> np.random.Generator:
    """Give the generator of one mutation of one file."""
    return np.random.default_rng([number, *name.encode()])
