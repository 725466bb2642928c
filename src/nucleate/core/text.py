"""Text as it may be shown: names of files can hold anything."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(text: str) -> str:
    r"""Make a text printable on one line: control characters and undecodable bytes become escapes.

    Examples
    --------
    >>> one_line("two\nlines")
    'two\\nlines'
    """
    shown = (c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)
    return "".join(shown)
