"""``nucleate report``: the page of a run, made again from its folder."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import Annotated

import typer

from nucleate.apps.cli.console import QuietOption, say
from nucleate.core.checks import address_fault
from nucleate.errors import UsageError

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
    from nucleate.core.files import write_text
    from nucleate.report.plate_page import write_pages
    from nucleate.report.run_page import read_run, run_page
    from nucleate.screen.results import RECORD_NAME, load_screen, read_record

    if not output.exists():
        raise UsageError(f"{output}: {address_fault(str(output)) or 'no such file or folder; check the path'}")
    pages = [output / "report.html"]
    if (output / RECORD_NAME).is_file():
        pages.insert(0, output / "plate.html")
        record = read_record(output / RECORD_NAME)
        for warning in write_pages(output, load_screen(output, record), record=record):
            say(f"nucleate: {warning}")
    else:
        write_text(pages[0], run_page(read_run(output)))
    if not quiet:
        say(f"written: {', '.join(str(page) for page in pages)}")
