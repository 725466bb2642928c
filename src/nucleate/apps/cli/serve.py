"""``nucleate serve``: the local web page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nucleate.apps.cli.console import (
    DeviceOption,
    MemoryOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ThreadsOption,
    say,
)
from nucleate.apps.cli.ctrl_c import EXIT_CODE

__all__ = ["serve"]


def serve(
    *,
    context: typer.Context,
    output: OutputOption = Path("nucleate-results"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="N", help="Port; a free one when not given.")
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    memory: MemoryOption = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Open a page in the browser: open images, find nuclei, look, judge, download. Ctrl-C ends it.

    Only this machine can reach it, and nothing leaves the machine. Results are files in OUT, as nucleate segment writes
    them; those of other settings go to OUT-2, OUT-3, ..., and nothing is overwritten.

    \b
    Examples:
      nucleate serve
      nucleate serve -o my-results --port 9000 --no-browser
    """
    from nucleate.core.extras import library
    from nucleate.core.files import check_folder

    check_folder(output)
    there = next(place for place in (output, *output.parents) if os.path.lexists(place))
    if not os.access(there, os.W_OK | os.X_OK):
        say(f"nucleate: {there} may not be written, so no results can be; name another folder with -o")
    for module in ("fastapi", "uvicorn"):
        library(module, "web")
    from nucleate.apps.web.server import listen
    from nucleate.apps.web.server import serve as serve_page

    if port is not None:
        listen(port).close()  # a port that is taken is told before libraries load
    from nucleate.apps.web.choices import Choices, Machine, load

    machine = Machine(output, model=model, device=device, threads=threads, memory=memory)
    # A wrong model or device is told here, not in the browser.
    ready = load(Choices(), machine) if model is not None or device != "auto" else None

    def tell(address: str) -> None:
        say(f"nucleate: the page is at {address}")
        if not quiet:
            say(f"results go to {output}; press Ctrl-C here to stop")

    try:
        serve_page(machine, port=port, browser=not no_browser, tell=tell, ready=ready)
    except KeyboardInterrupt:
        say("nucleate: stopped; what is finished is kept")
        if context.obj:
            raise
        raise SystemExit(EXIT_CODE) from None
