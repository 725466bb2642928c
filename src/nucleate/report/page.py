"""The parts of a page that needs no other file and no network: its frame, its style, its pictures."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

from nucleate.core.text import one_line
from nucleate.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["document", "figure", "jpeg_data", "png_data", "table"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --dim: #777; --accent: #2f7fd0; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.sub, td.what, figcaption, .note { color: var(--dim); } p.sub { margin-top: 0; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: .28rem .6rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { max-height: 36rem; overflow: auto; } .scroll th { position: sticky; top: 0; background: Canvas; }
td.id { overflow-wrap: anywhere; font-size: .85em; min-width: 12rem; } td.score { min-width: 7rem; }
.bar { background: linear-gradient(90deg, color-mix(in srgb, var(--accent) 30%, transparent) var(--w), transparent 0); }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr)); gap: 1.2rem; }
figure { margin: 0; } figure img { width: 100%; display: block; } figcaption { font-size: .85em; }
figcaption b { overflow-wrap: anywhere; } svg { max-width: 40rem; width: 100%; height: auto; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(29rem, 100%), 1fr)); gap: 1rem 1.6rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem 1.2rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } details > summary { cursor: pointer; } .good { color: #2a8a3e; }
.key { display: inline-block; width: 1.4em; height: .75em; margin: 0 .3em 0 .9em; border: 1px solid #8888; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Put the parts of a page into a whole HTML document.

    Parameters
    ----------
    title : str
        Plain text, for the window.
    parts : iterable of str
        HTML; empty ones are left out.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(filter(None, parts)) + "\n</body></html>\n"
    )


def png_data(pixels: NDArray[Any]) -> str:
    """Give a picture as an address that carries its own content.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 ndarray
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def jpeg_data(path: Path, *, side: int) -> str:
    """Read a picture and give it smaller, as an address that carries its own content.

    Parameters
    ----------
    path : Path
    side : int
        Its longer side has at most so many pixels.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    from PIL import Image

    stream = io.BytesIO()
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError) as error:
        raise InputError(f"{one_line(str(path))}: cannot be read: {error}; make it again") from error
    picture.thumbnail((side, side))
    # Thin coloured lines need their full colour resolution.
    picture.save(stream, "JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def figure(name: str, data: str, *, told: str = "") -> str:
    """Show a picture with outlines.

    Parameters
    ----------
    name : str
        The text under it; plain text, escaped here.
    data : str
        From `png_data` or `jpeg_data`.
    told : str
        A line under the name.
    """
    name = escape(name)
    caption = f"<b>{name}</b>" + f"<br>{told}" * bool(told)
    return f'<figure><img alt="{name} with outlines" src="{data}"><figcaption>{caption}</figcaption></figure>'


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Lay out rows of text as a table.

    Parameters
    ----------
    heading : sequence of str
    rows : iterable of sequence of str
        Plain text, escaped here.
    words : int
        How many of the first columns hold words; the others are numbers, set to the right.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["" if i < words else ' class="num"' for i in range(len(cells))]
        joined = "".join(f"<{tag}{k}>{escape(cell)}</{tag}>" for k, cell in zip(kinds, cells, strict=True))
        return f"<tr>{joined}</tr>"

    return f"<table>{line(heading, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
