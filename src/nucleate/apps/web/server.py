"""Serving the page on this machine until Ctrl-C."""

from __future__ import annotations

import errno
import socket
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleate.apps.web.choices import Machine

__all__ = ["FIRST_PORT", "listen", "serve"]

FIRST_PORT = 8765
"""Where the page is served unless that port is taken."""

_TRIED = 50
_GRACE_SECONDS = 1
_TAKEN = {errno.EADDRINUSE, errno.EACCES}


def listen(port: int | None = None) -> socket.socket:
    """Open a socket that only this machine can reach.

    Parameters
    ----------
    port : int, optional
        The first free one from `FIRST_PORT` on when None.

    Returns
    -------
    socket
        Listening.

    Raises
    ------
    UsageError
        If the port cannot be had, or all that were tried are taken.
    """
    for one in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + _TRIED):
        opened = socket.socket()
        if sys.platform != "win32":  # a port that was let go a moment ago is free; on Windows this would steal it
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(("127.0.0.1", one))
            opened.listen(64)
        except OSError as error:
            opened.close()
            if port is not None or error.errno not in _TAKEN:
                reason = error.strerror or error
                raise UsageError(f"--port {one}: {reason}; give another one, or none to take a free one") from error
            continue
        return opened
    raise UsageError(f"ports {FIRST_PORT} to {FIRST_PORT + _TRIED - 1} are all taken; give another one with --port")


def serve(machine: Machine, *, port: int | None, browser: bool, tell: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    machine : Machine
    port : int, optional
        See `listen`.
    browser : bool
        Open the page in the user's browser.
    tell : callable
        Told the address when the page can be opened.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, when all is closed.
    UsageError
        If the port is taken.
    """
    import uvicorn

    from nucleate.apps.web.app import make_app
    from nucleate.apps.web.desk import Desk
    from nucleate.apps.web.guard import Guard

    with listen(port) as opened:
        guard = Guard(opened.getsockname()[1])
        desk = Desk(machine)
        config = uvicorn.Config(
            make_app(desk, guard),
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        tell(guard.address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(guard.address,), daemon=True).start()
        try:
            uvicorn.Server(config).run(sockets=[opened])
        finally:
            desk.close()
