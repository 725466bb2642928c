"""Where the program starts: Ctrl-C is taken before anything that takes time is loaded."""

from __future__ import annotations

import os
import sys

from nucleate.apps.cli import ctrl_c

__all__ = ["start"]


def start() -> None:
    """Run ``nucleate`` with the words of the call and leave with its exit code.

    Raises
    ------
    SystemExit
        Always, see `nucleate.apps.cli.main.main`; after Ctrl-C while that is loaded, too.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this, as `2>&-` does
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for good
    ctrl_c.remember()
    with ctrl_c.loading():
        from nucleate.apps.cli.main import main

    main()
