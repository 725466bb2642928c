"""Text as it may be shown: names of files can hold anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["counted", "encodable", "listed", "number_text", "one_line", "size_text"]


def counted(count: int, one: str, *, many: str = "") -> str:
    """Write a count with its noun: `one` for 1, else `many`, which is `one` with an s by default.

    Examples
    --------
    >>> counted(1, "image"), counted(0, "image"), counted(1200, "nucleus", many="nuclei")
    ('1 image', '0 images', '1,200 nuclei')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def encodable(text: str) -> str:
    r"""Make a text fit for UTF-8: bytes of a file's name that are no text become escapes.

    Examples
    --------
    >>> encodable("Z\udce4hl.png")
    'Z\\udce4hl.png'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(names: Sequence[object], most: int = 8) -> str:
    """Name the first few of what may be many, printable on one line.

    Examples
    --------
    >>> listed(["a", "b"]), listed(["a", "b", "c"], most=2)
    ('a, b', 'a, b, ...')
    """
    return ", ".join(one_line(str(name)) for name in names[:most]) + ", ..." * (len(names) > most)


def number_text(value: float) -> str:
    """Write a number with six digits; with nine where it is over a million, as sums of intensities are.

    Examples
    --------
    >>> number_text(123.4567891), number_text(1000063.6812)
    ('123.457', '1000063.68')
    """
    return format(value, ".6g" if abs(value) < 1e6 else ".9g")


def size_text(count: float, *, rounding: Callable[[float], int] = round) -> str:
    """Write a number of bytes, rounded to a tenth of the unit.

    Examples
    --------
    >>> import math
    >>> size_text(2.51e9), size_text(2.51e9, rounding=math.ceil), size_text(1e7)
    ('2.5 GB', '2.6 GB', '10.0 MB')
    """
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{rounding(count * 10 / unit) / 10:.1f} {name}"


def one_line(text: str) -> str:
    r"""Make a text printable on one line: control characters and undecodable bytes become escapes.

    Examples
    --------
    >>> one_line("two\nlines")
    'two\\nlines'
    """
    shown = (c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)
    return "".join(shown)
