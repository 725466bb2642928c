"""``nucleate report``: the page of a run, made again from its folder."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import Annotated

import typer

from nucleate.apps.cli.console import QuietOption, say

__all__ = ["report"]


def report(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that segment or screen wrote.")],
    *,
    quiet: QuietOption = False,
) -> None:
    """Write report.html for a run: counts, distributions, pictures, timings, settings; for a screen its plate too.

    The page needs no other file and no network. Nothing is segmented again.

    Example: nucleate report results
    """
    from nucleate.apps.cli.screen import make_pages
    from nucleate.core.files import write_text
    from nucleate.report.run_page import read_run, run_page
    from nucleate.screen.results import RECORD_NAME

    if (output / RECORD_NAME).is_file():
        pages = make_pages(output)
    else:
        pages = [output / "report.html"]
        write_text(pages[0], run_page(read_run(output)))
    if not quiet:
        say(f"written: {', '.join(str(page) for page in pages)}")
