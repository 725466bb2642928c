"""Serving the page on this machine until Ctrl-C, or until it is told to end otherwise."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.files import scratch_folder
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from nucleate.apps.web.choices import Machine
    from nucleate.run.segmenter import Segmenter

__all__ = ["FIRST_PORT", "listen", "serve"]

FIRST_PORT = 8765
"""The port at which the page is served unless it is taken."""

_TRIED = 50
_GRACE_SECONDS = 1
_TAKEN = {errno.EADDRINUSE, errno.EACCES}
_SNAPS = [Path("/snap/bin") / name for name in ("firefox", "chromium", "brave", "opera")]


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
        If the port cannot be used, or all ports that were tried are taken.
    """
    for one in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + _TRIED):
        opened = socket.socket()
        if sys.platform != "win32":  # takes a port that was just closed; on Windows it would steal one in use
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


def serve(
    machine: Machine, *, port: int | None, browser: bool, tell: Callable[[str], None], ready: Segmenter | None = None
) -> None:
    """Serve the page until Ctrl-C, SIGTERM, or the closing of the terminal.

    Parameters
    ----------
    machine : Machine
    port : int, optional
        See `listen`.
    browser : bool
        Open the page in the user's browser.
    tell : callable
        Told the address when the page can be opened.
    ready : Segmenter, optional
        The model of the machine, if it was loaded before.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C or the like, when all is closed.
    UsageError
        If the port is taken.
    """
    import uvicorn

    from nucleate.apps.web.app import make_app
    from nucleate.apps.web.guard import Guard
    from nucleate.apps.web.session import Session

    with listen(port) as opened, _ended_like_ctrl_c(), contextlib.ExitStack() as closing:
        guard = Guard(opened.getsockname()[1])
        session = Session(machine, ready=ready)
        closing.callback(session.close)
        config = uvicorn.Config(
            make_app(session, guard),
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        tell(guard.address)
        if browser:
            start = closing.enter_context(_way_to(guard.address))
            threading.Thread(target=webbrowser.open, args=(start,), daemon=True).start()

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                session.views.first_looks.stop()  # a request that waits for one would delay the end
                super().handle_exit(sig, frame)

        Server(config).run(sockets=[opened])


@contextlib.contextmanager
def _way_to(address: str) -> Iterator[str]:
    """Give a private page that leads to an address, since other users can see the arguments of a browser."""
    if sys.platform == "win32":  # where they cannot
        yield address
        return
    # Browsers installed as snaps cannot see temporary folders.
    place = Path.home() if any(snap.exists() for snap in _SNAPS) and os.access(Path.home(), os.W_OK) else None
    with scratch_folder(place) as private:
        page = private / "open.html"
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><title>nucleate</title>'
            f'<meta http-equiv="refresh" content="0; url={address}"><p><a href="{address}">Open the page</a></p>',
            encoding="utf-8",
        )
        yield page.as_uri()


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM, and the closing of the terminal, as Ctrl-C, since otherwise nothing would be cleaned up."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def hang_up(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # a signal that ends the server

    wanted = {signal.SIGTERM: end}
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup, it goes on
        wanted[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
