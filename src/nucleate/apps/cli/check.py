"""``nucleate check``: what is odd in a data set."""

from pathlib import Path
from typing import Annotated

import typer

from nucleate.apps.cli.console import Bar, QuietOption, check_outputs, say
from nucleate.core.text import counted

__all__ = ["check"]

_UNWRAPPED = 10_000  # characters a line in files and pipes, so that names are not wrapped


def check(
    data: Annotated[
        str, typer.Argument(help="Folder or zip: Kaggle's layout, label images or outlines; ZIP::FOLDER too.")
    ],
    csv: Annotated[Path | None, typer.Option("--csv", help="Write every finding to this file.")] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="How many places to show for each kind.")] = 1,
    pack: Annotated[
        Path | None,
        typer.Option(
            "--pack", metavar="ZIP", help="Write all samples, lossless, into one small zip, if all can be used."
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """List overlapping, broken, empty or doubled masks and images of a data set; nothing is changed.

    Exit code 0: every sample can be used. 1: some cannot.

    Example: nucleate check stage1_train.zip --csv findings.csv
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nucleate.core.files import make_folder
    from nucleate.data.check import FATAL, KINDS, check_dataset
    from nucleate.data.pack import pack as write_pack
    from nucleate.data.samples import load_samples

    check_outputs({"--csv": csv, "--pack": pack}, [Path(data)])
    with Bar("images", None, quiet=quiet) as bar:
        report = check_dataset(data, progress=bar.show)
    counts = report.counts()
    title = escape(
        f"{report.name}: {counted(report.images, 'image')}, {counted(report.nuclei, 'nucleus', many='nuclei')}"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("finding", "count", "images", "meaning", "first"):
        table.add_column(heading, justify="right" if heading in {"count", "images"} else "left", overflow="fold")
    for kind, meaning in KINDS.items():
        if not counts[kind][0]:
            continue
        found = [finding for finding in report.findings if finding.kind == kind][:examples]
        first = escape("\n".join(f"{f.place} {f.detail}".strip() for f in found))
        mark = "[red]" if kind in FATAL else ""
        table.add_row(f"{mark}{kind}", str(counts[kind][0]), str(counts[kind][1]), meaning, first)
    try:
        if csv is not None:
            make_folder(csv.parent)
            report.write_csv(csv)
        if pack is not None and report.usable:
            make_folder(pack.parent)
            write_pack(load_samples(data), pack)
    finally:
        console = Console()
        if not console.is_terminal:
            console.width = _UNWRAPPED
        # Findings are shown even where a file of them cannot be written.
        console.print(table if report.findings else f"{title}, nothing odd")
    if not report.usable:
        if pack is not None:
            say(f"nucleate: {pack} is not written: some samples cannot be used; mend them or take them out")
        raise typer.Exit(1)
